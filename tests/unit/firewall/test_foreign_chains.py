# SPDX-License-Identifier: GPL-3.0-or-later
"""Foreign forward chains, as nft lists those of well-known firewalls, and what they do to a managed bridge."""

from __future__ import annotations

import pytest

from _dockless.firewall import foreign_chains
from _dockless.firewall.foreign_chains import Chain

FIREWALLD = {
    "filter_FORWARD": """
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        ip6 daddr { ::/96, 2002::/24 } reject with icmpv6 addr-unreachable
        jump filter_FORWARD_POLICIES
        reject with icmpx admin-prohibited""",
    "filter_FORWARD_POLICIES": """
        iifname "br-a" oifname "br-a" jump filter_FWD_trusted
        iifname "br-a" jump filter_FWD_trusted_out
        iifname "eth0" jump filter_FWD_public
        jump filter_FWD_public
        reject with icmpx admin-prohibited""",
    "filter_FWD_trusted": "jump empty\naccept",
    "filter_FWD_trusted_out": "accept",
    "filter_FWD_public": "jump empty",
    "empty": "",
}
DOCKER = {
    "FORWARD": """
        counter packets 3 bytes 252 jump DOCKER-USER
        counter packets 3 bytes 252 jump DOCKER-FORWARD""",
    "DOCKER-USER": "",
    "DOCKER-FORWARD": """
        counter packets 0 bytes 0 jump DOCKER-CT
        counter packets 0 bytes 0 jump DOCKER-BRIDGE
        iifname "docker0" counter packets 0 bytes 0 accept""",
    "DOCKER-CT": """oifname "docker0" ct state related,established counter packets 0 bytes 0 accept""",
    "DOCKER-BRIDGE": """oifname "docker0" counter packets 0 bytes 0 jump DOCKER""",
    "DOCKER": """iifname != "docker0" oifname "docker0" counter packets 0 bytes 0 drop""",
}
UFW = {
    "FORWARD": "counter packets 0 bytes 0 jump ufw-before-forward\n"
    "counter packets 0 bytes 0 jump ufw-after-logging-forward",
    "ufw-before-forward": """
        ct state related,established counter packets 0 bytes 0 accept
        ip protocol icmp icmp type echo-request counter packets 0 bytes 0 accept
        counter packets 0 bytes 0 jump ufw-user-forward""",
    "ufw-user-forward": "",
    "ufw-after-logging-forward": (
        'limit rate 3/minute burst 10 packets counter packets 0 bytes 0 log prefix "[UFW BLOCK] " '
    ),
}


def rules(chains: dict[str, str]) -> dict[str, list[str]]:
    """Return chains as nft.py reads them: each from a listing of its own."""

    def listing(name: str, text: str) -> str:
        lines = "".join(f"\t\t{line.strip()}\n" for line in text.splitlines() if line.strip())
        return f"table x y {{\n\tchain {name} {{\n{lines}\t}}\n}}\n"

    return {name: foreign_chains.rules_in(listing(name, text)) for name, text in chains.items()}


def blocked(
    chains: dict[str, str], bridge: str = "br-a", policy: str = "drop", family: str = "ip", bridged: bool = True
) -> set[str]:
    """Return the directions that the first of the chains blocks."""
    chain = Chain(family, "filter", next(iter(chains)), policy)
    return {flow for found in foreign_chains.analyse(chain, rules(chains), [bridge], bridged) for flow in found.flows}


def test_firewalld_lets_pass_what_is_in_a_trusted_zone():
    assert blocked(FIREWALLD, "br-a", "accept", "inet") == set()
    assert blocked(FIREWALLD, "br-b", "accept", "inet") == {"out", "within"}  # published ports pass: ct status dnat


def test_docker_drops_what_is_not_its_own_until_its_users_chain_accepts_it():
    assert blocked(DOCKER) == {"out", "in", "within"}
    assert blocked(DOCKER, "docker0") == {"in"}
    assert (
        blocked({**DOCKER, "DOCKER-USER": "iifgroup 25707 counter packets 0 bytes 0 accept\noifgroup 0x646b accept"})
        == set()
    )
    assert blocked({**DOCKER, "DOCKER-USER": 'iifname "br-a" accept'}) == {"out", "in"}


def test_ufw_drops_until_a_route_is_allowed():
    assert blocked(UFW) == {"out", "in", "within"}
    allowed = 'iifname "br-a" counter packets 0 bytes 0 accept\noifname "br-a" counter packets 0 bytes 0 accept'
    assert blocked({**UFW, "ufw-user-forward": allowed}) == set()


def test_the_example_in_the_module_s_docstring():
    """With routing allowed in one direction only, the other one is blocked."""
    chains = {
        "FORWARD": "jump before\njump user",
        "before": "ct state established,related accept\nip protocol icmp accept",
        "user": 'iifname "br-a" accept',
    }
    assert blocked(chains, bridged=False) == {"in"}


CASES = {
    "a comment that looks like a rule": (
        'tcp dport 1 comment "iifname br-a { accept"',
        "drop",
        {"out", "in", "within"},
    ),
    "an accept for one port of ours is meant for us": (
        'iifname "br-a" tcp dport 80 accept\noifname "br-a" accept\niifname "br-a" ct state established accept',
        "drop",
        set(),
    ),
    "an accept for one port of anybody is not": ("tcp dport 80 accept", "drop", {"out", "in", "within"}),
    "a drop of one port is no obstacle": ("tcp dport 25 drop", "accept", set()),
    "a drop for everybody is": ("counter packets 1 bytes 2 drop", "accept", {"out", "in", "within"}),
    "a drop of everybody else is not": ('iifname "eth7" oifname "eth8" drop', "accept", set()),
    "a drop with a log": ('log prefix "accept " level info drop', "accept", {"out", "in", "within"}),
    "a set of names": ('iifname { "br-x", "br-a" } accept\noifname { "br-x", "br-a" } accept', "drop", set()),
    "a named set is not read": ("iifname @ours accept", "drop", {"out", "in", "within"}),
    "an inverted name": ('iifname != "br-a" oifname != "br-a" drop', "accept", set()),
    "an inverted name that hits us": ('iifname != "eth0" oifname != "eth0" drop', "accept", {"within"}),
    "everything into us from elsewhere": ('iifname != "br-a" oifname "br-a" drop', "accept", {"out", "in"}),
    "all of the loopback": ('iifname "lo" accept\niifname != "lo" drop', "accept", {"out", "in", "within"}),
    "everything of another group": ("iifgroup != 25707 drop", "accept", {"out", "in"}),
    "another group": ("iifgroup 7 accept\noifgroup 7 accept", "drop", {"out", "in", "within"}),
    "a verdict map of names": (
        'iifname vmap { "br-a" : accept, "eth0" : jump other }\noifname vmap { "br-a" : accept }',
        "drop",
        set(),
    ),
    "a map of pairs is not followed": (
        'iifname . oifname vmap { "br-a" . "br-a" : accept }',
        "drop",
        {"out", "in", "within"},
    ),
    "a jump to a chain that was not readable": ("jump gone", "accept", set()),
    "a jump back": ("jump c", "drop", {"out", "in", "within"}),
    "a return in the base chain": ('return\niifname "br-a" accept', "drop", {"out", "in", "within"}),
}


@pytest.mark.parametrize("text, policy, flows", CASES.values(), ids=CASES.keys())
def test_rule(text, policy, flows):
    assert blocked({"c": text}, policy=policy) == flows


def test_bridges_that_rules_see_alike_are_reported_together():
    chain = Chain("ip", "filter", "FORWARD", "drop")
    links = [f"br-{n}" for n in range(9)]
    found = foreign_chains.analyse(
        chain, rules({"FORWARD": 'iifname "br-3" accept\noifname "br-3" accept\niifname "br-4" accept'}), links, True
    )
    others = tuple(b for b in links if b not in ("br-3", "br-4"))
    assert [(o.bridges, o.flows) for o in found] == [(("br-4",), ("out", "in")), (others, ("out", "in", "within"))]
    assert "br-0, br-1, br-2 and 4 more" in str(found[1])


def test_frames_within_count_only_where_they_come_through():
    assert blocked({"c": ""}, bridged=False) == {"out", "in"}
    across = rules({"c": 'iifname "br-a" oifname != "br-a" accept\noifname "br-a" iifname != "br-a" accept'})
    found = foreign_chains.analyse(Chain("ip", "f", "c", "drop"), across, ["br-a"], True)
    assert [(o.flows, o.bridged) for o in found] == [(("within",), True)]
    found = foreign_chains.analyse(Chain("bridge", "f", "c", "drop"), {"c": []}, ["br-a"], True)
    assert [(o.flows, o.bridged) for o in found] == [(("within",), True)]


def test_chain_headers_are_recognized():
    listing = """table ip filter {
    chain INPUT {
        type filter hook input priority filter; policy drop;
    }
    chain FORWARD {
        comment "type filter"
        type filter hook forward priority filter + 10; policy drop;
    }
    chain user {
    }
}
table bridge b {
    chain f {
        type filter hook forward priority -200; policy accept;
    }
}
table inet n {
    chain nat {
        type nat hook prerouting priority dstnat; policy accept;
    }
}
""".replace("    ", "\t")
    assert foreign_chains.forward_chains(listing) == [
        Chain("ip", "filter", "FORWARD", "drop"),
        Chain("bridge", "b", "f", "accept"),
    ]


def test_element_lists_over_several_lines_are_one_rule():
    listing = """table ip f {
    chain c {
        comment "c"
        type filter hook forward priority 0; policy drop;
        iifname { "a",
              "b" } accept
        drop comment "{"
        return
    }
}
""".replace("    ", "\t")
    assert foreign_chains.rules_in(listing) == ['iifname { "a", "b" } accept', 'drop comment "{"', "return"]
