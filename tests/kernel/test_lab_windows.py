# SPDX-License-Identifier: GPL-3.0-or-later
"""Every attack of the lab, without a pause, while runs create, change and remove networks, are killed, and at boot.

What the finished state would stop arrives at no moment. DOCKLESS_TEST_WINDOWS=300 tries as many runs and as many
kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

from lab import claims, flood, places, sample, trial
from lab.changing import TAKEN
from lab.topology import GUEST, SENDERS

RUNS = int(os.environ.get("DOCKLESS_TEST_WINDOWS", "5"))
# Words in the names of attacks and passages that need data which no declaration of this lab has.
BY_HAND = ("forwarder", " in clear", "learned", "MAC of this host", "another router", "WireGuard", "slice", "guest")
STATES = ("all", "half", "none")


def attacks():
    """Return the attacks that a declaration alone stops."""
    found = [attack for attack in trial.attacks() if not is_by_hand(attack.name)]
    return [attack for attack in found if attack.origin not in SENDERS]


def is_by_hand(name):
    """Tell whether an attack or a passage needs more than what is declared."""
    return any(word in name for word in BY_HAND)


def kill(changing, document, seconds):
    """Begin a run and kill it after a time; return whether it was still at work."""
    run = changing.lab.host.popen(changing.command(document))
    try:
        run.process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        pid = run.pid
        if pid:
            os.kill(pid, signal.SIGKILL)
        run.process.wait()
        return bool(pid)


def test_nothing_passes_while_runs_change_networks(changing, record_property):
    """Created, changed and removed, by complete runs."""
    chance = random.Random(sample.SEED)
    with flood.Flood(changing.lab, attacks()) as flooded:
        state = "all"
        for _number in range(RUNS):
            state = chance.choice([other for other in STATES if other != state])
            changing.apply(state)
        changing.apply("none")
        changing.apply("all")
        flooded.wait()
    record_property("packets", flooded.packets)
    assert flooded.leaks == {}, told(flooded)
    assert_live(changing.lab)


def test_nothing_passes_while_runs_are_killed(changing, record_property):
    """Killed at any moment, and whatever is left until the next run."""
    chance = random.Random(sample.SEED)
    begin = time.monotonic()
    changing.apply("none")
    changing.apply("all")
    lasts = (time.monotonic() - begin) / 2
    killed = 0
    with flood.Flood(changing.lab, attacks()) as flooded:
        for _number in range(RUNS):
            killed += kill(changing, chance.choice(STATES), chance.uniform(0, lasts))
            flooded.wait()
        changing.apply("all")
        flooded.wait()
    record_property("packets", flooded.packets)
    record_property("killed", killed)
    assert flooded.leaks == {}, told(flooded)
    assert_live(changing.lab)


def test_nothing_passes_during_a_boot(changing, record_property):
    """Links and tables are gone with the former kernel, and forwarding is on: its unit has loaded its table first."""
    host = changing.lab.host
    transit = host.sh("nft -s list table inet dockless-transit")
    host.run(["nft", "-f", "-"], input=f"flush ruleset\n{transit}\n")
    host.sh("rm -r /run/dockless; cd /sys/class/net; for each in veth* br-* vx-*; do ip link delete $each; done")
    with flood.Flood(changing.lab, attacks()) as flooded:
        host.dockless("apply", "--boot", "--json")
        flooded.wait()
    record_property("packets", flooded.packets)
    assert flooded.leaks == {}, told(flooded)
    assert_live(changing.lab)


def test_flood_notices_a_host_without_its_tables(changing):
    """The control: the attacks would arrive."""
    with flood.Flood(changing.lab, attacks()) as flooded:
        changing.lab.host.run(["nft", "flush", "ruleset"])
        flooded.wait()
    changing.apply("none")  # with the links goes what they were taught
    changing.apply("all")
    assert len({attack.kind for attack, _station in flooded.leaks}) > 10


def assert_live(lab):
    """What may pass does: the flood came over links that work."""
    passages, calls = trial.ways()
    wrong = claims.try_passages(lab, [each for each in passages if is_declared(each)], calls)
    assert not wrong, "\n".join(wrong)


def is_declared(passage):
    """Tell whether a passage needs only what is declared: no link and address that an operator added to the lab."""
    of_operator = any(address in passage.name for address in (*places.LATE_ADDRESS, *GUEST))
    return not is_by_hand(passage.name) and not of_operator and passage.port not in TAKEN


def told(flooded):
    """Return what arrived: a line for each kind, origin and place, with how many attacks, and one of them."""
    groups = {}
    for attack, station in sorted(flooded.leaks, key=lambda leak: leak[0].name):
        groups.setdefault((attack.kind, attack.origin, station), []).append(attack.name)
    lines = [
        f"{kind}, from {origin}: {len(names)} arrived at {station}, such as: {names[0]}"
        for (kind, origin, station), names in sorted(groups.items())
    ]
    return f"{len(flooded.leaks)} attacks arrived, of {flooded.packets} packets:\n" + "\n".join(lines)
