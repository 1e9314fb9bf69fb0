# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The declarations of all hosts -> overlay networks, their members and their endpoints.

Only what hosts must agree on is read here; each host's engine judges the rest of its own document.
"""

from __future__ import annotations

import typing as t

from ..document import values
from ..document.endpoint import DEFAULT_NETWORK
from ..document.ipam import parse_ipam
from ..document.readers import boolean, integer, is_list, is_mapping, shown, wrong_type
from ..document.sandbox import parse_sandbox
from ..errors import DocklessError, refuse
from ..model.external_networks import Index, index_by_reference
from ..model.host import Endpoint
from .model import EndpointDeclaration, FleetHost, FleetOverlay, Inventory, Key, Membership, Spec

DRIVER = "overlay"
HIGHEST_VNI = (1 << 24) - 1
# What may differ from host to host, and what the plan fills in.
OF_ONE_HOST = frozenset(("vtep", "peers", "bridge_name", "default_publish_address"))
_VNI = integer(1, HIGHEST_VNI)
_PREFIX, _PREFIX6 = integer(8, 30), integer(16, 126)


def read_inventory(hosts: t.Sequence[FleetHost], known: t.Iterable[Key] = ()) -> Inventory:
    """Return what the hosts declare of overlay networks. known are keys of networks that earlier plans gave things to.

    Raises DocklessError where two hosts contradict each other, or one cannot be meant.
    """
    reading = Inventory({}, {}, {})
    for host in hosts:
        with _of(host):
            _read_networks(host, reading)
    index = index_by_reference([*reading.networks, *known])
    for host in hosts:
        with _of(host):
            _read_sandboxes(host, reading, _called(host, reading, index))
    return reading


def of_host(name: str, error: DocklessError) -> DocklessError:
    """Return the error with the host's name before the option's path."""
    error.path = f"host {name}, {error.path}" if error.path else f"host {name}"
    return error


class _of:
    """Names the host in what is refused."""

    def __init__(self, host: FleetHost) -> None:
        self._name = host.name

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: t.Any, error: t.Any, trace: t.Any) -> None:
        """Put the host's name before the option's path."""
        if isinstance(error, DocklessError):
            of_host(self._name, error)


def _mapping(value: t.Any, path: str) -> Spec:
    if value is None:
        return {}
    if not is_mapping(value):
        wrong_type(value, path, f"a dictionary of {path} by name")
    return value


def is_overlay(spec: t.Any) -> bool:
    """Return whether a network's declaration asks for the overlay driver."""
    return is_mapping(spec) and spec.get("driver") == DRIVER and not spec.get("external")


def _read_networks(host: FleetHost, reading: Inventory) -> None:
    for name, spec in _mapping(host.networks, "networks").items():
        if not is_overlay(spec):
            continue
        path = f"networks.{name}"
        key = (host.project, values.name(name, path, "network name"))
        first = reading.networks.get(key)
        if first is None:
            reading.networks[key] = _overlay(key, host.name, spec, path)
        else:
            _refuse_difference(first, spec, path)
        reading.members.setdefault(key, {})[host.name] = Membership(name, spec)


def _refuse_difference(first: FleetOverlay, spec: Spec, path: str) -> None:
    """Raise DocklessError if another host says something else of the same network."""
    mine = {key: value for key, value in spec.items() if key not in OF_ONE_HOST}
    others = {key: value for key, value in first.spec.items() if key not in OF_ONE_HOST}
    if mine == others:
        return
    where = _difference(mine, others, path)
    if where:
        option, here, there = where
        refuse(
            option,
            f"the overlay network is one for all hosts, but it says {shown(here)} here and {shown(there)} on host {first.host}",
            "Say the same on both, best once in a group's variables.",
        )


def _difference(mine: t.Any, others: t.Any, path: str) -> tuple[str, t.Any, t.Any] | None:
    """Return path and values of the first option that differs; None and not said are the same."""
    if is_mapping(mine) and is_mapping(others):
        for key in sorted({*mine, *others}, key=str):
            found = _difference(mine.get(key), others.get(key), f"{path}.{key}")
            if found:
                return found
        return None
    if is_list(mine) and is_list(others) and len(mine) == len(others):
        for index, (one, other) in enumerate(zip(mine, others)):
            found = _difference(one, other, f"{path}[{index}]")
            if found:
                return found
        return None
    return None if mine == others else (path, mine, others)


def _overlay(key: Key, host: str, spec: Spec, path: str) -> FleetOverlay:
    said: dict[str, t.Any] = {}
    for option, where, value in _options(spec, path):
        if said.setdefault(option, value) != value:
            refuse(where, f"it says another {option} than the network does elsewhere", "Say it once.")
    ipam = said.pop("ipam", None)
    mode = said.pop("mode", "l2")
    if ipam is not None and not ipam.addresses:
        refuse(path + ".ipam.driver", "an overlay network without addresses cannot be", "Remove the driver.")
    overlay = FleetOverlay(key, host, spec, subnets=ipam.subnets if ipam else (), routed=mode == "routed", **said)
    if any(subnet.version == 6 for subnet in overlay.subnets) and overlay.enable_ipv6 is None:
        overlay = overlay._replace(enable_ipv6=True)
    return overlay


def _options(spec: Spec, path: str) -> t.Iterator[tuple[str, str, t.Any]]:
    """Yield (option, its path, its value) of what hosts must agree on and the plan needs, from either place."""
    options = spec.get("driver_opts")
    for where, source in ((path, spec), (path + ".driver_opts", options if is_mapping(options) else {})):
        for option, name, reader in _OPTIONS:
            value = source.get(name)
            if value is not None:
                yield option, f"{where}.{name}", reader(value, f"{where}.{name}")


def _flag(value: t.Any, path: str) -> bool:
    """Return a boolean; Docker's options are set by their name alone."""
    return True if value == "" else boolean(value, path)


def _mode(value: t.Any, path: str) -> str:
    if value not in ("l2", "routed"):
        refuse(path, f"{shown(value)} is not a mode of overlay networks", "Choose l2 or routed.")
    return str(value)


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


def _called(host: FleetHost, reading: Inventory, index: Index) -> dict[Key, Key]:
    """Return the overlay networks that the host's sandboxes can join: (project, name in its document) -> real key."""
    found: dict[Key, Key] = {}
    for name, spec in _mapping(host.networks, "networks").items():
        if is_overlay(spec):
            found[host.project, name] = (host.project, name)
        elif is_mapping(spec) and spec.get("external"):
            owner = _owner(host, name, spec, index)
            if owner:
                found[host.project, name] = owner
                reading.members.setdefault(owner, {})[host.name] = Membership(name, None)
                reading.networks.setdefault(owner, FleetOverlay(owner))
    return found


def _owner(host: FleetHost, name: str, spec: Spec, index: Index) -> Key | None:
    """Return the overlay network that an external entry means; None if it means none, which the host's engine judges."""
    external = spec["external"]
    said = spec.get("name") or (external.get("name") if is_mapping(external) else None)
    candidates = {key for key in index.get(str(said or name), ()) if key[0] != host.project}
    if len(candidates) > 1:
        several = ", ".join("/".join(key) for key in sorted(candidates))
        refuse(f"networks.{name}.name", f"the external network may be any of {several}", "Write it as PROJECT/NETWORK.")
    return candidates.pop() if candidates else None


def _read_sandboxes(host: FleetHost, reading: Inventory, called: t.Mapping[Key, Key]) -> None:
    names = {name for project, name in called}
    for name, spec in _mapping(host.sandboxes, "sandboxes").items() if called else ():
        if not _joins(spec, names):
            continue
        sandbox = parse_sandbox(host.project, name, spec, f"sandboxes.{name}").sandbox
        for endpoint in sandbox.endpoints:
            key = called.get(endpoint.network)
            if key:
                place = EndpointDeclaration(host.name, sandbox, _moved(endpoint, key), endpoint.network[1])
                reading.places.setdefault(key, []).append(place)


def _joins(spec: t.Any, names: t.AbstractSet[str]) -> bool:
    """Return whether it may be on one of the networks, so that most sandboxes of bridge networks need not be read twice."""
    if not is_mapping(spec) or spec.get("networks") is None:
        return DEFAULT_NETWORK in names
    networks = spec["networks"]
    return not (is_mapping(networks) or is_list(networks)) or not names.isdisjoint(map(str, networks))


def _moved(endpoint: Endpoint, key: Key) -> Endpoint:
    return endpoint if endpoint.network == key else endpoint._replace(network=key)
