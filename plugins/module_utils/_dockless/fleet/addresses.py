# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""IP and MAC addresses of all sandboxes on one overlay network, over all hosts."""

from __future__ import annotations

import typing as t

from ..allocate import ipam
from ..allocate.mac_addresses import free_mac
from ..errors import DocklessError, refuse
from ..model.addresses import IPAddress, address_in
from ..model.network import Network, Subnet
from ..model.sandbox import Endpoint
from .model import EndpointDeclaration, EndpointRecord, FleetOverlay, Key
from .previous_state import NewAssignmentGuard

SandboxAddresses = t.Mapping[Key, t.Sequence[str]]  # without prefix length
TakenAddresses = t.AbstractSet[tuple[int, int]]  # (version, number), as ipam.assign() reads them
Records = t.Mapping[Key, EndpointRecord]


def taken_addresses(texts: t.Iterable[str]) -> set[tuple[int, int]]:
    """Return addresses as ipam.assign() reads them."""
    found = (address_in(text) for text in texts)
    return {(address.version, int(address)) for address in found}


def check_declarations(declarations: t.Sequence[EndpointDeclaration], staying: Records) -> None:
    """Raise DocklessError if two hosts declare one sandbox, or two sandboxes have one fixed IP or MAC address.

    staying are sandboxes that no host declares, but that keep their addresses.
    """
    first_of_sandbox: dict[Key, EndpointDeclaration] = {}
    first_of_address: dict[IPAddress | str, EndpointDeclaration] = {}
    holders = {address: (sandbox, record) for sandbox, record in staying.items() for address in record.addresses}
    for declaration in declarations:
        first = first_of_sandbox.setdefault(declaration.key, declaration)
        if first is not declaration:
            _refuse_second_host(declaration, first)
        for address in _fixed_addresses(declaration.endpoint):
            first = first_of_address.setdefault(address, declaration)
            if first is not declaration:
                _refuse_shared(address, declaration, first)
            holder = holders.get(str(address))
            if holder and holder[0] != declaration.key:
                _refuse_held(address, declaration, *holder)


def assign_addresses(
    overlay: FleetOverlay,
    subnets: t.Sequence[Subnet],
    declarations: t.Sequence[EndpointDeclaration],
    taken: TakenAddresses,
    leases: SandboxAddresses,
    guard: NewAssignmentGuard,
) -> dict[Key, tuple[str, ...]]:
    """Return the addresses of each sandbox: fixed ones, then those of before, then the lowest free ones.

    taken are addresses that no sandbox can get. Raises DocklessError if a subnet is exhausted, and by the guard if a
    sandbox gets an address that is neither fixed nor in leases.
    """
    network = Network(*overlay.key, subnets=tuple(subnets))
    ordered = sorted(declarations, key=lambda declaration: declaration.key)
    try:
        endpoints = ipam.assign(network, [declaration.endpoint for declaration in ordered], leases, taken)
    except DocklessError as error:
        error.path = overlay.path
        raise
    found = {}
    for declaration, endpoint in zip(ordered, endpoints):
        addresses = _without_link_local(endpoint)
        before = leases.get(declaration.key, ())
        for address in addresses:
            fixed = endpoint.ipv6_address if ":" in address else endpoint.ipv4_address
            if fixed is None and address not in before:
                guard.check("address", f"sandbox {endpoint.sandbox}")
        found[declaration.key] = addresses
    return found


def check_slice(
    overlay: FleetOverlay, slices: t.Sequence[Subnet], declarations: t.Sequence[EndpointDeclaration]
) -> None:
    """Raise DocklessError for a fixed address outside of the slices of its host. The declarations are of one host."""
    for declaration in declarations:
        for address in (declaration.endpoint.ipv4_address, declaration.endpoint.ipv6_address):
            if address is None:
                continue
            parts = [part.network for part in slices if part.version == address.version]
            if not any(address in part for part in parts):
                refuse(
                    _path(declaration),
                    f"{address} is outside of {', '.join(map(str, parts)) or 'any subnet'}, the slice of host "
                    f"{declaration.host} on the routed network {overlay.title}",
                    "Use an address of that slice, or set none.",
                )


def assign_macs(
    overlay: FleetOverlay, declarations: t.Sequence[EndpointDeclaration]
) -> tuple[dict[Key, str], set[Key]]:
    """Return each sandbox's MAC address, and those whose host would derive another one.

    A MAC address is derived from names. It has 40 bits, so two sandboxes can share one by chance. A host sees its own
    sandboxes only, so the plan resolves such collisions.
    """
    found = {
        declaration.key: declaration.endpoint.mac_address
        for declaration in declarations
        if declaration.endpoint.mac_address
    }
    used = set(found.values())
    explicit: set[Key] = set()
    for key in sorted(declaration.key for declaration in declarations):
        if key in found:
            continue
        project, sandbox = key
        mac, salt = free_mac(project, overlay.key, sandbox, used)
        used.add(mac)
        found[key] = mac
        if salt:
            explicit.add(key)
    return found, explicit


def _fixed_addresses(endpoint: Endpoint) -> list[IPAddress | str]:
    fixed = (endpoint.ipv4_address, endpoint.ipv6_address, endpoint.mac_address)
    return [address for address in fixed if address]


def _refuse_second_host(declaration: EndpointDeclaration, first: EndpointDeclaration) -> t.NoReturn:
    endpoint = declaration.endpoint
    refuse(
        _path(declaration),
        f"sandbox {endpoint.sandbox} is on network {'/'.join(endpoint.network)} on host {first.host} too",
        "Declare it on one host, in that host's own variables, or use two different names.",
    )


def _refuse_shared(
    address: IPAddress | str, declaration: EndpointDeclaration, first: EndpointDeclaration
) -> t.NoReturn:
    refuse(
        _path(declaration),
        f"{address} is also the fixed address of sandbox {first.endpoint.sandbox} on host {first.host}",
        "Use a different address for each, or set none.",
    )


def _refuse_held(
    address: IPAddress | str, declaration: EndpointDeclaration, sandbox: Key, record: EndpointRecord
) -> t.NoReturn:
    refuse(
        _path(declaration),
        f"{address} is the address of sandbox {'/'.join(sandbox)} on host {record.host}, which still has it",
        f"Run over host {record.host} too, or use another address.",
    )


def _path(declaration: EndpointDeclaration) -> str:
    return f"host {declaration.host}, {declaration.endpoint.path}"


def _without_link_local(endpoint: Endpoint) -> tuple[str, ...]:
    """Return the assigned addresses. ipam.assign() appends link_local_ips, which each host adds itself."""
    assigned = endpoint.addresses[: len(endpoint.addresses) - len(endpoint.link_local_ips)]
    return tuple(cidr.partition("/")[0] for cidr in assigned)
