# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""What each sandbox can look up and where its other questions go, for people: read from the files that its resolver serves."""

from __future__ import annotations

import typing as t

from ..dns import dnsmasq_config, etc_files
from ..model import topology
from ..model.facts import Facts
from ..model.host import MODE_CONTAINER, MODE_HOST, DnsRecord, Host, Network, Sandbox
from ..model.topology import Topology
from ..state.objects import File, State
from .rows import Row

States = t.Mapping[str, State]


class ResolutionReport:
    """The names of a resolved host, as its states have them."""

    def __init__(self, host: Host, states: States, facts: Facts) -> None:
        self._host = host
        self._topology: Topology = topology.read_topology(host)
        self._facts = facts
        self._texts = {
            thing.path: thing.text for state in states.values() for thing in state.values() if isinstance(thing, File)
        }
        self._by_directory: dict[str, list[str]] = {}
        for path, text in sorted(self._texts.items()):
            self._by_directory.setdefault(path.rpartition("/")[0], []).append(text)

    def on_network(self, network: Network) -> list[Row]:
        """Return what everybody on a network can look up: name, type, value."""
        if not topology.has_names(network):
            return []
        return self._served(dnsmasq_config.network_directory(network.key), network.records)

    def of_sandbox(self, sandbox: Sandbox) -> Row:
        """Return one sandbox's way of looking names up."""
        if sandbox.mode == MODE_HOST:
            return {
                "resolves": [],
                "name_servers": list(self._facts.nameservers),
                "search": list(self._facts.search),
                "own_names": [],
            }
        sandbox = self._owner(sandbox)
        netns = topology.netns_of(sandbox)
        said = self._texts.get(etc_files.directory(sandbox) + "/resolv.conf", "")
        resolved = dnsmasq_config.config_path(netns) in self._texts
        asked = (
            dnsmasq_config.servers(sandbox, self._topology, self._facts, self._host.defaults).addresses
            if resolved
            else _said(said, "nameserver")
        )
        return {
            "resolves": [n.name for n in topology.networks_of_sandbox(sandbox, self._topology) if topology.has_names(n)]
            if resolved
            else [],
            "name_servers": list(asked),
            "search": _said(said, "search"),
            "own_names": self._served(dnsmasq_config.private_directory(netns), sandbox.records) if resolved else [],
        }

    def _owner(self, sandbox: Sandbox) -> Sandbox:
        """Return the sandbox whose files a sandbox has: its partner's, where it shares a stack."""
        if sandbox.mode != MODE_CONTAINER:
            return sandbox
        others = {s.name: s for p in self._host.projects if p.name == sandbox.project for s in p.sandboxes}
        netns = topology.effective_netns(others, sandbox)
        return next(s for s in others.values() if s.mode != MODE_CONTAINER and topology.netns_of(s) == netns)

    def _served(self, directory: str, records: t.Iterable[DnsRecord]) -> list[Row]:
        rows: list[Row] = []
        for text in self._by_directory.get(directory, ()):
            for line in text.splitlines():
                address, *called = line.split() if not line.startswith("#") else [""]
                rows += [{"name": name, "type": "AAAA" if ":" in address else "A", "value": address} for name in called]
        return rows + [
            {"name": r.name, "type": r.kind, "value": r.value} for r in records if r.kind not in ("A", "AAAA")
        ]


def _said(text: str, keyword: str) -> list[str]:
    """Return the words behind a keyword of resolv.conf(5)."""
    return [word for line in text.splitlines() if line.startswith(keyword + " ") for word in line.split()[1:]]
