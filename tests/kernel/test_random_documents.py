# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents made by chance on a real kernel: from one to the next, after things were deleted by hand, and away.

The same documents as in tests/unit/state/test_plan_properties.py, whose kernel is a dictionary: what
holds there must hold here. A failure names its seed;
DOCKLESS_TEST_SEEDS=100 tries as many.
"""

from __future__ import annotations

import os
import random

import pytest

from support.random_documents import document
from support.smoke import smoke_case

SEEDS = range(int(os.environ.get("DOCKLESS_TEST_SEEDS", "2")))
DELETIONS = {
    "an inner end": "ip -n {netns} link delete {link}",
    "an address": "ip -n {netns} address flush dev {link}",
    "a link's state": "ip -n {netns} link set {link} down",
    "a namespace": "ip netns delete {netns}",
    "the table": "nft delete table inet dockless",
    "a bridge": "ip link delete {bridge}",
}


def drawn(chance):
    """Return a document without processes to attach to."""
    found = document(chance)
    for spec in found["sandboxes"].values():
        spec.pop("attach", None)
    return found


def settled(host, wanted):
    """Assert that a second run finds nothing to do."""
    again = host.plan(wanted)
    assert not again["changed"], again["operations"]


@pytest.mark.parametrize("seed", smoke_case({str(seed): seed for seed in SEEDS}, "0"))
def test_from_one_document_to_the_next(private_host, seed):
    chance = random.Random(seed)
    for _turn in range(3):
        wanted = drawn(chance)
        private_host.apply(wanted, on_mismatch="recreate")
        settled(private_host, wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_deleted_by_hand_is_made_again_by_one_run(private_host, seed):
    chance = random.Random(seed)
    wanted = drawn(chance)
    while not any(spec.get("networks") for spec in wanted["sandboxes"].values()):
        wanted = drawn(chance)
    made = private_host.apply(wanted)
    for _turn in range(3):
        endpoint = chance.choice(made["endpoints"])
        bridges = private_host.sh("ip -brief link show type bridge | cut -d' ' -f1").split()
        what = chance.choice(sorted(DELETIONS))
        private_host.sh(
            DELETIONS[what].format(netns=endpoint["sandbox"], link=endpoint["interface"], bridge=chance.choice(bridges))
        )
        repaired = private_host.apply(wanted)
        assert repaired["operations"], what
        assert repaired["endpoints"] == made["endpoints"]
        settled(private_host, wanted)
