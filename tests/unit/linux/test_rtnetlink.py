# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages to the kernel against pyroute2's own encoding, byte for byte.

A template is encoded once per shape and filled by replacing bytes; the oracle here encodes each
message from the start, from attributes that are written out once more.
"""

from __future__ import annotations

import pathlib
import random
import socket
import string
import subprocess
import sys

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from _dockless.linux import addresses, links, routes, rtnetlink
from _dockless.linux.message_template import Template

REQUEST_ACK, REPLACE, EXCL, CREATE = 0x5, 0x100, 0x200, 0x400
NEWLINK, DELLINK, SETLINK, NEWADDR, DELADDR, NEWROUTE, DELROUTE = 16, 17, 19, 20, 21, 24, 25
GROUP, PAIR_GROUP, PROTOCOL = 25707, 25709, 213
QUEUES = [("IFLA_NUM_TX_QUEUES", 1), ("IFLA_NUM_RX_QUEUES", 1)]


def encoded(cls, kind, flags, fields, attributes):
    """Return what pyroute2 makes of a message."""
    message = cls()
    message.update(fields)
    message["attrs"] = attributes
    message["header"].update(type=kind, flags=flags | REQUEST_ACK)
    message.encode()
    return bytes(message.data)


def decoded(cls, data):
    """Return what pyroute2 reads in a message: attributes by name."""
    message = cls(bytes(data))
    message.decode()
    return message


def nested(*attributes):
    """Return attributes inside an attribute; those without a value are left out."""
    return {"attrs": [pair for pair in attributes if pair[1] not in (None, "")]}


def name_of(chance, length=None):
    """Return an interface name."""
    return "".join(
        chance.choice(string.ascii_lowercase + string.digits + "-_") for place in range(length or chance.randint(1, 15))
    )


def mac_of(chance):
    """Return a MAC, sometimes none, sometimes one that a template's marks may be mistaken for."""
    return chance.choice(
        ("", "a5:5a:c3:3c:96:02", "00:00:00:00:00:00", ":".join(f"{chance.randrange(256):02x}" for place in range(6)))
    )


def number_of(chance):
    """Return an index, an MTU or a descriptor."""
    return chance.choice((1, 7, 255, 1500, 9000, 65536, 0x7EC3A503, chance.randrange(1, 1 << 31)))


def address_of(chance, version):
    """Return an address, sometimes that of a mark."""
    size = 4 if version == 4 else 16
    raw = chance.choice((bytes(range(201, 201 + size)), bytes(chance.randrange(256) for place in range(size))))
    return socket.inet_ntop(socket.AF_INET if version == 4 else socket.AF_INET6, raw)


def endpoint_oracle(name, mac, mtu, master, peer, peer_mac, peer_mtu, fd):
    """Return the making of an endpoint's pair."""
    inner = nested(
        ("IFLA_IFNAME", peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", peer_mtu),
        ("IFLA_GROUP", GROUP),
        *QUEUES,
        ("IFLA_NET_NS_FD", fd),
    )
    data = nested(("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", nested(("VETH_INFO_PEER", inner))))
    outer = nested(
        ("IFLA_IFNAME", name),
        ("IFLA_ADDRESS", mac),
        ("IFLA_MTU", mtu),
        ("IFLA_GROUP", GROUP),
        ("IFLA_MASTER", master),
        *QUEUES,
        ("IFLA_LINKINFO", data),
    )
    return encoded(ifinfmsg, NEWLINK, CREATE | EXCL, {}, outer["attrs"])


@pytest.mark.parametrize("seed", range(20))
def test_endpoint_pairs(seed):
    chance = random.Random(seed)
    for _turn in range(10):
        values = (
            name_of(chance),
            mac_of(chance),
            number_of(chance),
            chance.choice((None, number_of(chance))),
            name_of(chance),
            mac_of(chance),
            number_of(chance),
            number_of(chance),
        )
        assert bytes(links.endpoint_pair.fill(*values)) == endpoint_oracle(*values), values


def test_every_length_of_name():
    for length in range(1, 16):
        for other in (1, 4, 15):
            values = ("x" * length, "02:00:00:00:00:01", 1500, 9, "y" * other, "02:00:00:00:00:02", 1500, 11)
            assert bytes(links.endpoint_pair.fill(*values)) == endpoint_oracle(*values)


def test_filling_a_template_leaves_the_next_alone():
    """A message is a copy: sequence numbers are written into it."""
    first = links.named_up.fill("eth0")
    first[:] = b"\xff" * len(first)
    assert bytes(links.named_up.fill("eth1")) == encoded(
        ifinfmsg, SETLINK, 0, {"flags": 1, "change": 1}, [("IFLA_IFNAME", "eth1")]
    )


@pytest.mark.parametrize("hairpin", [False, True])
@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("arp", [False, True])
@pytest.mark.parametrize("name", ["v", "veth0123456789a", "bridge"])
def test_ports(hairpin, isolated, learning, arp, name):
    slave = nested(
        ("IFLA_BRPORT_MODE", int(hairpin)),
        ("IFLA_BRPORT_ISOLATED", int(isolated)),
        ("IFLA_BRPORT_LEARNING", int(learning)),
    )
    expected = [
        ("IFLA_IFNAME", name),
        ("IFLA_LINKINFO", nested(("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", slave))),
    ]
    fields = {"flags": 0 if arp else 0x80, "change": 0x80}
    assert bytes(links.port_flags(name, hairpin, isolated, learning, arp)) == encoded(
        ifinfmsg, NEWLINK, 0, fields, expected
    )


@pytest.mark.parametrize(
    ("up", "arp", "fields"),
    [
        (None, None, {}),
        (True, None, {"flags": 1, "change": 1}),
        (False, None, {"flags": 0, "change": 1}),
        (None, False, {"flags": 0x80, "change": 0x80}),
        (None, True, {"flags": 0, "change": 0x80}),
        (True, False, {"flags": 0x81, "change": 0x81}),
    ],
)
def test_flags_of_a_link_change_one_by_one(up, arp, fields):
    """The kernel changes only the flags that the mask names."""
    assert links.change(4, up=up, arp=arp) == encoded(ifinfmsg, SETLINK, 0, {"index": 4, **fields}, [])


@pytest.mark.parametrize("seed", range(10))
def test_addresses(seed):
    chance = random.Random(seed)
    for _turn in range(20):
        version, kind, index = chance.choice((4, 6)), chance.choice((NEWADDR, DELADDR)), number_of(chance)
        text = chance.choice((address_of(chance, version), "169.254.3.4" if version == 4 else "fe80::9"))
        length = chance.randint(1, 32 if version == 4 else 128)
        on_link = text.startswith(("169.254.", "fe80:"))
        fields = {
            "family": socket.AF_INET if version == 4 else socket.AF_INET6,
            "prefixlen": length,
            "index": index,
            "flags": 2 if version == 6 else 0,
            "scope": 253 if on_link else 0,
        }
        own = [("IFA_ADDRESS", text), *([("IFA_LOCAL", text)] if version == 4 else [])]
        flags = CREATE | EXCL if kind == NEWADDR else 0
        assert bytes(addresses.address(kind, index, f"{text}/{length}")) == encoded(
            ifaddrmsg, kind, flags, fields, own
        ), (text, length)


@pytest.mark.parametrize(
    "destination", ["0.0.0.0/0", "10.2.0.0/16", "10.2.3.4/32", "::/0", "fd00:2::/48", "fd00::7/128"]
)
@pytest.mark.parametrize("metric", [0, 7])
@pytest.mark.parametrize("kind", [NEWROUTE, DELROUTE])
@pytest.mark.parametrize("through", [True, False])
def test_routes(destination, metric, kind, through):
    six = ":" in destination
    network, length = destination.split("/")
    flags = CREATE | REPLACE if kind == NEWROUTE else 0
    for via in ("fd00::1" if six else "10.1.0.1", "fd00::2" if six else "10.1.0.2") if through else ("",):
        fields = {
            "family": socket.AF_INET6 if six else socket.AF_INET,
            "dst_len": int(length),
            "table": 254,
            "proto": PROTOCOL,
            "type": 1,
            "scope": 0 if via or six else 253,
        }
        expected = nested(
            ("RTA_DST", network if length != "0" else None),
            ("RTA_OIF", 5),
            ("RTA_GATEWAY", via),
            ("RTA_PRIORITY", metric or None),
        )
        assert bytes(routes.route(kind, 5, destination, via, metric)) == encoded(
            rtmsg, kind, flags, fields, expected["attrs"]
        )


def test_bridges_are_made_down_without_spanning_tree_and_snooping():
    expected = [
        ("IFLA_IFNAME", "br-n"),
        ("IFLA_ADDRESS", "02:00:00:00:00:01"),
        ("IFLA_MTU", 1400),
        ("IFLA_GROUP", GROUP),
        (
            "IFLA_LINKINFO",
            nested(
                ("IFLA_INFO_KIND", "bridge"),
                ("IFLA_INFO_DATA", nested(("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", 0))),
            ),
        ),
    ]
    assert links.bridge("br-n", "02:00:00:00:00:01", 1400) == encoded(ifinfmsg, NEWLINK, CREATE | EXCL, {}, expected)


def test_plain_pairs_are_made_in_both_namespaces_at_once():
    message = decoded(ifinfmsg, links.plain_pair("a0", "", 1500, 7, "b0", "02:00:00:00:00:02", 1400, 9))
    assert (message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_NET_NS_FD"), message.get_attr("IFLA_GROUP")) == (
        "a0",
        7,
        PAIR_GROUP,
    )
    assert message.get_attr("IFLA_ADDRESS") is None
    peer = message.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert [
        peer.get_attr(key) for key in ("IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_MTU", "IFLA_NET_NS_FD", "IFLA_GROUP")
    ] == ["b0", "02:00:00:00:00:02", 1400, 9, PAIR_GROUP]


@pytest.mark.parametrize(
    ("change", "fields", "expected"),
    [
        ({}, {}, []),
        ({"up": True}, {"flags": 1, "change": 1}, []),
        ({"up": False}, {"flags": 0, "change": 1}, []),
        ({"master": 0}, {}, [("IFLA_MASTER", 0)]),
        ({"mtu": 1400, "group": 25708}, {}, [("IFLA_MTU", 1400), ("IFLA_GROUP", 25708)]),
        (
            {"mac": "02:00:00:00:00:01", "alias": "dockless shop/n"},
            {},
            [("IFLA_ADDRESS", "02:00:00:00:00:01"), ("IFLA_IFALIAS", "dockless shop/n")],
        ),
    ],
)
def test_changes_say_only_what_changes(change, fields, expected):
    assert links.change(5, **change) == encoded(ifinfmsg, SETLINK, 0, {"index": 5, **fields}, expected)


def test_loopbacks_are_marked():
    for alias in ("dockless shop/web", "dockless x/y"):
        assert bytes(links.mark_loopback(alias)) == encoded(
            ifinfmsg,
            SETLINK,
            0,
            {"index": 1, "flags": 1, "change": 1},
            [("IFLA_IFALIAS", alias), ("IFLA_GROUP", GROUP)],
        )
    assert bytes(links.label_loopback("dockless x/y")) == encoded(
        ifinfmsg, SETLINK, 0, {"index": 1, "flags": 1, "change": 1}, [("IFLA_IFALIAS", "dockless x/y")]
    )
    off = decoded(ifinfmsg, links.label_loopback(""))
    assert (off["flags"], off["change"], off["attrs"][0][0]) == (0, 0, "IFLA_IFALIAS")


def test_removal_of_one_link_and_of_a_whole_group():
    assert links.delete(5) == encoded(ifinfmsg, DELLINK, 0, {"index": 5}, [])
    assert links.delete_group(25708) == encoded(ifinfmsg, DELLINK, 0, {}, [("IFLA_GROUP", 25708)])
    assert bytes(links.up.fill(5)) == encoded(ifinfmsg, SETLINK, 0, {"index": 5, "flags": 1, "change": 1}, [])


def test_a_slot_that_is_not_to_be_found_is_an_error():
    """Not a message with a mark in it."""
    lost = Template(lambda name: b"\0" * 32, "text")
    with pytest.raises(AssertionError, match="slot"):
        lost.fill("eth0")


WITHOUT = """
import sys
sys.modules["pyroute2"] = None  # what importing makes of it: a ModuleNotFoundError
from _dockless import errors
from _dockless.apply import executor
try:
    executor.Executor(None)
except errors.DocklessError as error:
    print(isinstance(error.__cause__, ImportError), error)
"""


def test_without_pyroute2_the_engine_is_imported_and_refuses_to_execute():
    rtnetlink.require()  # with it
    environment = {"PYTHONPATH": str(pathlib.Path(rtnetlink.__file__).parents[2])}
    told = subprocess.run(
        [sys.executable, "-B", "-c", WITHOUT], env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert told.startswith(f"True {sys.executable} cannot import pyroute2") and "python3-pyroute2" in told
