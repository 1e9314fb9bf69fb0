# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What each small module does to its project's declaration. Pure: a declaration in, another out, neither mutated.

In a spec, None is "not said" and keeps what stands; [] and {} are "empty".
Adding is the rule; keep_* and replace_* take away what is not named. Taking
away what is not there changes nothing. What the result means is for parse and
checks to judge.
"""

from __future__ import annotations

import typing as t

from ..document.readers import is_list, is_mapping, wrong_type
from ..errors import DocklessError
from .declaration import Declaration, Spec, given_options, sandbox_of, section, with_object, without_objects

PREDEFINED = ("bridge", "host", "none")
DEFAULT = "default"


def replace_document(declaration: Declaration, document: Declaration) -> Declaration:
    """Return the declaration with the parts that document has (networks, sandboxes, veth_pairs) in place of its own."""
    return {**declaration, **given_options(document)}


def merge_document(declaration: Declaration, document: Declaration) -> Declaration:
    """Return the declaration with the objects of document added, or changed where they say something."""
    for kind, objects in given_options(document).items():
        for name, spec in objects.items():
            if spec is not None and not is_mapping(spec):
                wrong_type(spec, f"{kind}.{name}", "a dictionary")
            declaration = with_object(
                declaration, kind, name, {**(section(declaration, kind).get(name) or {}), **given_options(spec or {})}
            )
    return declaration


def put_network(declaration: Declaration, name: str, spec: Spec) -> Declaration:
    """Return the declaration with a network that has what spec says, and else what it had."""
    return with_object(
        declaration, "networks", name, {**(section(declaration, "networks").get(name) or {}), **given_options(spec)}
    )


def remove_network(declaration: Declaration, name: str) -> Declaration:
    """Return the declaration without a network. Raises DocklessError while sandboxes are on it."""
    if name in PREDEFINED:
        raise DocklessError(
            f"the network {name} is predefined and cannot be removed",
            "Remove the sandboxes on it instead.",
            f"networks.{name}",
        )
    users = [sandbox for sandbox, spec in section(declaration, "sandboxes").items() if name in networks_of(spec)]
    if users and (name in section(declaration, "networks") or name == DEFAULT):
        raise DocklessError(
            f"the network {name} has active endpoints: {', '.join(sorted(users))}",
            "Disconnect or remove these sandboxes first.",
            f"networks.{name}",
        )
    return without_objects(declaration, "networks", (name,))


def keep_networks(
    declaration: Declaration, names: t.Container[str], drivers: t.Container[str] = ("bridge",)
) -> Declaration:
    """Return the declaration with no networks of these drivers but those named. Raises DocklessError while sandboxes are on another."""
    for name, spec in section(declaration, "networks").items():
        if name not in names and (spec or {}).get("driver", "bridge") in drivers:
            declaration = remove_network(declaration, name)
    return declaration


def put_sandbox(declaration: Declaration, name: str, spec: Spec) -> Declaration:
    """Return the declaration with a sandbox that has what spec says, and else what it had.

    A new one is on no network unless spec says so. A mode takes the place of
    networks, and networks that of a mode.
    """
    spec = given_options(spec)
    before = section(declaration, "sandboxes").get(name)
    after = {**(before or {}), **spec}
    if name not in section(declaration, "sandboxes") and not {"networks", "network_mode"} & set(spec):
        after["networks"] = {}
    if "network_mode" in spec and "networks" not in spec:
        after.pop("networks", None)
    elif "networks" in spec and "network_mode" not in spec:
        after.pop("network_mode", None)
    return with_object(declaration, "sandboxes", name, after)


def remove_sandbox(declaration: Declaration, name: str, force: bool = False) -> Declaration:
    """Return the declaration without a sandbox. Raises DocklessError while another shares its stack.

    With force, those that shared it are left with only lo.
    """
    users = sharers(declaration, name)
    if users and not force:
        raise DocklessError(
            f"the sandbox {name} is in use: {', '.join(users)} shares its network stack",
            "Remove that first, or use force: true to leave it with lo alone.",
            f"sandboxes.{name}",
        )
    for user in users:
        declaration = with_object(
            declaration, "sandboxes", user, {**section(declaration, "sandboxes")[user], "network_mode": "none"}
        )
    return without_objects(declaration, "sandboxes", (name,))


def keep_sandboxes(declaration: Declaration, names: t.Container[str]) -> Declaration:
    """Return the declaration with no sandboxes but those named. Raises DocklessError while one of these shares another's stack."""
    others = [name for name in section(declaration, "sandboxes") if name not in names]
    rest = without_objects(declaration, "sandboxes", others)
    for name in others:
        remove_sandbox(rest, name)
    return rest


def connect(declaration: Declaration, sandbox: str, network: str, spec: Spec) -> Declaration:
    """Return the declaration with the sandbox on the network, as spec says, and else as it was."""
    before = sandbox_of(declaration, sandbox)
    path = f"sandboxes.{sandbox}.networks.{network}"
    if network in ("host", "none"):
        raise DocklessError(
            f"a sandbox cannot be connected to the network {network}", f"Use network_mode: {network} instead.", path
        )
    mode = before.get("network_mode") or "bridge"
    if mode != "bridge":
        raise DocklessError(
            f"the sandbox {sandbox} has network_mode {mode} and cannot be connected to networks",
            "Take its network_mode away first.",
            path,
        )
    joined = networks_of(before)
    joined[network] = {**joined.get(network, {}), **given_options(spec)}
    return _with_networks(declaration, sandbox, joined)


def disconnect(declaration: Declaration, sandbox: str, network: str) -> Declaration:
    """Return the declaration with the sandbox off the network, and without what no network is left to carry."""
    before = section(declaration, "sandboxes").get(sandbox) or {}
    if network == "host" and before.get("network_mode") == "host":
        raise DocklessError(
            f"the sandbox {sandbox} cannot be disconnected from the host's network",
            "Give it another network_mode, or remove it.",
            f"sandboxes.{sandbox}.network_mode",
        )
    joined = networks_of(before)
    if sandbox not in section(declaration, "sandboxes") or network not in joined:
        return declaration
    del joined[network]
    declaration = _with_networks(declaration, sandbox, joined)
    lost = set() if any(_carries_ports(declaration, name) for name in joined) else {"ports", "publish_all"}
    if not joined:
        lost |= {"links", "mac_address"}
    after = {key: value for key, value in section(declaration, "sandboxes")[sandbox].items() if key not in lost}
    return with_object(declaration, "sandboxes", sandbox, after)


def keep_endpoints(declaration: Declaration, keys: t.Iterable[tuple[str, str]]) -> Declaration:
    """Return the declaration with each sandbox of keys (sandbox, network) on those networks alone."""
    wanted: dict[str, set[str]] = {}
    for sandbox, network in keys:
        wanted.setdefault(sandbox, set()).add(network)
    for sandbox, networks in wanted.items():
        for network in networks_of(section(declaration, "sandboxes").get(sandbox) or {}):
            if network not in networks:
                declaration = disconnect(declaration, sandbox, network)
    return declaration


def networks_of(spec: Spec | None) -> dict[str, t.Any]:
    """Return the networks that a sandbox joins, with the options of each, whatever form they were written in."""
    spec = spec or {}
    mode = spec.get("network_mode")
    if mode is not None:
        return {"bridge": {}} if mode == "bridge" else {}
    joined = spec.get("networks")
    if joined is None:
        return {DEFAULT: {}}
    if is_list(joined):
        return {name: {} for name in joined}
    return {name: dict(options or {}) for name, options in joined.items()}


def sharers(declaration: Declaration, name: str) -> list[str]:
    """Return the sandboxes that share the stack of one."""
    modes = (f"container:{name}", f"service:{name}")
    return sorted(
        other for other, spec in section(declaration, "sandboxes").items() if (spec or {}).get("network_mode") in modes
    )


def _with_networks(declaration: Declaration, sandbox: str, joined: dict[str, t.Any]) -> Declaration:
    before = section(declaration, "sandboxes")[sandbox] or {}
    after = {key: value for key, value in before.items() if key != "network_mode"}
    return with_object(declaration, "sandboxes", sandbox, {**after, "networks": joined})


def _carries_ports(declaration: Declaration, network: str) -> bool:
    spec = section(declaration, "networks").get(network) or {}
    return not spec.get("internal") and spec.get("driver") not in ("macvlan", "ipvlan")
