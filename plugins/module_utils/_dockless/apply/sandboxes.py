# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sandboxes, some at a time: namespaces, then their links, then what is inside."""

from __future__ import annotations

import typing as t

from ..linux import attach, links, netns
from ..linux.netns_records import NetnsRecord
from ..state.objects import Netns, Veth
from ..state.plan import CREATE, UPDATE, Step
from .contents import build_contents, namespace_of
from .links import build_sandbox_links
from .namespaces import NetnsHandle, StepMessage, refused
from .pairs import change_pairs, create_pairs
from .run import Run, Steps, absence_is_fine

CHUNK = 128  # namespaces at a time, two descriptors each


def build_sandboxes(run: Run, steps: Steps) -> None:
    """Create and change sandboxes in chunks, so that a host with thousands needs no more open files than one."""
    for chunk in _chunks(steps):
        _build_chunk(run, chunk)
        run.handles.close_sandboxes()


def remove_namespaces(run: Run, steps: Steps) -> None:
    """Remove names. A namespace that was attached to stays, without dockless's label."""
    for step in run.passed(steps):
        namespace = step.old(Netns)
        if namespace.inode:
            with absence_is_fine():
                unlabelled: StepMessage = links.label_loopback(""), step
                run.handles.get(namespace.name).send([unlabelled])
        netns.unpin(namespace.name)
    run.records.prune()


def _chunks(steps: Steps) -> t.Iterator[list[Step]]:
    """Split steps by namespace: those joined by plain pairs together and first, second names after the first ones."""
    joined = set()
    second_names = set()
    by_namespace: dict[str, list[Step]] = {}
    for step in steps:
        by_namespace.setdefault(namespace_of(step), []).append(step)
        if isinstance(step.after, Veth) and step.after.label:
            joined |= {step.after.netns, step.after.peer_netns}
        if isinstance(step.after, Netns) and step.after.partner:
            second_names.add(step.after.name)
    first = [name for name in by_namespace if name in joined]
    middle = [name for name in by_namespace if name not in joined and name not in second_names]
    last = [name for name in by_namespace if name in second_names and name not in joined]
    for group in (first, *(middle[start : start + CHUNK] for start in range(0, len(middle), CHUNK)), last):
        if group:
            yield [step for name in group for step in by_namespace[name]]


def _build_chunk(run: Run, steps: Steps) -> None:
    """Build some sandboxes. Links come up after they have their addresses, so that the kernel announces these.

    A new namespace gets its name last: before that, no process can enter it.
    """
    by_kind: dict[str, list[Step]] = {}
    for step in steps:
        by_kind.setdefault(step.key[0], []).append(step)
    namespaces, pairs, sandbox_links = (by_kind.pop(kind, []) for kind in ("netns", "veth", "link"))
    _build_namespaces(run, namespaces)
    inherited = {step.new(Netns).name: dict(step.new(Netns).defaults) for step in namespaces if step.action == CREATE}
    create_pairs(run, [step for step in pairs if step.action == CREATE])
    raising = change_pairs(run, pairs, inherited)
    for name, messages in build_sandbox_links(run, sandbox_links, inherited).items():
        raising.setdefault(name, []).extend(messages)
    build_contents(run, [step for part in by_kind.values() for step in part], raising)
    _name(run, [step for step in namespaces if step.action == CREATE])


def _build_namespaces(run: Run, steps: Steps) -> None:
    for step in run.passed([step for step in steps if step.action == CREATE]):
        namespace = step.new(Netns)
        if namespace.inode:
            _open_attached(run, step)
        elif not namespace.partner:
            run.handles.create(step, links.mark_loopback(namespace.label))
    changed = [step for step in steps if step.action == UPDATE and not step.new(Netns).partner]
    for step in run.passed(changed):
        namespace = step.new(Netns)
        mark = links.label_loopback if namespace.inode else links.mark_loopback
        handle = run.handles.get(namespace.name)
        handle.send([(mark(namespace.label), step)])
        _record(run, namespace, handle)
    run.records.save()


def _open_attached(run: Run, step: Step) -> None:
    """Open the namespace of an attached sandbox, and label it. Raises DocklessError.

    What is at its path may have changed since the run decided about it, even to the host's own namespace. Only what is
    open now, and still is the namespace that was decided about, is used.
    """
    namespace = step.new(Netns)
    try:
        # A rollback has only the inode of an attached namespace.
        source = namespace.source or netns.held_by_process(namespace.inode)
    except OSError as error:
        raise refused(step, error.errno or 0) from None
    fd = attach.open_known(source, f"sandbox {namespace.name}", namespace.inode)
    run.handles.keep(namespace.name, fd).send([(links.label_loopback(namespace.label), step)])


def _name(run: Run, steps: Steps) -> None:
    """Give new namespaces their names. Raises KernelError.

    They are recorded before: a name that a killed run has left is recognized.
    """
    if not steps:
        return
    netns.prepare()
    for step in steps:
        namespace = step.new(Netns)
        _record(run, namespace, run.handles.get(namespace.partner or namespace.name))
    run.records.save()
    for step in steps:
        namespace = step.new(Netns)
        try:
            netns.pin(namespace.name, run.handles.get(namespace.partner or namespace.name).fd)
        except OSError as error:
            raise refused(step, error.errno or 0) from None


def _record(run: Run, namespace: Netns, handle: NetnsHandle) -> None:
    """Record what a name means. A second name has the mark of the first one."""
    first = run.records.get(namespace.partner) if namespace.partner else None
    label = first.label if first is not None else namespace.label
    is_attached = first.attached if first is not None else bool(namespace.inode)
    inode = netns.inode_of(handle.fd)
    run.records.add(namespace.name, NetnsRecord(inode, handle.socket.cookie(), label, is_attached, namespace.partner))
