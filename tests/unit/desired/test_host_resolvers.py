# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's forwarder: it has more places than one sandbox can take."""

from __future__ import annotations

import re

import pytest

from _dockless.firewall import forwarder_rules
from _dockless.model.facts import Facts
from _dockless.state.firewall import Firewall
from _dockless.state.objects import File
from support.pipeline import of_kind, resolved, state

FORGETS_AFTER = 10  # seconds: TIMEOUT in config.h of dnsmasq
CLOSES_AFTER = 150  # CHILD_LIFETIME
LOOPBACK = Facts(nameservers=("127.0.0.53",), resolv_conf="/etc/resolv.conf")
DOCUMENT = {
    "networks": {"one": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}, "two": {"enable_ipv6": True}},
    "sandboxes": {"web": {"networks": ["one", "two"]}, "own": {"networks": ["one"], "dns": ["192.0.2.53"]}},
}


def forwarder(facts):
    """Return the text of the forwarder's configuration."""
    files = of_kind(state(resolved(DOCUMENT, known=facts), facts), File)
    return next(file.text for file in files if file.path.endswith("/resolvers/@host.conf"))


def test_several_sandboxes_together_do_not_take_all_places():
    text = forwarder(LOOPBACK)
    queries, connections = (
        int(re.search(rf"^{key}=(\d+)$", text, re.MULTILINE)[1])
        for key in (
            "dns-forward-max",
            "max-tcp-connections",
        )
    )
    assert queries >= 3 * (forwarder_rules.QUERY_BURST + FORGETS_AFTER * forwarder_rules.QUERY_RATE)
    assert connections >= 1.5 * (forwarder_rules.CONNECTION_BURST + CLOSES_AFTER * forwarder_rules.CONNECTION_RATE)


@pytest.mark.parametrize("version", [(0, 0), (2, 89)])
def test_an_older_dnsmasq_gets_no_option_that_it_refuses(version):
    assert "max-tcp-connections" not in forwarder(LOOPBACK._replace(dnsmasq_version=version))


def test_a_file_that_dnsmasq_cannot_follow_is_not_in_the_configuration():
    """Its servers are, also those with a zone."""
    facts = LOOPBACK._replace(nameservers=("127.0.0.53", "fe80::1%eth0"), resolv_conf="")
    lines = forwarder(facts).splitlines()
    assert {"no-resolv", "server=127.0.0.53", "server=fe80::1%eth0"} <= set(lines)
    assert not any(line.startswith("resolv-file") for line in lines)


def test_a_sandbox_is_admitted_from_one_address_only():
    """It is on two networks, one of them with both families; one with servers of its own is not admitted at all."""
    (firewall,) = of_kind(state(resolved(DOCUMENT, known=LOOPBACK), LOOPBACK), Firewall)
    for name in ("forwarder_queries", "forwarder_connections"):
        clients = {version: [each for of, each in firewall.elements if of == f"{name}{version}"] for version in (4, 6)}
        assert [each.startswith("172.20.0.") for each in clients[4]] == [True] and not clients[6], clients


@pytest.mark.parametrize(
    "server, clients", [("2001:db8::53", {4: ["172.20.0."], 6: []}), ("192.0.2.53", {4: [], 6: ["fd00:20:"]})]
)
def test_a_sandbox_without_a_route_in_the_servers_family_is_admitted(server, clients):
    """And no other: one with both families asks the host's servers itself."""
    document = {
        "networks": {
            "four": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
            "six": {"enable_ipv4": False, "ipam": {"config": [{"subnet": "fd00:20::/64"}]}},
            "both": {"enable_ipv6": True},
        },
        "sandboxes": {"a": {"networks": ["four"]}, "b": {"networks": ["six"]}, "c": {"networks": ["both"]}},
    }
    facts = Facts(nameservers=(server,), resolv_conf="/etc/resolv.conf")
    (firewall,) = of_kind(state(resolved(document, known=facts), facts), Firewall)
    for name in ("forwarder_queries", "forwarder_connections"):
        for version, prefixes in clients.items():
            found = [each for of, each in firewall.elements if of == f"{name}{version}"]
            assert len(found) == len(prefixes) and all(map(str.startswith, found, prefixes)), found


def test_a_sandbox_with_records_of_its_own_is_admitted():
    """It has a resolver, although no network of it has names."""
    web = {"networks": ["plain"], "records": [{"name": "printer.lan", "value": "192.0.2.9"}]}
    document = {
        "networks": {"plain": {"dns_enabled": False, "ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
        "sandboxes": {"web": web, "silent": {"networks": ["plain"]}},
    }
    (firewall,) = of_kind(state(resolved(document, known=LOOPBACK), LOOPBACK), Firewall)
    found = [each for of, each in firewall.elements if of == "forwarder_queries4"]
    assert len(found) == 1 and found[0].startswith("172.20.0."), found
