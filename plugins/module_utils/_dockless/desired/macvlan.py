# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The drivers macvlan and ipvlan: a link on the parent for each endpoint, VLANs as parents, and the host's own link."""

from __future__ import annotations

import typing as t

from .. import names
from ..model import addresses, macvlan, topology
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import Network, Networks
from ..model.sandbox import Endpoint
from ..state.keys import Conf
from ..state.objects import HOST, Address, Data, Link, Object, Route
from .attachment import NO_IPV6_DELAY, Attachment

_IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}  # linux/if_link.h


def network_objects(network: Network, is_reached_from_loopback: bool, facts: Facts) -> t.Iterator[Object]:
    """Yield the bridge that stands in for the parent of a network without one.

    It has no MAC address of its own: a bridge that is given one has no carrier without ports, nor have the links on it.
    """
    if network.bridge_name:
        yield Link(
            HOST,
            network.bridge_name,
            "bridge",
            "",
            network.mtu,
            names.label(network.project, network.name),
            conf=_host_silent(network, facts),
        )


def endpoint_objects(attachment: Attachment, facts: Facts) -> t.Iterator[Object]:
    """Yield a sandbox's link, whose alias names its network, and the routes to the network's other subnets."""
    network, endpoint = attachment.network, attachment.endpoint
    yield Link(
        attachment.netns,
        endpoint.interface_name,
        network.driver,
        endpoint.mac_address,
        _mtu(network, facts),
        names.label(network.project, network.name),
        conf=attachment.conf,
        data=_settings(network),
        parent=network.parent_link,
    )
    if network.macvlan_options.mode in ("l3", "l3s"):
        yield from _routes_to_other_subnets(attachment)


def host_objects(host: Host, networks: Networks, facts: Facts) -> t.Iterator[Object]:
    """Yield the VLANs that dockless makes, and the host's own link on each network with host_access."""
    on_parents = [network for network in networks.values() if not network.passes_host]
    for name, network in _vlans(on_parents, facts).items():
        yield from _vlan(name, network, facts)
    members = topology.endpoints_by_network(host)
    for network in on_parents:
        if network.macvlan_options.host_access:
            yield from _host_link(network, members.get(network.key, ()), facts)


def _routes_to_other_subnets(attachment: Attachment) -> t.Iterator[Route]:
    """Yield routes for an l3 link, on which the host routes between subnets."""
    for subnet in attachment.network.subnets:
        own = attachment.endpoint.address(subnet.version)
        if own and addresses.address_in(own) not in subnet.network:
            yield Route(attachment.netns, str(subnet.network), attachment.endpoint.interface_name)


def _mtu(network: Network, facts: Facts) -> int:
    """Return the MTU of a network's links, in bytes: at most that of the parent, to which the kernel lowers it."""
    parent = macvlan.existing_parent(network.macvlan_options, facts)
    return network.mtu if parent is None else min(network.mtu, parent.mtu)


def _settings(network: Network) -> Data:
    mode = network.macvlan_options.mode
    return (("mode", _IPVLAN_MODES.get(mode, mode)),)


def _host_silent(network: Network, facts: Facts) -> Conf:
    """Return the settings of a parent that only sandboxes use: no IPv6, except for l3s, which receives by it."""
    return (("ipv6/disable_ipv6", 1),) if facts.ipv6 and network.macvlan_options.mode != "l3s" else ()


def _vlans(networks: t.Iterable[Network], facts: Facts) -> dict[str, Network]:
    """Return the VLANs that dockless creates, each with the network that decides its settings.

    A VLAN that others created is used as it is.
    """
    found: dict[str, Network] = {}
    for network in networks:
        name = network.macvlan_options.parent
        existing = facts.parent(name)
        is_made_by_others = existing is not None and not existing.managed
        if macvlan.parse_vlan_name(name) is None or is_made_by_others:
            continue
        if name not in found or network.macvlan_options.mode == "l3s":
            found[name] = network
    return found


def _vlan(name: str, network: Network, facts: Facts) -> t.Iterator[Link]:
    vlan = macvlan.parse_vlan_name(name)
    if vlan is None:
        return
    parent, vlan_id = vlan
    below = facts.parent(parent)
    yield Link(
        HOST,
        name,
        "vlan",
        "",
        below.mtu if below else facts.mtu,
        names.label("", name),
        up=below is None or below.up,
        conf=_host_silent(network, facts),
        data=(("id", vlan_id),),
        parent=parent,
    )


def _host_link(network: Network, members: t.Sequence[Endpoint], facts: Facts) -> t.Iterator[Object]:
    """Yield the host's own link on the parent, its addresses, and a route to each sandbox.

    The kernel lets no packet pass between a parent and the links on it; between two links it does.
    """
    name = names.shim_link(network.project, network.name)
    conf: Conf = (("ipv4/arp_notify", 1),)
    if facts.ipv6:
        conf = (*conf, *NO_IPV6_DELAY, ("ipv6/disable_ipv6", int(not network.enable_ipv6)))
    yield Link(
        HOST,
        name,
        network.driver,
        "" if network.shares_parent_mac else names.shim_mac(network.project, network.name),
        _mtu(network, facts),
        names.label(network.project, network.name),
        conf=conf,
        data=_settings(network),
        parent=network.parent_link,
    )
    for address in network.macvlan_options.addresses:
        yield Address(HOST, name, f"{address}/{address.max_prefixlen}")
    for endpoint in members:
        for text in endpoint.named_addresses:
            yield Route(HOST, f"{text}/{128 if ':' in text else 32}", name)
