# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Published ports: whether a network can carry them, and conflicts with each other and with sockets, as in bind(2)."""

from __future__ import annotations

import typing as t

from ..allocate.host_ports import Binding, addresses_conflict, default_publish_address
from ..errors import refuse
from ..model.facts import Facts, Listener
from ..model.host import Defaults, Host
from ..model.network import Network
from ..model.sandbox import PortMapping, Sandbox
from .endpoints import DEFAULT_KEY, Networks
from .macvlan import default_route_network

_ALL = "all addresses"


def owner_name(listener: Listener) -> str:
    """Return the process of a listening socket as the facts name it."""
    return listener.owner or "a process"


def check_ports(
    host: Host,
    networks: Networks,
    facts: Facts,
    held: frozenset[Binding],
    owner_of: t.Callable[[Listener], str] = owner_name,
) -> None:
    """Raise DocklessError for ports that no network can carry, and for host ports that are taken.

    held are bindings of published ports from an earlier run. owner_of names the process of a listener; it is called
    only for a conflict, because finding the process takes long.
    """
    conflicts = _Conflicts(facts.listeners, held, owner_of)
    has_macvlan = any(not network.passes_host for network in networks.values())
    for sandbox in host.sandboxes():
        if not _publishes_ports(sandbox):
            continue
        carriers = _carriers(sandbox, networks)
        default = default_publish_address(carriers[0], host.defaults)
        if has_macvlan:
            _check_reply_path(sandbox, networks)
        for mapping in sandbox.ports:
            address = str(mapping.host_ip or default or "")
            _check_family(mapping, address, carriers, host.defaults)
            if mapping.host_port and not mapping.host_port_end:
                conflicts.check(mapping, address)


def _publishes_ports(sandbox: Sandbox) -> bool:
    publishes_exposed = sandbox.publish_all and bool(sandbox.expose)
    return bool(sandbox.ports) or publishes_exposed


def _refuse_ports(sandbox: Sandbox, reason: str, remedy: str) -> t.NoReturn:
    path = sandbox.ports[0].path if sandbox.ports else sandbox.path + ".publish_all"
    refuse(path, f"ports of sandbox {sandbox.name} cannot be published, because {reason}", remedy)


def _carriers(sandbox: Sandbox, networks: Networks) -> list[Network]:
    """Return the networks that can carry published ports, the one with the default route first.

    Raises DocklessError if there is none, or if that one does not accept connections.
    """
    found = []
    for endpoint in sandbox.endpoints:
        network = networks.get(endpoint.network) or Network(*DEFAULT_KEY)
        has_addresses = network.enable_ipv4 or network.enable_ipv6
        if network.passes_host and not network.internal and has_addresses:
            found.append((-endpoint.gw_priority, network.name, network))
    if not found:
        _refuse_macvlan_only(sandbox, networks)
        _refuse_ports(
            sandbox,
            "its networks are internal or have no addresses",
            "Connect it to a network that is not internal, or remove the ports.",
        )
    found.sort(key=lambda entry: entry[:2])
    carriers = [network for _priority, _name, network in found]
    if not carriers[0].ingress:
        _refuse_ports(
            sandbox,
            f"connections would arrive through network {carriers[0].name}, which does not accept them "
            "(ingress is false)",
            "Set the highest gw_priority on a network with ingress, set ingress: true, or remove the ports.",
        )
    return carriers


def _refuse_macvlan_only(sandbox: Sandbox, networks: Networks) -> None:
    for endpoint in sandbox.endpoints:
        network = networks.get(endpoint.network)
        if network is not None and not network.passes_host:
            _refuse_ports(
                sandbox,
                f"packets to a sandbox on network {network.name} do not pass this host",
                "Reach it at its own address, connect it to a bridge network as well, or remove the ports.",
            )


def _check_reply_path(sandbox: Sandbox, networks: Networks) -> None:
    """Raise DocklessError if replies of a published port would leave through a network that does not pass this host."""
    for version in (4, 6):
        network = default_route_network(sandbox, networks, version)
        is_published = not sandbox.ports or any(
            m.host_ip is None or m.host_ip.version == version for m in sandbox.ports
        )
        if network is not None and is_published:
            _refuse_ports(
                sandbox,
                f"its IPv{version} default route leads through network {network.name}, so that replies would not pass "
                "this host",
                "Set the highest gw_priority on its bridge network, or remove the ports.",
            )


def _check_family(mapping: PortMapping, address: str, carriers: t.Sequence[Network], defaults: Defaults) -> None:
    """Raise DocklessError for a host address of a family that the sandbox does not have."""
    if not address:
        return
    version = 6 if ":" in address else 4
    if version == 4:
        is_enabled = any(network.enable_ipv4 for network in carriers)
    else:
        is_enabled = any(defaults.ipv6 if "enable_ipv6" in n.left_open else n.enable_ipv6 for n in carriers)
    if not is_enabled:
        refuse(
            mapping.path,
            f"ports of sandbox {mapping.sandbox} cannot be published on the IPv{version} address {address}, because "
            f"the sandbox is on no IPv{version} network and dockless does not translate between IPv4 and IPv6",
            f"Set enable_ipv{version}: true on one of its networks, or publish on an IPv{10 - version} address.",
        )


class _Conflicts:
    """Finds fixed host ports that another mapping or a process has. Mappings are checked in their declared order."""

    def __init__(
        self,
        listeners: t.Iterable[Listener],
        held: frozenset[Binding],
        owner_of: t.Callable[[Listener], str],
    ) -> None:
        self._held = held
        self._owner_of = owner_of
        self._mappings: dict[tuple[str, int], list[tuple[str, PortMapping]]] = {}
        self._listeners: dict[tuple[str, int], list[Listener]] = {}
        for listener in listeners:
            self._listeners.setdefault((listener.protocol, listener.port), []).append(listener)

    def check(self, mapping: PortMapping, address: str) -> None:
        """Raise DocklessError if the mapping's host port is taken on the address; "" is every address."""
        self._check_mappings(mapping, address)
        self._check_listeners(mapping, address)

    def _check_mappings(self, mapping: PortMapping, address: str) -> None:
        earlier = self._mappings.setdefault((mapping.protocol, mapping.host_port), [])
        for other_address, other in earlier:
            if addresses_conflict(address, other_address):
                _refuse_binding(
                    mapping,
                    address,
                    f"{other.project}/{other.sandbox} publishes it on {other_address or _ALL} already ({other.path})",
                    "Choose another host port or address.",
                )
        earlier.append((address, mapping))

    def _check_listeners(self, mapping: PortMapping, address: str) -> None:
        listeners = self._listeners.get((mapping.protocol, mapping.host_port))
        if not listeners or self._is_held(mapping, address):
            return
        for listener in listeners:
            # A socket on :: takes IPv4 too unless IPV6_V6ONLY is set, which its address does not show.
            bound = "" if listener.address == "::" else listener.address.replace("::ffff:", "")
            if addresses_conflict(address, bound):
                _refuse_binding(
                    mapping,
                    address,
                    f"{self._owner_of(listener)} listens on {listener.address}",
                    "Choose another host port or address, or stop that process.",
                )

    def _is_held(self, mapping: PortMapping, address: str) -> bool:
        """Return whether the mapping has its port from an earlier run, on its declared or on the default address."""
        possible = {address, str(mapping.host_ip or "")}
        return any((mapping.protocol, each, mapping.host_port) in self._held for each in possible)


def _refuse_binding(mapping: PortMapping, address: str, reason: str, remedy: str) -> t.NoReturn:
    refuse(
        mapping.path,
        f"{mapping.project}/{mapping.sandbox} cannot publish host port {mapping.host_port}/{mapping.protocol} "
        f"on {address or _ALL}, because {reason}",
        remedy,
    )
