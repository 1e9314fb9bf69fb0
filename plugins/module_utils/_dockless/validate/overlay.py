# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Rules for overlay networks: options that all hosts must agree on, addresses and slices that hosts cannot share."""

from __future__ import annotations

import typing as t

from ..allocate import ipam
from ..allocate.overlay import own_vtep
from ..errors import refuse
from ..model import addresses
from ..model.addresses import IPAddress, IPNetwork
from ..model.facts import Facts, UnderlayAddress
from ..model.host import Host, Project
from ..model.network import Network
from ..model.overlay import Overlay, OverlayPeer
from ..model.sandbox import Endpoint
from .endpoints import NetworkKey

_FLEET = "The role overlay sets it on all hosts."
Spanning = tuple[Network, Overlay]  # an overlay network and its overlay options


def check_overlays(host: Host, facts: Facts) -> None:
    """Raise DocklessError for an overlay that lacks an option that its hosts must agree on, or that has a conflict."""
    spanning = [(network, network.overlay_options) for network in host.networks() if network.spans_hosts]
    by_vni: dict[int, Spanning] = {}
    by_port: dict[int, Spanning] = {}
    for network, overlay in spanning:
        _check_required_options(network, overlay)
        _check_vtep(network, overlay, own_vtep(overlay, facts))
        _check_vni(network, overlay, by_vni)
        _check_port(network, overlay, by_port)
        _check_foreign_devices(network, overlay, facts)
        _check_peers(network, overlay, own_vtep(overlay, facts))
    for project in host.projects:
        _check_control_planes([one for one in spanning if one[0].project == project.name and one[1].mode == "l2"])
    _check_endpoints(host, [network for network, _overlay in spanning])


def warnings(projects: t.Iterable[Project]) -> t.Iterator[str]:
    """Yield a warning if projects have different control planes.

    That is a state on the way from static to EVPN. If it stays, FRR announces the static overlays too.
    """
    examples: dict[str, str] = {}
    for project in projects:
        for network in project.networks:
            if network.spans_hosts and not network.is_routed:
                examples.setdefault(network.overlay_options.control_plane, f"{project.name}/{network.name}")
    if len(examples) > 1:
        yield (
            f"Overlay network {examples['static']} is static and {examples['evpn']} is evpn, but FRR announces all l2 "
            "overlays of a host or none. Set the same control_plane on both."
        )


def _check_required_options(network: Network, overlay: Overlay) -> None:
    if not overlay.vni:
        refuse(
            network.path + ".vni",
            f"overlay network {network.name} has no vni, which must be the same on all of its hosts",
            f"Set vni to a number from 256 to 16777215. {_FLEET}",
        )
    if not network.subnet_requests or any(request.network is None for request in network.subnet_requests):
        refuse(
            network.path + ".ipam.config",
            f"overlay network {network.name} has no subnet, which must be the same on all of its hosts",
            f"Set ipam.config[0].subnet. {_FLEET}",
        )
    for index, request in enumerate(network.subnet_requests):
        if overlay.mode == "routed" and request.ip_range is None:
            refuse(
                f"{network.path}.ipam.config[{index}].ip_range",
                f"routed network {network.name} has no ip_range, which is this host's slice of the subnet",
                f"Set a different ip_range on each host. {_FLEET}",
            )


def _check_vtep(network: Network, overlay: Overlay, own: UnderlayAddress | None) -> None:
    """Raise DocklessError if the host has no VTEP address. That of an encrypted network is created by the run."""
    if own is None and not overlay.encrypted:
        if addresses.is_address(overlay.vtep):
            missing = f"address {overlay.vtep}"
        elif overlay.vtep:
            missing = f"address on {overlay.vtep}"
        else:
            missing = "address on the interface of its default route"
        refuse(
            network.path + ".vtep",
            f"this host has no {missing}, so overlay network {network.name} cannot reach its other hosts",
            "Set vtep to an address or an interface of this host.",
        )
    vtep = str(own.address) if own is not None else overlay.vtep
    if overlay.control_plane == "evpn" and ":" in vtep:
        refuse(
            network.path + ".vtep",
            f"the VTEP address {vtep} is an IPv6 address, but FRR announces IPv4 VTEPs only, so no other host would "
            f"learn of network {network.name}",
            "Set vtep to an IPv4 address of this host, or set control_plane: static.",
        )


def _check_vni(network: Network, overlay: Overlay, by_vni: dict[int, Spanning]) -> None:
    other, _overlay = by_vni.setdefault(overlay.vni, (network, overlay))
    if other is not network:
        refuse(
            network.path + ".vni",
            f"the vni {overlay.vni} is taken by network {other.project}/{other.name}",
            "Choose another one.",
        )


def _check_port(network: Network, overlay: Overlay, by_port: dict[int, Spanning]) -> None:
    other, other_overlay = by_port.setdefault(overlay.port, (network, overlay))
    if other_overlay.encrypted != overlay.encrypted:
        refuse(
            network.path + ".port",
            f"the port {overlay.port} is taken by network {other.project}/{other.name}, and only one of the two is "
            "encrypted",
            "Choose another one.",
        )


def _check_foreign_devices(network: Network, overlay: Overlay, facts: Facts) -> None:
    """Raise DocklessError if the kernel would refuse the network's VXLAN device because of another program's.

    A namespace has one device of a VNI on a port, and a device that receives every VNI has its port alone. Devices of
    other VNIs share the port.
    """
    for device in facts.vxlan_devices:
        if device.port != overlay.port:
            continue
        if device.vni == overlay.vni:
            refuse(
                network.path + ".vni",
                f"the vni {overlay.vni} on UDP port {overlay.port} is taken by the VXLAN device {device.name} of this "
                "host, which dockless does not manage",
                "Set another vni, or another port, on all hosts of the network.",
            )
        if not device.vni:
            refuse(
                network.path + ".port",
                f"UDP port {overlay.port} is taken by the VXLAN device {device.name} of this host, which dockless does "
                "not manage and which receives every VNI",
                "Set another port on all hosts of the network.",
            )


def _check_control_planes(spanning: t.Sequence[Spanning]) -> None:
    """Raise DocklessError if one project has static and evpn l2 overlays.

    Those of other projects may differ: a host with two projects could never change from one to the other otherwise.
    """
    for network, overlay in spanning:
        first, first_overlay = spanning[0]
        if overlay.control_plane != first_overlay.control_plane:
            refuse(
                network.path + ".control_plane",
                f"overlay network {network.name} is {overlay.control_plane} and {first.name} is "
                f"{first_overlay.control_plane}, but FRR announces all l2 overlays of a host or none",
                "Set the same control_plane on all of them, or set mode: routed.",
            )


def _check_peers(network: Network, overlay: Overlay, own: UnderlayAddress | None) -> None:
    by_vtep: dict[IPAddress, OverlayPeer] = {}
    slices = [request.ip_range for request in network.subnet_requests if request.ip_range is not None]
    for peer in network.peers:
        path = f"{network.path}.peers.{peer.name}"
        if own is not None:
            _check_peer_vtep(peer, own, path)
        other = by_vtep.setdefault(peer.vtep, peer)
        if other is not peer:
            refuse(
                path + ".vtep",
                f"{peer.vtep} is the VTEP address of host {other.name} already",
                "Set a different vtep for each host.",
            )
        if overlay.mode == "routed":
            _check_slices(network, peer, slices, path)
            slices += peer.subnets
    _check_peer_sandboxes(network)


def _check_peer_vtep(peer: OverlayPeer, own: UnderlayAddress, path: str) -> None:
    if peer.vtep == own.address:
        refuse(
            path + ".vtep", f"{peer.vtep} is this host's own VTEP address", "Set vtep to the address of the other host."
        )
    if peer.vtep.version != own.address.version:
        refuse(
            path + ".vtep",
            f"{peer.vtep} is of another address family than {own.address}, the VTEP address of this host",
            "Use one family for all hosts of a network.",
        )


def _check_slices(network: Network, peer: OverlayPeer, taken: t.Sequence[IPNetwork], path: str) -> None:
    if not peer.subnets:
        refuse(
            path + ".subnets",
            f"host {peer.name} has no slice of the routed network {network.name}",
            f"Set subnets to the ip_range of that host. {_FLEET}",
        )
    whole = [subnet.network for subnet in network.fixed_subnets]
    for index, part in enumerate(peer.subnets):
        option = f"{path}.subnets[{index}]"
        if not any(addresses.is_within(part, subnet) for subnet in whole):
            refuse(option, f"{part} is not within the subnet of network {network.name}", "Choose a part of it.")
        other = addresses.overlaps(part, taken)
        if other is not None:
            refuse(
                option,
                f"{part} overlaps {other}, which is another host's slice",
                "Set a different slice for each host.",
            )


def _check_peer_sandboxes(network: Network) -> None:
    """Raise DocklessError for addresses of other hosts' sandboxes that are invalid or not unique on the network."""
    owners: dict[IPAddress, str] = {}
    gateways = {ipam.subnet_gateway(network, subnet) for subnet in network.fixed_subnets}
    whole = [subnet.network for subnet in network.fixed_subnets]
    for peer in network.peers:
        for sandbox in peer.sandboxes:
            owner = f"sandbox {sandbox.name} on host {peer.name}"
            for index, address in enumerate(sandbox.addresses):
                path = f"{network.path}.peers.{peer.name}.sandboxes.{sandbox.name}.addresses[{index}]"
                if not any(address in subnet for subnet in whole):
                    refuse(
                        path,
                        f"{address} is not within the subnet of network {network.name}",
                        "Choose an address of the subnet.",
                    )
                if address in gateways:
                    refuse(path, f"{address} is the gateway of network {network.name}", "Choose another address.")
                other = owners.setdefault(address, owner)
                if other != owner:
                    refuse(path, f"{address} is taken by {other}", "Choose another address.")


class _RemoteSandboxes:
    """The sandboxes of a network on other hosts: who has an address, and on which host a sandbox is."""

    def __init__(self, network: Network) -> None:
        self.owners: dict[IPAddress, str] = {}
        self.hosts: dict[tuple[str, str], str] = {}  # (project, sandbox) -> host
        for peer in network.peers:
            for sandbox in peer.sandboxes:
                self.hosts[sandbox.project or network.project, sandbox.name] = peer.name
                for address in sandbox.addresses:
                    self.owners[address] = f"sandbox {sandbox.name} on host {peer.name}"


def _check_endpoints(host: Host, spanning: t.Iterable[Network]) -> None:
    networks = {network.key: network for network in spanning}
    remote: dict[NetworkKey, _RemoteSandboxes] = {key: _RemoteSandboxes(network) for key, network in networks.items()}
    for endpoint in host.endpoints():
        network = networks.get(endpoint.network)
        if network is not None:
            _check_endpoint(endpoint, network, remote[network.key])


def _check_endpoint(endpoint: Endpoint, network: Network, remote: _RemoteSandboxes) -> None:
    host = remote.hosts.get((endpoint.project, endpoint.sandbox))
    if host is not None:
        refuse(
            endpoint.path,
            f"sandbox {endpoint.sandbox} of network {network.name} is on host {host} as well",
            "Declare it on one host.",
        )
    for version, declared in ((4, endpoint.ipv4_address), (6, endpoint.ipv6_address)):
        path = f"{endpoint.path}.ipv{version}_address"
        if declared is not None and declared in remote.owners:
            refuse(path, f"{declared} is taken by {remote.owners[declared]}", "Choose another address.")
        requests = [request for request in network.subnet_requests if request.version == version]
        has_range = any(request.ip_range is not None for request in requests)
        if declared is None and requests and not has_range:
            refuse(
                path,
                f"sandbox {endpoint.sandbox} has no address on overlay network {network.name}, and this host cannot "
                "know which ones are free on the other hosts",
                f"Set ipv{version}_address, or give the subnet an ip_range of this host's own. {_FLEET}",
            )
