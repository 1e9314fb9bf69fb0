# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of object has all that it needs. A failure names what is missing.

A new kind is: its type (state/objects.py), a row of KINDS (state/kinds.py), encoder and decoder (linux/), a reader
(observe/), a phase and a remover (apply/phases.py).
"""

from __future__ import annotations

import pathlib
import typing as t

from _dockless.apply import phases
from _dockless.state import kinds, objects, plan
from _dockless.state.firewall import Firewall
from _dockless.state.objects import (
    Address,
    File,
    ForeignFirewallRules,
    ForwardingEntry,
    Link,
    Neighbour,
    Netns,
    NftTable,
    Resolver,
    Route,
    Sysctl,
    Veth,
)
from _dockless.state.plan import CREATE, Step
from _dockless.state.wireguard import KillSwitchRoute, WireguardKey, WireguardLink, WireguardPeer

ROOT = pathlib.Path(__file__).resolve().parents[3]
ENGINE = ROOT / "plugins" / "module_utils" / "_dockless"
# One of each, those of a sandbox beside those of the host.
SAMPLES: tuple[objects.Object, ...] = (
    WireguardKey("a"),
    Netns("web", "dockless shop/web"),
    KillSwitchRoute("", "100.64.0.2/32"),
    WireguardLink("", "wg-1", "a", "", 51820, 1420, "100.64.0.1/32", "dockless tunnel a"),
    WireguardPeer("", "wg-1", "key", "", "100.64.0.2/32"),
    Link("", "br-1", "bridge", "", 1500, ""),
    Link("web", "eth0", "macvlan", "", 1500, "", parent="eth0"),
    Veth("", "veth1", "web", "eth0"),
    Sysctl("web", "net/ipv4/ip_forward", "1"),
    Sysctl("", "net/ipv4/ip_forward", "1"),
    Address("web", "eth0", "10.1.0.2/24"),
    Address("", "br-1", "10.1.0.1/24"),
    Neighbour("", "br-1", "10.1.0.2", "02:00:00:00:00:01"),
    ForwardingEntry("", "veth1", "02:00:00:00:00:01"),
    Route("web", "0.0.0.0/0", "eth0", "10.1.0.1"),
    Route("", "10.2.0.0/24", "vx-1", "10.2.0.1", onlink=True),
    File("/run/dockless/x", ""),
    Firewall("x", frozenset()),
    NftTable("web", "x"),
    Resolver("web", "web", "", ""),
    ForeignFirewallRules("docker", ""),
)


def missing(what: t.Container[str]) -> list[str]:
    """Return the kinds that are not in what."""
    return [kind.name for kind in kinds.KINDS if kind.name not in what]


def test_every_type_has_a_row_and_every_row_a_type():
    types = set(objects.Object.__args__)
    assert {kind.type for kind in kinds.KINDS} == types, (
        "state/kinds.py and the union Object in state/objects.py differ"
    )
    assert {type(sample) for sample in SAMPLES} == types, "SAMPLES of this test has one of each kind"
    assert all(kinds.kind_of(sample.key).type is type(sample) for sample in SAMPLES)


def test_every_object_says_what_it_is_called():
    for sample in SAMPLES:
        assert not str(sample).startswith(type(sample).__name__), f"{type(sample).__name__} has no __str__"


def test_fields_of_a_row_are_fields_of_the_type():
    for kind in kinds.KINDS:
        unknown = (kind.mutable | kind.not_compared) - set(kind.type._fields)
        assert not unknown, f"{kind.name}: {unknown}"
        assert kind.lives_on in ("host", "netns", "link"), kind.name
        if kind.lives_on == "link":
            assert {"netns", "link"} <= set(kind.type._fields), f"{kind.name} lives on a link and does not name it"


def test_every_kind_is_built_by_a_phase_and_deleted_by_a_remover():
    for sample in SAMPLES:
        step = Step(CREATE, sample.key, None, sample, "missing")
        takers = [phase.name for phase in phases.PHASES if phase.takes(step)]
        assert takers, f"no phase of apply/phases.py takes {sample}"
        # The guards are loaded before the firewall itself; readers follow the files that they read.
        main = [name for name in takers if name not in ("guards", "readers of changed files")]
        assert len(main) == 1, f"{sample} is built by {main}"
    assert missing(phases.REMOVERS) == []
    assert set(phases.REMOVERS) == set(kinds.BY_NAME), "a remover without a kind is left over"


def test_every_kind_is_observed_and_documented():
    observed = "".join(path.read_text(encoding="utf-8") for path in sorted((ENGINE / "observe").glob("*.py")))
    tables = (ENGINE / "linux" / "nft_tables.py").read_text(encoding="utf-8")
    foreign = (ENGINE / "linux" / "foreign_firewalls.py").read_text(encoding="utf-8")
    unread = [kind.name for kind in kinds.KINDS if kind.type.__name__ not in observed + tables + foreign]
    assert not unread, "no reader makes these"
    documented = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert [kind.name for kind in kinds.KINDS if f"`{kind.type.__name__}`" not in documented] == []


def test_the_planner_names_no_kind():
    text = (ENGINE / "state" / "plan.py").read_text(encoding="utf-8")
    named = [kind.name for kind in kinds.KINDS if f'"{kind.name}"' in text or f"{kind.type.__name__}" in text]
    assert not named


def test_an_object_that_is_as_declared_needs_no_step():
    state = {sample.key: sample for sample in SAMPLES}
    assert len(state) == len(SAMPLES)
    assert not plan.make_plan(state, state)
    created = plan.make_plan(state, {}).building
    places = [kinds.creation_place(step.key) for step in created]
    assert places == sorted(places) and len(created) == len(SAMPLES)
