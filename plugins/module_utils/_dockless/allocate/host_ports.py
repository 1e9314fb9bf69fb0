# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Host addresses and host ports of published ports; free host ports are chosen once and recorded."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..model.addresses import IPAddress
from ..model.facts import Facts
from ..model.gateways import publishing_endpoint
from ..model.host import Defaults, Host
from ..model.network import Network, Networks
from ..model.sandbox import PortMapping, Sandbox
from .leases import PortKey, PortLease, ProjectLeases
from .replace import replace_sandboxes

Binding = tuple[str, str, int]  # (protocol, host address or "" for every address, host port)
_WILDCARDS = ("0.0.0.0", "::")


def addresses_conflict(one: str, other: str) -> bool:
    """Return whether one port cannot be bound on both addresses.

    "" is every address of both families; 0.0.0.0 and :: are every address of one, as with IPV6_V6ONLY (ipv6(7)).
    """
    if one == other or not one or not other:
        return True
    same_family = (":" in one) == (":" in other)
    return same_family and (one in _WILDCARDS or other in _WILDCARDS)


def default_publish_address(network: Network | None, defaults: Defaults) -> IPAddress | None:
    """Return the host address of a mapping that declares none, None for every address.

    The network's default_publish_address comes before the host's ip.
    """
    address = (network.publish_address if network is not None else None) or defaults.ip
    # 0.0.0.0 as a default means both families, as with dockerd --ip.
    return None if address is not None and str(address) == "0.0.0.0" else address


class HostPortAllocations:
    """The bindings in use on the host: listening sockets and published ports."""

    def __init__(self, facts: Facts) -> None:
        self._addresses: dict[tuple[str, int], set[str]] = {}
        for listener in facts.listeners:
            self.hold((listener.protocol, listener.address, listener.port))

    def hold(self, binding: Binding) -> None:
        """Note that a binding is in use."""
        protocol, address, port = binding
        self._addresses.setdefault((protocol, port), set()).add(address)

    def is_free(self, binding: Binding) -> bool:
        """Return whether a binding conflicts with none in use."""
        protocol, address, port = binding
        held = self._addresses.get((protocol, port), ())
        return not any(addresses_conflict(address, other) for other in held)


def resolve_ports(host: Host, networks: Networks, leases: ProjectLeases, facts: Facts) -> Host:
    """Return the host with an address and a port for every mapping.

    Raises DocklessError when a port range is exhausted.
    """
    host = replace_sandboxes(host, lambda sandbox: _with_host_addresses(sandbox, networks, host.defaults))
    allocations = HostPortAllocations(facts)
    mappings = [mapping for sandbox in host.sandboxes() for mapping in sandbox.ports]
    for mapping in mappings:
        if not _is_ephemeral(mapping):
            allocations.hold(binding_of(mapping))
    if not any(_is_ephemeral(mapping) for mapping in mappings):
        return host
    recorded = _RecordedPorts(leases, allocations)
    host = replace_sandboxes(host, lambda sandbox: _with_host_ports(sandbox, recorded.port_for))
    free = _FreePorts(allocations, facts)
    return replace_sandboxes(host, lambda sandbox: _with_host_ports(sandbox, free.port_for))


def binding_of(mapping: PortMapping) -> Binding:
    """Return the binding that a mapping needs on the host."""
    return mapping.protocol, str(mapping.host_ip or ""), mapping.host_port


def _is_ephemeral(mapping: PortMapping) -> bool:
    """Return whether the host port is dockless' choice: any, or one of a range."""
    return not mapping.host_port or bool(mapping.host_port_end)


def _with_host_addresses(sandbox: Sandbox, networks: Networks, defaults: Defaults) -> Sandbox:
    """Return the sandbox with exposed ports published if publish_all is set, and a host address for every mapping."""
    ports = (*sandbox.ports, *_exposed(sandbox)) if sandbox.publish_all else sandbox.ports
    if not ports:
        return sandbox
    endpoint = publishing_endpoint(sandbox, networks, 4) or publishing_endpoint(sandbox, networks, 6)
    address = default_publish_address(networks[endpoint.network] if endpoint else None, defaults)
    if address is not None:
        ports = tuple(m if m.host_ip is not None else m._replace(host_ip=address) for m in ports)
    return sandbox._replace(ports=ports)


def _exposed(sandbox: Sandbox) -> list[PortMapping]:
    published = {(mapping.target_port, mapping.protocol) for mapping in sandbox.ports}
    path = sandbox.path + ".expose"
    return [
        PortMapping(sandbox.project, sandbox.name, port, protocol, path=path)
        for port, protocol in sandbox.expose
        if (port, protocol) not in published
    ]


def _with_host_ports(sandbox: Sandbox, port_for: t.Callable[[PortMapping], int]) -> Sandbox:
    """Return the sandbox with port_for(mapping) as host port of each ephemeral mapping; 0 leaves one as it is."""
    if not sandbox.ports:
        return sandbox
    ports = []
    for mapping in sandbox.ports:
        port = port_for(mapping) if _is_ephemeral(mapping) else 0
        ports.append(mapping._replace(host_port=port, host_port_end=0) if port else mapping)
    return sandbox._replace(ports=tuple(ports))


class _RecordedPorts:
    """Gives ephemeral mappings the host ports that they had, unless a fixed mapping or a listener has taken them."""

    def __init__(self, leases: ProjectLeases, allocations: HostPortAllocations) -> None:
        self._allocations = allocations
        self._recorded: dict[tuple[str, PortKey], list[int]] = {}
        for project, recorded in leases.items():
            for lease in recorded.ports:
                self._recorded.setdefault((project, lease.key), []).append(lease.host_port)

    def port_for(self, mapping: PortMapping) -> int:
        """Return the recorded port, 0 if there is none or it cannot be used."""
        ports = self._recorded.get((mapping.project, PortLease.from_mapping(mapping).key))
        if not ports:
            return 0
        port = ports.pop(0)
        in_range = not mapping.host_port_end or mapping.host_port <= port <= mapping.host_port_end
        binding = binding_of(mapping._replace(host_port=port))
        if not in_range or not self._allocations.is_free(binding):
            return 0
        self._allocations.hold(binding)
        return port


class _FreePorts:
    """Gives ephemeral mappings free host ports; each search of the host's range starts after the last one found."""

    def __init__(self, allocations: HostPortAllocations, facts: Facts) -> None:
        self._allocations = allocations
        self._reserved = facts.reserved_ports
        self._low, self._high = facts.port_range
        self._next = self._low

    def port_for(self, mapping: PortMapping) -> int:
        """Return a free port. Raises DocklessError if there is none."""
        for port in self._candidates(mapping):
            binding = binding_of(mapping._replace(host_port=port))
            if port not in self._reserved and self._allocations.is_free(binding):
                self._allocations.hold(binding)
                return port
        if mapping.host_port_end:
            low, high, source = mapping.host_port, mapping.host_port_end, "the range"
        else:
            low, high, source = self._low, self._high, "net.ipv4.ip_local_port_range"
        raise DocklessError(
            f"no free host port is left in {low}-{high} for {mapping.target_port}/{mapping.protocol} "
            f"of sandbox {mapping.sandbox}",
            f"Declare a host port, or widen {source}.",
            mapping.path,
        )

    def _candidates(self, mapping: PortMapping) -> t.Iterator[int]:
        if mapping.host_port_end:
            yield from range(mapping.host_port, mapping.host_port_end + 1)
            return
        first = self._next
        for port in (*range(first, self._high + 1), *range(self._low, first)):
            self._next = port + 1
            yield port
