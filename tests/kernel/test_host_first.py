# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that is declared cuts the host off its own addresses and routes."""

from __future__ import annotations

import json

import pytest

from support import traffic
from support.private_host import ENGINE, FAR_ADDRESSES, HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, PYTHON, SYSTEM_PYTHON
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
NEXT_HOPS = (
    "ip route add 198.51.100.0/24 via 10.99.0.1 dev eth0 onlink",
    "ip route add 198.51.101.0/24 nexthop via 10.98.0.1 dev eth0 onlink nexthop via 10.97.0.1 dev eth0 onlink",
    "ip -6 route add 2001:db8:99::/64 via fd00:99::1 dev eth0 onlink",
    "ip route add 198.51.102.0/24 via inet6 fd00:98::1 dev eth0 onlink",
    # The next hop is on the link because another route says so, as in clouds that give out addresses with a /32.
    "ip route add 10.96.0.1 dev eth0; ip route add 198.51.103.0/24 via 10.96.0.1",
    "ip -6 route add fd00:96::1 dev eth0; ip -6 route add 2001:db8:98::/64 via fd00:96::1",
    "ip route add 198.51.104.0/24 via 10.95.0.1 dev eth0 onlink table 77",
    "ip nexthop add id 7 via 10.94.0.1 dev eth0 onlink; ip route add 198.51.105.0/24 nhid 7",
)
SERVER = """
import os, socket, subprocess, sys
address, command = sys.argv[1], sys.argv[2]
six = ":" in address
listener = socket.create_server((address, 2222), family=socket.AF_INET6 if six else socket.AF_INET, dualstack_ipv6=six)
print("ready", flush=True)
connection, _client = listener.accept()
listener.close()
clean = {key: os.environ[key] for key in ("PATH", "PYTHONPATH")}
done = subprocess.run(["setsid", "-w", "/bin/sh", "-c", command + "; true"], env=clean, capture_output=True, text=True)
print(done.stdout.replace(chr(10), " "), flush=True)
"""
CLIENT = """
import socket, sys
source, address = sys.argv[1:]
with socket.create_connection((address, 2222), source_address=(source, 0)) as connection:
    connection.recv(1)
"""
LATER = ("172.20.0.77", "fd00:20::77")
GATEWAYS = ("172.20.0.1", "fd00:20::1")


def document(subnets, **more):
    """Return a project with one sandbox on a network."""
    return {"networks": {"front": network(subnets)}, "sandboxes": {"web": {"networks": ["front"]}}, **more}


@pytest.mark.parametrize(
    ("preparation", "subnets", "conflict"),
    [
        ("", "192.0.2.0/24", f"{HOST4}, which is an address of this host"),
        ("", "192.0.0.0/16", f"{HOST4}, which is an address of this host"),
        ("", "2001:db8:1::/64", f"{HOST6}, which is an address of this host"),
        ("ip address add 198.18.0.9/32 dev lo", "198.18.0.0/24", "198.18.0.9, which is an address of this host"),
        (NEXT_HOPS[0], "10.99.0.0/24", "10.99.0.1, which is the next hop of a route of this host"),
        (NEXT_HOPS[1], "10.97.0.0/24", "10.97.0.1, which is the next hop of a route of this host"),
        (NEXT_HOPS[2], "fd00:99::/64", "fd00:99::1, which is the next hop of a route of this host"),
        (NEXT_HOPS[3], "fd00:98::/64", "fd00:98::1, which is the next hop of a route of this host"),
        (NEXT_HOPS[4], "10.96.0.0/24", "10.96.0.1, which is the next hop of a route of this host"),
        (NEXT_HOPS[5], "fd00:96::/64", "fd00:96::1, which is the next hop of a route of this host"),
        (NEXT_HOPS[6], "10.95.0.0/24", "10.95.0.1, which is the next hop of a route of this host"),
        (NEXT_HOPS[7], "10.94.0.0/24", "10.94.0.1, which is the next hop of a route of this host"),
    ],
)
def test_a_subnet_that_the_host_uses_is_refused(private_host, preparation, subnets, conflict):
    """Such a run once ended well, and the session with it: every packet to the host's own address was dropped."""
    private_host.sh(preparation or "true")
    before = private_host.snapshot()
    assert f"contains {conflict}" in private_host.refusal(document(subnets))
    private_host.assert_back_to(before)
    private_host.apply(document("172.20.0.0/24"))  # the control
    private_host.apply({}, absent=True)
    undo = preparation.replace(" add ", " del ").replace("id 7 via 10.94.0.1 dev eth0 onlink", "id 7")
    private_host.sh("; ".join(reversed(undo.split("; "))) or "true")


def controlled_from(host, source, listen, declared):
    """Have a server of the host apply a document, as sshd does, for a client with this address; return the answer."""
    host.run(["tee", "/run/document.json"], input=json.dumps(declared))
    command = f"{PYTHON} -m _dockless.cli apply --project shop --json /run/document.json"
    server = host.popen(["env", f"PYTHONPATH={ENGINE}", SYSTEM_PYTHON, "-c", SERVER, listen, command])
    assert server.readline() == "ready"
    client = host.neighbour().popen([SYSTEM_PYTHON, "-c", CLIENT, source, HOST_ADDRESSES[":" in source]])
    answer = json.loads(server.readline())
    client.stop()
    server.stop()
    return answer


@pytest.mark.parametrize(
    ("listen", "source", "subnet"),
    [
        ("0.0.0.0", FAR_ADDRESSES[0], "198.51.100.0/24"),
        ("::", FAR_ADDRESSES[1], "2001:db8:2::/64"),
        ("::", FAR_ADDRESSES[0], "198.51.100.0/24"),
    ],
    ids=["IPv4", "IPv6", "IPv4 at a socket of IPv6"],
)
def test_a_subnet_with_the_client_of_the_session_is_refused(private_host, listen, source, subnet):
    """No route says where the client is: the default one leads to it. The run has no SSH_CONNECTION, as below sudo."""
    before = private_host.snapshot()
    answer = controlled_from(private_host, source, listen, document(subnet))
    assert f"contains {source}, from where this session controls the host" in answer["msg"], answer
    private_host.assert_back_to(before)

    def with_variable():
        argv = [PYTHON, "-m", "_dockless.cli", "apply", "--project", "shop", "--json", "-"]
        env = {"SSH_CONNECTION": f"{source} 40000 {HOST_ADDRESSES[0]} 22"}
        return json.loads(private_host.run(argv, check=False, input=json.dumps(document(subnet)), env=env).stdout)

    assert f"contains {source}, from where" in with_variable()["msg"]
    private_host.apply(document(subnet))  # the control: nobody controls this run from there
    assert with_variable()["operations"] == []  # an existing network is not refused: a sandbox may control its host


def test_an_automatic_subnet_avoids_the_client_of_the_session(private_host):
    """172.18.0.0/16 is the first that is free; 172.17.0.0/16 is that of the default bridge."""
    private_host.neighbour().sh("ip address add 172.18.0.9/32 dev lo")
    automatic = {"networks": {"front": {}}, "sandboxes": {"web": {"networks": ["front"]}}}
    answer = controlled_from(private_host, "172.18.0.9", "0.0.0.0", automatic)
    assert answer["changed"], answer
    assert "172.18.0." not in private_host.sh("ip netns exec web ip -4 -o address show dev eth0")
    private_host.apply({}, absent=True)
    private_host.apply(automatic)
    assert "172.18.0." in private_host.sh("ip netns exec web ip -4 -o address show dev eth0")  # the control


def test_the_default_bridge_is_refused_as_any_other_network(private_host):
    bridged = {"defaults": {"bip": "192.0.2.9/24"}, "sandboxes": {"web": {"network_mode": "bridge"}}}
    assert f"contains {HOST4}" in private_host.refusal(bridged)


def test_an_automatic_subnet_avoids_addresses_and_next_hops(private_host):
    """An address with a full prefix has no route in the main table."""
    private_host.sh("ip address add 172.17.0.9/32 dev lo; ip address add 172.18.0.9/32 dev lo")
    private_host.apply({"networks": {"front": {}}, "sandboxes": {"web": {"networks": ["front"]}}})
    chosen = private_host.sh("ip netns exec web ip -4 -o address show dev eth0")
    private_host.apply({}, absent=True)
    private_host.sh("ip address del 172.17.0.9/32 dev lo; ip address del 172.18.0.9/32 dev lo")
    assert "172.17.0." not in chosen and "172.18.0." not in chosen


@pytest.mark.parametrize("compat_mode", [1, 0])
def test_next_hops_of_nexthop_objects_are_known(private_host, compat_mode):
    """Without compatibility mode, a route names its object by number alone. It was taken for a route to nowhere."""
    private_host.sh(
        f"echo {compat_mode} >/proc/sys/net/ipv4/nexthop_compat_mode;"
        "ip link add up2 mtu 1400 type veth peer name up2peer; ip link set up2peer up; ip link set up2 up;"
        "ip address add 203.0.113.2/24 dev up2; ip nexthop add id 7 via 192.0.2.3 dev eth0;"
        "ip nexthop add id 8 via 10.93.0.1 dev up2 onlink; ip nexthop add id 9 group 7/8;"
        "ip nexthop add id 10 via fd00:93::1 dev up2 onlink;"
        "ip route replace default nhid 9; ip route add 172.16.0.0/14 nhid 9;"
        "ip -6 route add 2001:db8:97::/64 nhid 10"
    )
    try:
        refusals = [private_host.refusal(document(subnet)) for subnet in ("10.93.0.0/24", "fd00:93::/64")]
        private_host.apply({"networks": {"front": network("")}, "sandboxes": {"web": {"networks": ["front"]}}})
        eth0 = traffic.links(private_host, "web")["eth0"]
        private_host.apply({}, absent=True)
    finally:
        private_host.sh(
            "ip nexthop flush; ip link del up2; echo 1 >/proc/sys/net/ipv4/nexthop_compat_mode;"
            f"ip route add default via {NEIGHBOUR_ADDRESSES[0]}"
        )
    assert "contains 10.93.0.1, which is the next hop of a route" in refusals[0]
    assert "contains fd00:93::1, which is the next hop of a route" in refusals[1]
    assert eth0["mtu"] == 1400 and eth0["cidrs"][0].startswith("172.20."), eth0


def test_an_address_that_the_host_gets_later_stays_reachable(private_host):
    """By DHCP or a VPN the host moves into a subnet of dockless: it is reached there, its gateway address is not."""
    private_host.apply(document("172.20.0.0/24 fd00:20::/64"))
    for address in LATER:
        private_host.sh(f"ip address add {address} dev eth0 nodad")
    neighbour = private_host.neighbour()
    neighbour.sh(f"ip route add 172.20.0.0/24 via {HOST4}; ip -6 route add fd00:20::/64 via {HOST6}")
    heard = traffic.record(private_host, None, 9999)

    def probe(text):
        """Send to the host's new addresses and to the gateways, then a datagram that must arrive."""
        for number, address in enumerate((*LATER, *GATEWAYS)):
            traffic.send(neighbour, None, address, 9999, f"{text}-{number}")
        traffic.send(neighbour, None, HOST4, 9999, "end")
        lines = iter(heard.readline, f"end {NEIGHBOUR_ADDRESSES[0]}")
        return {line.split()[0] for line in lines}

    assert probe("guarded") == {"guarded-0", "guarded-1"}
    for number, rule in enumerate(("ip daddr != @gateways4 accept", "ip6 daddr != @gateways6 accept")):
        with traffic.without(private_host, rule):
            assert probe(f"without-{number}") == {f"without-{number}-{1 - number}"}
    answer = private_host.apply(document("172.20.0.0/24 fd00:20::/64"))
    assert answer["operations"] == []
    assert any(LATER[0] in warning for warning in answer["warnings"]), answer["warnings"]
    private_host.apply({}, absent=True)
    private_host.sh("; ".join(f"ip address del {address} dev eth0" for address in LATER))
