# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""One sandbox, as Compose declares a service's networking."""

from __future__ import annotations

import re
import typing as t

from ..errors import refuse
from ..model.host import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, MODE_NONE, Attach, Endpoint, Pairs, Sandbox
from . import readers, values
from .dns import DNS, FORWARD, parse_extra_hosts, parse_links, parse_records
from .endpoint import DEFAULT_BRIDGE_KEY, DEFAULT_NETWORK, parse_endpoints
from .ports import parse_expose, parse_ports
from .readers import anything, boolean, integer, pairs, read, shown

_UNIT = re.compile(r"[a-zA-Z0-9:_.\\@][a-zA-Z0-9:_.\\@-]{0,254}\Z")
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
_PID = integer(1, 2**22)


def _pid(value: t.Any, path: str) -> str:
    return str(_PID(value, path))


def _path(value: t.Any, path: str) -> str:
    value = readers.text(value, path)
    if not value.startswith("/") or ".." in value.split("/"):
        refuse(
            path,
            f"{shown(value)} is not an absolute path without ..",
            "Write it like /proc/4711/ns/net or /run/netns/blue.",
        )
    return value


def _unit(value: t.Any, path: str) -> str:
    value = readers.text(value, path)
    if not _UNIT.match(value):
        refuse(path, f"{shown(value)} is not the name of a systemd unit", "Write it like web.service.")
    return value if "." in value else value + ".service"


def _container(value: t.Any, path: str) -> str:
    value = readers.text(value, path)
    if not _CONTAINER.match(value):
        refuse(
            path, f"{shown(value)} is not the name or id of a container", "Write it as docker ps or podman ps shows it."
        )
    return value


_ATTACH_KEYS = {"pid": _pid, "path": _path, "unit": _unit, "docker": _container, "podman": _container}


def parse_attach(value: t.Any, path: str) -> Attach:
    """Return the one way in: pid, path, unit, docker or podman."""
    said = read(value, path, _ATTACH_KEYS)
    if len(said) != 1:
        refuse(
            path,
            f"exactly one of {', '.join(_ATTACH_KEYS)} is needed, not {len(said)}",
            "Say which namespace to use in one way.",
        )
    return Attach(*said.popitem())


_EXCLUDED = {
    MODE_CONTAINER: (
        "hostname",
        "domainname",
        "dns",
        "dns_search",
        "dns_opt",
        "extra_hosts",
        "records",
        "forward",
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
_WHY = {
    MODE_CONTAINER: "it has no network stack of its own but its partner's",
    MODE_HOST: "it has no network stack of its own but the host's",
    MODE_NONE: "it has no network",
}
_INERT_ON_HOST = (
    "hostname",
    "domainname",
    "dns",
    "dns_search",
    "dns_opt",
    "extra_hosts",
    "records",
    "forward",
    "expose",
)
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


def refuse_contradictions(name: str, mode: Mode, said: dict[str, t.Any], path: str) -> tuple[str, ...]:
    """Refuse options that the mode excludes, take out those without effect, and return warnings about these."""
    if said.get("networks"):
        refuse(path + ".networks", f"networks cannot be joined with network_mode {mode.text}", "Remove one of the two.")
    said.pop("networks", None)
    for key in _EXCLUDED.get(mode.name, ()):
        if said.get(key):
            refuse(
                f"{path}.{key}",
                f"{key} cannot be used with network_mode {mode.text}: {_WHY[mode.name]}",
                f"Remove {key} or the network_mode.",
            )
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


def _sysctls(value: t.Any, path: str) -> Pairs:
    """Return ("net/ipv4/ip_unprivileged_port_start", "0") and so on, sorted."""
    return tuple(sorted((values.net_sysctl(key, path), item) for key, item in pairs(value, path)))


_KEYS = {
    "networks": anything,
    "network_mode": parse_mode,
    "ports": anything,
    "expose": parse_expose,
    "publish_all": boolean,
    "links": parse_links,
    "hostname": values.domain,
    "domainname": values.domain,
    "extra_hosts": parse_extra_hosts,
    "records": parse_records,
    "forward": FORWARD,
    "mac_address": values.mac,
    "sysctls": _sysctls,
    "labels": pairs,
    "netns": values.name,
    "attach": parse_attach,
    **DNS,
}
_PLAIN = Mode(MODE_NETWORKS)


class Parsed(t.NamedTuple):
    """A sandbox and what its author should know."""

    sandbox: Sandbox
    warnings: tuple[str, ...] = ()


def parse_sandbox(project: str, name: t.Any, spec: t.Any, path: str) -> Parsed:
    """Return the sandbox that spec declares; None is one that joins its project's default network.

    ================== ==========================================================================
    networks           list of names, or dictionary of name and options (see parse_endpoints);
                       empty: no network, only lo; not said: the project's default network
    network_mode       bridge (the host's default one), host, none, container:NAME, service:NAME
    ports, publish_all published ports, and whether those exposed are published too
    expose             ports that are documented, and opened to links
    links              "sandbox" or "sandbox:alias"
    hostname           and domainname, dns, dns_search, dns_opt, extra_hosts: its names
    records, forward   extra DNS records; where unknown names go (host, servers, none)
    mac_address        of its interface on the first network
    sysctls            of net.*, dictionary or list
    labels             dictionary, or list of key=value
    netns              the namespace's name under /run/netns, if not the sandbox's own
    attach             a namespace of others: one of pid, path, unit, docker, podman
    ================== ==========================================================================
    """
    name = values.name(name, path, "sandbox's name")
    said = read(spec if spec is not None else {}, path, _KEYS)
    mode: Mode = said.pop("network_mode", _PLAIN)
    warnings: tuple[str, ...] = ()
    if mode is not _PLAIN:
        warnings = refuse_contradictions(name, mode, said, path)
    endpoints = _endpoints(project, name, mode, said, path)
    if mode.name == MODE_NETWORKS and not endpoints:
        _refuse_unreachable(said, path)
    return Parsed(_sandbox(project, name, mode, endpoints, said, path), warnings)


def _sandbox(
    project: str, name: str, mode: Mode, endpoints: tuple[Endpoint, ...], said: dict[str, t.Any], path: str
) -> Sandbox:
    own = mode.name != MODE_HOST
    if len(said) <= 2 and not set(said) - {"networks", "ports"}:  # most are no more than this
        ports = parse_ports(project, name, said["ports"], path + ".ports") if "ports" in said else ()
        return Sandbox(project, name, mode.name, mode.partner, None, name if own else "", endpoints, ports, path=path)
    get = said.get
    return Sandbox(
        project,
        name,
        mode=mode.name,
        partner=mode.partner,
        attach=get("attach"),
        netns=get("netns", name) if own else "",
        endpoints=endpoints,
        ports=parse_ports(project, name, said["ports"], path + ".ports") if "ports" in said else (),
        expose=get("expose", ()),
        publish_all=get("publish_all", False),
        hostname=get("hostname", ""),
        domainname=get("domainname", ""),
        dns=get("dns", ()),
        dns_search=get("dns_search", ()),
        dns_opt=get("dns_opt", ()),
        forward=get("forward", ""),
        extra_hosts=get("extra_hosts", ()),
        records=get("records", ()),
        sysctls=get("sysctls", ()),
        labels=get("labels", ()),
        path=path,
    )


def _endpoints(project: str, name: str, mode: Mode, said: dict[str, t.Any], path: str) -> tuple[Endpoint, ...]:
    links = said.get("links", ())
    if mode.name != MODE_NETWORKS:
        return ()
    if mode.bridge:
        found: tuple[Endpoint, ...] = (
            Endpoint(project, name, DEFAULT_BRIDGE_KEY, links=links, path=path + ".network_mode"),
        )
    elif "networks" in said:
        found = parse_endpoints(project, name, said["networks"], path + ".networks", links)
    else:
        found = (Endpoint(project, name, (project, DEFAULT_NETWORK), links=links, path=path),)
    if "mac_address" in said and found:
        found = _with_mac(found, said["mac_address"], path + ".mac_address")
    return found


def _with_mac(endpoints: tuple[Endpoint, ...], mac: str, path: str) -> tuple[Endpoint, ...]:
    """Give the MAC to the endpoint that has the default route: Docker copies it to no second network."""
    first = max(range(len(endpoints)), key=lambda index: (endpoints[index].gw_priority, -index))
    said = endpoints[first].mac_address
    if said and said != mac:
        refuse(path, f"the endpoint {endpoints[first].path} has another MAC address, {said}", "Say it once.")
    return endpoints[:first] + (endpoints[first]._replace(mac_address=mac),) + endpoints[first + 1 :]


def _refuse_unreachable(said: dict[str, t.Any], path: str) -> None:
    for key in ("ports", "publish_all", "links", "mac_address"):
        if said.get(key):
            refuse(
                f"{path}.{key}",
                f"{key} needs a network, and the sandbox has none",
                "Give it a network, or remove the option.",
            )
