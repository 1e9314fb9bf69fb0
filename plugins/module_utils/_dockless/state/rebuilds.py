# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The rules of on_mismatch: which changes of objects that carry traffic a plan may make."""

from __future__ import annotations

import typing as t

from ..errors import DocklessError
from .dependencies import is_on_parent
from .keys import Key
from .kinds import kind_of
from .objects import Link, Netns, Object, State, Veth
from .plan import REBUILT, UPDATE, Plan, Step


def refused_steps(
    work: Plan, wanted: State, on_mismatch: str, recorded: t.Mapping[Key, str]
) -> t.Iterator[tuple[Step, DocklessError]]:
    """Yield the steps on existing links that on_mismatch (update, recreate, fail) does not allow, with the reasons.

    recorded holds, by key, the inner interface name that each pair had when it was last as declared.
    """
    if on_mismatch == "recreate":
        return
    for step in work.clearing:
        if not _rebuild_is_allowed(step, wanted, recorded):
            yield (
                step,
                DocklessError(
                    f"{step.subject} cannot be changed in place to what is declared",
                    "Set on_mismatch to recreate to have it rebuilt; endpoints keep address, MAC and names.",
                ),
            )
    for step in work.building if on_mismatch == "fail" else ():
        if step.action == UPDATE and kind_of(step.key).carries_traffic:
            yield (
                step,
                DocklessError(
                    f"{step.subject} exists and differs: {step.reason}",
                    "Set on_mismatch to update to have it changed in place.",
                ),
            )


def _rebuild_is_allowed(step: Step, wanted: State, recorded: t.Mapping[Key, str]) -> bool:
    """Return whether an object may be removed so that it, or another in its place, can be made again."""
    desired, existing = wanted.get(step.key), step.subject
    is_rebuilt = step.reason == REBUILT
    if not is_rebuilt and step.key in recorded and _is_renamed(existing, wanted):
        return False
    if not is_rebuilt or not kind_of(step.key).carries_traffic:
        return True
    return (
        _joins_another_network(existing, desired)
        or _was_renamed_by_others(step.key, desired, recorded)
        or _has_lost_its_first_name(existing, desired)
        or _is_broken(existing)
        or _is_vxlan_device(existing)
    )


def _is_renamed(existing: Object, wanted: State) -> bool:
    """Return whether a sandbox's link on an interface of the host is declared under another name."""
    if not isinstance(existing, Link) or not is_on_parent(existing):
        return False
    identity = (existing.netns, existing.label, existing.parent)
    return any(isinstance(obj, Link) and (obj.netns, obj.label, obj.parent) == identity for obj in wanted.values())


def _joins_another_network(existing: Object, desired: Object | None) -> bool:
    return is_on_parent(existing) and getattr(desired, "label", "") != getattr(existing, "label", "")


def _was_renamed_by_others(key: Key, desired: Object | None, recorded: t.Mapping[Key, str]) -> bool:
    """Return whether the declared inner name is the recorded one: then not the declaration has changed but the host."""
    return isinstance(desired, Veth) and recorded.get(key) == desired.peer_name


def _has_lost_its_first_name(existing: Object, desired: Object | None) -> bool:
    """Return whether the mark of a namespace still names the partner that shares it."""
    if not (isinstance(desired, Netns) and isinstance(existing, Netns)):
        return False
    return desired.partner in existing.label.rpartition("/")[2].split()


def _is_broken(existing: Object) -> bool:
    """Return whether it carries no traffic: a pair without its other end, an attached namespace whose process ended."""
    if isinstance(existing, Veth):
        has_left_the_sandbox = not existing.label and not existing.peer_netns
        return not existing.peer_name or has_left_the_sandbox
    return isinstance(existing, Netns) and bool(existing.inode)


def _is_vxlan_device(existing: Object) -> bool:
    """Return whether it is the vxlan device of an overlay: sandboxes keep their links when it gets another VTEP."""
    return isinstance(existing, Link) and existing.kind == "vxlan"
