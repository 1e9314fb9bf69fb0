# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses a sandbox's option network_mode, and checks the sandbox's other options against the mode."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.sandbox import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, MODE_NONE
from . import values
from .endpoint import DEFAULT_NETWORK
from .readers import is_list, is_mapping, shown, text

_NAME_OPTIONS = (
    "hostname",
    "domainname",
    "dns",
    "dns_search",
    "dns_opt",
    "extra_hosts",
    "records",
    "forward",
)
# Mode -> options that cannot be combined with it.
_EXCLUDED = {
    MODE_CONTAINER: (
        *_NAME_OPTIONS,
        "ports",
        "publish_all",
        "expose",
        "mac_address",
        "links",
        "sysctls",
        "attach",
    ),
    MODE_HOST: ("links", "mac_address", "sysctls", "netns", "attach"),
    MODE_NONE: ("ports", "publish_all", "links", "mac_address"),
}
_REASONS = {
    MODE_CONTAINER: "the sandbox shares the network stack of another sandbox",
    MODE_HOST: "the sandbox uses the host's network stack",
    MODE_NONE: "the sandbox has no network",
}
# Options without effect with network_mode host, as in Docker: ignored with a warning.
_PUBLISHING = ("ports", "publish_all")
_IGNORED_ON_HOST = (*_NAME_OPTIONS, "expose")


class Mode(t.NamedTuple):
    """A parsed network_mode. text is the option as written; the other fields are its meaning."""

    name: str  # MODE_* of the model
    partner: str = ""  # of container:NAME and service:NAME
    bridge: bool = False  # the sandbox joins the host's default bridge network
    text: str = ""


NO_MODE = Mode(MODE_NETWORKS)


def parse_mode(value: t.Any, path: str) -> Mode:
    """Return the mode of Compose's network_mode: bridge, host, none, container:NAME or service:NAME.

    bridge is the host's default bridge network, as with docker run. Both of the last forms name a sandbox of the same
    project.
    """
    mode = text(value, path)
    kind, colon, partner = mode.partition(":")
    if colon and kind in ("container", "service"):
        return Mode(MODE_CONTAINER, values.name(partner, path, "sandbox name"), text=mode)
    if mode == "bridge":
        return Mode(MODE_NETWORKS, bridge=True, text=mode)
    if mode not in (MODE_HOST, MODE_NONE):
        refuse(
            path,
            f"the network mode {shown(mode)} is not supported",
            "Use bridge, host, none, container:NAME or service:NAME. To join networks, use networks instead.",
        )
    return Mode(mode, text=mode)


def with_predefined_network(spec: t.Any, predefined: t.Mapping[str, str], path: str) -> t.Any:
    """Return a sandbox's declaration with network_mode in place of a network that stands for host or none.

    predefined: host or none, by the names of the networks that are declared as external with that name, as Compose
    files do. Raises DocklessError if the sandbox is on another network too, or has options there.
    """
    spec = {} if spec is None else spec
    names = _joined_networks(spec)
    name = next((name for name in names if name in predefined), None)
    if name is None:
        return spec
    path = f"{path}.networks.{name}"
    mode = predefined[name]
    if len(names) > 1:
        refuse(path, f"the network {mode} cannot be combined with other networks", "Remove it or the others.")
    networks = spec.get("networks")
    if is_mapping(networks) and networks[name]:
        refuse(path, f"a sandbox on the network {mode} has no interface that could have options", "Remove them.")
    return {**spec, "networks": None, "network_mode": mode}


def _joined_networks(spec: t.Any) -> list[str]:
    """Return the names of the networks that a sandbox joins. Errors in them are left to parse_sandbox."""
    if not is_mapping(spec) or spec.get("network_mode") is not None:
        return []
    networks = spec.get("networks")
    if networks is None:
        return [DEFAULT_NETWORK]
    if not is_mapping(networks) and not is_list(networks):
        return []
    return [name for name in networks if isinstance(name, str)]


def check_options(name: str, mode: Mode, options: dict[str, t.Any], path: str) -> tuple[str, ...]:
    """Remove the options that have no effect with the mode from options, and return a warning for each group of them.

    Raises DocklessError for an option that cannot be combined with the mode.
    """
    if options.get("networks"):
        refuse(
            path + ".networks",
            f"networks cannot be combined with network_mode {mode.text}",
            "Remove networks or network_mode.",
        )
    options.pop("networks", None)
    for key in _EXCLUDED.get(mode.name, ()):
        if options.get(key):
            refuse(
                f"{path}.{key}",
                f"{key} cannot be combined with network_mode {mode.text}, because {_REASONS[mode.name]}",
                f"Remove {key} or network_mode.",
            )
    if mode.name != MODE_HOST:
        return ()
    return _drop_ignored(name, options, path)


def _drop_ignored(name: str, options: dict[str, t.Any], path: str) -> tuple[str, ...]:
    warnings = []
    if any(options.get(key) for key in _PUBLISHING):
        warnings.append(f"{path}: published ports are discarded, because {name} uses the host's network stack.")
    ignored = [key for key in _IGNORED_ON_HOST if options.get(key)]
    if ignored:
        verb = "has" if len(ignored) == 1 else "have"
        warnings.append(f"{path}: {', '.join(ignored)} {verb} no effect, because {name} uses the host's network stack.")
    for key in (*_PUBLISHING, *ignored):
        options.pop(key, None)
    return tuple(warnings)
