# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Networks that span hosts: what must be the same everywhere must be said, and what this host gives must not be another's."""

from __future__ import annotations

import typing as t

from ..allocate import overlay
from ..errors import refuse
from ..model import addresses
from ..model.facts import Facts
from ..model.host import Endpoint, Host, IPAddress, Network, OverlayPeer, Project
from .networks import gateway_of

_FLEET = "The role overlay fills it in for all hosts at once."


def check_overlays(host: Host, facts: Facts) -> None:
    """Raise DocklessError for an overlay that lacks what all its hosts must agree on, or whose parts collide."""
    spanning = [network for project in host.projects for network in project.networks if network.overlay is not None]
    numbers: dict[int, Network] = {}
    ports: dict[int, Network] = {}
    for network in spanning:
        _check_said(network, facts)
        for key, taken, value in (("vni", numbers, network.overlay.vni), ("port", ports, network.overlay.port)):
            other = taken.setdefault(value, network)
            if other is not network and (key == "vni" or other.overlay.encrypted != network.overlay.encrypted):
                refuse(
                    f"{network.path}.{key}",
                    f"the {key} {value} is taken by network {other.project}/{other.name}"
                    + ("" if key == "vni" else ", and only one of the two is encrypted"),
                    "Choose another one.",
                )
        _check_peers(network, facts)
    for project in host.projects:
        _check_control_planes(
            [network for network in project.networks if network.overlay is not None and network.overlay.mode == "l2"]
        )
    if spanning:
        _check_endpoints(host, {network.key: network for network in spanning})


def _check_said(network: Network, facts: Facts) -> None:
    path, found = network.path, network.overlay
    if not found.vni:
        refuse(
            path + ".vni",
            f"the overlay network {network.name} has no vni, which must be the same on all of its hosts",
            f"Give one from 256 to 16777215. {_FLEET}",
        )
    if not network.subnets or any(subnet.network is None for subnet in network.subnets):
        refuse(
            path + ".ipam.config",
            f"the overlay network {network.name} has no subnet, which must be the same on all of its hosts",
            f"Give ipam.config a subnet. {_FLEET}",
        )
    for index, subnet in enumerate(network.subnets):
        if found.mode == "routed" and subnet.ip_range is None:
            refuse(
                f"{path}.ipam.config[{index}].ip_range",
                f"the routed network {network.name} has no ip_range, which is this host's slice of the subnet",
                f"Give each host another one. {_FLEET}",
            )
    if not found.encrypted:  # that of an encrypted one is made by the run
        _check_vtep(network, facts)
    own = overlay.own_vtep(found, facts)
    end = str(own.address) if own is not None else found.vtep
    if found.control_plane == "evpn" and ":" in end:
        refuse(
            path + ".vtep",
            f"the end {end} is of IPv6, and FRR announces ends of IPv4 only, so no other host would learn of network {network.name}",
            "Give an IPv4 address of this host, or set control_plane: static.",
        )


def _check_control_planes(networks: t.Sequence[Network]) -> None:
    """Refuse static beside evpn in one project. Another project's may differ, or a host with two could never go from one to the other."""
    for network in networks:
        other = networks[0]
        if network.overlay.control_plane != other.overlay.control_plane:
            refuse(
                network.path + ".control_plane",
                f"the overlay network {network.name} is {network.overlay.control_plane} and {other.name} is "
                f"{other.overlay.control_plane}, but FRR announces all l2 overlays of a host or none",
                "Give all of them the same, or set mode: routed.",
            )


def _check_vtep(network: Network, facts: Facts) -> None:
    asked = network.overlay.vtep
    if overlay.own_vtep(network.overlay, facts) is None:
        what = (
            f"this host has no address {asked}"
            if addresses.is_address(asked)
            else f"this host has no address on {asked}"
            if asked
            else "this host has no address on the link of its default route"
        )
        refuse(
            network.path + ".vtep",
            f"{what}, so the overlay network {network.name} has no way to its other hosts",
            "Give an address of this host, or one of its interfaces.",
        )


def _check_peers(network: Network, facts: Facts) -> None:
    own = overlay.own_vtep(network.overlay, facts)
    ends: dict[IPAddress, OverlayPeer] = {}
    slices = [subnet.ip_range for subnet in network.subnets if subnet.ip_range is not None]
    for peer in network.peers:
        path = f"{network.path}.peers.{peer.name}"
        if own is not None and peer.vtep == own.address:
            refuse(path + ".vtep", f"{peer.vtep} is this host's own end of the tunnels", "Give the other host's.")
        if own is not None and peer.vtep.version != own.address.version:
            refuse(
                path + ".vtep",
                f"{peer.vtep} is of another family than {own.address}, this host's end",
                "Use one family for all hosts of a network.",
            )
        other = ends.setdefault(peer.vtep, peer)
        if other is not peer:
            refuse(path + ".vtep", f"{peer.vtep} is the end of host {other.name} already", "Give each host its own.")
        if network.overlay.mode == "routed":
            _check_slices(network, peer, slices, path)
            slices += peer.subnets
    _check_tuples(network)


def _check_slices(network: Network, peer: OverlayPeer, taken: t.Sequence[t.Any], path: str) -> None:
    if not peer.subnets:
        refuse(
            path + ".subnets",
            f"the host has no slice of the routed network {network.name}",
            f"Give its ip_range. {_FLEET}",
        )
    for index, part in enumerate(peer.subnets):
        if not any(
            addresses.is_within(part, subnet.network) for subnet in network.subnets if subnet.network is not None
        ):
            refuse(
                f"{path}.subnets[{index}]",
                f"{part} is not within the subnet of network {network.name}",
                "Give a part of it.",
            )
        for other in taken:
            if other.version == part.version and other.overlaps(part):
                refuse(
                    f"{path}.subnets[{index}]",
                    f"{part} overlaps {other}, which is another host's slice",
                    "Give each host another one.",
                )


def _check_tuples(network: Network) -> None:
    """Two sandboxes with one address would answer for each other."""
    taken: dict[t.Any, str] = {}
    gateways = {gateway_of(network, subnet) for subnet in network.subnets}
    for peer in network.peers:
        for sandbox in peer.sandboxes:
            path, called = (
                f"{network.path}.peers.{peer.name}.sandboxes.{sandbox.name}",
                f"{sandbox.name} on {peer.name}",
            )
            for index, address in enumerate(sandbox.addresses):
                where = f"{path}.addresses[{index}]"
                if not any(subnet.network is not None and address in subnet.network for subnet in network.subnets):
                    refuse(where, f"{address} is not of the subnet of network {network.name}", "Give an address of it.")
                if address in gateways:
                    refuse(where, f"{address} is the gateway of network {network.name}", "Choose another address.")
                other = taken.setdefault(address, called)
                if other != called:
                    refuse(where, f"{address} is taken by sandbox {other}", "Choose another address.")


def _check_endpoints(host: Host, networks: t.Mapping[t.Any, Network]) -> None:
    remote = {
        key: {
            address: (sandbox.name, peer.name)
            for peer in network.peers
            for sandbox in peer.sandboxes
            for address in sandbox.addresses
        }
        for key, network in networks.items()
    }
    named = {
        key: {
            (sandbox.project or network.project, sandbox.name): peer.name
            for peer in network.peers
            for sandbox in peer.sandboxes
        }
        for key, network in networks.items()
    }
    for project in host.projects:
        for sandbox in project.sandboxes:
            for endpoint in sandbox.endpoints:
                network = networks.get(endpoint.network)
                if network is not None:
                    _check_endpoint(
                        endpoint,
                        network,
                        remote[endpoint.network],
                        named[endpoint.network].get((project.name, sandbox.name)),
                    )


def _check_endpoint(
    endpoint: Endpoint, network: Network, remote: t.Mapping[IPAddress, tuple[str, str]], elsewhere: str | None
) -> None:
    if elsewhere:
        refuse(
            endpoint.path,
            f"the sandbox {endpoint.sandbox} of network {network.name} is on host {elsewhere} as well",
            "Declare it on one host.",
        )
    for version, fixed in ((4, endpoint.ipv4_address), (6, endpoint.ipv6_address)):
        key = f"{endpoint.path}.ipv{version}_address"
        if fixed is not None and fixed in remote:
            refuse(
                key, f"{fixed} is taken by sandbox {remote[fixed][0]} on {remote[fixed][1]}", "Choose another address."
            )
        subnets = [subnet for subnet in network.subnets if subnet.version == version]
        if fixed is None and subnets and all(subnet.ip_range is None for subnet in subnets):
            refuse(
                key,
                f"the sandbox {endpoint.sandbox} has no address on the overlay network {network.name}, and a host alone cannot know which are free",
                f"Give it an address, or the subnet an ip_range of this host's own. {_FLEET}",
            )


def warnings(projects: t.Iterable[Project]) -> t.Iterator[str]:
    """Yield that projects have different control planes. One is after another on the way from static to EVPN; for good, FRR announces both."""
    planes: dict[str, str] = {}
    for project in projects:
        for network in project.networks:
            if network.overlay is not None and network.overlay.mode == "l2":
                planes.setdefault(network.overlay.control_plane, f"{project.name}/{network.name}")
    if len(planes) > 1:
        yield (
            f"the overlay network {planes['static']} is static and {planes['evpn']} is evpn, but FRR announces all l2 overlays of a host or none: "
            "give both the same control_plane"
        )
