# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every plan, tried on documents made by chance against a kernel made of a dictionary.

A failure names its seed: it is the test's parameter.
"""

from __future__ import annotations

import random

import pytest

from _dockless.model.facts import DockerFirewall, FirewalldFirewall, UfwFirewall
from _dockless.names import FIREWALLS
from _dockless.state import plan
from _dockless.state.kinds import BY_NAME
from _dockless.state.objects import Netns
from _dockless.state.plan import CREATE
from support.fake_kernel import Kernel, Refused, executed
from support.pipeline import FACTS, elements, leases_of, resolved, state, states
from support.random_documents import document

SEEDS = range(60)


def changed_documents(seed):
    """Return the states of a document and of a later version of it, whose addresses were kept."""
    chance = random.Random(seed)
    apart = random.Random(f"coexist {seed}")  # of its own, so that the documents are those of their seeds
    named = [{"coexist": apart.sample(FIREWALLS, apart.randint(0, 3))} for turn in range(2)]
    before = resolved(document(chance), defaults=named[0])
    after = resolved(document(chance), defaults=named[1], leases=leases_of(before))
    known = FACTS._replace(firewalls=(DockerFirewall(), FirewalldFirewall(), UfwFirewall()))
    return state(before, known), state(after, known), chance


@pytest.mark.parametrize("seed", SEEDS)
def test_applying_a_plan_leaves_nothing_to_plan(seed):
    """Create from nothing, change, and remove; each time the next plan is empty."""
    first, second, chance = changed_documents(seed)
    host = Kernel()
    for wanted in (first, second, first, {}):
        host.run(plan.make_plan(wanted, host.seen(wanted)))
        left = plan.make_plan(wanted, host.seen(wanted))
        assert not left, left
        assert host.seen(wanted).keys() == wanted.keys()
        assert not host.leaked


@pytest.mark.parametrize("seed", SEEDS)
def test_plan_from_a_state_to_itself_is_empty(seed):
    for one in changed_documents(seed)[:2]:
        assert not plan.make_plan(one, dict(reversed(list(one.items()))))


@pytest.mark.parametrize("seed", SEEDS)
def test_going_back_restores_what_was_there_wherever_the_run_stopped(seed):
    """Rollback is a plan to the snapshot, after any number of steps."""
    first, second, chance = changed_documents(seed)
    steps = executed(plan.make_plan(second, first))
    for stop in {0, len(steps), *(chance.randint(0, len(steps)) for spare in range(4))}:
        stopped_and_taken_back(first, steps, stop)


def stopped_and_taken_back(there, steps, stop):
    """Do some steps and go back; what was broken before cannot be made again, all else is."""
    host, before = Kernel(there), plan.without_unrestorable(there)
    host.steps(steps[:stop])
    host.run(plan.make_plan(before, host.seen(before)))
    assert not plan.make_plan(before, host.seen(before))


@pytest.mark.parametrize("seed", SEEDS)
def test_drift_is_repaired(seed):
    """Whatever somebody deletes, the next run makes again, and touches nothing that does not need it."""
    wanted, second, chance = changed_documents(seed)
    for _turn in range(5):
        host = Kernel(wanted)
        for key in chance.sample(sorted(wanted), min(3, len(wanted))):
            if key in host.state:
                try:
                    host.delete(key)
                except Refused:
                    pass
                else:
                    continue
                host.state.setdefault(key, wanted[key])
        lost = wanted.keys() - host.state.keys()
        work = plan.make_plan(wanted, host.seen(wanted))
        assert {s.key for s in work.building if s.action == CREATE} >= lost
        host.run(work)
        assert not plan.make_plan(wanted, host.seen(wanted))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_namespace_that_lost_its_name_is_made_again(seed):
    """Its resolver keeps the old one alive, and the ends of pairs in it: the new ones need their names."""
    wanted = changed_documents(seed)[0]
    shared = {thing.partner for thing in wanted.values() if isinstance(thing, Netns)}
    for thing in list(wanted.values()):
        if isinstance(thing, Netns) and not thing.partner and not thing.inode and thing.name not in shared:
            host = Kernel(wanted)
            host.lose_name(thing.name)
            there = host.seen(wanted)
            steps = executed(plan.make_plan(wanted, there))
            stopped_and_taken_back(there, steps, len(steps) // 2)
            host.steps(steps)
            assert not plan.make_plan(wanted, host.seen(wanted))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_over_one_project_leaves_the_others_alone(seed):
    """What another project wants is kept, and no step is about it."""
    chance = random.Random(seed)
    both = states(resolved(one=document(chance, 1), two=document(chance, 2)))
    alone = states(resolved(two=document(chance, 2)))
    other = set(alone["two"]) & set(both["two"])
    everything = {key: thing for part in both.values() for key, thing in part.items()}
    own = {**both[""], **both["one"]}
    kept = set(both["two"]) - set(own)
    assert not plan.make_plan(own, everything, kept)
    removal = plan.make_plan(both[""], everything, kept)
    assert not {s.key for s in removal.steps} & other
    host = Kernel(everything)
    host.run(removal)
    assert set(host.seen(both["two"])) == set(both[""]) | kept
    assert not host.leaked


@pytest.mark.parametrize("seed", SEEDS)
def test_the_table_does_not_depend_on_the_order_of_declaration(seed):
    """Networks, sandboxes and ports in any order."""
    chance = random.Random(seed)
    one = document(chance, fixed=True)
    for number, spec in enumerate(one["sandboxes"].values()):
        if spec.get("networks"):
            open_networks = [n for n in spec["networks"] if not one["networks"][n].get("internal")]
            if open_networks:
                spec["ports"] = [f"{8000 + number}:80", f"{9000 + number}:81/udp", f"192.0.2.1:{7000 + number}:82"]
    expected = elements(resolved(one))
    for _turn in range(3):
        other = {kind: dict(chance.sample(list(specs.items()), len(specs))) for kind, specs in one.items()}
        for spec in other["sandboxes"].values():
            if "ports" in spec:
                spec["ports"] = chance.sample(spec["ports"], len(spec["ports"]))
        assert elements(resolved(other)) == expected


def test_the_documents_are_worth_trying():
    """By chance every kind of object comes up, and every kind of change."""
    kinds, actions, partners, attached = set(), set(), 0, 0
    for seed in SEEDS:
        first, second, chance = changed_documents(seed)
        work = plan.make_plan(second, first)
        kinds |= {key[0] for key in first}
        actions |= {(s.action, s.key[0]) for s in work.steps}
        spaces = [thing for thing in first.values() if isinstance(thing, Netns)]
        partners += sum(bool(s.partner) for s in spaces)
        attached += sum(bool(s.inode) for s in spaces)
    assert kinds == {kind for kind in BY_NAME if not kind.startswith(("wireguard_", "kill_switch_"))}
    assert partners and attached
    assert {
        ("update", kind) for kind in ("link", "veth", "file", "nft_table", "route", "resolver", "sysctl")
    } <= actions
    assert {("delete", kind) for kind in ("netns", "link", "veth", "address", "nft_table", "resolver")} <= actions


def broken(steps):
    """Tell whether the dictionary kernel refuses the steps."""
    try:
        Kernel().steps(steps)
    except Refused:
        return True
    return False


def test_the_dictionary_kernel_refuses_what_the_kernel_refuses():
    """Without this, the properties above would hold for any order."""
    steps = executed(plan.make_plan(changed_documents(3)[0], {}))
    assert not broken(steps) and broken(reversed(steps))
    for kind in ("netns", "link", "veth", "address"):
        if any(s.key[0] == kind for s in steps):
            assert broken([s for s in steps if s.key[0] != kind]), kind
