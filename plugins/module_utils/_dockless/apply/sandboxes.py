# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Sandboxes, some at a time: namespaces, then their links, then what is inside."""

from __future__ import annotations

import typing as t

from ..linux import links, netlink, netns
from ..state.objects import Netns, Veth
from ..state.plan import CREATE, UPDATE, Step
from .contents import build_contents, namespace_of
from .links import build_sandbox_links
from .namespaces import StepMessage, refused
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
    """Build some sandboxes. Links come up after they have their addresses, so that the kernel announces these."""
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


def _build_namespaces(run: Run, steps: Steps) -> None:
    created = [step for step in steps if step.action == CREATE]
    if created:
        netns.prepare()
    for step in run.passed(created):
        namespace = step.new(Netns)
        if namespace.partner:
            _pin(step, netns.path(namespace.partner))
        elif namespace.inode:
            _adopt(step)
        else:
            run.handles.create(step, links.mark_loopback(namespace.label))
    changed = [step for step in steps if step.action == UPDATE and not step.new(Netns).partner]
    for step in run.passed(changed):
        namespace = step.new(Netns)
        mark = links.label_loopback if namespace.inode else links.mark_loopback
        run.handles.get(namespace.name).send([(mark(namespace.label), step)])


def _pin(step: Step, source: str) -> None:
    """Give the existing namespace behind the path source the step's name. Raises KernelError."""
    try:
        netns.pin(step.new(Netns).name, source)
    except OSError as error:
        raise refused(step, error.errno or 0) from None


def _adopt(step: Step) -> None:
    """Label a namespace that others made, then give it a name. Raises KernelError.

    Without the label, a name that a killed run has left would not be recognized as managed.
    """
    namespace = step.new(Netns)
    try:
        # A rollback has only the inode of an attached namespace.
        source = namespace.source or netns.held_by_process(namespace.inode)
        with netns.entered_path(source), netlink.Socket() as sock:
            refusals = sock.flight([links.label_loopback(namespace.label)])
    except OSError as error:
        raise refused(step, error.errno or 0) from None
    if refusals:
        raise refused(step, refusals[0].errno, refusals[0].text)
    _pin(step, source)
