# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift: whatever is done to a managed object, one run repairs it and touches nothing else."""

from __future__ import annotations

import contextlib

import pytest

from support.invariants import SHOP, assert_same, full
from support.private_host import PrivateHost
from support.smoke import smoke_case

BRIDGE = "$(ip -json address show to 10.41.0.1 | jq -r '.[] | select(.ifname) | .ifname')"
PORT = "$(ip -json link show master " + BRIDGE + " | jq -r '.[0].ifname')"

DRIFT = {
    "host end deleted": f"ip link delete {PORT}",
    "inner end deleted": "ip -n cli link delete eth0",
    "inner end down": "ip -n cli link set eth0 down",
    "host end down": f"ip link set {PORT} down",
    "host end without master": f"ip link set {PORT} nomaster",
    "host end on another bridge": f"ip link set {PORT} master dockless0",
    "port isolated": f"ip link set {PORT} type bridge_slave isolated on",
    "port learns": f"ip link set {PORT} type bridge_slave learning on",
    "port with ARP": f"ip link set {PORT} arp on",
    "port with IPv6": f"echo 0 >/proc/sys/net/ipv6/conf/{PORT}/disable_ipv6",
    "forwarding entry deleted": f"bridge fdb del $(bridge -json fdb show dev {PORT} | "
    f"jq -r '.[] | select(.state == \"static\") | .mac') dev {PORT} master",
    "inner MAC": "ip -n cli link set eth0 address 02:00:00:00:00:77",
    "host MAC": f"ip link set {PORT} address 02:00:00:00:00:78",
    "inner MTU": "ip -n cli link set eth0 mtu 1300",
    "host MTU": f"ip link set {PORT} mtu 1300",
    "inner address deleted": "ip -n cli address flush dev eth0 scope global",
    "inner address added": "ip -n cli address add 10.41.0.200/24 dev eth0",
    "inner IPv6 address deleted": "ip -n cli -6 address flush dev eth0 scope global",
    "inner route deleted": "ip -n cli route delete default; ip -n cli -6 route delete default",
    "inner route changed": "ip -n cli route change default via 10.41.0.77 proto 213",
    "inner setting": "ip netns exec cli sh -c 'echo 0 >/proc/sys/net/ipv4/conf/eth0/arp_notify'",
    "sysctl": "ip netns exec web sh -c 'echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start'",
    "bridge deleted": f"ip link delete {BRIDGE}",
    "bridge down": f"ip link set {BRIDGE} down",
    "bridge MTU": f"ip link set {BRIDGE} mtu 1300",
    "bridge MAC": f"ip link set {BRIDGE} address 02:00:00:00:00:79",
    "bridge alias": f"ip link set {BRIDGE} alias mine",
    "bridge setting": f"echo 1 >/proc/sys/net/ipv4/conf/{BRIDGE}/accept_redirects",
    "bridge address deleted": f"ip address delete 10.41.0.1/24 dev {BRIDGE}",
    "bridge address added": f"ip address add 10.41.0.99/24 dev {BRIDGE}",
    "namespace deleted": "ip netns delete db",
    "second name deleted": "ip netns delete side",
    "lo without group": "ip -n lab link set lo group default",
    "plain pair deleted": "ip -n lab link delete cable",
    "plain pair address": "ip -n lab address delete 10.49.0.1/30 dev cable",
    "table deleted": "nft delete table inet dockless",
    "chain flushed": "nft flush chain inet dockless forward",
    "rule added": "nft insert rule inet dockless forward accept",
    "element deleted": "nft delete element inet dockless egress '{ \"'" + BRIDGE + "'\" }'",
    "element added": "nft add element inet dockless published4 '{ tcp . 99 : 10.41.0.3 . 80 }'",
    "everything flushed": "nft flush ruleset; nft add table inet own; nft add chain inet own forward; "
    "nft add rule inet own forward counter",
    "inner table deleted": "ip netns exec cli nft delete table inet dockless",
    "inner rule added": "ip netns exec cli nft insert rule inet dockless names accept",
    "file deleted": "rm /etc/netns/cli/resolv.conf",
    "file changed": "echo 10.9.9.9 web >>/etc/netns/cli/hosts",
    "file's mode": "chmod 600 /etc/netns/cli/hosts",
    "all files of a sandbox": "rm -r /etc/netns/cli",
    "records deleted": "rm -r /run/dockless/dns/networks",
    "resolver's configuration": "echo log-queries >>/run/dockless/dns/resolvers/cli.conf",
    "resolver killed": "kill -KILL $(cat /run/dockless/dns/pids/cli.pid)",
    "resolver stopped": "kill -STOP $(cat /run/dockless/dns/pids/cli.pid)",
    "all of /run/dockless": "rm -r /run/dockless",
    "inner end renamed": "ip -n cli link set eth0 down; ip -n cli link set eth0 name foo0",
    "shared namespace deleted": "ip netns delete web",
    "lo down": "ip -n lab link set lo down",
    "inner end moved to the host": "ip -n cli link set eth0 down; ip -n cli link set eth0 name stray0; "
    "ip -n cli link set stray0 netns 1",
}
# Somebody else's things, of every kind and in every place; no run may touch them.
FOREIGN = """
ip link add other0 type bridge; ip link set other0 up; ip address add 10.77.0.1/24 dev other0
ip link add veth7other type veth peer name veth8other; ip link set veth7other master other0
ip netns add other; ip -n other link set lo up; ip -n other address add 10.78.0.1/32 dev lo
ip -n cli link add own0 type bridge; ip -n cli address add 10.79.0.1/24 dev own0
ip -n cli link set own0 up; ip -n cli route add 10.80.0.0/16 dev own0
ip netns exec cli nft add table inet own; ip netns exec cli nft add chain inet own c
nft add table inet own; nft add chain inet own forward; nft add rule inet own forward counter
mkdir -p /etc/netns/other; echo 10.78.0.1 me >/etc/netns/other/hosts
"""
AWAY = """
ip link delete other0; ip link delete veth7other; ip netns delete other
nft delete table inet own; rm -r /etc/netns/other
"""


class Mended:
    """A private host with managed and unmanaged objects, for one drift after the other: each leaves it as it was,
    or it is given up.
    """

    def __init__(self):
        self._host = None

    @contextlib.contextmanager
    def lent(self):
        """Give the host and what it is like; one that comes back from a failure is not lent again."""
        if self._host is None:
            self._host = PrivateHost()
            self._host.apply(SHOP)
            self._host.sh(FOREIGN)
            self._was = full(self._host)
        host, self._host = self._host, None
        yield host, self._was
        self._host = host

    def close(self):
        """Remove everything, managed and unmanaged; nothing may be left."""
        if self._host is not None:
            with self._host as host:
                host.sh(AWAY)
                host.teardown()
                host.assert_back_to(host.birth)


@pytest.fixture(scope="module")
def mended():
    """Lend one private host to all tests of drift that this process runs."""
    found = Mended()
    yield found
    found.close()


@pytest.mark.parametrize("drift", smoke_case(DRIFT, "table deleted"))
def test_drift_is_repaired_by_one_run(mended, drift):
    """The plan shows it, one run repairs it, the next has nothing to do, and unmanaged objects stay to the last
    byte.
    """
    with mended.lent() as (host, was):
        assert host.plan(SHOP)["changed"] is False
        host.sh(drift)
        operations = host.apply(SHOP)["operations"]
        assert operations and host.apply(SHOP)["changed"] is False, operations
        assert_same(was, host)
        assert host.ping("cli", "web") and host.ping("web", "db") and host.ping("lab", "10.49.0.2")


TAKEN = {  # an unmanaged object with a name that the document needs, how to remove it, and words of the refusal
    "a bridge": ("ip link add br-mine type bridge", "ip link delete br-mine", "br-mine"),
    "another link": ("ip link add br-mine type veth peer name br-other", "ip link delete br-mine", "br-mine"),
    "a namespace": (
        "ip netns add cli",
        "ip netns delete cli",
        "network namespace cli exists and is not managed by dockless",
    ),
    "a namespace in use": (
        "ip netns add web; ip -n web link add eth0 type bridge",
        "ip netns delete web",
        "network namespace web exists and is not managed by dockless",
    ),
    "a file": (
        "mkdir -p /etc/netns/cli; echo 10.1.1.1 x >/etc/netns/cli/hosts",
        "rm -r /etc/netns/cli",
        "/etc/netns/cli/hosts exists and is not managed by dockless",
    ),
    "a resolv.conf": (
        "mkdir -p /etc/netns/web; echo nameserver 10.1.1.1 >/etc/netns/web/resolv.conf",
        "rm -r /etc/netns/web",
        "/etc/netns/web/resolv.conf exists and is not managed by dockless",
    ),
}


@pytest.mark.parametrize("make, clear, words", TAKEN.values(), ids=TAKEN.keys())
def test_unmanaged_object_is_refused_before_any_change(private_host, make, clear, words):
    """An object that exists and is not managed is an error that names it. Afterwards the host is as before."""
    document = {
        **SHOP,
        "networks": {**SHOP["networks"], "front": {**SHOP["networks"]["front"], "bridge_name": "br-mine"}},
    }
    private_host.sh(make)
    before = full(private_host)
    assert words in private_host.refusal(document)
    assert_same(before, private_host)
    private_host.sh(clear)
    assert private_host.apply(document)["changed"] and private_host.ping("cli", "web")


def test_unmanaged_interface_in_a_sandbox_is_reported(private_host):
    """A managed namespace in which somebody created an eth1: it stays, and everything but that endpoint is made."""
    private_host.apply(SHOP)
    private_host.sh("ip -n cli link add eth1 type bridge")
    more = {**SHOP, "sandboxes": {**SHOP["sandboxes"], "cli": {"networks": ["front", "back"]}}}
    (warning,) = private_host.apply(more)["warnings"]
    assert "interface eth1 exists in network namespace cli and is not managed by dockless" in warning
    assert private_host.sh("ip -n cli -brief address show eth1") == "eth1             DOWN"
    assert private_host.ping("cli", "web")
    private_host.sh("ip -n cli link delete eth1")
    assert private_host.apply(more)["warnings"] == []
    assert private_host.ping("cli", "db")
