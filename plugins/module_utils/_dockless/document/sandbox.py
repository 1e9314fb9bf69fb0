# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Parses one sandbox: the networking options of a Compose service, and what network namespaces need beside them."""

from __future__ import annotations

import typing as t

from ..errors import refuse
from ..model.network import Pairs
from ..model.sandbox import MODE_HOST, MODE_NETWORKS, Endpoint, Sandbox
from . import values
from .attach import parse_attach
from .dns import DNS_OPTIONS, parse_extra_hosts, parse_links, parse_records, read_forward
from .endpoint import DEFAULT_BRIDGE_KEY, DEFAULT_NETWORK, parse_endpoints
from .network_mode import NO_MODE, Mode, check_options, parse_mode
from .ports import parse_expose, parse_ports
from .readers import anything, boolean, pairs, read


class ParsedSandbox(t.NamedTuple):
    """A sandbox and the warnings about its options."""

    sandbox: Sandbox
    warnings: tuple[str, ...] = ()


def _sysctls(value: t.Any, path: str) -> Pairs:
    """Return ("net/ipv4/ip_unprivileged_port_start", "0") and so on, sorted, from a dictionary or a list."""
    return tuple(sorted((values.net_sysctl(key, path), item) for key, item in pairs(value, path)))


_OPTIONS = {
    "networks": anything,  # see parse_endpoints; empty: only lo; default: the project's network default
    "network_mode": parse_mode,  # bridge, host, none, container:NAME or service:NAME; excludes networks
    "ports": anything,  # published ports, see parse_ports
    "expose": parse_expose,  # ports that publish_all publishes and links may use
    "publish_all": boolean,  # true: publish each port of expose on a free host port
    "links": parse_links,  # "SANDBOX" or "SANDBOX:ALIAS", on each network of the sandbox
    "hostname": values.domain,  # default: the sandbox's name
    "domainname": values.domain,
    **DNS_OPTIONS,
    "extra_hosts": parse_extra_hosts,  # lines of /etc/hosts
    "records": parse_records,  # DNS records that this sandbox alone sees: list of name, type, value
    "forward": read_forward,  # where queries for other names go: host, servers or none
    "mac_address": values.mac,  # of the interface on the network with the highest priority, see _with_mac
    "sysctls": _sysctls,  # net.* of the namespace: dictionary, or list of KEY=VALUE
    "labels": pairs,  # dictionary, or list of KEY=VALUE
    "netns": values.name,  # name below /run/netns; default: the sandbox's name
    "attach": parse_attach,  # use the namespace of another program
}


def parse_sandbox(project: str, name: t.Any, spec: t.Any, path: str) -> ParsedSandbox:
    """Return the sandbox that spec declares.

    spec is a dictionary of _OPTIONS; None is an empty one. Options have the shapes that they have in a service of the
    Compose specification. Raises DocklessError for a value that is wrong by itself and for options that contradict
    each other.
    """
    name = values.name(name, path, "sandbox name")
    options = read(spec if spec is not None else {}, path, _OPTIONS)
    mode: Mode = options.pop("network_mode", NO_MODE)
    warnings: tuple[str, ...] = ()
    if mode is not NO_MODE:
        warnings = check_options(name, mode, options, path)
    endpoints = _endpoints(project, name, mode, options, path)
    if mode.name == MODE_NETWORKS and not endpoints:
        _refuse_options_of_networks(options, path)
    warnings += _mac_warnings(endpoints, options, path)
    return ParsedSandbox(_sandbox(project, name, mode, endpoints, options, path), warnings)


def _sandbox(
    project: str, name: str, mode: Mode, endpoints: tuple[Endpoint, ...], options: dict[str, t.Any], path: str
) -> Sandbox:
    ports = parse_ports(project, name, options["ports"], path + ".ports") if "ports" in options else ()
    own_netns = "" if mode.name == MODE_HOST else options.get("netns", name)
    sandbox = Sandbox(
        project,
        name,
        mode=mode.name,
        partner=mode.partner,
        netns=own_netns,
        endpoints=endpoints,
        ports=ports,
        path=path,
    )
    if options.keys() <= {"networks", "ports"}:  # most sandboxes: the rest costs more than all of the above
        return sandbox
    get = options.get
    return sandbox._replace(
        attach=get("attach"),
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
    )


def _endpoints(project: str, name: str, mode: Mode, options: dict[str, t.Any], path: str) -> tuple[Endpoint, ...]:
    if mode.name != MODE_NETWORKS:
        return ()
    links = options.get("links", ())
    endpoints: tuple[Endpoint, ...]
    if mode.bridge:
        endpoints = (Endpoint(project, name, DEFAULT_BRIDGE_KEY, links=links, path=path + ".network_mode"),)
    elif "networks" in options:
        endpoints = parse_endpoints(project, name, options["networks"], path + ".networks", links)
    else:
        endpoints = (Endpoint(project, name, (project, DEFAULT_NETWORK), links=links, path=path),)
    if "mac_address" in options and endpoints:
        return _with_mac(endpoints, options["mac_address"])
    return endpoints


def _with_mac(endpoints: tuple[Endpoint, ...], mac: str) -> tuple[Endpoint, ...]:
    """Return the endpoints with the sandbox's MAC address on one of them, as Compose does it.

    It is the one with the highest priority, of several the one whose network has the first name. An endpoint keeps a
    MAC address of its own.
    """
    chosen = _mac_endpoint(endpoints)
    if chosen.mac_address:
        return endpoints
    return tuple(endpoint._replace(mac_address=mac) if endpoint is chosen else endpoint for endpoint in endpoints)


def _mac_endpoint(endpoints: tuple[Endpoint, ...]) -> Endpoint:
    return min(endpoints, key=lambda endpoint: (-endpoint.priority, endpoint.network))


def _mac_warnings(endpoints: tuple[Endpoint, ...], options: t.Mapping[str, t.Any], path: str) -> tuple[str, ...]:
    """Return a warning if the sandbox's MAC address is on no interface, because that endpoint has its own."""
    mac = options.get("mac_address")
    if not mac or not endpoints or any(endpoint.mac_address == mac for endpoint in endpoints):
        return ()
    chosen = _mac_endpoint(endpoints)
    return (f"{path}.mac_address: {mac} has no effect, because {chosen.path} sets {chosen.mac_address}.",)


def _refuse_options_of_networks(options: dict[str, t.Any], path: str) -> None:
    for key in ("ports", "publish_all", "links", "mac_address"):
        if options.get(key):
            refuse(
                f"{path}.{key}",
                f"{key} requires a network, but the sandbox has none",
                f"Add a network to networks, or remove {key}.",
            )
