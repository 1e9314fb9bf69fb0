# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Names that each sandbox can resolve, and the servers that it asks for others: read from the files of its resolver."""

from __future__ import annotations

import typing as t

from ..dns import dnsmasq_config, etc_files, upstreams
from ..model import topology
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import DnsRecord, Network
from ..model.sandbox import MODE_CONTAINER, MODE_HOST, Sandbox
from ..model.topology import Topology
from ..state.objects import File, State
from .rows import Row

States = t.Mapping[str, State]
_ADDRESS_TYPES = ("A", "AAAA")  # records of other types are in the configuration, not in hosts files


class ResolutionReport:
    """Name resolution of a resolved host, as the files of its desired states have it."""

    def __init__(self, host: Host, states: States, facts: Facts) -> None:
        self._host = host
        self._topology: Topology = topology.read_topology(host)
        self._facts = facts
        self._texts = {
            obj.path: obj.text for state in states.values() for obj in state.values() if isinstance(obj, File)
        }
        self._by_directory: dict[str, list[str]] = {}
        for path, text in sorted(self._texts.items()):
            self._by_directory.setdefault(path.rpartition("/")[0], []).append(text)

    def on_network(self, network: Network) -> list[Row]:
        """Return the name, type and value of every record that sandboxes on a network can resolve."""
        if not network.has_names:
            return []
        return self._records(dnsmasq_config.network_directory(network.key), network.records)

    def of_sandbox(self, sandbox: Sandbox) -> Row:
        """Return the networks whose names a sandbox resolves, its name servers, search domains and own names."""
        if sandbox.mode == MODE_HOST:
            return _row(self._facts.nameservers, self._facts.search)
        sandbox = self._stack_owner(sandbox)
        netns = sandbox.netns_name
        resolv_conf = self._texts.get(etc_files.directory(sandbox) + "/resolv.conf", "")
        search = _words_after(resolv_conf, "search")
        if dnsmasq_config.config_path(netns) not in self._texts:  # it has no resolver of its own
            return _row(_words_after(resolv_conf, "nameserver"), search)
        upstream = upstreams.servers(sandbox, self._topology, self._facts, self._host.defaults)
        networks = self._topology.networks_of(sandbox)
        return _row(
            upstream.addresses,
            search,
            resolves=[network.name for network in networks if network.has_names],
            own_names=self._records(dnsmasq_config.private_directory(netns), sandbox.records),
        )

    def _stack_owner(self, sandbox: Sandbox) -> Sandbox:
        """Return the sandbox whose network stack and files a sandbox uses: with network_mode container, its partner."""
        if sandbox.mode != MODE_CONTAINER:
            return sandbox
        project = next(project for project in self._host.projects if project.name == sandbox.project)
        sandboxes = {each.name: each for each in project.sandboxes}
        netns = topology.effective_netns(sandboxes, sandbox)
        owners = (each for each in project.sandboxes if each.mode != MODE_CONTAINER)
        return next(each for each in owners if each.netns_name == netns)

    def _records(self, directory: str, declared: t.Iterable[DnsRecord]) -> list[Row]:
        """Return the address records in the hosts files of a directory, and the declared records of other types."""
        rows: list[Row] = []
        for text in self._by_directory.get(directory, ()):
            for line in text.splitlines():
                if line.startswith("#"):
                    continue
                address, *names = line.split()
                kind = "AAAA" if ":" in address else "A"
                rows += [{"name": name, "type": kind, "value": address} for name in names]
        for record in declared:
            if record.kind not in _ADDRESS_TYPES:
                rows.append({"name": record.name, "type": record.kind, "value": record.value})
        return rows


def _row(
    name_servers: t.Iterable[str],
    search: t.Iterable[str],
    resolves: t.Sequence[str] = (),
    own_names: t.Sequence[Row] = (),
) -> Row:
    return {
        "resolves": list(resolves),
        "name_servers": list(name_servers),
        "search": list(search),
        "own_names": list(own_names),
    }


def _words_after(text: str, keyword: str) -> list[str]:
    """Return the values of a keyword in the text of a resolv.conf(5)."""
    lines = (line for line in text.splitlines() if line.startswith(keyword + " "))
    return [word for line in lines for word in line.split()[1:]]
