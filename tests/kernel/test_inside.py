# SPDX-License-Identifier: GPL-3.0-or-later
"""Root in a sandbox acts at every moment of a run: it spoils its own sandbox, and nobody else waits for it.

Each act is repeated by a process in the sandbox evil, from before a run to after it. The run takes the published port
of the sandbox good away, which packets of the neighbour show.
"""

from __future__ import annotations

import time

import pytest

from support.private_host import PrivateHost
from support.traffic import network

PORT = "http://192.0.2.2:8080/"
EVIL = {
    "networks": {"front": {"ipv4_address": "172.20.0.66"}},
    "sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"},
}
CLOSED = {
    "networks": {"front": network("172.20.0.0/24", dns_enabled=False)},
    "sandboxes": {"evil": EVIL, "good": {"networks": ["front"]}},
}
OPEN = {
    **CLOSED,
    "sandboxes": {"evil": EVIL, "good": {"networks": ["front"], "ports": ["8080:80"]}},
}
WITHOUT = {**CLOSED, "sandboxes": {"good": {"networks": ["front"]}}}
OTHER = {"networks": {"side": network("172.21.0.0/24")}}
ACTS = {
    "nothing": ":",
    "MTU": "ip link set eth0 mtu 1400; ip link set eth0 mtu 1300",
    "link down": "ip link set eth0 down; ip link set eth0 up",
    "MAC": "ip link set eth0 address 02:00:00:00:00:77; ip link set eth0 address 02:00:00:00:00:78",
    "addresses removed": "ip address flush dev eth0",
    "addresses added": "ip address add 172.20.0.67/24 dev eth0; ip address del 172.20.0.67/24 dev eth0",
    "routes removed": "ip route flush table main",
    "routes added": "ip route add 10.9.0.0/16 via 172.20.0.1 proto 213; ip route del 10.9.0.0/16",
    "settings": "echo 0 >/proc/sys/net/ipv4/conf/eth0/arp_notify",
    "a declared sysctl": "echo 1000 60999 >/proc/sys/net/ipv4/ip_local_port_range; "
    "echo 1000 >/proc/sys/net/ipv4/ip_unprivileged_port_start; "
    "echo 10 60999 >/proc/sys/net/ipv4/ip_local_port_range",
    "no alias on lo": "ip link set lo alias ''",
    "alias of another sandbox": "ip link set lo alias 'dockless shop/good'",
    "alias of another project": "ip link set lo alias 'dockless other/thing'",
    "group of lo": "ip link set lo group 0",
    "lo down": "ip link set lo down",
    "lo renamed": "ip link set lo down; ip link set lo name foo",
    "group of eth0": "ip link set eth0 group 0",
    "eth0 deleted": "ip link del eth0",
    "eth0 replaced": "ip link del eth0; ip link add eth0 type bridge",
    "eth0 replaced, with the group": "ip link del eth0; ip link add eth0 type bridge; ip link set eth0 group 25707",
    "eth0 renamed": "ip link set eth0 down; ip link set eth0 name x0; ip link del x0",
    "eth0 renamed and replaced": "ip link set eth0 down; ip link set eth0 name x0; ip link add eth0 type bridge",
    "eth0 as an alternative name": "ip link del eth0; ip link add b0 type bridge; "
    "ip link property add dev b0 altname eth0",
    "eth0 a port of a bridge": "ip link add b0 type bridge; ip link set eth0 master b0; ip link set eth0 nomaster",
    "eth0 moved": "ip link set eth0 netns $OTHER",
    "links come and go": "ip link add d1 type bridge; ip link add d2 type bridge; ip link del d1; ip link del d2",
    "links with the group": "ip link add d1 type bridge; ip link set d1 group 25707; ip link del d1",
    "pairs with the group": "ip link add d1 type veth peer name d2; ip link set d1 group 25707; "
    "ip link set d2 group 25709 alias 'dockless pair good/eth0'; ip link del d1",
}


class Crime:
    """A private host with both sandboxes, lent to one act after the other."""

    def __init__(self) -> None:
        self.host = PrivateHost()
        self._other = self.host.popen(["unshare", "--net", "sh", "-c", "echo $$; exec sleep 600"]).readline()
        self.host.apply(OPEN)
        self.host.serve_http("good", 80, "good")
        self.usual = self.close_port()

    def close_port(self) -> float:
        """Take the port away, and return how long that took."""
        begin = time.monotonic()
        answer = self.host.apply(CLOSED)
        took = time.monotonic() - begin
        self.warnings = answer["warnings"]
        return took

    def commit(self, act: str) -> float:
        """Close good's port while an act goes on in evil, and return how long that took."""
        self.host.apply(OPEN)
        assert self.host.neighbour().fetch(None, PORT), "the port is not open before the run"
        loop = f"echo begun; while :; do {act}; done 2>/dev/null"
        criminal = self.host.popen(["/bin/bash", "-c", f"OTHER={self._other}; {loop}"], "evil")
        assert criminal.readline() == "begun"
        took = self.close_port()
        criminal.stop()
        return took

    def close(self) -> None:
        """Take everything away."""
        with self.host as host:
            host.teardown()
            host.assert_back_to(host.birth)


@pytest.fixture(scope="module")
def crime():
    """Lend one private host to all acts."""
    found = Crime()
    yield found
    found.close()


@pytest.mark.parametrize("act", ACTS)
def test_an_act_inside_spoils_no_other_sandbox(crime, act):
    """The run succeeds, the port is closed, good keeps its network, and afterwards one run repairs evil."""
    host = crime.host
    took = crime.commit(ACTS[act])
    print(f"{act}: {took:.2f} s, {crime.usual:.2f} s without; {crime.warnings}")
    assert host.neighbour().fetch(None, PORT, wait=1) is None
    assert host.ping("good", "172.20.0.1")
    assert all("evil" in warning for warning in crime.warnings)
    host.sh("for link in $(ls /sys/class/net | grep -e ^eth -e ^b0 -e ^x0); do ip link del $link || true; done", "evil")
    host.apply(CLOSED)
    assert host.ping("evil", "172.20.0.1") and host.apply(CLOSED)["changed"] is False


FLOODS = {
    "links": "for i in $(seq 700); do echo link add d$i group 25707 type bridge; done | ip -batch -",
    "pairs": "for i in $(seq 1000); do echo link add d$i group 25709 type veth peer name e$i; done | ip -batch -",
    "addresses": "for i in $(seq 80); do for j in $(seq 60); do echo address add 10.$i.$j.1/32 dev eth0; done; done | "
    "ip -batch -",
    "routes": "for i in $(seq 120); do for j in $(seq 60); do echo route add 10.$i.$j.0/24 dev eth0 proto 213; done; "
    "done | ip -batch -",
    "neighbours": "for i in $(seq 2 100); do for j in $(seq 60); do "
    "echo neighbour add 10.$i.$j.1 lladdr 02:00:00:00:00:01 dev eth0 proto 213 nud permanent; done; done | ip -batch -",
    "alternative names": "for i in $(seq 400); do echo link property add dev eth0 altname $(printf '%0120d' $i); "
    "done | ip -force -batch -",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_inside_spoils_no_other_sandbox(crime, flood):
    """As much as root likes: the run takes the port away, another project's run and the removal of evil succeed."""
    host = crime.host
    host.apply(OPEN)
    assert host.neighbour().fetch(None, PORT), "the port is not open before the run"
    host.sh(f"{{ {FLOODS[flood]}; }} >/dev/null 2>&1 || true", "evil")
    took = crime.close_port()
    assert host.neighbour().fetch(None, PORT, wait=1) is None and host.ping("good", "172.20.0.1")
    assert all("evil" in warning for warning in crime.warnings)
    other, without = measured(host, OTHER, "other"), measured(host, WITHOUT, "shop")
    print(
        f"{flood}: {took:.2f} s, {crime.usual:.2f} s without; {other:.2f} s, removal {without:.2f} s; {crime.warnings}"
    )
    assert host.sh("ls /run/netns") == "good"
    host.apply(CLOSED)
    assert host.ping("evil", "172.20.0.1") and host.apply(CLOSED)["changed"] is False


def measured(host: PrivateHost, document: dict, project: str) -> float:
    """Apply a document, and return how long that took."""
    begin = time.monotonic()
    host.apply(document, project=project)
    return time.monotonic() - begin


RESOLVER = {
    "takes the port": "exec python3 -c 'import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    's.bind(("127.0.0.11", 10053)); print("begun", flush=True); time.sleep(600)\'',
    "drops all packets": "nft add table inet mine; nft add chain inet mine in '{ type filter hook input priority 0; "
    "policy drop; }'; echo begun; exec sleep 600",
    "stops lo": "ip link set lo down; echo begun; exec sleep 600",
}


@pytest.mark.parametrize("act", RESOLVER.values(), ids=RESOLVER.keys())
def test_resolver_that_cannot_answer_stops_no_other_one(private_host, act):
    """Every resolver gets a new configuration: good's answers, evil's is reported, and the port is closed."""
    named = {"networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}}}
    private_host.apply({**OPEN, **named})
    private_host.sh("kill -KILL $(cat /run/dockless/dns/pids/evil.pid)")
    assert private_host.popen(["/bin/bash", "-c", act], "evil").readline() == "begun"
    closed = {**CLOSED, **named, "sandboxes": {**CLOSED["sandboxes"], "new": {"networks": ["front"]}}}
    private_host.serve_http("good", 80, "good")
    assert private_host.neighbour().fetch(None, PORT), "the port is not open before the run"
    begin = time.monotonic()
    (warning,) = private_host.apply(closed)["warnings"] or ["evil"]
    print(f"{time.monotonic() - begin:.2f} s; {warning}")
    assert "evil" in warning and private_host.neighbour().fetch(None, PORT, wait=1) is None
    assert private_host.lookup("good", "new") == ["172.20.0.3"] or private_host.ping("good", "new")
    private_host.stop_servers()
    private_host.run(["nft", "delete", "table", "inet", "mine"], netns="evil", check=False)
    private_host.apply(closed)
    assert private_host.apply(closed)["changed"] is False and private_host.ping("evil", "new")
