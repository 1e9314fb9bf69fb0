# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Published ports beside each other and beside what listens on the host, judged as bind(2) would."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.facts import Facts, Listener
from ..model.host import Defaults, Host, IPAddress, Network, PortMapping, Sandbox
from .endpoints import DEFAULT_KEY, Networks
from .macvlan import default_route_network

Binding = tuple[str, str, int]  # (protocol, host address or "" for all, host port)
_WILDCARDS = ("0.0.0.0", "::")
_ALL = "all addresses"


def owner_suffix(listener: Listener) -> str:
    """Return what the facts say whose a socket is."""
    return listener.owner or "a process"


def check_ports(
    host: Host,
    networks: Networks,
    facts: Facts,
    kept: frozenset[Binding],
    owner_of: t.Callable[[Listener], str] = owner_suffix,
) -> None:
    """Raise DocklessError for ports that no network can carry, and those that something else has.

    owner_of is asked whose a socket is, in the event of a conflict only, because finding out takes long.
    """
    listeners: dict[tuple[str, int], list[Listener]] = {}
    for listener in facts.listeners:
        listeners.setdefault((listener.protocol, listener.port), []).append(listener)
    held: dict[tuple[str, int], list[tuple[str, PortMapping]]] = {}
    for project in host.projects:
        for sandbox in project.sandboxes:
            if sandbox.ports or sandbox.publish_all and sandbox.expose:
                carriers = _carriers(sandbox, networks, host.defaults)
                default = _default_address(carriers, host.defaults)
                if any(network.macvlan is not None for network in networks.values()):
                    _check_way_back(sandbox, networks)
                for mapping in sandbox.ports:
                    address = default if mapping.host_ip is None else str(mapping.host_ip)
                    _check_family(mapping, address, carriers, host.defaults)
                    if mapping.host_port and not mapping.host_port_end:
                        _check_mappings(mapping, address, held.setdefault((mapping.protocol, mapping.host_port), []))
                        _check_listeners(mapping, address, listeners, kept, owner_of)


def _carriers(sandbox: Sandbox, networks: Networks, defaults: Defaults) -> list[Network]:
    """Return the networks that can carry ports, the one with the default route first. Raises DocklessError if there is none."""
    found = []
    for endpoint in sandbox.endpoints:
        network = networks.get(endpoint.network) or Network(*DEFAULT_KEY)
        if network.macvlan is None and not network.internal and (network.enable_ipv4 or network.enable_ipv6):
            found.append((-endpoint.gw_priority, network.name, network))
    if not found:
        _refuse_on_parents(sandbox, networks)
        refuse(
            sandbox.ports[0].path if sandbox.ports else sandbox.path + ".publish_all",
            f"ports of {sandbox.name} cannot be published: its networks are internal or have no addresses",
            "Connect it to a network that leads out, or remove the ports.",
        )
    found.sort(key=lambda one: one[:2])
    if not found[0][2].ingress:
        refuse(
            sandbox.ports[0].path if sandbox.ports else sandbox.path + ".publish_all",
            f"ports of {sandbox.name} cannot be published: they would lead in by {found[0][1]}, which takes no connections (ingress is false)",
            "Give a network with ingress the higher gw_priority, set ingress: true, or remove the ports.",
        )
    return [network for priority, name, network in found]


def _refuse_on_parents(sandbox: Sandbox, networks: Networks) -> None:
    on_parents = [
        e.network[1] for e in sandbox.endpoints if e.network in networks and networks[e.network].macvlan is not None
    ]
    if on_parents:
        refuse(
            sandbox.ports[0].path if sandbox.ports else sandbox.path + ".publish_all",
            f"ports of {sandbox.name} cannot be published: packets to a sandbox on {on_parents[0]} do not pass this host",
            "Reach it by its own address, connect it to a bridge network as well, or remove the ports.",
        )


def _check_way_back(sandbox: Sandbox, networks: Networks) -> None:
    """Raise DocklessError where answers of a published port would leave by another network than questions came in by."""
    for version in (4, 6):
        winner = default_route_network(sandbox, networks, version)
        if winner is not None and (
            not sandbox.ports or any(m.host_ip is None or m.host_ip.version == version for m in sandbox.ports)
        ):
            refuse(
                sandbox.ports[0].path if sandbox.ports else sandbox.path + ".publish_all",
                f"ports of {sandbox.name} cannot be published: its IPv{version} default route leads by {winner.name}, so that answers do not pass this host",
                "Give its bridge network the higher gw_priority, or remove the ports.",
            )


def _default_address(carriers: t.Sequence[Network], defaults: Defaults) -> str:
    """Return where a port is published that names no address; 0.0.0.0 as a default means both families, as in Docker."""
    address: IPAddress | None = carriers[0].publish_address or defaults.ip
    return "" if address is None or str(address) == "0.0.0.0" else str(address)


def _check_family(mapping: PortMapping, address: str, carriers: t.Sequence[Network], defaults: Defaults) -> None:
    if not address:
        return
    if ":" in address and not any(defaults.ipv6 if one.enable_ipv6 is None else one.enable_ipv6 for one in carriers):
        refuse(
            mapping.path,
            f"the IPv6 address {address} cannot lead to {mapping.sandbox}, which is on no IPv6 network: "
            "no proxy runs here to translate between the families",
            "Set enable_ipv6: true on one of its networks, or publish on an IPv4 address.",
        )
    if ":" not in address and not any(one.enable_ipv4 for one in carriers):
        refuse(
            mapping.path,
            f"the IPv4 address {address} cannot lead to {mapping.sandbox}, which is on no IPv4 network",
            "Set enable_ipv4: true on one of its networks, or publish on an IPv6 address.",
        )


def _check_mappings(mapping: PortMapping, address: str, held: list[tuple[str, PortMapping]]) -> None:
    for other_address, other in held:
        if _meet(address, other_address):
            refuse(
                mapping.path,
                f"{_called(mapping, address)}: {other.project}/{other.sandbox} publishes it on {other_address or _ALL} already"
                f" ({other.path})",
                "Choose another host port or address.",
            )
    held.append((address, mapping))


def _check_listeners(
    mapping: PortMapping,
    address: str,
    listeners: t.Mapping[tuple[str, int], t.Sequence[Listener]],
    kept: frozenset[Binding],
    owner_of: t.Callable[[Listener], str],
) -> None:
    found = listeners.get((mapping.protocol, mapping.host_port))
    if not found or _is_kept(mapping, address, kept):
        return
    for listener in found:
        # A socket on :: takes IPv4 too unless it asked not to, which its address does not tell.
        if _meet(address, "" if listener.address == "::" else listener.address.replace("::ffff:", "")):
            refuse(
                mapping.path,
                f"{_called(mapping, address)}: {owner_of(listener)} listens on {listener.address}",
                "Choose another host port or address, or stop that process.",
            )


def _is_kept(mapping: PortMapping, address: str, kept: frozenset[Binding]) -> bool:
    declared = str(mapping.host_ip or "")
    return (mapping.protocol, address, mapping.host_port) in kept or (
        mapping.protocol,
        declared,
        mapping.host_port,
    ) in kept


def _called(mapping: PortMapping, address: str) -> str:
    return (
        f"{mapping.project}/{mapping.sandbox} cannot publish host port {mapping.host_port}/{mapping.protocol} "
        f"on {address or _ALL}"
    )


def _meet(one: str, other: str) -> bool:
    """Return whether two addresses cannot both be bound: "" is every address, 0.0.0.0 and :: every one of a family."""
    if one == other or not one or not other:
        return True
    return (":" in one) == (":" in other) and (one in _WILDCARDS or other in _WILDCARDS)
