# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Links of macvlan and ipvlan networks: one for each sandbox, VLANs below them, and the host's own link beside them."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import addresses, macvlan, topology
from ..model.facts import Facts
from ..model.host import Endpoint, Host, Network
from ..model.macvlan import Networks
from ..state.objects import HOST, Address, Conf, Link, Object, Route

_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}  # linux/if_link.h


# ---- what the kernel gets ---------------------------------------------------


def _mtu(network: Network, facts: Facts) -> int:
    """The kernel lowers a link's size with that of its parent; networks of other projects then go on as well as they can."""
    found = macvlan.found_parent(network, facts)
    return min(network.mtu, found.mtu if found else 1 << 16)


def sandbox_link(endpoint: Endpoint, netns: str, network: Network, conf: Conf, facts: Facts) -> Link:
    """Return a sandbox's end, which is all that an endpoint has. Its alias says which network it is of."""
    return Link(
        netns,
        endpoint.interface_name,
        network.driver,
        endpoint.mac_address,
        _mtu(network, facts),
        names.label(network.project, network.name),
        conf=conf,
        data=_data(network),
        parent=macvlan.parent_link(network),
    )


def inner_routes(endpoint: Endpoint, netns: str, network: Network) -> t.Iterator[Route]:
    """Yield a sandbox's ways to the network's other subnets: beyond an l3 link is a router, that of the host."""
    if macvlan.macvlan_of(network).mode in ("l3", "l3s"):
        for subnet in network.subnets:
            own = topology.address_of(endpoint, subnet.version)
            if own and addresses.address_in(own) not in subnet.network:
                yield Route(netns, str(subnet.network), endpoint.interface_name)


def bridge_objects(network: Network, facts: Facts) -> t.Iterator[Object]:
    """Yield the bridge of a network without a parent. One that is given a MAC has no carrier without ports, nor has what sits on it."""
    if network.bridge_name:
        yield Link(
            HOST,
            network.bridge_name,
            "bridge",
            "",
            network.mtu,
            names.label(network.project, network.name),
            conf=_quiet(network, facts),
        )


def host_objects(host: Host, networks: Networks, facts: Facts) -> t.Iterator[Object]:
    """Yield what no project alone has: VLANs, and the host's own links with a route to each sandbox.

    A VLAN that somebody else made is used as it is.
    """
    vlans: dict[str, Network] = {}
    for network in networks.values():
        if network.macvlan is not None:
            there, vlan = (
                facts.parent(macvlan.macvlan_of(network).parent),
                macvlan.vlan_of(macvlan.macvlan_of(network).parent),
            )
            if vlan and (there is None or there.managed):
                other = vlans.setdefault(macvlan.macvlan_of(network).parent, network)
                vlans[macvlan.macvlan_of(network).parent] = (
                    network if macvlan.macvlan_of(network).mode == "l3s" else other
                )
    for name, network in vlans.items():
        base, number = t.cast(tuple[str, int], macvlan.vlan_of(name))
        below = facts.parent(base)
        yield Link(
            HOST,
            name,
            "vlan",
            "",
            below.mtu if below else facts.mtu,
            names.label("", name),
            up=below is None or below.up,
            conf=_quiet(network, facts),
            data=(("id", number),),
            parent=base,
        )
    members = topology.endpoints_by_network(host)
    for network in networks.values():
        if network.macvlan is not None and network.macvlan.host_access:
            yield from _shim(network, members.get(network.key, ()), facts)


def _shim(network: Network, members: t.Sequence[Endpoint], facts: Facts) -> t.Iterator[Object]:
    """The kernel lets no packet pass between a parent and the links on it; between two links on it, it does."""
    name = names.shim_link(network.project, network.name)
    conf = [("ipv4/arp_notify", 1)]
    if facts.ipv6:
        conf += [("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0), ("ipv6/disable_ipv6", int(not network.enable_ipv6))]
    yield Link(
        HOST,
        name,
        network.driver,
        "" if macvlan.shares_mac(network) else names.shim_mac(network.project, network.name),
        _mtu(network, facts),
        names.label(network.project, network.name),
        conf=tuple(conf),
        data=_data(network),
        parent=macvlan.parent_link(network),
    )
    for address in macvlan.macvlan_of(network).addresses:
        yield Address(HOST, name, f"{address}/{address.max_prefixlen}")
    for endpoint in members:
        local = set(map(str, endpoint.link_local_ips))
        for cidr in endpoint.addresses:
            text = cidr.partition("/")[0]
            if text not in local:
                yield Route(HOST, f"{text}/{128 if ':' in text else 32}", name)


def _data(network: Network) -> tuple[tuple[str, t.Any], ...]:
    mode = macvlan.macvlan_of(network).mode
    return (("mode", _IPVLAN_MODES.get(mode, mode)),)


def _quiet(network: Network, facts: Facts) -> Conf:
    """The host has nothing to say on a link that is there for sandboxes; the mode l3s receives by the link below."""
    return (("ipv6/disable_ipv6", 1),) if facts.ipv6 and macvlan.macvlan_of(network).mode != "l3s" else ()
