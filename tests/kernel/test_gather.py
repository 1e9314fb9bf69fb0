# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host is what that host is like."""

from __future__ import annotations

import json

import pytest

CODE = """
import json, ipaddress
from _dockless.observe import facts
f = facts.read_facts(routes=(ipaddress.ip_network("10.0.0.0/8"),), mtu=1400, attached=(("web", 7),))
print(json.dumps(f._replace(routes=[str(r) for r in f.routes])._asdict(), default=sorted))
"""


def gathered(host):
    """Return the facts of a host."""
    return json.loads(host.python(CODE).stdout)


def test_facts_of_a_private_host(private_host):
    facts = gathered(private_host)
    assert facts["forwarding4"] and facts["forwarding6"] and facts["ipv6"]
    assert facts["port_range"] == [int(n) for n in private_host.read("/proc/sys/net/ipv4/ip_local_port_range").split()]
    assert facts["nameservers"] == ["192.0.2.3"] and facts["search"] == []
    assert facts["dnsmasq"] == private_host.sh("command -v dnsmasq || true")
    assert facts["systemd"] is False
    assert (facts["routes"], facts["mtu"], facts["attached"], facts["addresses"]) == (
        ["10.0.0.0/8"],
        1400,
        [["web", 7]],
        [],
    )


@pytest.mark.smoke
def test_facts_follow_the_host(private_host):
    private_host.sh(
        "cd /proc/sys/net; echo 0 >ipv4/ip_forward; echo 0 >ipv6/conf/all/forwarding;"
        "echo 40000 40010 >ipv4/ip_local_port_range; echo 8080,9000-9002 >ipv4/ip_local_reserved_ports; "
        "mkdir -p /run/systemd/system"
    )
    facts = gathered(private_host)
    assert (facts["forwarding4"], facts["forwarding6"], facts["systemd"]) == (False, False, True)
    assert facts["port_range"] == [40000, 40010] and facts["reserved_ports"] == [8080, 9000, 9001, 9002]


@pytest.fixture(autouse=True)
def restored(private_host):
    """Put back the settings that a test changes."""
    keys = "ipv4/ip_forward ipv6/conf/all/forwarding ipv4/ip_local_port_range ipv4/ip_local_reserved_ports"
    private_host.sh(f"cd /proc/sys/net; for k in {keys}; do mkdir -p /run/kept/${{k%/*}}; cat $k >/run/kept/$k; done")
    yield
    private_host.sh(f"cd /proc/sys/net; for k in {keys}; do cat /run/kept/$k >$k; done; rm -rf /run/kept /run/systemd")


RESOLV = {
    "real servers": (
        "search a.example b.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n",
        None,
        ["192.0.2.53", "2001:db8::53"],
        ["a.example", "b.example"],
    ),
    "a stub, with the real ones known": (
        "nameserver 127.0.0.53\nsearch own.example\n",
        "nameserver 192.0.2.53\nsearch far.example\n",
        ["192.0.2.53"],
        ["own.example"],
    ),
    "a stub, with nothing behind it": ("nameserver 127.0.0.53\n", None, ["127.0.0.53"], []),
    "a stub, with no server behind it": ("nameserver ::1\n", "# none\n", ["::1"], []),
    "a stub and a real server": (
        "nameserver 127.0.0.1\nnameserver 192.0.2.53\n",
        "nameserver 192.0.2.99\n",
        ["127.0.0.1", "192.0.2.53"],
        [],
    ),
    "the last of search and domain": (
        "domain a\nsearch b c\ndomain d\nnameserver 192.0.2.1\nnameserver 192.0.2.1",
        None,
        ["192.0.2.1"],
        ["d"],
    ),
    "what is no address": (
        "#nameserver 192.0.2.1\n; x y\nnameserver\nnameserver $(reboot)\n nameserver fe80::1%eth0\noptions ndots:2\n",
        None,
        ["fe80::1%eth0"],
        [],
    ),
    "nothing": (None, None, [], []),
}


@pytest.mark.parametrize("own, behind, nameservers, search", RESOLV.values(), ids=RESOLV.keys())
def test_nameservers_of_the_host(private_host, own, behind, nameservers, search):
    private_host.sh("rm -f /etc/resolv.conf; mkdir -p /run/systemd/resolve")
    for path, text in (("/etc/resolv.conf", own), ("/run/systemd/resolve/resolv.conf", behind)):
        if text is not None:
            private_host.run(["tee", path], input=text)
    facts = gathered(private_host)
    assert (facts["nameservers"], facts["search"]) == (nameservers, search)
