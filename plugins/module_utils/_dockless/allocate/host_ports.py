# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Host ports: which ones ephemeral mappings get, chosen once and kept."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from ..model.facts import Facts
from ..model.gateways import publishing_endpoint
from ..model.host import Defaults, Host, IPAddress, PortMapping, Project, Sandbox
from ..model.topology import Networks
from .leases import NO_LEASES, Leases, PortKey, PortLease, ProjectLeases

# (protocol, host address or "", host port)
Binding = tuple[str, str, int]


class HostPortAllocations:
    """Who holds which (protocol, port) on which addresses, with the kernel's rules for wildcards."""

    def __init__(self, facts: Facts) -> None:
        self._held: dict[tuple[str, int], set[str]] = {}
        for listener in facts.listeners:
            self.hold((listener.protocol, listener.address, listener.port))

    def hold(self, binding: Binding) -> None:
        """Note that binding is taken."""
        self._held.setdefault((binding[0], binding[2]), set()).add(binding[1])

    def is_free(self, binding: Binding) -> bool:
        """Return whether nothing overlaps binding: "" is every address, 0.0.0.0 and :: every one of a family."""
        held = self._held.get((binding[0], binding[2]))
        return not held or not any(_meet(binding[1], other) for other in held)


def resolve_ports(host: Host, networks: Networks, leases: ProjectLeases, facts: Facts) -> Host:
    """Return the host with every mapping bound to one address and one port.

    leases are by project. Raises DocklessError when a range is exhausted.
    """
    bound = [
        p._replace(sandboxes=tuple(_with_addresses(s, networks, host.defaults) for s in p.sandboxes))
        for p in host.projects
    ]
    book = HostPortAllocations(facts)
    mappings = [m for p in bound for s in p.sandboxes for m in s.ports]
    for mapping in mappings:
        if mapping.host_port and not mapping.host_port_end:
            book.hold(binding_of(mapping))
    if not any(_is_open(m) for m in mappings):
        return host._replace(projects=tuple(bound))
    given: dict[int, int] = {}
    for project in bound:
        _keep(project, leases.get(project.name, NO_LEASES), book, given)
    source = _Source(book, facts)
    return host._replace(projects=tuple(_numbered(p, given, source) for p in bound))


def binding_of(mapping: PortMapping) -> Binding:
    """Return what the mapping holds on the host."""
    return mapping.protocol, str(mapping.host_ip or ""), mapping.host_port


def _with_addresses(sandbox: Sandbox, networks: Networks, defaults: Defaults) -> Sandbox:
    ports = sandbox.ports
    if sandbox.publish_all:
        published = {(m.target_port, m.protocol) for m in ports}
        ports += tuple(
            PortMapping(sandbox.project, sandbox.name, port, protocol, path=sandbox.path + ".expose")
            for port, protocol in sandbox.expose
            if (port, protocol) not in published
        )
    if not ports:
        return sandbox
    address = _default_address(sandbox, networks, defaults)
    if address is not None:
        ports = tuple(m if m.host_ip is not None else m._replace(host_ip=address) for m in ports)
    return sandbox._replace(ports=ports)


def _default_address(sandbox: Sandbox, networks: Networks, defaults: Defaults) -> IPAddress | None:
    endpoint = publishing_endpoint(sandbox, networks, 4) or publishing_endpoint(sandbox, networks, 6)
    own = networks[endpoint.network].publish_address if endpoint else None
    address = own or defaults.ip
    # 0.0.0.0 as a default means both families, as with dockerd --ip.
    return None if address is not None and address.version == 4 and address.is_unspecified else address


def _is_open(mapping: PortMapping) -> bool:
    return not mapping.host_port or bool(mapping.host_port_end)


def _keep(project: Project, leases: Leases, book: HostPortAllocations, given: dict[int, int]) -> None:
    """Give open mappings the ports they had, as long as those are not taken by something fixed."""
    left: dict[PortKey, list[int]] = {}
    for lease in leases.ports:
        left.setdefault(lease.key, []).append(lease.host_port)
    for sandbox in project.sandboxes:
        for mapping in sandbox.ports:
            ports = left.get(PortLease.from_mapping(mapping).key)
            if not _is_open(mapping) or not ports:
                continue
            port = ports.pop(0)
            candidate = mapping._replace(host_port=port, host_port_end=0)
            if _within(mapping, port) and book.is_free(binding_of(candidate)):
                book.hold(binding_of(candidate))
                given[id(mapping)] = port


def _within(mapping: PortMapping, port: int) -> bool:
    return not mapping.host_port_end or mapping.host_port <= port <= mapping.host_port_end


class _Source:
    """Hands out free ports; the next search starts after the last one given."""

    def __init__(self, book: HostPortAllocations, facts: Facts) -> None:
        self._book = book
        self._reserved = facts.reserved_ports
        self._low, self._high = facts.port_range
        self._next = self._low

    def take(self, mapping: PortMapping) -> int:
        for port in self._candidates(mapping):
            binding = binding_of(mapping._replace(host_port=port))
            if port not in self._reserved and self._book.is_free(binding):
                self._book.hold(binding)
                return port
        span = f"{mapping.host_port}-{mapping.host_port_end}" if mapping.host_port_end else f"{self._low}-{self._high}"
        raise DocklessError(
            f"no free host port is left in {span} for {mapping.target_port}/{mapping.protocol} "
            f"of sandbox {mapping.sandbox}",
            "Name a port, or widen the range.",
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


def _numbered(project: Project, given: t.Mapping[int, int], source: _Source) -> Project:
    def number(mapping: PortMapping) -> PortMapping:
        if not _is_open(mapping):
            return mapping
        return mapping._replace(host_port=given.get(id(mapping)) or source.take(mapping), host_port_end=0)

    return project._replace(
        sandboxes=tuple(
            s._replace(ports=tuple(number(m) for m in s.ports)) if s.ports else s for s in project.sandboxes
        )
    )


def _meet(one: str, other: str) -> bool:
    if one == other or not one or not other:
        return True
    if (":" in one) != (":" in other):
        return False
    return one in ("0.0.0.0", "::") or other in ("0.0.0.0", "::")
