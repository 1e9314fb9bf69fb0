# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What networks on the host's own interfaces are made of: a link for each sandbox, VLANs below, and the host's own link beside them.

Each link is made on its parent and lives in its sandbox. A network without a parent has a bridge of its own as parent, which
has no address and leads nowhere.
"""
from __future__ import annotations

import typing as t

from .. import names
from ..allocate import ipam
from ..errors import DocklessError
from ..state.objects import HOST, Address, Conf, Link, Object, Route
from . import gateways
from .facts import Facts, Parent
from .host import Endpoint, Host, Network, Subnet
from .spans import IPAddress, Macvlan

Networks = t.Mapping[t.Tuple[str, str], Network]
Number = t.Tuple[int, int]  # version, address
_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}  # linux/if_link.h
# Drivers of the cards that hypervisors and clouds give their guests.
_VIRTUAL = frozenset(("ena", "gve", "hv_netvsc", "mana", "virtio_net", "vmxnet3", "xen-netfront", "xen_netfront", "vif"))
HOST_NAME = "host"  # the auxiliary address of this name is the host's


def of(network: Network) -> Macvlan:
    """Return what a network of this kind sits on."""
    return t.cast(Macvlan, network.macvlan)


def on_parents(host: Host) -> t.List[Network]:
    """Return the networks of the drivers macvlan and ipvlan."""
    return [network for project in host.projects for network in project.networks if network.macvlan is not None]


def lower(network: Network) -> str:
    """Return the interface that the network's links are made on."""
    return of(network).parent or network.bridge_name


def vlan_of(parent: str) -> t.Optional[t.Tuple[str, int]]:
    """Return the interface and the number that a VLAN's name tells: eth0.60 is VLAN 60 on eth0."""
    base, dot, number = parent.rpartition(".")
    return (base, int(number)) if base and number.isdigit() and 1 <= int(number) <= 4094 else None


def shares_mac(network: Network) -> bool:
    """Return whether the network's links have their parent's MAC, and none of their own."""
    return network.driver == "ipvlan" or network.macvlan is not None and network.macvlan.mode == "passthru"


def found_parent(network: Network, facts: Facts) -> t.Optional[Parent]:
    """Return the host's interface that the network needs: its parent or, of a VLAN that we make, the one below."""
    name = of(network).parent
    there = facts.parent(name)
    vlan = vlan_of(name)
    return facts.parent(vlan[0]) if vlan and (there is None or there.ours) else there


def resolved(network: Network, facts: Facts) -> Network:
    """Return the network with its MTU where none is asked for; only one without a parent has a bridge."""
    found = found_parent(network, facts)
    return network._replace(mtu=network.mtu or (found.mtu if found else facts.mtu), bridge_name="" if of(network).parent else network.bridge_name)


def obstacle(network: Network, facts: Facts) -> t.Optional[DocklessError]:
    """Return why this host cannot have the network, None if it can."""
    found, name, path = found_parent(network, facts), of(network).parent, network.path + ".parent"
    vlan = vlan_of(name) if facts.parent(name) is None else None
    if network.driver in facts.missing_kinds:
        return DocklessError(f"this kernel has no {network.driver} links, which network {network.name} is made of",
                             f"Boot one with the module {network.driver}, or use another driver.", network.path + ".driver")
    if not name:
        return None
    if found is None:
        missing = vlan[0] if vlan else name
        return DocklessError(f"this host has no interface {missing}, which network {network.name} sits on",
                             "Give the parent one of this host's interfaces, or leave it out for a network that leads nowhere.", path)
    if vlan and "vlan" in facts.missing_kinds:
        return DocklessError(f"there is no interface {name}, and this kernel cannot make VLANs (IEEE 802.1Q)",
                             "Boot one with the module 8021q, or give a parent that is there.", path)
    if found.ours:
        return DocklessError(f"the interface {found.name} is part of another network of ours", "Give the parent an interface of the host.", path)
    if found.master:
        return DocklessError(f"the interface {found.name} is a port of {found.master}, which gets all that arrives on it",
                             f"Use parent: {found.master}, or take {found.name} out of it.", path)
    return None


def too_large(network: Network, facts: Facts) -> t.Optional[DocklessError]:
    """Return why the network's links cannot be as large as it asks for, None if they can."""
    found = found_parent(network, facts)
    if found is not None and network.mtu is not None and network.mtu > found.mtu:
        return DocklessError(f"network {network.name} asks for packets of {network.mtu} bytes, and {found.name} carries {found.mtu}",
                             f"Give at most {found.mtu}, or leave mtu out.", network.path + ".mtu")
    return None


def warnings(network: Network, facts: Facts) -> t.Iterator[str]:
    """Yield what people should know of the interface that the network sits on."""
    found = found_parent(network, facts)
    if found is None or shares_mac(network):
        return
    if found.nic == "wireless":
        yield (f"network {network.name} sits on {found.name}, which is wireless: access points take frames of its own MAC only, "
               "so that sandboxes there reach nobody; use driver ipvlan, or a bridge network")
    elif found.nic in _VIRTUAL:
        yield (f"network {network.name} sits on {found.name}, the network card of a virtual machine ({found.nic}): frames to and from other MACs "
               "pass only where the hypervisor's switch allows promiscuous mode and changed MACs; if it does not, use driver ipvlan")


def host_addresses(network: Network, kept: t.Sequence[str], taken: t.AbstractSet[Number]) -> t.Tuple[IPAddress, ...]:
    """Return the host's addresses on the network, one a family: asked for, called host, had before, else the lowest free."""
    return tuple(_host_address(network, version, subnets, [ipam.address_in(text) for text in kept], taken) for version in (4, 6)
                 for subnets in [[s for s in network.subnets if s.version == version and s.network is not None]] if subnets)


def _host_address(network: Network, version: int, subnets: t.Sequence[Subnet], kept: t.Sequence[IPAddress],
                  taken: t.AbstractSet[Number]) -> IPAddress:
    asked = [a for a in of(network).addresses if a.version == version]
    asked += [a for s in subnets for name, a in s.aux_addresses if name == HOST_NAME]
    asked += [a for a in kept if a.version == version and (version, int(a)) not in taken and any(a in t.cast(t.Any, s.network) for s in subnets)]
    if asked:
        return asked[0]
    for subnet in subnets:
        span = ipam.dynamic(t.cast(t.Any, subnet.network), subnet.ip_range)
        for number in range(span.low, min(span.high, span.low + len(taken)) + 1):
            if (version, number) not in taken:
                return type(t.cast(t.Any, subnet.network).network_address)(number)
    raise ipam.exhausted(network, subnets, "the host", network.path + ".host_access")


def reserved(network: Network) -> t.Set[Number]:
    """Return what the network's sandboxes do not get."""
    found = [address for subnet in network.subnets for name, address in subnet.aux_addresses]
    found += [subnet.gateway for subnet in network.subnets if subnet.gateway is not None]
    return {(a.version, int(a)) for a in (*found, *of(network).addresses)}


# ---- what the kernel gets ---------------------------------------------------

def _mtu(network: Network, facts: Facts) -> int:
    """The kernel lowers a link's size with that of its parent; networks of other projects then go on as well as they can."""
    found = found_parent(network, facts)
    return min(network.mtu or facts.mtu, found.mtu if found else 1 << 16)


def link(endpoint: Endpoint, netns: str, network: Network, conf: Conf, facts: Facts) -> Link:
    """Return a sandbox's end, which is all that an endpoint has. Its alias says which network it is of."""
    return Link(netns, endpoint.interface_name, network.driver, endpoint.mac_address, _mtu(network, facts),
                       names.label(network.project, network.name), conf=conf,
                       data=_data(network), parent=lower(network))


def inner_routes(endpoint: Endpoint, netns: str, network: Network) -> t.Iterator[Route]:
    """Yield a sandbox's ways to the network's other subnets: beyond an l3 link is a router, that of the host."""
    if of(network).mode in ("l3", "l3s"):
        for subnet in network.subnets:
            own = gateways.address_of(endpoint, subnet.version)
            if own and ipam.address_in(own) not in t.cast(t.Any, subnet.network):
                yield Route(netns, str(subnet.network), endpoint.interface_name)


def bridge(network: Network, facts: Facts) -> t.Iterator[Object]:
    """Yield the bridge of a network without a parent. One that is given a MAC has no carrier without ports, nor has what sits on it."""
    if network.bridge_name:
        yield Link(HOST, network.bridge_name, "bridge", "", network.mtu or facts.mtu,
                          names.label(network.project, network.name), conf=_quiet(network, facts))


def shared(host: Host, networks: Networks, facts: Facts) -> t.Iterator[Object]:
    """Yield what no project alone has: VLANs, and the host's own links with a route to each sandbox.

    A VLAN that somebody else made is used as it is.
    """
    vlans: t.Dict[str, Network] = {}
    for network in networks.values():
        if network.macvlan is not None:
            there, vlan = facts.parent(of(network).parent), vlan_of(of(network).parent)
            if vlan and (there is None or there.ours):
                other = vlans.setdefault(of(network).parent, network)
                vlans[of(network).parent] = network if of(network).mode == "l3s" else other
    for name, network in vlans.items():
        base, number = t.cast(t.Tuple[str, int], vlan_of(name))
        below = facts.parent(base)
        yield Link(HOST, name, "vlan", "", below.mtu if below else facts.mtu, names.label("", name),
                          up=below is None or below.up, conf=_quiet(network, facts), data=(("id", number),), parent=base)
    members = gateways.endpoints_by_network(host)
    for network in networks.values():
        if network.macvlan is not None and network.macvlan.host_access:
            yield from _shim(network, members.get(network.key, ()), facts)


def _shim(network: Network, members: t.Sequence[Endpoint], facts: Facts) -> t.Iterator[Object]:
    """The kernel lets no packet pass between a parent and the links on it; between two links on it, it does."""
    name = names.shim_link(network.project, network.name)
    conf = [("ipv4/arp_notify", 1)]
    if facts.ipv6:
        conf += [("ipv6/accept_dad", 0), ("ipv6/accept_ra", 0), ("ipv6/disable_ipv6", int(not network.enable_ipv6))]
    yield Link(HOST, name, network.driver, "" if shares_mac(network) else names.shim_mac(network.project, network.name),
                      _mtu(network, facts), names.label(network.project, network.name), conf=tuple(conf), data=_data(network),
                      parent=lower(network))
    for address in of(network).addresses:
        yield Address(HOST, name, f"{address}/{address.max_prefixlen}")
    for endpoint in members:
        local = set(map(str, endpoint.link_local_ips))
        for cidr in endpoint.addresses:
            text = cidr.partition("/")[0]
            if text not in local:
                yield Route(HOST, f"{text}/{128 if ':' in text else 32}", name)


def _data(network: Network) -> t.Tuple[t.Tuple[str, t.Any], ...]:
    mode = of(network).mode
    return (("mode", _IPVLAN_MODES.get(mode, mode)),)


def _quiet(network: Network, facts: Facts) -> Conf:
    """The host has nothing to say on a link that is there for sandboxes; the mode l3s receives by the link below."""
    return (("ipv6/disable_ipv6", 1),) if facts.ipv6 and of(network).mode != "l3s" else ()
