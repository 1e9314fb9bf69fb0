# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Plan -> kernel and files, in flights. Every step passes one hook point before its change is sent."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import typing as t

from ..dns import dnsmasq_config
from ..errors import KernelError
from ..firewall import host_table, port_security
from ..linux import files, foreign_firewalls, netns, nft, rtnetlink
from ..linux.nft_tables import Tables
from ..linux.rtnetlink import RTM_NEWADDR
from ..model.facts import Facts
from ..names import DNS_DIRECTORY, HANDOVERS, PENDING_DELETE_GROUP
from ..resolvers import record_files, supervisor
from ..resolvers.record_files import DIRECTORIES
from ..state import plan
from ..state.objects import HOST, File, Netns, NftTable, Resolver, Route, Veth
from ..state.plan import CREATE, DELETE, UPDATE, Hook, Step
from . import links, wireguard
from .namespaces import Handles, Pair
from .steps import (
    adopt_namespace,
    change_end,
    change_peer,
    chunks,
    deletion_messages,
    entry_message,
    keep_secondaries,
    label_pair,
    link_index,
    make_pair,
    namespace_of,
    pin_namespace,
    set_sysctl,
    write_pair_conf,
)
from .wireguard import KINDS

Steps = t.Sequence[Step]
_CONFIGURATIONS = DNS_DIRECTORY + "/resolvers"
_WATCHED = tuple(directory + "/" for directory in (*DIRECTORIES, DNS_DIRECTORY + "/upstreams"))


class Executor:
    """Executes the parts of one plan. Raises DocklessError where the encoder is missing, before anything is changed."""

    def __init__(self, facts: Facts, tables: Tables, hook: Hook = plan.no_hook) -> None:
        rtnetlink.require()
        self._facts = facts
        self._tables = tables
        self._renewed: list[str] = []  # directories of records that did not exist, or no longer
        self._hook = hook

    def build(self, steps: Steps) -> None:
        """Create and change. Raises DocklessError at the first refusal; what was done stays done."""
        self._guard(steps)
        with Handles() as handles:
            wireguard.build_wireguard(steps, handles, self._passed)
            host = [s for s in steps if s.key[0] == "link" and s.key[1] == HOST]
            rising, uplinks = links.build_host_links(host, handles, self._passed)
            bound = [s for s in steps if s.key[0] in _KERNEL or s.key[0] == "link" and s.key[1] != HOST]
            for chunk in chunks([s for s in bound if namespace_of(s) or s.key[0] == "veth"]):
                self._sandboxes(chunk, handles)
                handles.close_sandboxes()
            handles.get(HOST).send(rising)
            self._contents([s for s in bound if not namespace_of(s) and s.key[0] != "veth" and not _waits(s)], handles)
        self._files([s for s in steps if s.key[0] == "file"])
        self._put_tables([s for s in steps if s.key[0] == "nft"])
        if uplinks:  # what arrives by them is let in by that table
            with Handles() as handles:
                handles.get(HOST).send(uplinks)
        with Handles() as handles:
            self._contents([s for s in steps if _waits(s)], handles)
        self._resolvers(steps)
        supervisor.reload_services([s.key[1] for s in steps if s.key[0] == "file"], self._facts)
        foreign_firewalls.apply_rules(list(self._passed([s for s in steps if s.key[0] == "passage"])))

    def remove(self, steps: Steps) -> None:
        """Delete, in the order of the steps."""
        with Handles() as handles:
            for kind, part in itertools.groupby(steps, key=lambda s: s.key[0]):
                _REMOVAL[kind](self, list(part), handles)

    def _guard(self, steps: Steps) -> None:
        """Load what guards links before they are there or change: rules without data, and who sends by which port, as a new MAC tells itself at once."""
        for step in (step for step in steps if step.key == ("nft", HOST)):
            after = port_security.port_table_in(step.after.text)
            if step.before is None or after != port_security.port_table_in(step.before.text):
                self._hook(step)
                self._tables.put(NftTable(HOST, host_table.empty_table(after) if step.before is None else after))

    def bury(self) -> None:
        """Delete links that a run marked for it before it was stopped, and end resolvers that it had in others' places."""
        if files.listed(HANDOVERS):
            from ..resolvers import handover

            handover.end_leftovers()
        step = Step(DELETE, ("link", HOST, ""), None, None, "marked for removal")
        with Handles() as handles:
            handles.get(HOST).withdraw([(bytearray(rtnetlink.delete_link_group(PENDING_DELETE_GROUP)), step)], _GONE)

    # ---- sandboxes ---------------------------------------------------------

    def _sandboxes(self, steps: Steps, handles: Handles) -> None:
        """Namespaces, then their pairs, then what is inside; links come up after their addresses, so that arp_notify tells them."""
        self._namespaces([s for s in steps if s.key[0] == "netns"], handles)
        pairs = [s for s in steps if s.key[0] == "veth"]
        self._pairs([s for s in pairs if s.action == CREATE], handles)
        fresh = {s.after.name: dict(s.after.defaults) for s in steps if s.key[0] == "netns" and s.action == CREATE}
        rising = self._change_pairs(pairs, fresh, handles)
        for name, sent in links.build_sandbox_links(
            [s for s in steps if s.key[0] == "link"], fresh, handles, self._passed
        ).items():
            rising.setdefault(name, []).extend(sent)
        self._contents([s for s in steps if s.key[0] in _CONTENTS], handles, rising)

    def _namespaces(self, steps: Steps, handles: Handles) -> None:
        by_name = {s.key[1]: s for s in steps if s.action == CREATE}
        if by_name:
            netns.prepare()
        for step in self._passed(list(by_name.values())):
            if step.after.partner:
                pin_namespace(step, netns.path(step.after.partner))
            elif step.after.inode:
                adopt_namespace(step)
            else:
                handles.make(step, rtnetlink.mark_loopback(step.after.label))
        for step in self._passed([s for s in steps if s.action == UPDATE and not s.after.partner]):
            mark = rtnetlink.label_loopback if step.after.inode else rtnetlink.mark_loopback
            handles.get(step.after.name).send([(mark(step.after.label), step)])

    def _pairs(self, steps: Steps, handles: Handles) -> None:
        host = handles.get(HOST)
        sent: list[Pair] = []
        try:
            for step in self._passed(steps):
                sent += [(m, step) for m in make_pair(step, host, handles, self._facts.ipv6)]
        finally:  # a step that the hook stops leaves those before it done
            host.send(sent)
        for step in steps:
            for name in (step.after.netns, step.after.peer_netns):
                handles.get(name).forget()
            if step.after.label:
                label_pair(step, handles)

    def _change_pairs(
        self, steps: Steps, fresh: t.Mapping[str, t.Mapping[str, int]], handles: Handles
    ) -> dict[str, list[Pair]]:
        """Change what differs and return the messages that bring inner ends up, by namespace."""
        rising: dict[str, list[Pair]] = {}
        for step in steps:
            after = t.cast(Veth, step.after)
            before = t.cast(t.Optional[Veth], step.before)
            if before is not None:
                self._hook(step)
            write_pair_conf(step, fresh.get(after.peer_netns, {}), handles)
            outer = handles.get(after.netns)
            outer.send([(m, step) for m in change_end(before, after, outer, self._facts.ipv6)])
            inner = handles.get(after.peer_netns)
            for message in change_peer(before, after, inner):
                rising.setdefault(after.peer_netns, []).append((message, step))
        return rising

    def _contents(self, steps: Steps, handles: Handles, rising: dict[str, list[Pair]] | None = None) -> None:
        waiting = dict(rising or {})
        for name, part in itertools.groupby(sorted(steps, key=namespace_of), key=namespace_of):
            self._fill(name, list(part), waiting.pop(name, []), handles)
        for name, sent in waiting.items():
            handles.get(name).send(sent)

    def _fill(self, name: str, steps: Steps, rising: list[Pair], handles: Handles) -> None:
        handle = handles.get(name)
        for step in self._passed([s for s in steps if s.key[0] == "sysctl"]):
            with netns.entered_named(name):
                set_sysctl(step)
        sent: list[Pair] = []
        try:
            for step in self._passed([s for s in steps if s.key[0] == "address"]):
                sent.append((rtnetlink.address(RTM_NEWADDR, link_index(step, handle), step.after.cidr), step))
            sent += rising
            for step in self._passed([s for s in steps if s.key[0] in ("neighbour", "forward", "route")]):
                sent.append((entry_message(step, handle), step))
        finally:
            handle.send(sent)

    def _put_tables(self, steps: Steps) -> None:
        """Load sandboxes' tables side by side, each by a process of its own; then the host's, which publishes."""
        inside = list(self._passed([s for s in steps if s.key[1] != HOST]))
        if inside:
            from concurrent import futures  # an import that runs without names need not pay for

            with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                list(pool.map(lambda step: self._tables.put(t.cast(NftTable, step.after)), inside))
        for step in self._passed([s for s in steps if s.key[1] == HOST]):
            self._tables.publish(t.cast(t.Any, step.before), t.cast(t.Any, step.after))

    # ---- files and resolvers -----------------------------------------------

    def _files(self, steps: Steps) -> None:
        for moment in record_files.transitional_files(steps):
            files.write(*moment)
        for step in self._passed(steps):
            directory = os.path.dirname(step.key[1])
            if directory.startswith(_WATCHED) and not os.path.isdir(directory):
                self._renewed.append(directory)
            files.write(*t.cast(File, step.after))

    def _resolvers(self, steps: Steps) -> None:
        started = [t.cast(Resolver, s.after) for s in self._passed([s for s in steps if s.key[0] == "resolver"])]
        # A watch ends with its directory, so whoever reads one that was made again has to look anew.
        deaf = [
            known for known in record_files.readers(self._renewed) if known.key not in {thing.key for thing in started}
        ]
        supervisor.start([*started, *supervisor.running_resolvers(deaf)], self._facts)
        record_files.reload_readers(steps, self._facts)

    # ---- removal -----------------------------------------------------------

    def _remove_resolvers(self, steps: Steps, handles: Handles) -> None:
        supervisor.stop([t.cast(Resolver, s.before) for s in self._passed(steps)], self._facts)

    def _remove_tables(self, steps: Steps, handles: Handles) -> None:
        for step in self._passed(steps):
            if step.key[1] == HOST:
                self._tables.publish(t.cast(t.Any, step.before), t.cast(t.Any, step.after))
                continue
            with contextlib.suppress(FileNotFoundError), netns.entered_named(step.key[1]):
                nft.replace("")

    def _remove_files(self, steps: Steps, handles: Handles) -> None:
        passed = list(self._passed(steps))
        paths = [step.key[1] for step in passed]
        # A resolver that was killed leaves its pid behind.
        paths += [
            dnsmasq_config.pid_path(os.path.basename(path)[:-5]) for path in paths if path.startswith(_CONFIGURATIONS)
        ]
        for path in paths:
            files.remove(path)
        files.remove_empty_above({os.path.dirname(path) for path in paths})
        supervisor.reload_services(paths, self._facts)
        record_files.reload_readers(passed, self._facts)

    def _remove_inside(self, steps: Steps, handles: Handles) -> None:
        for step in self._passed(steps):
            with _gone_is_fine():
                handle = handles.get(step.key[1])
                keep_secondaries(step, handle)
                handle.withdraw([(message, step) for message in deletion_messages(step, handle)], _GONE)

    def _remove_links(self, steps: Steps, handles: Handles) -> None:
        """Doom links by a group number and delete the group: one by one, 200 pairs take 3.5 s instead of 0.1."""
        host = handles.get(HOST)
        doomed: list[Pair] = []
        try:
            for step in self._passed(steps):
                with _gone_is_fine():
                    if step.key[1] == HOST:
                        doomed.append(
                            (
                                bytearray(rtnetlink.change_link(host.index(step.key[2]), group=PENDING_DELETE_GROUP)),
                                step,
                            )
                        )
                    else:
                        handle = handles.get(step.key[1])
                        handle.send([(bytearray(rtnetlink.delete_link(handle.index(step.key[2]))), step)])
        finally:
            if doomed:
                host.withdraw(doomed, _GONE)
                host.withdraw([(bytearray(rtnetlink.delete_link_group(PENDING_DELETE_GROUP)), doomed[0][1])], _GONE)
                host.forget()

    def _remove_namespaces(self, steps: Steps, handles: Handles) -> None:
        for step in self._passed(steps):
            thing = t.cast(Netns, step.before)
            if thing.inode:  # it was there before us: take our mark off
                with _gone_is_fine():
                    handles.get(thing.name).send([(rtnetlink.label_loopback(""), step)])
            netns.unpin(thing.name)

    def _remove_tunnels(self, steps: Steps, handles: Handles) -> None:
        wireguard.remove_wireguard(steps, handles, self._passed)

    def _remove_passages(self, steps: Steps, handles: Handles) -> None:
        foreign_firewalls.apply_rules(list(self._passed(steps)))

    def _remove_nothing(self, steps: Steps, handles: Handles) -> None:
        """A sysctl goes with its interface or namespace."""

    def _passed(self, steps: Steps) -> t.Iterator[Step]:
        for step in steps:
            self._hook(step)
            yield step


def _waits(step: Step) -> bool:
    """Return whether a step needs a way to other hosts that is up: the kernel takes no route by one that is not."""
    return isinstance(step.after, Route) and step.after.onlink


@contextlib.contextmanager
def _gone_is_fine() -> t.Iterator[None]:
    try:
        yield
    except (KernelError, OSError) as error:
        if error.errno not in _GONE:
            raise


# What is to be removed may be gone: turning IPv6 off takes routes and addresses along, and a namespace that
# somebody else deleted takes its links, at a moment of the kernel's choice.
_GONE = frozenset((errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT))
_CONTENTS = frozenset(("sysctl", "address", "neighbour", "forward", "route"))
_KERNEL = _CONTENTS | {"netns", "veth"}
_REMOVAL: dict[str, t.Callable[[Executor, Steps, Handles], None]] = {
    "passage": Executor._remove_passages,
    "resolver": Executor._remove_resolvers,
    "nft": Executor._remove_tables,
    "file": Executor._remove_files,
    "route": Executor._remove_inside,
    "address": Executor._remove_inside,
    "neighbour": Executor._remove_inside,
    "forward": Executor._remove_inside,
    **dict.fromkeys(KINDS, Executor._remove_tunnels),
    "sysctl": Executor._remove_nothing,
    "veth": Executor._remove_links,
    "link": Executor._remove_links,
    "netns": Executor._remove_namespaces,
}
