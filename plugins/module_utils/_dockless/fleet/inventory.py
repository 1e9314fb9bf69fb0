# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads the declarations of all hosts into overlay networks, their members and their endpoints.

Only options that hosts must agree on are read here. The engine on each host validates the rest of its own document.
"""

from __future__ import annotations

import contextlib
import typing as t

from ..document import values
from ..document.endpoint import DEFAULT_NETWORK
from ..document.ipam import parse_ipam
from ..document.readers import boolean, integer, is_list, is_mapping, shown, wrong_type
from ..document.sandbox import parse_sandbox
from ..errors import DocklessError, refuse
from ..model.external_networks import Index, index_by_reference
from .model import EndpointDeclaration, FleetHost, FleetOverlay, Inventory, Key, Membership, Spec

DRIVER = "overlay"
HIGHEST_VNI = (1 << 24) - 1
# Options that can differ from host to host, and those that the plan sets.
HOST_OPTIONS = frozenset(("vtep", "peers", "bridge_name", "default_publish_address"))
_VNI = integer(1, HIGHEST_VNI)
_PREFIX, _PREFIX6 = integer(8, 30), integer(16, 126)


def read_inventory(hosts: t.Sequence[FleetHost], known: t.Iterable[Key] = ()) -> Inventory:
    """Return what the hosts declare of overlay networks. known are the networks of earlier plans.

    Raises DocklessError, with the host in its path, if two hosts contradict each other or a declaration is wrong.
    """
    inventory = Inventory({}, {}, {})
    for host in hosts:
        with _named_in_errors(host):
            _read_networks(host, inventory)
    references = index_by_reference([*inventory.networks, *known], _second_names(hosts))
    for host in hosts:
        with _named_in_errors(host):
            keys = _overlays_of(host, inventory, references)
            _read_sandboxes(host, inventory, keys)
    return inventory


def _second_names(hosts: t.Iterable[FleetHost]) -> dict[Key, str]:
    """Return the option name of each overlay network that has it."""
    return {
        (host.project, name): str(spec["name"])
        for host in hosts
        for name, spec in _mapping(host.networks, "networks").items()
        if is_overlay(spec) and spec.get("name")
    }


def of_host(name: str, error: DocklessError) -> DocklessError:
    """Return the error with the host's name before the option's path."""
    error.path = f"host {name}, {error.path}" if error.path else f"host {name}"
    return error


def is_overlay(spec: t.Any) -> t.TypeGuard[Spec]:
    """Return whether a network's declaration has the overlay driver."""
    return is_mapping(spec) and spec.get("driver") == DRIVER and not spec.get("external")


def shared_options(spec: Spec) -> dict[str, t.Any]:
    """Return the options of an overlay network that must be the same on all hosts."""
    return {name: value for name, value in spec.items() if name not in HOST_OPTIONS}


@contextlib.contextmanager
def _named_in_errors(host: FleetHost) -> t.Iterator[None]:
    try:
        yield
    except DocklessError as error:
        of_host(host.name, error)
        raise


def _mapping(value: t.Any, path: str) -> Spec:
    if value is None:
        return {}
    if not is_mapping(value):
        wrong_type(value, path, f"a dictionary of {path} by name")
    return value


def _read_networks(host: FleetHost, inventory: Inventory) -> None:
    for name, spec in _mapping(host.networks, "networks").items():
        if not is_overlay(spec):
            continue
        path = f"networks.{name}"
        key = (host.project, values.name(name, path, "network name"))
        first = inventory.networks.get(key)
        if first is None:
            inventory.networks[key] = _overlay(key, host.name, spec, path)
        else:
            _refuse_difference(first, spec, path)
        inventory.members.setdefault(key, {})[host.name] = Membership(name, spec)


def _refuse_difference(first: FleetOverlay, spec: Spec, path: str) -> None:
    """Raise DocklessError if another host declares the same network with other options."""
    difference = _difference(shared_options(spec), shared_options(first.spec), path)
    if difference:
        option, value, first_value = difference
        refuse(
            option,
            f"an overlay network must be the same on all hosts, but this option is {shown(value)} here "
            f"and {shown(first_value)} on host {first.host}",
            "Set the same value on both hosts, best once in the variables of a group.",
        )


def _difference(value: t.Any, first: t.Any, path: str) -> tuple[str, t.Any, t.Any] | None:
    """Return path and both values of the first option that differs. None and a missing option are the same."""
    if value == first:
        return None
    if is_mapping(value) and is_mapping(first):
        names = sorted({*value, *first}, key=str)
        pairs = [(f"{path}.{name}", value.get(name), first.get(name)) for name in names]
    elif is_list(value) and is_list(first) and len(value) == len(first):
        pairs = [(f"{path}[{index}]", *both) for index, both in enumerate(zip(value, first))]
    else:
        return path, value, first
    differences = (_difference(item, first_item, item_path) for item_path, item, first_item in pairs)
    return next((difference for difference in differences if difference), None)


def _overlay(key: Key, host: str, spec: Spec, path: str) -> FleetOverlay:
    """Return the network as this host declares it. Raises DocklessError for an option that is set twice or wrong."""
    options: dict[str, t.Any] = {}
    for option, option_path, value in _read_options(spec, path):
        first = options.setdefault(option, value)
        if first != value:
            refuse(
                option_path,
                f"{option} is set twice with different values: {shown(first)} and {shown(value)}",
                "Remove one of them.",
            )
    ipam = options.pop("ipam", None)
    mode = options.pop("mode", "l2")
    if ipam is not None and not ipam.addresses:
        refuse(path + ".ipam.driver", "an overlay network cannot be without addresses", "Remove the driver.")
    requests = ipam.subnet_requests if ipam else ()
    overlay = FleetOverlay(key, host, spec, subnet_requests=requests, routed=mode == "routed", **options)
    has_ipv6_subnet = any(request.version == 6 for request in requests)
    if has_ipv6_subnet and overlay.enable_ipv6 is None:
        overlay = overlay._replace(enable_ipv6=True)
    return overlay


def _read_options(spec: Spec, path: str) -> t.Iterator[tuple[str, str, t.Any]]:
    """Yield (field of FleetOverlay, option path, value) of each option in the network and in its driver_opts."""
    driver_opts = spec.get("driver_opts")
    sources = [(path, spec)]
    if is_mapping(driver_opts):
        sources.append((path + ".driver_opts", driver_opts))
    for source_path, source in sources:
        for field, option, reader in _OPTIONS:
            value = source.get(option)
            if value is not None:
                option_path = f"{source_path}.{option}"
                yield field, option_path, reader(value, option_path)


def _flag(value: t.Any, path: str) -> bool:
    """Return a boolean. "" is true: Docker sets such an option by its name alone."""
    return True if value == "" else boolean(value, path)


def _mode(value: t.Any, path: str) -> str:
    if value not in ("l2", "routed"):
        refuse(path, f"{shown(value)} is not a mode of overlay networks", "Use l2 or routed.")
    return str(value)


def _overlays_of(host: FleetHost, inventory: Inventory, references: Index) -> dict[Key, Key]:
    """Return the overlay networks that the host's sandboxes can join: (project, name in its document) -> network.

    Adds the host as a member to those that it refers to by external.
    """
    found: dict[Key, Key] = {}
    for name, spec in _mapping(host.networks, "networks").items():
        local_key = (host.project, name)
        if is_overlay(spec):
            found[local_key] = local_key
        elif is_mapping(spec) and spec.get("external"):
            key = _external_overlay(host, name, spec, references)
            if key:
                found[local_key] = key
                inventory.members.setdefault(key, {})[host.name] = Membership(name, None)
                inventory.networks.setdefault(key, FleetOverlay(key))
    return found


def _external_overlay(host: FleetHost, name: str, spec: Spec, references: Index) -> Key | None:
    """Return the overlay network that an external entry refers to.

    None if it is no overlay network; the engine on the host validates the entry.
    """
    external = spec["external"]
    reference = spec.get("name") or (external.get("name") if is_mapping(external) else None) or name
    candidates = {key for key in references.get(str(reference), ()) if key[0] != host.project}
    if len(candidates) > 1:
        several = ", ".join("/".join(key) for key in sorted(candidates))
        refuse(
            f"networks.{name}.name",
            f"the external network {reference} is ambiguous: it can be any of {several}",
            "Write it as PROJECT/NETWORK.",
        )
    return candidates.pop() if candidates else None


def _read_sandboxes(host: FleetHost, inventory: Inventory, keys: t.Mapping[Key, Key]) -> None:
    """Add the declarations of the host's endpoints on overlay networks. keys is what _overlays_of() returns."""
    if not keys:
        return
    local_names = {name for project, name in keys}
    for name, spec in _mapping(host.sandboxes, "sandboxes").items():
        if not _may_join(spec, local_names):
            continue
        sandbox = parse_sandbox(host.project, name, spec, f"sandboxes.{name}").sandbox
        for endpoint in sandbox.endpoints:
            key = keys.get(endpoint.network)
            if key is None:
                continue
            local_name = endpoint.network[1]
            declaration = EndpointDeclaration(host.name, sandbox, endpoint._replace(network=key), local_name)
            inventory.declarations.setdefault(key, []).append(declaration)


def _may_join(spec: t.Any, local_names: t.AbstractSet[str]) -> bool:
    """Return whether a sandbox can be on one of the networks.

    This avoids that sandboxes on bridge networks only, which are most, are parsed here as well as on their host.
    """
    if not is_mapping(spec) or spec.get("networks") is None:
        return DEFAULT_NETWORK in local_names
    networks = spec["networks"]
    if not is_mapping(networks) and not is_list(networks):
        return True  # parse_sandbox() refuses it
    return not local_names.isdisjoint(map(str, networks))


# field of FleetOverlay (ipam and mode: see _overlay), option, reader
_OPTIONS: tuple[tuple[str, str, t.Callable[[t.Any, str], t.Any]], ...] = (
    ("vni", "vni", _VNI),
    ("vni", "com.docker.network.driver.overlay.vxlanid_list", _VNI),
    ("encrypted", "encrypted", _flag),
    ("ipam", "ipam", parse_ipam),
    ("enable_ipv4", "enable_ipv4", boolean),
    ("enable_ipv6", "enable_ipv6", boolean),
    ("mode", "mode", _mode),
    ("slice_prefix", "slice_prefix", _PREFIX),
    ("slice_prefix_ipv6", "slice_prefix_ipv6", _PREFIX6),
    ("mtu", "mtu", values.mtu),
    ("tunnel_port", "tunnel_port", integer(1, 65534)),
)
