# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for foreign firewalls, and the parsers of what their programs list."""

from __future__ import annotations

import pytest

from _dockless.desired import foreign_firewalls
from _dockless.firewall import coexistence, docker_user, firewalld, foreign_chains, ufw
from _dockless.firewall.docker_user import DockerChain
from _dockless.firewall.firewalld import POLICIES
from _dockless.firewall.foreign_chains import BlockingChain, Chain
from _dockless.firewall.foreign_firewalls import FOREIGN_FIREWALLS
from _dockless.linux import foreign_firewalls as linux_foreign_firewalls
from _dockless.model import topology
from _dockless.model.facts import DockerFirewall, FirewalldFirewall, UfwFirewall
from _dockless.names import FIREWALLS
from _dockless.state.objects import ForeignFirewallRules
from support.pipeline import FACTS, of_kind, resolved, state

DOCUMENT = {
    "networks": {"front": {"bridge_name": "br-front"}, "back": {"bridge_name": "br-back", "internal": True}},
    "sandboxes": {"web": {"networks": ["front", "back"], "ports": ["8080:80"]}, "db": {"networks": ["back"]}},
}
DOCKER = DockerFirewall()
LISTING = """
-P FORWARD DROP
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -o web0 -j DOCKER
-A DOCKER-USER -s 192.0.2.0/24 -m comment --comment "not dockless" -j DROP
-A DOCKER-USER -m devgroup --src-group 0x646b --dst-group 0x646b -m comment --comment dockless -j ACCEPT
-A DOCKER-USER -o br-+ -m devgroup --src-group 0x646b -m comment --comment dockless -j RETURN
-A DOCKER-USER -j RETURN
-A DOCKER-USER -m devgroup --dst-group 0x646b -m comment --comment dockless -j ACCEPT
"""


def lines(*firewalls, document=None, named=None, **known):
    """Return what each firewall is asked for, as lists of lines."""
    host = resolved(document or DOCUMENT, defaults={"coexist": named or [each.name for each in firewalls]})
    found = of_kind(state(host, FACTS._replace(firewalls=firewalls, **known)), ForeignFirewallRules)
    return {thing.firewall: thing.text.splitlines() for thing in found}


def test_docker_rules_apply_to_dockers_bridges_only():
    """Only for families that networks have, in the order that matters.

    Docker's bridges with other names are Docker's too.
    """
    assert lines(DOCKER._replace(bridges=("br-0123456789ab", "docker0", "web0")))["docker"] == [
        "iptables -m devgroup --src-group 25707 --dst-group 25707 -j ACCEPT",
        *[
            f"iptables {way} {name} -m devgroup --{end}-group 25707 -j RETURN"
            for name in ("br-+", "docker+", "web0")
            for way, end in (("-o", "src"), ("-i", "dst"))
        ],
        "iptables -m devgroup --src-group 25707 -j ACCEPT",
        "iptables -m devgroup --dst-group 25707 -j ACCEPT",
    ]
    six = {**DOCUMENT, "networks": {**DOCUMENT["networks"], "front": {"enable_ipv6": True}}}
    assert {line.split()[0] for line in lines(DOCKER, document=six)["docker"]} == {"iptables", "ip6tables"}


def test_an_uplink_called_like_a_bridge_of_docker_s_is_none():
    through = lines(DOCKER, uplink="br-lan")["docker"]
    accepted, returned = (
        f"iptables -o {name} -m devgroup --src-group 25707 -j {verdict}"
        for name, verdict in (("br-lan", "ACCEPT"), ("br-+", "RETURN"))
    )
    assert through.index(accepted) < through.index(returned)
    assert (
        "iptables -o docker0 -m devgroup --src-group 25707 -j ACCEPT"
        not in lines(DOCKER._replace(bridges=("docker0",)), uplink="docker0")["docker"]
    )


def test_ufw_is_asked_for_each_way_that_traffic_goes_but_not_for_what_others_allow():
    """No ingress without published ports, no egress of internal networks."""
    assert lines(UfwFirewall())["ufw"] == [
        "route allow in on br-back out on br-back",
        "route allow in on br-front",
        "route allow out on br-front",
    ]
    assert lines(UfwFirewall(("route allow in on br-front",)))["ufw"] == [
        "route allow in on br-back out on br-back",
        "route allow out on br-front",
    ]


def test_firewalld_gets_a_policy_for_networks_with_egress_only():
    """Internal networks need no policy. Of one that is stopped only the files are meant."""
    zone = ["zone", "forward", "interface br-back", "interface br-front", "policy dockless-out"]
    assert lines(FirewalldFirewall())["firewalld"] == [
        f"{time} {each}" for time in ("permanent", "runtime") for each in zone
    ]
    internal = {"networks": {"back": DOCUMENT["networks"]["back"]}, "sandboxes": {"db": {"networks": ["back"]}}}
    assert lines(FirewalldFirewall(running=False), document=internal)["firewalld"] == [
        "permanent zone",
        "permanent forward",
        "permanent interface br-back",
    ]


def test_nothing_is_asked_for_without_networks_or_unasked():
    assert lines(DOCKER, named=["ufw"]) == {}
    assert lines(DOCKER, document={"networks": {}, "sandboxes": {}}) == {}


def test_docker_s_chain_is_read_up_to_where_it_returns():
    chain = docker_user.parse(LISTING)
    assert chain == DockerChain(
        (
            "-m devgroup --src-group 25707 --dst-group 25707 -j ACCEPT",
            "-o br-+ -m devgroup --src-group 25707 -j RETURN",
        ),
        2,
        ("docker0", "web0"),
    )
    assert len(docker_user.deletions_of_own_rules(LISTING)) == 3
    assert docker_user.parse("-P FORWARD DROP\n") is None


def test_ufw_rules_are_recognized_by_their_comment():
    listing = """Added user rules (see 'ufw status' for running firewall):
ufw allow 22/tcp
ufw route allow in on br0 comment 'dockless'
ufw route allow out on br0 comment 'it isn"t dockless'
ufw route deny out on br1
"""
    assert ufw.parse(listing) == (("route allow in on br0",), ("route allow out on br0", "route deny out on br1"))


def test_what_a_user_put_into_our_zone_stays_in_its_file():
    """Changed files are restored. A zone that dockless did not create is recognized."""
    text = firewalld.zone_file(None, ["zone", "forward", "interface br0"])
    assert firewalld.zone_in_file(text) == ["zone", "forward", "interface br0"]
    edited = text.replace("<zone>", '<zone target="ACCEPT">').replace("</zone>", '<service name="dns"/></zone>')
    assert firewalld.zone_in_file(edited) == ["forward", "interface br0"]
    mended = firewalld.zone_file(edited, ["zone", "interface br1"])
    assert firewalld.zone_in_file(mended) == ["zone", "interface br1"] and '<service name="dns" />' in mended
    assert firewalld.zone_in_file("<zone><short>Public</short></zone>") is None
    for name in POLICIES:
        assert firewalld.policy_in_file(firewalld.policy_file(name), name) == [f"policy {name}"]
        assert firewalld.policy_in_file(firewalld.policy_file(name).replace('"ANY"', '"HOST"'), name) == []


def test_what_a_reload_would_lose():
    now = "public (active)\n  target: default\n  interfaces: eth0\n  ports: 99/tcp\n\ndockless\n  ports: 1/tcp\n"
    assert firewalld.runtime_settings(now) == ["public ports: 99/tcp", "public target: default"]


@pytest.mark.parametrize(
    "named, flows, remedy",
    [
        ((), ("out", "in"), "Add firewalld to coexist"),
        (("firewalld",), ("in",), "StrictForwardPorts in firewalld.conf closes published ports"),
        (("firewalld",), ("out",), "The rules that coexist adds do not prevent this"),
    ],
)
def test_blocking_chain_is_reported_with_its_remedy(named, flows, remedy):
    """With StrictForwardPorts firewalld decides about published ports, and we say so."""
    obstacle = BlockingChain("inet", "firewalld", "filter_FORWARD", "It drops.", False, flows, ("br0",), "firewalld")
    assert foreign_firewalls.blocking_chain_warning(obstacle, named).startswith("It drops. " + remedy)
    assert foreign_firewalls.blocking_chain_warning(obstacle._replace(firewall=""), named) == "It drops."


@pytest.mark.parametrize(
    "network, ports, open_ways",
    [
        ({}, [], {"within", "out"}),
        ({}, ["8080:80"], {"within", "out", "in"}),
        ({"internal": True}, [], {"within"}),
        ({"ingress": False}, [], {"within", "out"}),
        ({"egress": False}, ["8080:80"], {"within", "in"}),
        ({"gateway_mode_ipv4": "routed"}, [], {"within", "out", "in"}),
        ({"trusted_host_interfaces": ["eth1"]}, [], {"within", "out", "in"}),
    ],
)
def test_an_obstacle_matters_where_something_would_go_that_way(network, ports, open_ways):
    """And rules exist only for such directions: ufw's for each, firewalld's policy inwards where nothing is
    translated.
    """
    document = {
        "networks": {"front": {"bridge_name": "br0", **network}},
        "sandboxes": {"web": {"networks": ["front"], "ports": ports}},
    }
    host = resolved(document)
    found = coexistence.allowed_directions(host, topology.networks_by_key(host))
    assert found == {"br0": open_ways}
    obstacle = BlockingChain("ip", "filter", "FORWARD", "It drops.", False, (), ("br0",), "ufw")
    assert [flow for flow in ("in", "out", "within") if obstacle._replace(flows=(flow,)).is_relevant(found)] == sorted(
        open_ways
    )
    asked = lines(UfwFirewall(), FirewalldFirewall(running=False), document=document)
    assert ("route allow out on br0" in asked["ufw"]) == ("in" in open_ways)
    assert ("route allow in on br0" in asked["ufw"]) == ("out" in open_ways)
    assert ("permanent policy dockless-in" in asked["firewalld"]) == ("in" in open_ways and not ports)
    assert ("permanent policy dockless-out" in asked["firewalld"]) == ("out" in open_ways)


@pytest.mark.parametrize(
    "rules, owner",
    [
        ({"FORWARD": [], "DOCKER-USER": [], "ufw-before-forward": []}, "docker"),
        ({"FORWARD": [], "ufw6-before-forward": []}, "ufw"),
        ({"FORWARD": []}, ""),
    ],
)
def test_whose_a_chain_is(rules, owner):
    found = foreign_chains.analyse(Chain("ip6", "filter", "FORWARD", "drop"), rules, ["br0"], True)
    assert [each.firewall for each in found] == [owner]


def test_a_chain_called_log_is_followed():
    """The word in a chain's name is no statement."""
    rules = ["jump filter_FWD_public_log", 'counter packets 1 bytes 2 log prefix "x" jump my-counter']
    assert foreign_chains.jumps(rules) == ["filter_FWD_public_log", "my-counter"]


def test_each_firewall_that_coexist_names_has_its_two_parts():
    """The pure one computes and parses its configuration, the adapter runs its program."""
    assert set(FOREIGN_FIREWALLS) == set(linux_foreign_firewalls._ADAPTERS) == set(FIREWALLS)


def test_zones_and_policies_are_read_from_what_firewall_cmd_prints():
    zone = "dockless (active)\n  target: default\n  forward: yes\n  interfaces: br-b br-a\n  services: dns\n"
    assert firewalld.parse(zone) == ["zone", "forward", "interface br-a", "interface br-b"]
    assert firewalld.parse(zone.replace("default", "ACCEPT")) == ["forward", "interface br-a", "interface br-b"]
    policy = "dockless-out (active)\n  priority: -1\n  target: ACCEPT\n  ingress-zones: dockless\n  egress-zones: ANY\n"
    assert firewalld.parse(policy) == ["policy dockless-out"]
    assert firewalld.parse(policy.replace("ANY", "HOST")) == []
