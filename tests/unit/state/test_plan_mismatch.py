# SPDX-License-Identifier: GPL-3.0-or-later
"""on_mismatch: what is changed in place, what is rebuilt, and what is refused, field by field."""

from __future__ import annotations

import pytest

from _dockless.state import plan, rebuilds
from _dockless.state.objects import Address, File, Link, Netns, NftTable, Resolver, Route, Sysctl, Veth
from _dockless.state.plan import CREATE, DELETE, UPDATE

LINK = Link("", "br-n", "bridge", "02:00:00:00:00:01", 1500, "dockless shop/n")
VETH = Veth("", "veth1", "web", "eth0", master="br-n")
SPACE = Netns("web", "dockless shop/web")
# field: (wanted value, changed in place?)
FIELDS = {
    LINK: {
        "kind": ("vxlan", False),
        "mac": ("02:00:00:00:00:02", True),
        "mtu": (1400, True),
        "label": ("dockless shop/m", True),
        "master": ("br-x", True),
        "up": (False, True),
        "conf": ((("ipv4/route_localnet", 1),), True),
        "data": ((("id", 300),), False),
        "parent": ("eth0", False),
        "port": ((("learning", 0),), True),
        "arp": (False, True),
    },
    VETH: {
        "peer_netns": ("blue", False),
        "peer_name": ("lan0", False),
        "mac": ("02:00:00:00:00:02", True),
        "peer_mac": ("02:00:00:00:00:02", True),
        "mtu": (1400, True),
        "peer_mtu": (1400, True),
        "master": ("br-x", True),
        "peer_master": ("br-x", True),
        "up": (False, True),
        "peer_up": (False, True),
        "isolated": (True, True),
        "hairpin": (True, True),
        "learning": (False, True),
        "arp": (False, True),
        "conf": ((("ipv4/rp_filter", 2),), True),
        "peer_conf": ((("ipv4/rp_filter", 2),), True),
        "label": ("dockless pair -/x", False),
    },
    SPACE: {
        "label": ("dockless shop/x", True),
        "inode": (4026531999, False),
        "partner": ("db", False),
        "up": (False, True),
    },
}
CASES = [
    (thing, field, value, in_place) for thing, fields in FIELDS.items() for field, (value, in_place) in fields.items()
]


def verdicts(work, wanted=None, recorded=None):
    """Return what each on_mismatch says: allowed, or the remedy."""
    found = {}
    for mode in ("update", "recreate", "fail"):
        refusals = [error for _step, error in rebuilds.refused_steps(work, wanted or {}, mode, recorded or {})]
        found[mode] = "allowed"
        for refusal in refusals[:1]:
            assert str(refusal).startswith(str(work.steps[0].before))
            found[mode] = refusal.remedy.split(" to ")[1]
    return found


@pytest.mark.parametrize(
    ("thing", "field", "value", "in_place"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_field(thing, field, value, in_place):
    work = plan.make_plan({thing.key: thing._replace(**{field: value})}, {thing.key: thing})
    if in_place:
        assert [step.action for step in work.building] == [UPDATE] and not work.clearing and not work.removal
        assert verdicts(work) == {"update": "allowed", "recreate": "allowed", "fail": "update"}
    else:
        assert [step.action for step in work.steps] == [DELETE, CREATE] and work.clearing and work.building
        assert verdicts(work) == {"update": "recreate", "recreate": "allowed", "fail": "recreate"}


def test_every_field_has_a_case():
    """A new field is either part of a key, not compared, or in the table above."""
    parts = {LINK: {"netns", "name"}, VETH: {"netns", "name"}, SPACE: {"name", "defaults", "source"}}
    for thing, fields in FIELDS.items():
        assert set(thing._fields) == set(fields) | parts[thing]


@pytest.mark.parametrize(
    ("wanted", "actual"),
    [
        (Address("web", "eth0", "10.1.0.2/24"), None),
        (None, Address("web", "eth0", "10.1.0.2/24")),
        (Route("web", "0.0.0.0/0", "eth0", "10.1.0.1"), Route("web", "0.0.0.0/0", "eth1", "10.2.0.1")),
        (File("/etc/netns/web/hosts", "a"), File("/etc/netns/web/hosts", "b", 0o600)),
        (NftTable("", "a"), NftTable("", "b")),
        (Resolver("web", "web", "c", "1"), Resolver("web", "web", "c", "2")),
        (Sysctl("web", "net/x", "1"), Sysctl("web", "net/x", "2")),
        (LINK, None),
        (None, LINK),
        (SPACE, None),
        (None, VETH),
    ],
)
def test_objects_without_traffic_are_changed_whatever_on_mismatch_is(wanted, actual):
    """So is what is made and what nothing declares any more."""
    work = plan.make_plan({wanted.key: wanted} if wanted else {}, {actual.key: actual} if actual else {})
    assert work and set(verdicts(work).values()) == {"allowed"}


@pytest.mark.parametrize(
    ("wanted", "actual"),
    [
        (VETH, VETH._replace(peer_netns="", peer_name="")),
        (SPACE._replace(inode=4026532001), SPACE._replace(inode=4026532000)),
    ],
    ids=["a pair without its other end", "a namespace whose process is another"],
)
def test_a_repair_is_no_mismatch(wanted, actual):
    """What is rebuilt there carries nothing any more."""
    work = plan.make_plan({wanted.key: wanted}, {actual.key: actual})
    assert work.clearing and set(verdicts(work).values()) == {"allowed"}


def test_a_renamed_inner_end_is_a_repair_if_its_name_is_as_recorded():
    drifted = VETH._replace(peer_name="stray0")
    work = plan.make_plan({VETH.key: VETH}, {VETH.key: drifted})
    assert verdicts(work, {VETH.key: VETH}, {VETH.key: VETH.peer_name})["update"] == "allowed"
    assert verdicts(work, {VETH.key: VETH}, {VETH.key: "lan0"})["update"] == "recreate"


def test_a_second_name_follows_its_partner():
    guest = Netns("side", "dockless shop/side", partner="web")
    left = Netns("side", "dockless shop/web")
    work = plan.make_plan({guest.key: guest}, {guest.key: left})
    assert verdicts(work, {guest.key: guest})["update"] == "allowed"
    own = Netns("side", "dockless shop/side")
    assert verdicts(plan.make_plan({guest.key: guest}, {guest.key: own}), {guest.key: guest})["update"] == "recreate"
