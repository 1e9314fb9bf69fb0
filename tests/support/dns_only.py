# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a private host: python3 dns_only.py up|write|start|bare|running|stop < document.

Names alone, links made with ip(8).

up makes namespaces, links, files, translation and resolvers of a document; write puts only its files in place; start,
running and stop are what the engine does, and bare is start with nobody in the resolvers' places meanwhile. The answer
is JSON.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import typing as t

from _dockless.allocate.host import resolve_host
from _dockless.desired import dns
from _dockless.document.project import parse_project
from _dockless.linux import files, netns, nft
from _dockless.model import topology
from _dockless.model.facts import Facts
from _dockless.model.host import Host
from _dockless.model.network import Network
from _dockless.model.sandbox import Endpoint
from _dockless.names import DNS_DIRECTORY
from _dockless.resolvers import handover, processes, supervisor
from _dockless.state.objects import File, NftTable, Resolver

FACTS = Facts(nameservers=("127.0.0.53", "192.0.2.2"), search=())


def host_of(document: dict[str, t.Any]) -> Host:
    """Return the resolved host of one project."""
    return resolve_host(Host((parse_project("shop", document),)), {}, FACTS)


def plumb(host: Host) -> None:
    """Make bridges, namespaces and veth pairs, with routes where the network has egress."""
    networks = {network.key: network for project in host.projects for network in project.networks}
    lines = []
    for network in networks.values():
        lines.append(f"link add {network.bridge_name} type bridge")
        lines += [
            f"address add {s.gateway}/{s.network.prefixlen} dev {network.bridge_name}"
            + (" nodad" if s.version == 6 else "")
            for s in network.subnets
        ]
        lines.append(f"link set {network.bridge_name} up")
    for sandbox in (s for p in host.projects for s in p.sandboxes):
        lines += [f"netns add {sandbox.name}", f"-n {sandbox.name} link set lo up"]
        for index, endpoint in enumerate(sandbox.endpoints):
            lines += endpoint_lines(sandbox.name, index, endpoint, networks[endpoint.network])
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True)


def endpoint_lines(name: str, index: int, endpoint: Endpoint, network: Network) -> list[str]:
    """Return the ip commands that attach a sandbox to a network."""
    inner, outer = f"eth{index}", f"v{index}{name}"[:15]
    lines = [
        f"link add {outer} type veth peer name {inner} netns {name}",
        f"link set {outer} master {network.bridge_name} up",
        f"-n {name} link set {inner} up",
    ]
    lines += [
        f"-n {name} address add {cidr} dev {inner}" + (" nodad" if ":" in cidr else "") for cidr in endpoint.addresses
    ]
    if not network.internal and index == 0:
        lines += [f"-n {name} route add default via {s.gateway}" for s in network.subnets if s.version == 4]
    return lines


def write_files(objects: t.Sequence[t.Any]) -> None:
    """Write the files that differ, and remove those of networks that are not declared."""
    wanted = [obj for obj in objects if isinstance(obj, File)]
    for file in wanted:
        if files.observed(file.path) != (file.text, file.mode):
            files.write(file.path, file.text, file.mode)
    for path in set(files.listed(DNS_DIRECTORY + "/networks")) - {file.path for file in wanted}:
        files.remove(path)


def load_tables(objects: t.Sequence[t.Any]) -> None:
    """Load the sandboxes' tables, which redirect their queries."""
    for obj in objects:
        if isinstance(obj, NftTable):
            with netns.entered_named(obj.netns):
                nft.replace(obj.text)


def main(action: str) -> t.Any:
    """Do the action and return what to print."""
    host = host_of(json.load(sys.stdin))
    objects: list[t.Any] = []
    for project in host.projects:
        objects += dns.dns_objects(project, topology.read_topology(host), FACTS, host.defaults)
    resolvers = [obj for obj in objects if isinstance(obj, Resolver)]
    if action == "up":
        plumb(host)
    if action in ("up", "write"):
        write_files(objects)
    if action == "up":
        load_tables(objects)
    if action == "bare":
        handover.handed_over = lambda _resolvers, _dnsmasq: contextlib.nullcontext()  # type: ignore[assignment]
    if action in ("up", "start", "bare"):
        supervisor.start(resolvers, FACTS)
    if action == "stop":
        supervisor.stop(resolvers, FACTS)
    if action == "reload":
        supervisor.reload(resolvers)
    return {
        "wanted": {r.sandbox: r.digest for r in resolvers},
        "running": supervisor.running(resolvers),
        "processes": processes.pids_by_sandbox(resolvers),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
