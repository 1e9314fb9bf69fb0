# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Plan -> kernel and files, in flights. Every step passes one hook point before its change is sent."""
from __future__ import annotations

import contextlib
import errno
import itertools
import os
import typing as t

from . import (
    build_tunnels, codec, dnsconfig, files, kernel, links, messages, names, netns, nft, passages, plan, portsecurity, records, resolver, ruleset, tables,
)
from .errors import KernelError
from .facts import Facts
from .handles import Handles, Pair

Steps = t.Sequence[plan.Step]
_CONFIGURATIONS = names.DNS_DIRECTORY + "/resolvers"
_WATCHED = tuple(directory + "/" for directory in (*records.DIRECTORIES, names.DNS_DIRECTORY + "/upstreams"))


class Executor:
    """Executes the parts of one plan. Raises DocklessError where the encoder is missing, before anything is changed."""

    def __init__(self, facts: Facts, tables: tables.Tables, hook: plan.Hook = plan.no_hook) -> None:
        codec.require()
        self._facts = facts
        self._tables = tables
        self._renewed: t.List[str] = []  # directories of records that did not exist, or no longer
        self._hook = hook

    def build(self, steps: Steps) -> None:
        """Create and change. Raises DocklessError at the first refusal; what was done stays done."""
        self._guard(steps)
        with Handles() as handles:
            build_tunnels.build(steps, handles, self._passed)
            host = [s for s in steps if s.key[0] == "link" and s.key[1] == kernel.HOST]
            rising, uplinks = links.build(host, handles, self._passed)
            bound = [s for s in steps if s.key[0] in _KERNEL or s.key[0] == "link" and s.key[1] != kernel.HOST]
            for chunk in messages.chunks([s for s in bound if messages.space(s) or s.key[0] == "veth"]):
                self._sandboxes(chunk, handles)
                handles.close_sandboxes()
            handles.get(kernel.HOST).send(rising)
            self._contents([s for s in bound if not messages.space(s) and s.key[0] != "veth" and not _waits(s)], handles)
        self._files([s for s in steps if s.key[0] == "file"])
        self._put_tables([s for s in steps if s.key[0] == "nft"])
        if uplinks:  # what arrives by them is let in by that table
            with Handles() as handles:
                handles.get(kernel.HOST).send(uplinks)
        with Handles() as handles:
            self._contents([s for s in steps if _waits(s)], handles)
        self._resolvers(steps)
        resolver.settle([s.key[1] for s in steps if s.key[0] == "file"], self._facts)
        passages.change(list(self._passed([s for s in steps if s.key[0] == "passage"])))

    def remove(self, steps: Steps) -> None:
        """Delete, in the order of the steps."""
        with Handles() as handles:
            for kind, part in itertools.groupby(steps, key=lambda s: s.key[0]):
                _REMOVAL[kind](self, list(part), handles)

    def _guard(self, steps: Steps) -> None:
        """Load what guards links before they are there or change: rules without data, and who sends by which port, as a new MAC tells itself at once."""
        for step in (step for step in steps if step.key == ("nft", kernel.HOST)):
            after = portsecurity.of(step.after.text)
            if step.before is None or after != portsecurity.of(step.before.text):
                self._hook(step)
                self._tables.put(kernel.NftTable(kernel.HOST, ruleset.bare(after) if step.before is None else after))

    def bury(self) -> None:
        """Delete links that a run marked for it before it was stopped, and end resolvers that it had in others' places."""
        if files.listed(names.STANDINS):
            from . import standin
            standin.end_left()
        step = plan.Step(plan.DELETE, ("link", kernel.HOST, ""), None, None, "marked for removal")
        with Handles() as handles:
            handles.get(kernel.HOST).withdraw([(bytearray(codec.delete_group(names.DOOMED_GROUP)), step)], _GONE)

    # ---- sandboxes ---------------------------------------------------------

    def _sandboxes(self, steps: Steps, handles: Handles) -> None:
        """Namespaces, then their pairs, then what is inside; links come up after their addresses, so that arp_notify tells them."""
        self._namespaces([s for s in steps if s.key[0] == "netns"], handles)
        pairs = [s for s in steps if s.key[0] == "veth"]
        self._pairs([s for s in pairs if s.action == plan.CREATE], handles)
        fresh = {s.after.name: dict(s.after.defaults) for s in steps if s.key[0] == "netns" and s.action == plan.CREATE}
        rising = self._change_pairs(pairs, fresh, handles)
        for name, sent in links.build_inner([s for s in steps if s.key[0] == "link"], fresh, handles, self._passed).items():
            rising.setdefault(name, []).extend(sent)
        self._contents([s for s in steps if s.key[0] in _CONTENTS], handles, rising)

    def _namespaces(self, steps: Steps, handles: Handles) -> None:
        by_name = {s.key[1]: s for s in steps if s.action == plan.CREATE}
        if by_name:
            netns.prepare()
        for step in self._passed(list(by_name.values())):
            if step.after.partner:
                messages.pin(step, netns.path(step.after.partner))
            elif step.after.inode:
                messages.adopt(step)
            else:
                handles.make(step, codec.mark_loopback(step.after.label))
        for step in self._passed([s for s in steps if s.action == plan.UPDATE and not s.after.partner]):
            mark = codec.label_loopback if step.after.inode else codec.mark_loopback
            handles.get(step.after.name).send([(mark(step.after.label), step)])

    def _pairs(self, steps: Steps, handles: Handles) -> None:
        host = handles.get(kernel.HOST)
        sent: t.List[Pair] = []
        try:
            for step in self._passed(steps):
                sent += [(m, step) for m in messages.make_pair(step, host, handles, self._facts.ipv6)]
        finally:  # a step that the hook stops leaves those before it done
            host.send(sent)
        for step in steps:
            for name in (step.after.netns, step.after.peer_netns):
                handles.get(name).forget()
            if step.after.label:
                messages.label_pair(step, handles)

    def _change_pairs(self, steps: Steps, fresh: t.Mapping[str, t.Mapping[str, int]],
                      handles: Handles) -> t.Dict[str, t.List[Pair]]:
        """Change what differs and return the messages that bring inner ends up, by namespace."""
        rising: t.Dict[str, t.List[Pair]] = {}
        for step in steps:
            after = t.cast(kernel.Veth, step.after)
            before = t.cast(t.Optional[kernel.Veth], step.before)
            if before is not None:
                self._hook(step)
            messages.write_pair_conf(step, fresh.get(after.peer_netns, {}), handles)
            outer = handles.get(after.netns)
            outer.send([(m, step) for m in messages.change_end(before, after, outer, self._facts.ipv6)])
            inner = handles.get(after.peer_netns)
            for message in messages.change_peer(before, after, inner):
                rising.setdefault(after.peer_netns, []).append((message, step))
        return rising

    def _contents(self, steps: Steps, handles: Handles, rising: t.Optional[t.Dict[str, t.List[Pair]]] = None) -> None:
        waiting = dict(rising or {})
        for name, part in itertools.groupby(sorted(steps, key=messages.space), key=messages.space):
            self._fill(name, list(part), waiting.pop(name, []), handles)
        for name, sent in waiting.items():
            handles.get(name).send(sent)

    def _fill(self, name: str, steps: Steps, rising: t.List[Pair], handles: Handles) -> None:
        handle = handles.get(name)
        for step in self._passed([s for s in steps if s.key[0] == "sysctl"]):
            with netns.entered_named(name):
                messages.set_sysctl(step)
        sent: t.List[Pair] = []
        try:
            for step in self._passed([s for s in steps if s.key[0] == "address"]):
                sent.append((codec.address(codec.RTM_NEWADDR, messages.link_index(step, handle), step.after.cidr), step))
            sent += rising
            for step in self._passed([s for s in steps if s.key[0] in ("neighbour", "forward", "route")]):
                sent.append((messages.entry(step, handle), step))
        finally:
            handle.send(sent)

    def _put_tables(self, steps: Steps) -> None:
        """Load sandboxes' tables side by side, each by a process of its own; then the host's, which publishes."""
        inside = list(self._passed([s for s in steps if s.key[1] != kernel.HOST]))
        if inside:
            from concurrent import futures  # an import that runs without names need not pay for
            with futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                list(pool.map(lambda step: self._tables.put(t.cast(kernel.NftTable, step.after)), inside))
        for step in self._passed([s for s in steps if s.key[1] == kernel.HOST]):
            self._tables.publish(t.cast(t.Any, step.before), t.cast(t.Any, step.after))

    # ---- files and resolvers -----------------------------------------------

    def _files(self, steps: Steps) -> None:
        for moment in records.between(steps):
            files.write(*moment)
        for step in self._passed(steps):
            directory = os.path.dirname(step.key[1])
            if directory.startswith(_WATCHED) and not os.path.isdir(directory):
                self._renewed.append(directory)
            files.write(*t.cast(kernel.File, step.after))

    def _resolvers(self, steps: Steps) -> None:
        started = [t.cast(kernel.Resolver, s.after) for s in self._passed([s for s in steps if s.key[0] == "resolver"])]
        # A watch ends with its directory, so whoever reads one that was made again has to look anew.
        deaf = [known for known in records.readers(self._renewed) if known.key not in {thing.key for thing in started}]
        resolver.start([*started, *resolver.answering(deaf)], self._facts)
        records.refresh(steps, self._facts)

    # ---- removal -----------------------------------------------------------

    def _remove_resolvers(self, steps: Steps, handles: Handles) -> None:
        resolver.stop([t.cast(kernel.Resolver, s.before) for s in self._passed(steps)], self._facts)

    def _remove_tables(self, steps: Steps, handles: Handles) -> None:
        for step in self._passed(steps):
            if step.key[1] == kernel.HOST:
                self._tables.publish(t.cast(t.Any, step.before), t.cast(t.Any, step.after))
                continue
            with contextlib.suppress(FileNotFoundError), netns.entered_named(step.key[1]):
                nft.replace("")

    def _remove_files(self, steps: Steps, handles: Handles) -> None:
        passed = list(self._passed(steps))
        paths = [step.key[1] for step in passed]
        # A resolver that was killed leaves its pid behind.
        paths += [dnsconfig.pid_path(os.path.basename(path)[:-5]) for path in paths if path.startswith(_CONFIGURATIONS)]
        for path in paths:
            files.remove(path)
        files.remove_empty_above({os.path.dirname(path) for path in paths})
        resolver.settle(paths, self._facts)
        records.refresh(passed, self._facts)

    def _remove_inside(self, steps: Steps, handles: Handles) -> None:
        for step in self._passed(steps):
            with _gone_is_fine():
                handle = handles.get(step.key[1])
                messages.keep_secondaries(step, handle)
                handle.withdraw([(message, step) for message in messages.withdrawals(step, handle)], _GONE)

    def _remove_links(self, steps: Steps, handles: Handles) -> None:
        """Doom links by a group number and delete the group: one by one, 200 pairs take 3.5 s instead of 0.1."""
        host = handles.get(kernel.HOST)
        doomed: t.List[Pair] = []
        try:
            for step in self._passed(steps):
                with _gone_is_fine():
                    if step.key[1] == kernel.HOST:
                        doomed.append((bytearray(codec.change_link(host.index(step.key[2]), group=names.DOOMED_GROUP)), step))
                    else:
                        handle = handles.get(step.key[1])
                        handle.send([(bytearray(codec.delete_link(handle.index(step.key[2]))), step)])
        finally:
            if doomed:
                host.withdraw(doomed, _GONE)
                host.withdraw([(bytearray(codec.delete_group(names.DOOMED_GROUP)), doomed[0][1])], _GONE)
                host.forget()

    def _remove_namespaces(self, steps: Steps, handles: Handles) -> None:
        for step in self._passed(steps):
            thing = t.cast(kernel.Netns, step.before)
            if thing.inode:  # it was there before us: take our mark off
                with _gone_is_fine():
                    handles.get(thing.name).send([(codec.label_loopback(""), step)])
            netns.unpin(thing.name)

    def _remove_tunnels(self, steps: Steps, handles: Handles) -> None:
        build_tunnels.remove(steps, handles, self._passed)

    def _remove_passages(self, steps: Steps, handles: Handles) -> None:
        passages.change(list(self._passed(steps)))

    def _remove_nothing(self, steps: Steps, handles: Handles) -> None:
        """A sysctl goes with its interface or namespace."""

    def _passed(self, steps: Steps) -> t.Iterator[plan.Step]:
        for step in steps:
            self._hook(step)
            yield step


def _waits(step: plan.Step) -> bool:
    """Return whether a step needs a way to other hosts that is up: the kernel takes no route by one that is not."""
    return isinstance(step.after, kernel.Route) and step.after.onlink


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
_REMOVAL: t.Dict[str, t.Callable[[Executor, Steps, Handles], None]] = {
    "passage": Executor._remove_passages, "resolver": Executor._remove_resolvers, "nft": Executor._remove_tables, "file": Executor._remove_files,
    "route": Executor._remove_inside, "address": Executor._remove_inside, "neighbour": Executor._remove_inside,
    "forward": Executor._remove_inside, **dict.fromkeys(build_tunnels.KINDS, Executor._remove_tunnels), "sysctl": Executor._remove_nothing,
    "veth": Executor._remove_links, "link": Executor._remove_links, "netns": Executor._remove_namespaces,
}
