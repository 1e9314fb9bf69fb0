# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Dependencies between objects in the kernel: which it removes together, and which values only one object can have."""

from __future__ import annotations

import typing as t

from .keys import Key
from .kinds import kind_of
from .objects import HOST, Address, ForwardingEntry, Link, Netns, NftTable, Object, Resolver, State, Veth
from .wireguard import WireguardLink

Interface = tuple[str, str]  # namespace, name
Keys = t.AbstractSet[Key]


# ---- objects that the kernel removes together --------------------------------


def removed_with(actual: State, roots: Keys) -> set[Key]:
    """Return roots and everything that the kernel removes together with them."""
    if not roots:
        return set()
    namespaces = {key[1] for key in roots if key[0] == "netns"}
    links = _links_removed_with(actual, roots, namespaces)
    interfaces: set[Interface] = set()
    for key in roots | links:
        if key in actual:
            interfaces.update(interfaces_of(actual[key]))
    removed = {*roots, *links}
    for key, obj in actual.items():
        if _is_removed_with(key, obj, namespaces, interfaces):
            removed.add(key)
    return removed


def interfaces_of(obj: Object | None) -> tuple[Interface, ...]:
    """Return the interfaces that an object consists of: two for a veth pair."""
    if isinstance(obj, Veth):
        return (obj.netns, obj.name), (obj.peer_netns, obj.peer_name)
    return ((obj.netns, obj.name),) if isinstance(obj, (Link, WireguardLink)) else ()


def without_masters(state: State, removed: Keys) -> State:
    """Return the state in which the ports of removed bridges have no master, and no forwarding entries there."""
    bridges = {key[2] for key in removed if key[0] == "link" and key[1] == HOST}
    ports = {obj.name: obj for obj in state.values() if isinstance(obj, (Veth, Link)) and obj.master in bridges}
    if not ports:
        return state
    found: State = {}
    for key, obj in _without_entries(state, ports).items():
        if isinstance(obj, (Veth, Link)) and ports.get(obj.name) is obj:
            found[key] = obj._replace(master="")
        else:
            found[key] = obj
    return found


def without_entries_of_moving_ports(state: State, wanted: State) -> State:
    """Return the state without the forwarding entries of ports that move to another bridge."""
    ports = set()
    for key, obj in state.items():
        if isinstance(obj, (Veth, Link)) and getattr(wanted.get(key), "master", obj.master) != obj.master:
            ports.add(obj.name)
    return _without_entries(state, ports) if ports else state


def _without_entries(state: State, ports: t.Container[str]) -> State:
    """Return the state as it is after these ports left their bridges, apart from their masters.

    With its bridge a port loses its forwarding entries there; a vxlan device keeps its own.
    """
    found: State = {}
    for key, obj in state.items():
        if not (isinstance(obj, ForwardingEntry) and obj.link in ports):
            found[key] = obj
        elif obj.vtep:
            found[key] = obj._replace(bridged=False)
    return found


def is_on_parent(obj: Object | None) -> bool:
    """Return whether obj is a sandbox's link on an interface of the host (macvlan, ipvlan).

    The kernel removes it some time after its namespace, so it is deleted by a step of its own.
    """
    return isinstance(obj, Link) and bool(obj.netns and obj.parent)


def goes_with_its_namespace(obj: Object, surplus: t.Container[Key]) -> bool:
    """Return whether obj is a link in a namespace that is removed as well. One on a parent of the host is not."""
    kind = kind_of(obj.key)
    is_link_in_namespace = kind.lives_on == "netns" and kind.holds_others
    if not is_link_in_namespace or is_on_parent(obj):
        return False
    return ("netns", obj.key[1]) in surplus


def outlives_namespace(obj: Object, actual: State) -> bool:
    """Return whether obj is dockless's table in an attached namespace, which continues to exist without its name."""
    if not isinstance(obj, NftTable):
        return False
    namespace = actual.get(("netns", obj.netns))
    return isinstance(namespace, Netns) and bool(namespace.inode)


def unrestorable(state: State) -> set[Key]:
    """Return the keys of what no plan can make again, and of what depends on it.

    These are pairs that have lost their other end, and resolvers in a namespace that has lost its name.
    """
    broken = set()
    for key, obj in state.items():
        is_half_pair = isinstance(obj, Veth) and not obj.peer_name
        is_lost_process = isinstance(obj, Resolver) and bool(obj.netns) and ("netns", obj.netns) not in state
        if is_half_pair or is_lost_process:
            broken.add(key)
    return removed_with(state, broken)


def _links_removed_with(actual: State, roots: Keys, namespaces: t.Container[str]) -> set[Key]:
    """Return the pairs with an end in one of the namespaces, and the links that sit on links among roots."""
    pairs = {
        key
        for key, obj in actual.items()
        if isinstance(obj, Veth) and (obj.netns in namespaces or obj.peer_netns in namespaces)
    }
    return pairs | _links_above(actual, roots)


def _links_above(actual: State, roots: Keys) -> set[Key]:
    """Return the links whose parent is among roots, and those whose parent is one of these (macvlan on a VLAN)."""
    parents = {key[2] for key in roots if key[0] == "link" and key[1] == HOST}
    found: set[Key] = set()
    while parents:
        above = {
            key for key, obj in actual.items() if isinstance(obj, Link) and obj.parent in parents and key not in found
        }
        found |= above
        parents = {key[2] for key in above if key[1] == HOST}
    return found


def _is_removed_with(key: Key, obj: Object, namespaces: t.Container[str], interfaces: t.Container[Interface]) -> bool:
    lives_on = kind_of(key).lives_on
    if lives_on == "netns":
        return getattr(obj, "netns", None) in namespaces
    if lives_on == "link":
        netns, link = getattr(obj, "netns", ""), getattr(obj, "link", "")
        return netns in namespaces or (netns, link) in interfaces
    # A second name of a removed namespace still means that namespace, not the one that is made in its place.
    return isinstance(obj, Netns) and obj.partner in namespaces


# ---- values that only one object can have ------------------------------------


def blocking(wanted: State, actual: State, surplus: Keys) -> set[Key]:
    """Return the surplus links, pairs and addresses that must go before wanted ones can be made.

    A namespace holds one interface of a name, a parent one link of a MAC address, a host one vxlan device of a VNI and
    port. An interface holds an IPv6 address with one prefix length, and an IPv4 address with several.
    """
    holders: dict[t.Hashable, list[Key]] = {}
    for key in surplus:
        for claim in _claims(actual[key]):
            holders.setdefault(claim, []).append(key)
    if not holders:
        return set()
    found = _blocking_on_parent(wanted, actual, surplus)
    for obj in wanted.values():
        for claim in _claims(obj):
            found.update(holders.get(claim, ()))
    return found


def _claims(obj: Object) -> tuple[t.Hashable, ...]:
    """Return values that no other object can have.

    These are names of interfaces, the VNI and port of a vxlan device, and an IPv6 address of an interface.
    """
    if isinstance(obj, Address):
        address = obj.cidr.partition("/")[0]
        return ((obj.netns, obj.link, address),) if ":" in address else ()
    names = tuple(interface for interface in interfaces_of(obj) if interface[1])
    if isinstance(obj, Link) and obj.kind == "vxlan":
        settings = dict(obj.data)
        return *names, (obj.kind, settings.get("id"), settings.get("port"))
    return names


def _blocking_on_parent(wanted: State, actual: State, surplus: Keys) -> set[Key]:
    """Return the surplus links on a parent that exclude a new or changed link on the same parent."""
    old_links = [obj for obj in (actual[key] for key in surplus) if isinstance(obj, Link) and obj.parent]
    if not old_links:
        return set()
    new_links = [obj for key, obj in wanted.items() if isinstance(obj, Link) and obj.parent and actual.get(key) != obj]
    found = set()
    for old in old_links:
        if any(new.parent == old.parent and _exclude_each_other(new, old) for new in new_links):
            found.add(old.key)
    return found


def _exclude_each_other(one: Link, other: Link) -> bool:
    """Return whether the kernel refuses two links on one parent. VLANs never exclude anything."""
    if "vlan" in (one.kind, other.kind):
        return False
    is_alone = "passthru" in (_mode(one), _mode(other))
    has_same_mac = bool(one.mac) and one.mac == other.mac
    return is_alone or one.kind != other.kind or has_same_mac


# ---- changes in place --------------------------------------------------------


def also_mutable(wanted: Object, actual: Object) -> frozenset[str]:
    """Return the fields of these two that the kernel changes in place beyond those of their kind.

    The mode of an ipvlan link is one, and that of a macvlan link unless it comes from or goes to passthru.
    """
    if not (isinstance(wanted, Link) and isinstance(actual, Link) and wanted.kind == actual.kind):
        return frozenset()
    changes_mode = wanted.kind == "ipvlan" or (
        wanted.kind == "macvlan" and "passthru" not in (_mode(wanted), _mode(actual))
    )
    return frozenset(("data",)) if changes_mode else frozenset()


def _mode(link: Link) -> object:
    return dict(link.data).get("mode")
