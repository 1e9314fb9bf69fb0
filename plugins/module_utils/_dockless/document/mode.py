# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""A sandbox's network mode, and the options that it excludes."""
from __future__ import annotations

import typing as t

from ..model.host import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, MODE_NONE
from . import readers, values
from .readers import refuse, shown

_EXCLUDED = {
    MODE_CONTAINER: ("hostname", "domainname", "dns", "dns_search", "dns_opt", "extra_hosts", "records", "forward", "ports",
                     "publish_all", "expose", "mac_address", "links", "sysctls", "attach"),
    MODE_HOST: ("links", "mac_address", "sysctls", "netns", "attach"),
    MODE_NONE: ("ports", "publish_all", "links", "mac_address"),
}
_WHY = {
    MODE_CONTAINER: "it has no network stack of its own but its partner's",
    MODE_HOST: "it has no network stack of its own but the host's",
    MODE_NONE: "it has no network",
}
_INERT_ON_HOST = ("hostname", "domainname", "dns", "dns_search", "dns_opt", "extra_hosts", "records", "forward", "expose")
_MODES = "Choose bridge, host, none, container:NAME or service:NAME; networks are named with the option networks."


class Mode(t.NamedTuple):
    """name is one of the model's modes; bridge tells the host's default bridge network."""

    name: str
    partner: str = ""
    bridge: bool = False
    text: str = ""


def parse_mode(value: t.Any, path: str) -> Mode:
    """Return the mode of bridge, host, none, container:NAME or service:NAME."""
    value = readers.text(value, path)
    kind, colon, partner = value.partition(":")
    if colon and kind in ("container", "service"):
        return Mode(MODE_CONTAINER, values.name(partner, path, "sandbox's name"), text=value)
    if value == "bridge":
        return Mode(MODE_NETWORKS, bridge=True, text=value)
    if value in (MODE_HOST, MODE_NONE):
        return Mode(value, text=value)
    refuse(path, f"{shown(value)} is not a network mode", _MODES)


def refuse_contradictions(name: str, mode: Mode, said: t.Dict[str, t.Any], path: str) -> t.Tuple[str, ...]:
    """Refuse options that the mode excludes, take out those without effect, and return warnings about these."""
    if said.get("networks"):
        refuse(path + ".networks", f"networks cannot be joined with network_mode {mode.text}", "Remove one of the two.")
    said.pop("networks", None)
    for key in _EXCLUDED.get(mode.name, ()):
        if said.get(key):
            refuse(f"{path}.{key}", f"{key} cannot be used with network_mode {mode.text}: {_WHY[mode.name]}", f"Remove {key} or the network_mode.")
    if mode.name != MODE_HOST:
        return ()
    warnings = []
    if said.get("ports") or said.get("publish_all"):
        warnings.append(f"{path}: published ports are discarded, because {name} uses the host's own network")
    inert = [key for key in _INERT_ON_HOST if said.get(key)]
    if inert:
        warnings.append(f"{path}: {', '.join(inert)} has no effect, because {name} uses the host's own network")
    for key in ("ports", "publish_all", *inert):
        said.pop(key, None)
    return tuple(warnings)
