# SPDX-License-Identifier: GPL-3.0-or-later
"""Broken documents by the thousand: each is read or refused with one printable sentence, never a traceback."""

from __future__ import annotations

import copy
import random

import pytest

from _dockless.errors import DocklessError
from support.documents import host_of

OPTIONS = "com.docker.network."
DOCUMENT = {
    "networks": {
        "front": {
            "driver": "bridge",
            "ipam": {
                "driver": "default",
                "config": [
                    {
                        "subnet": "10.1.0.0/24",
                        "ip_range": "10.1.0.128/25",
                        "gateway": "10.1.0.1",
                        "aux_addresses": {"r": "10.1.0.2"},
                    },
                    {"subnet": "fd00:1::/64"},
                ],
            },
            "mtu": 1400,
            "labels": {"a": "b"},
            "dns": ["192.0.2.53"],
            "records": [{"name": "a", "type": "A", "value": "10.0.0.1"}],
            "driver_opts": {OPTIONS + "bridge.name": "br-f", OPTIONS + "bridge.enable_icc": "true"},
        },
        "back": {"internal": True, "enable_ipv6": False, "isolate": "open"},
        "theirs": {"external": True, "name": "blog/front"},
    },
    "sandboxes": {
        "web": {
            "networks": {
                "front": {
                    "aliases": ["www"],
                    "ipv4_address": "10.1.0.5",
                    "mac_address": "02:00:00:00:00:01",
                    "gw_priority": 1,
                    "driver_opts": {OPTIONS + "endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1"},
                },
                "back": None,
            },
            "ports": ["8080:80", "[fd00::9]:81:81/udp", {"target": 82, "published": "8000-8009"}],
            "expose": [80],
            "hostname": "web",
            "extra_hosts": ["a:10.0.0.1"],
            "links": ["db:x"],
            "sysctls": {"net.core.somaxconn": 5},
            "dns_opt": ["ndots:1"],
        },
        "db": {"networks": ["theirs"], "attach": {"pid": 5}},
        "agent": {"network_mode": "host"},
        "probe": {"network_mode": "container:web"},
    },
    "veth_pairs": {
        "x/a0": {
            "addresses": ["10.9.0.1/24"],
            "routes": [{"destination": "default", "via": "10.9.0.2"}],
            "peer": {"name": "b0"},
        }
    },
}
BLOG = {"networks": {"front": {}}}
HOSTILE = [
    None,
    True,
    0,
    -1,
    2**70,
    1.5,
    float("nan"),
    "",
    " ",
    "\n",
    "\0",
    "..",
    "../..",
    "/",
    ":",
    "::",
    "%",
    "{",
    "a" * 300,
    "\ud800",
    "\u202e",
    "²",
    "-",
    "0.0.0.0/0",
    "::/0",
    "255.255.255.255",
    "::1%lo",
    "1/1",
    "fe80::1",
    "99999999999999999999",
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {None: 1},
    {1: {}},
    b"x",
    (1,),
]


def places(value, path=()):
    """Yield the path of everything in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def broken(random_source):
    """Return the document with a few hostile values, and a hostile key now and then."""
    document = copy.deepcopy(DOCUMENT)
    for _turn in range(random_source.choice((1, 1, 2))):
        path = random_source.choice(list(places(document)))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        bad = random_source.choice(HOSTILE)
        if (
            isinstance(holder, dict)
            and random_source.random() < 0.3
            and getattr(bad, "__hash__", None)
            and not isinstance(bad, tuple)
        ):
            holder[bad] = holder.pop(path[-1])
        else:
            holder[path[-1]] = copy.deepcopy(bad)
    return document


def test_the_unbroken_document_is_accepted():
    """Else everything below would be refused for one reason."""
    host_of(DOCUMENT, blog=BLOG)


@pytest.mark.parametrize("seed", range(8))
def test_broken_documents_are_read_or_refused(seed):
    source = random.Random(seed)
    refused = set()
    for _turn in range(500):
        document = broken(source)
        try:
            host_of(document, blog=BLOG)
        except DocklessError as refusal:
            assert str(refusal).isprintable(), document
            refused.add(refusal.path)
    assert len(refused) > 50
