# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The properties of each kind of object that the planner needs, in one place.

KINDS is in the order of creation; removal uses the opposite order. To add a kind: its type in objects.py, a row here,
its messages in linux/, its reader in observe/, and the phase that carries it out in apply/phases.py.
tests/unit/state/test_kinds.py names what is missing.
"""

from __future__ import annotations

import typing as t

from . import objects, wireguard
from .firewall import FIREWALL_KEY, Firewall
from .keys import Key
from .objects import File, NftTable, Object, Veth

Fields = frozenset[str]
STAGED: tuple[Key, ...] = (FIREWALL_KEY,)  # objects that change in stages: see closed_form and until_removal


class Kind(t.NamedTuple):
    """One kind of object. name is the first part of every key.

    mutable          fields that are changed in place; any other difference means that the object is rebuilt
    not_compared     fields that are written once and never read back
    lives_on         what the kernel removes it together with: "host" (nothing), "netns" or "link"
    holds_others     whether the kernel removes other objects together with it
    carries_traffic  whether running programs lose their network with it, so that on_mismatch decides about a rebuild
    needs_removal    whether a step of its own must delete it even if its namespace goes: the process of a resolver
                     holds the namespace, and the other end of a pair the name
    """

    name: str
    type: type[Object]
    mutable: Fields = frozenset()
    not_compared: Fields = frozenset()
    lives_on: str = "host"
    holds_others: bool = False
    carries_traffic: bool = False
    needs_removal: bool = False


_VETH_MUTABLE = frozenset(Veth._fields) - {"netns", "name", "peer_netns", "peer_name", "label"}

KINDS: tuple[Kind, ...] = (
    Kind("wireguard_key", wireguard.WireguardKey, frozenset(("public_key",))),
    Kind(
        "netns",
        objects.Netns,
        frozenset(("label", "up")),
        not_compared=frozenset(("defaults", "source")),
        holds_others=True,
        carries_traffic=True,
        needs_removal=True,
    ),
    Kind("kill_switch_route", wireguard.KillSwitchRoute),
    Kind(
        "wireguard_link",
        wireguard.WireguardLink,
        frozenset(("public_key", "listen_port", "mtu", "address", "label", "up", "conf")),
        holds_others=True,
    ),
    Kind("wireguard_peer", wireguard.WireguardPeer, frozenset(("endpoint", "allowed", "routed")), lives_on="link"),
    Kind(
        "link",
        objects.Link,
        frozenset(("mac", "mtu", "label", "master", "up", "conf", "port", "arp")),
        lives_on="netns",
        holds_others=True,
        carries_traffic=True,
    ),
    Kind("veth", Veth, _VETH_MUTABLE, holds_others=True, carries_traffic=True, needs_removal=True),
    Kind("sysctl", objects.Sysctl, frozenset(("value",)), lives_on="netns"),
    Kind("address", objects.Address, lives_on="link"),
    Kind("neighbour", objects.Neighbour, frozenset(("mac",)), lives_on="link"),
    Kind("forwarding_entry", objects.ForwardingEntry, frozenset(("vtep", "bridged", "sticky")), lives_on="link"),
    Kind("route", objects.Route, frozenset(("link", "via", "onlink")), lives_on="link"),
    Kind("file", File, frozenset(("text", "mode"))),
    Kind("nft_table", NftTable, frozenset(("text",)), lives_on="netns"),
    Kind("firewall", Firewall, frozenset(("rules", "elements")), not_compared=frozenset(("names",))),
    Kind(
        "resolver",
        objects.Resolver,
        frozenset(("config", "digest", "program")),
        lives_on="netns",
        needs_removal=True,
    ),
    Kind("foreign_firewall_rules", objects.ForeignFirewallRules, frozenset(("text",))),
)
BY_NAME: dict[str, Kind] = {kind.name: kind for kind in KINDS}
_PLACES = {kind.name: place for place, kind in enumerate(KINDS, 1)}


def kind_of(key: Key) -> Kind:
    """Return the kind of the object with this key."""
    return BY_NAME[key[0]]


def creation_place(key: Key) -> int:
    """Return the place of an object's kind in the order of creation, counted from 1."""
    return _PLACES[key[0]]


def creation_order(obj: Object) -> tuple[int, bool, Key]:
    """Return the sort key for creation: the place of the kind, then the object's key, with two exceptions.

    The pairs of a namespace stay as declared, because the kernel numbers links as they are made. A hostname file comes
    last: it cannot hold the mark, so that alone in its directory it would not be recognized as managed.
    """
    if isinstance(obj, Veth):
        return creation_place(obj.key), False, ("veth", obj.peer_netns)
    is_hostname = isinstance(obj, File) and obj.path.endswith("/hostname")
    return creation_place(obj.key), is_hostname, obj.key


def closed_form(obj: Object) -> Object | None:
    """Return the object to which obj is changed before anything else is removed, None for most.

    Ports are unpublished before links are deleted, and the rules stay until the links are deleted: a published port
    never forwards to an address that another sandbox has got.
    """
    return obj.closed() if isinstance(obj, Firewall) else None


def until_removal(wanted: Object, actual: Object) -> Object:
    """Return the object to which actual is changed while undeclared objects are still there: for most, the wanted."""
    if isinstance(wanted, Firewall) and isinstance(actual, Firewall):
        return wanted.until_removal(actual)
    return wanted
