# SPDX-License-Identifier: GPL-3.0-or-later
"""A document whose resolvers run without the engine (see dns_only.py), and questions to the resolvers of a host."""

from __future__ import annotations

import json
import time

from support.private_host import PYTHON, SUPPORT

UPSTREAM = "192.0.2.2"
DOCUMENT = {
    "networks": {
        "front": {"ipam": {"config": [{"subnet": "172.20.0.0/16"}]}},
        "back": {
            "internal": True,
            "enable_ipv6": True,
            "ipam": {"config": [{"subnet": "172.21.0.0/16"}, {"subnet": "fd00:21::/64"}]},
        },
    },
    "sandboxes": {
        "web": {
            "hostname": "www1",
            "networks": {
                "front": {"ipv4_address": "172.20.0.10", "aliases": ["www", "app.example"]},
                "back": {"ipv4_address": "172.21.0.10"},
            },
        },
        "web2": {"networks": {"front": {"ipv4_address": "172.20.0.11", "aliases": ["www"]}}},
        "cli": {
            "networks": {"front": {"ipv4_address": "172.20.0.12", "links": ["web:site", "absent:later"]}},
            "dns_search": ["corp.example"],
        },
        "db": {
            "networks": {"back": {"ipv4_address": "172.21.0.20", "ipv6_address": "fd00:21::20"}},
            "dns": ["192.0.2.2"],
        },
    },
}


def act(host, action, document=None):
    """Run an action of dns_only.py and return its answer."""
    argv = [PYTHON, str(SUPPORT / "dns_only.py"), action]
    return json.loads(host.run(argv, input=json.dumps(document or DOCUMENT)).stdout)


def dig(host, sandbox, name, kind="A", *options):
    """Return (status, sorted answers) of a query through 127.0.0.11:53 of the sandbox."""
    said = host.run(
        ["dig", "@127.0.0.11", "+tries=2", "+time=3", "+noall", "+comments", "+answer", *options, name, kind],
        netns=sandbox,
    ).stdout
    status = next(line.partition("status: ")[2].partition(",")[0] for line in said.splitlines() if "status: " in line)
    return status, sorted(line.split(None, 4)[4] for line in said.splitlines() if line and not line.startswith(";"))


def until(answer, wanted, seconds=10):
    """Wait until answer() is wanted, and return what it was last."""
    deadline = time.monotonic() + seconds
    found = answer()
    while found != wanted and time.monotonic() < deadline:
        found = answer()
    return found


def asked_upstream(host, upstream, sandbox="web"):
    """Return what upstream was asked until now; a query of our own marks the end."""
    assert dig(host, sandbox, "sentinel.example.org") == ("NOERROR", ["203.0.113.7"])
    lines = iter(upstream.readline, "")
    found = []
    for line in lines:
        if line.startswith("sentinel.example.org "):
            return found
        found.append(line)
    raise AssertionError("the upstream server ended")
