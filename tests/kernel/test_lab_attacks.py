# SPDX-License-Identifier: GPL-3.0-or-later
"""Every attack of the lab: ten packets, of which none arrives anywhere, and the counter of the rule that must drop
it has counted each one.

Before and after, what may arrive at the same places does. Each run tries a sample of them (lab/sample.py).
"""

from __future__ import annotations

import os

import pytest

from _dockless import names
from lab import attacks_group, attacks_port, claims, mutants, places, sample, trial, wire
from lab.memory import Memory
from support import traffic

PACKETS = 10
# docs/security.md says why this lab cannot notice them.
UNNOTICED = ("@forwarded", "forwarder_connections")
SAMPLE = 14  # mutants that are tried where DOCKLESS_TEST_MUTATIONS=all does not ask for every one
GROUPS = trial.groups(trial.attacks())


@pytest.fixture(scope="module")
def memory(lab):
    """Return what the quiet lab knows: everybody has sent once."""
    assert claims.try_passages(lab, *trial.ways()) == []
    return Memory(lab)


def hold(lab, attacks, count=PACKETS):
    """Return what is wrong with attacks between two controls of their victims."""
    victims = sorted({attack.victim for attack in attacks})
    before = [line for victim in victims for line in claims.control(lab, victim, count)]
    found = claims.try_attacks(lab, attacks, count)
    return before + found + [line for victim in victims for line in claims.control(lab, victim, count)]


@pytest.mark.parametrize("group", GROUPS)
def test_attacks_reach_nobody_and_are_counted(lab, memory, group, record_property):
    """Each family, each rule by its counter."""
    lab.forget()
    attacks = sample.sampled(GROUPS[group])
    assert hold(lab, attacks) == []
    assert memory.changes() == []
    record_property("packets", PACKETS * len(attacks))


def test_nothing_is_delivered_to_a_port(lab, memory, record_property):
    """Every kind of packet, from every kind of sandbox and from peers, to every group that no bridge forwards."""
    lab.forget()
    attacks = sample.sampled(attacks_group.every())
    assert {attack.origin for attack in attacks} == {*attacks_group.ORIGINS, "nbr"}
    assert hold(lab, attacks, 1) == []
    assert memory.changes() == []
    record_property("packets", len(attacks))


def test_group_frames_reach_the_host_without_the_rule(lab):
    """The control of the attacks: it is this rule that stops them."""
    attacks = [
        attack for attack in attacks_group.of() if attack.counter == "ports" and " datagram to the host" in attack.name
    ]
    with traffic.without(lab.host, "iifname != @routed_devices"):
        found = claims.try_attacks(lab, attacks, 1)
    arrived = {line.partition(" ")[0] for line in found if line.endswith("arrived at node")}
    assert {*attacks_group.ORIGINS} - arrived == set()


@pytest.mark.smoke
def test_allowed_traffic_passes(lab, memory, record_property):
    """The other end sees the address that it should; sandboxes are not taught other ways."""
    lab.forget()
    assert claims.try_passages(lab, *trial.ways()) == []
    assert memory.changes() == []
    record_property("packets", sum(map(len, trial.ways())))


def test_nothing_arrives_where_bridges_call_iptables(lab, memory):
    """Frames between ports pass the inet rules as well then.

    Some packets are counted twice, so only what arrives is looked at.
    """
    with traffic.bridge_calls_iptables(lab.host, 1):
        found = claims.try_attacks(lab, sample.sampled(trial.attacks()), PACKETS)
        assert [line for line in found if not line.startswith("counter ")] == []
    assert memory.changes() == []


def test_links_that_are_about_to_be_deleted_are_guarded(lab, memory):
    """A run marks links and bridges by another group before it deletes them. Killed in between, it leaves them up."""
    ours = ("veth", "br-", "vx-")
    links = [link for link in lab.host.sh("ls /sys/class/net").split() if link.startswith(ours)]
    turn = "\n".join(f"link set {link} group {{}}" for link in links)
    lab.host.run(["ip", "-batch", "-"], input=turn.replace("{}", str(names.PENDING_DELETE_GROUP)))
    try:
        found = claims.try_attacks(lab, trial.attacks(), 1)
    finally:
        lab.host.run(["ip", "-batch", "-"], input=turn.replace("{}", str(names.LINK_GROUP)))
    # What port shadows begin with does not leave any more, which is counted as well.
    assert [line for line in found if "arrived" in line or "too few" in line] == []
    assert memory.changes() == []


def test_packet_marks_bypass_no_rule(lab, memory):
    """Whatever mark another table sets, no rule matches on one."""
    rules = "".join(
        f"add chain inet theirs {hook} {{ type filter hook {hook} priority -310; }}\n"
        f"add rule inet theirs {hook} meta mark set {mark}\n"
        for hook, mark in (("prerouting", "0x1000"), ("forward", "0x2000"), ("output", "0x1000"))
    )
    lab.host.run(["nft", "-f", "-"], input="add table inet theirs\n" + rules)
    assert trial.failures(lab, memory, 2) == []
    lab.host.run(["nft", "delete", "table", "inet", "theirs"])


def test_privileged_sandbox_cannot_bypass_the_rules(lab, memory):
    """It takes its neighbour's addresses for its own, believes routers, forwards.

    The host's side of the pair decides.
    """
    stolen = [places.address("c2", 4) + "/24", places.address("c2", 6) + "/64"]
    lab.host.sh(
        "; ".join(
            [f"ip address add {cidr} dev eth0 nodad" for cidr in stolen]
            + [
                "echo 1 >/proc/sys/net/ipv4/ip_forward",
                "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding",
                "echo 2 >/proc/sys/net/ipv6/conf/eth0/accept_ra",
                f"ping -q -c 1 -w 1 -I {places.address('c2', 4)} {places.gateway('c1', 4)} || true",
            ]
        ),
        netns="c1",
    )
    try:
        # Its own kernel may answer for what it took as well, so walls count more than what is sent here.
        found = hold(lab, sample.sampled(attacks_port.of()))
        assert [line for line in found if not line.startswith("counter ")] == []
        assert memory.changes() == []
    finally:
        lab.host.sh(
            "; ".join(
                [f"ip address del {cidr} dev eth0" for cidr in stolen]
                + [
                    "echo 0 >/proc/sys/net/ipv4/ip_forward",
                    "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
                    "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra",
                ]
            ),
            netns="c1",
        )
    assert claims.try_passages(lab, *trial.ways()) == []


def test_bridge_learns_no_mac_of_a_flood(lab, memory):
    """Ten thousand frames, each with another MAC; the bridge's table stays as it was."""
    frames = 10000
    before = lab.counters()["source_macs"]
    for number in range(frames):
        lab["c1"].frame(
            wire.ethernet(
                lab["c2"].mac, f"06:00:00:00:{number >> 8:02x}:{number & 255:02x}", wire.IP, b"DL%06d" % number
            )
        )
    lab.settle()
    assert not [each for each in lab.taken()["c2"] if each.how == "frame" and b"\x06\x00\x00\x00" in each.frame[6:12]]
    assert lab.counters()["source_macs"] - before == frames
    assert memory.changes() == []


def test_removed_rule_is_noticed(lab, memory):
    """Each rule of the tables, the elements of each set and each setting taken out by itself turn this lab red.

    Here a sample, all by DOCKLESS_TEST_MUTATIONS=all.
    """
    found = [mutant for mutant in mutants.every(lab) if not any(word in mutant.name for word in UNNOTICED)]
    assert len(found) > 90
    chosen = found if os.environ.get("DOCKLESS_TEST_MUTATIONS") == "all" else found[:: len(found) // SAMPLE]
    lived = [mutant for mutant, wrong in mutants.tried(lab, memory, chosen) if not wrong]
    assert [mutant.name for mutant in lived if mutant.guard] == []
    assert len(lived) <= len(chosen) / 20
