# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose name servers are of a family in which a sandbox has no route: the host's forwarder asks for it."""

from __future__ import annotations

import pytest

from support.dns_questions import dig
from support.private_host import NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

SERVER4, SERVER6 = NEIGHBOUR_ADDRESSES[:2]
ANSWERED = ("NOERROR", ["203.0.113.7"])
DOCUMENT = {
    "networks": {
        "four": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
        "six": {"enable_ipv4": False, "ipam": {"config": [{"subnet": "fd00:20::/64"}]}},
        "both": {"enable_ipv6": True, "ipam": {"config": [{"subnet": "172.21.0.0/24"}, {"subnet": "fd00:21::/64"}]}},
        "shut": {"internal": True, "ipam": {"config": [{"subnet": "172.22.0.0/24"}]}},
    },
    "sandboxes": {
        "four": {"networks": ["four"]},
        "six": {"networks": ["six"]},
        "both": {"networks": ["both"]},
        "without6": {"networks": ["both"], "sysctls": {"net.ipv6.conf.all.disable_ipv6": 1}},
        "two": {"networks": ["four", "six"]},
        "shut": {"networks": ["shut"]},
    },
}
FOUR, SIX = "172.20.0.1#10053", "fd00:20::1#10053"
# The host's servers -> which sandboxes ask the forwarder, and where.
THROUGH_THE_HOST = {
    SERVER6: {"four": FOUR, "without6": "172.21.0.1#10053"},
    SERVER4: {"six": SIX},
    f"fe80::9%eth0 {SERVER6}": {"four": FOUR, "without6": "172.21.0.1#10053"},
    f"127.0.0.53 {SERVER4}": {"six": SIX},
    f"{SERVER4} {SERVER6}": {},
}


@pytest.mark.parametrize("servers, through_the_host", THROUGH_THE_HOST.items(), ids=THROUGH_THE_HOST.keys())
def test_every_sandbox_with_a_way_out_resolves_outside_names(private_host, servers, through_the_host):
    """By UDP and TCP, and no sandbox asks the host without need. An internal network has no way out."""
    before = private_host.read("/etc/resolv.conf")
    for server in (SERVER4, SERVER6):
        started = private_host.neighbour().popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), server])
        assert started.readline() == "ready"
    lines = "".join(f"nameserver {server}\n" for server in servers.split())
    private_host.run(["tee", "/etc/resolv.conf"], input=lines)
    private_host.apply(DOCUMENT)
    for sandbox in ("four", "six", "both", "without6", "two"):
        for options in ((), ("+tcp",)):
            assert dig(private_host, sandbox, "example.org", "A", *options) == ANSWERED, (sandbox, options)
    assert dig(private_host, "shut", "example.org") == ("NXDOMAIN", [])
    rows = private_host.dockless("show", "--json")["sandboxes"]
    asking = {row["name"]: row["name_servers"] for row in rows}
    found = {name: each[0] for name, each in asking.items() if each and "#" in each[0]}
    assert found == through_the_host
    assert private_host.plan(DOCUMENT)["changed"] is False
    private_host.teardown()
    private_host.run(["tee", "/etc/resolv.conf"], input=before)
