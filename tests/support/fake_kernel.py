# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel made of a dictionary: what making, changing and deleting an object does to the others.

It has as much of Linux as the order of a plan depends on: deleting a namespace or a link takes
away what hangs on it, a veth pair needs both namespaces, a free name and its bridge, an address
needs its link, a route a gateway that the link's addresses cover. What the real kernel would
refuse is an error here as well, so a plan in the wrong order does not get through.
"""

from __future__ import annotations

import ipaddress
import typing as t

from _dockless.state import plan
from _dockless.state.keys import Key
from _dockless.state.kinds import creation_place, kind_of
from _dockless.state.objects import (
    Address,
    ForwardingEntry,
    Link,
    Neighbour,
    Netns,
    NftTable,
    Object,
    Resolver,
    Route,
    State,
    Sysctl,
    Veth,
)
from _dockless.state.plan import DELETE, UPDATE, Plan, Step

_ON_LINKS = (Address, ForwardingEntry, Neighbour, Route)


class Refused(AssertionError):
    """What the kernel would answer with an errno."""


class Kernel:
    """Objects by key, changed by the steps of plans."""

    def __init__(self, state: State | None = None) -> None:
        self.state: State = dict(state or {})
        self.leaked: list[Object] = []  # ours, and left where nobody will look again

    def run(self, work: Plan) -> None:
        """Do a whole plan."""
        self.steps(executed(work))

    def steps(self, steps: t.Iterable[Step]) -> None:
        """Do some steps, in order."""
        for step in steps:
            if step.action == DELETE:
                if step.key not in self.state:
                    raise Refused(f"nothing to delete: {step.key}")
                self.delete(step.key)
            elif step.action == UPDATE:
                self._update(step)
            else:
                self._create(step)

    def delete(self, key: Key) -> None:
        """Delete an object and what hangs on it."""
        thing = self.state.pop(key)
        if isinstance(thing, Netns):
            self._delete_netns(thing)
        elif isinstance(thing, Veth):
            self._delete_ends((thing.netns, thing.name), (thing.peer_netns, thing.peer_name))
        elif isinstance(thing, Link):
            self._delete_ends((thing.netns, thing.name))
            for other in list(self.state.values()):
                if isinstance(other, (Link, Veth)) and thing.netns == other.netns and other.master == thing.name:
                    self.state[other.key] = other._replace(master="")
                    self._lose_bridge(other)
                if isinstance(other, Veth) and thing.netns == other.peer_netns and other.peer_master == thing.name:
                    self.state[other.key] = self.state[other.key]._replace(peer_master="")
        elif isinstance(thing, Address):
            self._last_address(thing)

    def _delete_netns(self, thing: Netns) -> None:
        """Take a name away; with its last name the namespace goes, unless it is held by others."""
        space = thing.partner or thing.name
        if thing.inode:
            self._lose_sight(thing.name)
        elif not any(isinstance(o, Netns) and space in (o.partner, o.name) for o in self.state.values()):
            self._empty(space)

    def _lose_sight(self, name: str) -> None:
        for key, other in list(self.state.items()):
            if isinstance(other, Veth) and name in (other.netns, other.peer_netns):
                raise Refused(f"pair {other.name} stays in the attached namespace {name}, and its name with it")
            if isinstance(other, (Resolver, NftTable)) and other.netns == name:
                self.leaked.append(self.state.pop(key))
            elif isinstance(other, Sysctl) and other.netns == name:
                del self.state[key]

    def _empty(self, name: str) -> None:
        for key, other in list(self.state.items()):
            if isinstance(other, Resolver) and other.netns == name:
                raise Refused(f"a process keeps namespace {name} alive")
            if isinstance(other, Veth) and name in (other.netns, other.peer_netns):
                self.delete(key)
        for key, other in list(self.state.items()):
            if getattr(other, "netns", None) == name:
                del self.state[key]

    def _delete_ends(self, *ends: tuple[str, str]) -> None:
        for key, other in list(self.state.items()):
            if isinstance(other, _ON_LINKS) and (other.netns, other.link) in ends:
                del self.state[key]

    def _lose_bridge(self, port: t.Any) -> None:
        """A port's forwarding entries are its bridge's; a vxlan device has its own as well."""
        for key, other in list(self.state.items()):
            if isinstance(other, ForwardingEntry) and other.link == port.name:
                del self.state[key]
                if other.vtep:
                    self.state[key] = other._replace(bridged=False)

    def _last_address(self, gone: Address) -> None:
        """IPv4 is off on a link without addresses: the routes go."""
        if not self._addresses(gone.netns, gone.link, ipaddress.ip_interface(gone.cidr).version):
            for key, other in list(self.state.items()):
                if (
                    isinstance(other, Route)
                    and (other.netns, other.link) == (gone.netns, gone.link)
                    and (":" in other.destination) == (":" in gone.cidr)
                ):
                    del self.state[key]

    def lose_name(self, name: str) -> None:
        """Delete a namespace's name while a process keeps it alive: pairs are seen from their other end, and the
        process is seen.
        """
        del self.state["netns", name]
        for key, other in list(self.state.items()):
            if isinstance(other, Veth) and name in (other.netns, other.peer_netns):
                self._lose_end(self.state.pop(key), name)
            elif isinstance(other, Resolver) and other.netns == name:
                self.state[key] = other._replace(digest="")
            elif isinstance(other, (Address, Route, Sysctl, NftTable)) and other.netns == name:
                del self.state[key]

    def _lose_end(self, pair: Veth, name: str) -> None:
        if pair.netns == name:
            pair = Veth(
                pair.peer_netns, pair.peer_name, pair.netns, pair.name, master=pair.peer_master, label=pair.label
            )
        half = pair._replace(peer_netns="", peer_name="", peer_master="")
        self.state[half.key] = half

    def seen(self, wanted: State) -> State:
        """Return what a run would observe: of sysctls, only those that are wanted."""
        return {key: thing for key, thing in self.state.items() if key[0] != "sysctl" or key in wanted}

    def _create(self, step: Step) -> None:
        thing = step.after
        if step.key in self.state and not isinstance(thing, (Route, Sysctl)):
            raise Refused(f"exists: {step.key}")
        self._check(thing)
        self.state[step.key] = thing

    def _update(self, step: Step) -> None:
        there = self.state.get(step.key)
        if there is None:
            raise Refused(f"nothing to change: {step.key}")
        fields = plan.differences(step.after, there)
        if not kind_of(step.key).mutable.issuperset(fields):
            raise Refused(f"cannot be changed in place: {step.key} {fields}")
        if isinstance(step.after, (Veth, Route)):
            self._check(step.after, known=step.key)
        self.state[step.key] = step.after
        if getattr(there, "master", "") != getattr(step.after, "master", ""):
            self._lose_bridge(there)

    def _check(self, obj: t.Any, known: Key | None = None) -> None:
        """Raise Refused when the kernel would not create an object. known is the object itself when it exists."""
        if isinstance(obj, Veth):
            self._check_veth(obj, known)
        elif isinstance(obj, Link):
            self._check_link(obj, known)
        elif isinstance(obj, (ForwardingEntry, Neighbour, Address, Route)):
            self._check_on_link(obj)
        elif isinstance(obj, Netns):
            if obj.partner and ("netns", obj.partner) not in self.state:
                raise Refused(f"no partner {obj.partner}")
        elif isinstance(obj, (Sysctl, NftTable, Resolver)):
            self._need_netns(obj.netns, obj)
        if isinstance(obj, Resolver) and ("file", obj.config) not in self.state:
            raise Refused(f"no configuration {obj.config}")

    def _check_veth(self, pair: Veth, known: Key | None) -> None:
        ends = ((pair.netns, pair.name, pair.master), (pair.peer_netns, pair.peer_name, pair.peer_master))
        for netns, _name, _master in ends:
            self._need_netns(netns, pair)
        for netns, name, master in ends:
            if (netns, name) in self._names(known):
                raise Refused(f"name taken: {name} in {netns or 'the host'}")
            self._need_bridge(netns, master)

    def _check_link(self, link: Link, known: Key | None) -> None:
        if (link.netns, link.name) in self._names(known):
            raise Refused(f"name taken: {link.name}")
        self._need_bridge(link.netns, link.master)
        for other in self.state.values():
            if isinstance(other, Link) and other.kind == link.kind == "vxlan" and other.data == link.data:
                raise Refused(f"number taken: {link.data}")

    def _check_on_link(self, obj: ForwardingEntry | Neighbour | Address | Route) -> None:
        if (obj.netns, obj.link) not in self._names():
            raise Refused(f"no link {obj.link} in {obj.netns or 'the host'}")
        if isinstance(obj, Route) and obj.via:
            self._need_way(obj)

    def _need_bridge(self, netns: str, name: str) -> None:
        if name and ("link", netns, name) not in self.state:
            raise Refused(f"no bridge {name}")

    def _need_netns(self, name: str, thing: t.Any) -> None:
        if name and ("netns", name) not in self.state:
            raise Refused(f"no namespace {name} for {thing}")

    def _need_way(self, route: Route) -> None:
        gateway = ipaddress.ip_address(route.via)
        if not any(gateway in one.network for one in self._addresses(route.netns, route.link, gateway.version)):
            raise Refused(f"gateway {route.via} is unreachable on {route.link} of {route.netns}")

    def _addresses(self, netns: str, link: str, version: int) -> list[t.Any]:
        found = [
            ipaddress.ip_interface(o.cidr)
            for o in self.state.values()
            if isinstance(o, Address) and (o.netns, o.link) == (netns, link)
        ]
        return [one for one in found if one.version == version]

    def _names(self, without: Key | None = None) -> set[tuple[str, str]]:
        found = set()
        for key, thing in self.state.items():
            if isinstance(thing, Link) and key != without:
                found.add((thing.netns, thing.name))
            elif isinstance(thing, Veth) and key != without:
                found |= {(thing.netns, thing.name), (thing.peer_netns, thing.peer_name)}
        return found


def executed(work: Plan) -> list[Step]:
    """Return the steps in the order in which they are done: second names of a namespace are given after the first
    ones.
    """
    building = sorted(
        work.building,
        key=lambda s: creation_place(s.key) + 0.5 * bool(s.key[0] == "netns" and s.after.partner),
    )
    return [*work.clearing, *building, *work.removal]
