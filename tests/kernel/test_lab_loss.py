# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows that no change concerns lose no packet while networks, sandboxes and ports come and go.

By default a sample; DOCKLESS_TEST_PACKETS=500000 sends as many, with each setting of br_netfilter.
"""

from __future__ import annotations

import itertools
import json
import os
import threading

import pytest

from lab import streams
from support import traffic

PACKETS = int(os.environ.get("DOCKLESS_TEST_PACKETS", "20000"))
CHANGES = ("more", "other", "all")
BURST = 8


class Changes:
    """Makes one run after another in a thread, for the length of a with block."""

    def __init__(self, changing):
        self._changing = changing
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.made = 0
        self.error = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._is_over.set()
        self._thread.join()

    def _run(self):
        try:
            for document in itertools.cycle(CHANGES):
                if self._is_over.is_set():
                    return
                self._changing.apply(document)
                self.made += 1
        except Exception as error:  # told by the test
            self.error = error


def flowing(changing):
    """Return the streams, of which each arrives."""
    found = streams.Traffic(changing.lab, [*streams.of(4), *streams.of(6)])
    found.burst(1)
    assert found.lost() == {}
    return found


@pytest.mark.parametrize("calls", [0, 1], ids=["bridge-nf off", "bridge-nf on"])
def test_no_packet_is_lost_while_others_change(changing, calls, record_property):
    """Routed and bridged, both families, lasting flows and new ones."""
    changing.apply("all")
    with traffic.bridge_calls_iptables(changing.lab.host, calls):
        found = flowing(changing)
        with Changes(changing) as changes:
            while (found.sent < PACKETS or changes.made < len(CHANGES)) and not changes.error:
                found.burst(BURST)
        lost = found.lost()
    found.close()
    assert changes.error is None
    changing.apply("all")
    record_property("packets", found.sent)
    record_property("runs", changes.made)
    assert lost == {}, f"{sum(lost.values())} of {found.sent} packets during {changes.made} runs: {lost}"


def test_a_change_replaces_no_rule(changing):
    """Packets that pass at that moment would meet no rule, or one that is gone: the sample above may miss it."""
    changing.apply("all")
    before = handles(changing.lab.host)
    changing.apply("more")
    assert handles(changing.lab.host) == before
    changing.apply("all")
    assert handles(changing.lab.host) == before


def handles(host):
    """Return the kernel's numbers of our tables, chains and rules: what is loaded again gets new ones."""
    listed = json.loads(host.run(["nft", "-j", "-a", "list", "ruleset"]).stdout)["nftables"]
    return {
        (kind, item["family"], item["handle"])
        for each in listed
        for kind, item in each.items()
        if kind in ("table", "chain", "rule")
    }


def test_loss_is_noticed(changing):
    """The control: tables that are deleted and loaded again lose packets to published ports."""
    changing.apply("all")
    host = changing.lab.host
    found = flowing(changing)
    tables = host.run(["nft", "list", "table", "inet", "dockless"]).stdout
    host.run(["nft", "delete", "table", "inet", "dockless"])
    found.burst(BURST)
    host.run(["nft", "-f", "-"], input=tables)
    lost = found.lost()
    found.close()
    assert {stream.origin for stream in lost} >= {"nbr", "c3"}
