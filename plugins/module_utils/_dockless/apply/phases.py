# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The order of execution, as data. docs/design.md, "Order of steps", has the reason for each phase's place.

A phase takes steps of several kinds at a time, because that is what makes a run fast: 128 namespaces are created
together with their links, by messages that go in flights.
"""

from __future__ import annotations

import typing as t

from ..state.firewall import FIREWALL_KEY
from ..state.objects import HOST, Link, Route
from ..state.plan import Step
from . import contents, files, links, sandboxes, tables, wireguard
from .run import Run, Steps

_WIREGUARD = frozenset(("wireguard_key", "kill_switch_route", "wireguard_link", "wireguard_peer"))
_CONTENTS = frozenset(("sysctl", "address", "neighbour", "forwarding_entry", "route"))
# What deletes each kind of object. The plan has the order.
REMOVERS: dict[str, t.Callable[[Run, Steps], None]] = {
    "foreign_firewall_rules": files.apply_foreign_rules,
    "resolver": files.remove_resolvers,
    "nft_table": tables.remove_tables,
    "firewall": tables.remove_firewall,
    "file": files.remove_files,
    "route": contents.remove_contents,
    "forwarding_entry": contents.remove_contents,
    "neighbour": contents.remove_contents,
    "address": contents.remove_contents,
    "sysctl": contents.leave_to_the_kernel,
    "veth": links.remove_links,
    "link": links.remove_links,
    "wireguard_peer": wireguard.remove_peers,
    "wireguard_link": wireguard.remove_links,
    "kill_switch_route": wireguard.remove_kill_switches,
    "netns": sandboxes.remove_namespaces,
    "wireguard_key": wireguard.remove_keys,
}


class Phase(t.NamedTuple):
    """One part of an execution. It gets the steps that it takes, in the order of the plan; takes is called for each."""

    name: str
    takes: t.Callable[[Step], bool]
    build: t.Callable[[Run, Steps], None]


# ---- the steps that each phase takes -----------------------------------------


def _is_firewall(step: Step) -> bool:
    return step.key == FIREWALL_KEY


def _is_table(step: Step) -> bool:
    return step.key[0] == "nft_table"


def _is_wireguard(step: Step) -> bool:
    return step.key[0] in _WIREGUARD


def _is_host_link(step: Step) -> bool:
    return step.key[0] == "link" and step.key[1] == HOST


def _is_of_sandbox(step: Step) -> bool:
    """Return whether a step is about a namespace, its links or contents, or a veth pair outside of networks."""
    if step.key[0] in ("netns", "veth"):
        return True
    is_inside = step.key[0] in _CONTENTS or isinstance(step.after, Link)
    return is_inside and contents.namespace_of(step) != HOST


def _needs_uplink(step: Step) -> bool:
    """Return whether a step is a route by a vxlan device: the kernel accepts none while the device is down."""
    return isinstance(step.after, Route) and step.after.onlink


def _is_of_host(step: Step) -> bool:
    is_on_host = step.key[0] in _CONTENTS and contents.namespace_of(step) == HOST
    return is_on_host and not _needs_uplink(step)


def _is_file(step: Step) -> bool:
    return step.key[0] == "file"


def _is_resolver(step: Step) -> bool:
    return step.key[0] == "resolver"


def _is_foreign_firewall(step: Step) -> bool:
    return step.key[0] == "foreign_firewall_rules"


def _none(step: Step) -> bool:
    return False


# ---- phases without steps of their own ---------------------------------------


def _raise_links(run: Run, steps: Steps) -> None:
    run.host.send(run.links_to_raise)


def _raise_uplinks(run: Run, steps: Steps) -> None:
    run.host.send(run.uplinks_to_raise)


PHASES: tuple[Phase, ...] = (
    Phase("guards", _is_firewall, tables.load_guards),
    Phase("WireGuard", _is_wireguard, wireguard.build_wireguard),
    Phase("links of the host, down", _is_host_link, links.build_host_links),
    Phase("sandboxes", _is_of_sandbox, sandboxes.build_sandboxes),
    Phase("links of the host, up", _none, _raise_links),
    Phase("addresses, neighbours and routes of the host", _is_of_host, contents.build_contents),
    Phase("files", _is_file, files.write_files),
    Phase("nft tables of sandboxes", _is_table, tables.load_tables),
    Phase("firewall", _is_firewall, tables.load_firewall),
    Phase("vxlan devices, up", _none, _raise_uplinks),
    Phase("routes by vxlan devices", _needs_uplink, contents.build_contents),
    Phase("resolvers", _is_resolver, files.start_resolvers),
    Phase("readers of changed files", _is_file, files.reload_readers),
    Phase("other firewalls", _is_foreign_firewall, files.apply_foreign_rules),
)
