# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookups by the C libraries that programs have, glibc's and musl's, and by DNS to the letter: both families, sizes,
changes.
"""

from __future__ import annotations

import copy
import ipaddress
import subprocess

import pytest

from support.dns_questions import DOCUMENT as NAMED
from support.dns_questions import UPSTREAM, act, asked_upstream, dig, until
from support.invariants import address
from support.private_host import NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

SERVER = [SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py")]
MANY = 60
GLIBC = (
    "import socket, sys\ntry: print(*(found[4][0] for found in socket.getaddrinfo(sys.argv[1], None, "
    "type=socket.SOCK_STREAM)), sep='\\n')\n"
    "except socket.gaierror as error: print('again' if error.errno == socket.EAI_AGAIN else 'none')"
)
DOCUMENT = {
    "networks": {
        "front": {
            "enable_ipv6": True,
            "ipam": {"config": [{"subnet": "172.20.0.0/24"}, {"subnet": "fd00:20::/64"}]},
            "records": [{"name": "many", "value": f"198.18.0.{number}"} for number in range(1, MANY + 1)],
        },
        "four": {"ipam": {"config": [{"subnet": "172.24.0.0/24"}]}},
        "six": {"enable_ipv4": False, "ipam": {"config": [{"subnet": "fd00:26::/64"}]}},
    },
    "sandboxes": {
        "both": {
            "networks": {
                "front": {"ipv4_address": "172.20.0.9", "ipv6_address": "fd00:20::9", "aliases": ["Shop.Example"]}
            }
        },
        "only4": {"networks": {"four": {"ipv4_address": "172.24.0.4", "aliases": ["old.example"]}}},
        "only6": {"networks": {"six": {"ipv6_address": "fd00:26::6", "aliases": ["new.example"]}}},
        "cli": {"networks": {"front": {"links": ["both:partner", "gone:later"]}, "four": {}, "six": {}}},
        "pure6": {"networks": ["six"]},
    },
}


@pytest.fixture(scope="module", name="programs")
def _programs(tmp_path_factory):
    """Return the command that looks a name up by each C library: Python is linked with glibc, a small program with
    musl.
    """
    program = str(tmp_path_factory.mktemp("lookup") / "lookup")
    subprocess.run(["musl-gcc", "-static", "-o", program, str(SUPPORT / "lookup.c")], check=True)
    return {"musl": [program], "glibc": [SYSTEM_PYTHON, "-c", GLIBC]}


@pytest.mark.parametrize("library", ["musl", "glibc"])
def test_glibc_and_musl_resolve_names_of_either_family(private_host, programs, library):
    """Behind an upstream that refuses everything, which musl takes for "try again" if it is ever asked about a name
    of ours.
    """
    upstream = private_host.neighbour().popen([*SERVER, NEIGHBOUR_ADDRESSES[0], "refuse"])
    assert upstream.readline() == "ready"
    private_host.apply(DOCUMENT)

    def found(name, sandbox="cli"):
        return sorted(private_host.run([*programs[library], name], netns=sandbox, check=False).stdout.split())

    assert (
        found("both")
        == found("both.front")
        == found("shop.example")
        == found("both.")
        == found("BOTH.Front.")
        == ["172.20.0.9", "fd00:20::9"]
    )
    for name, only in (
        ("only4", "172.24.0.4"),
        ("only4.four", "172.24.0.4"),
        ("old.example", "172.24.0.4"),
        ("only6", "fd00:26::6"),
        ("only6.six", "fd00:26::6"),
        ("new.example", "fd00:26::6"),
    ):
        assert found(name) == [only], name
    assert found("only6", "pure6") == ["fd00:26::6"] and found("partner") == ["172.20.0.9", "fd00:20::9"]
    assert found("nobody") == found("nobody.front") == found("later") == found("both", "pure6") == ["none"]
    assert dig(private_host, "cli", "mark.example")[0] == "REFUSED"
    assert upstream.readline().startswith("mark.example ")  # the first that it is asked at all


def test_no_data_for_the_missing_family_and_reverse_names_of_both(private_host):
    """NOERROR without an answer, TTL 0; one PTR for each address, over UDP and TCP, the sandbox's only."""
    upstream = private_host.neighbour().popen([*SERVER, NEIGHBOUR_ADDRESSES[0], "refuse"])
    assert upstream.readline() == "ready"
    private_host.apply(DOCUMENT)
    for options in ((), ("+tcp",)):
        assert (
            dig(private_host, "cli", "only4", "AAAA", *options)
            == dig(private_host, "cli", "only6", "A", *options)
            == ("NOERROR", [])
        )
        assert dig(private_host, "cli", "only6", "AAAA", *options) == ("NOERROR", ["fd00:26::6"])
        for text, name in (("172.20.0.9", "both.front."), ("fd00:20::9", "both.front."), ("fd00:26::6", "only6.six.")):
            assert dig(private_host, "cli", ipaddress.ip_address(text).reverse_pointer, "PTR", *options) == (
                "NOERROR",
                [name],
            )
    assert dig(private_host, "pure6", "9.0.20.172.in-addr.arpa", "PTR")[1] == []
    ttl = private_host.run(["dig", "@127.0.0.11", "+noall", "+answer", "only6", "AAAA"], netns="cli").stdout.split()[1]
    assert ttl == "0"


def test_large_answers_are_truncated_over_udp_only(private_host):
    """Without EDNS 512 bytes and the bit TC, of which a client makes a TCP query.

    With EDNS as much as it takes; several on a connection.
    """
    private_host.apply(DOCUMENT)

    def said(*options):
        return private_host.run(["dig", "@127.0.0.11", *options, "many"], netns="cli").stdout

    short = said("+noedns", "+ignore")
    assert " tc" in short.split("flags:")[1].split(";")[0] and short.count("198.18.0.") < MANY
    assert (
        said("+noedns").count("198.18.0.")
        == said("+bufsize=4096", "+ignore").count("198.18.0.")
        == said("+tcp").count("198.18.0.")
        == MANY
    )
    assert "EDNS: version: 0" in said() and "EDNS" not in short
    three = private_host.run(
        ["dig", "@127.0.0.11", "+tcp", "+keepopen", "+short", "both", "A", "only6", "AAAA", "both", "AAAA"], netns="cli"
    ).stdout
    assert three.split() == ["172.20.0.9", "fd00:26::6", "fd00:20::9"]


def test_links_and_aliases_follow_their_network(private_host):
    """Another alias on each network; after disconnecting only the other one is left.

    A link's name comes with its target.
    """
    document = copy.deepcopy(DOCUMENT)
    document["sandboxes"]["both"]["networks"] = {"front": {"aliases": ["first"]}, "four": {"aliases": ["second"]}}
    private_host.apply(document)
    assert dig(private_host, "cli", "first")[0] == dig(private_host, "only4", "second")[0] == "NOERROR"
    assert dig(private_host, "only4", "first")[0] == "NXDOMAIN"
    del document["sandboxes"]["both"]["networks"]["front"]
    document["sandboxes"]["gone"] = {"networks": ["front"]}
    later = address(private_host.apply(document), "gone", "front")
    assert dig(private_host, "cli", "first")[0] == dig(private_host, "cli", "partner")[0] == "NXDOMAIN"
    assert dig(private_host, "cli", "second")[0] == "NOERROR" and dig(private_host, "cli", "later") == (
        "NOERROR",
        [later],
    )
    assert dig(private_host, "both", "later")[0] == "NXDOMAIN"


def test_longest_names_resolve(private_host):
    """A network's and a sandbox's name of 63 characters each, which is what DNS has room for."""
    network, name = "n" * 63, "s" * 63
    result = private_host.apply(
        {"networks": {network: {}}, "sandboxes": {name: {"networks": [network]}, "cli": {"networks": [network]}}}
    )
    assert (
        private_host.lookup("cli", name)
        == private_host.lookup("cli", f"{name}.{network}")
        == [address(result, name, network)]
    )


@pytest.mark.smoke
@pytest.mark.leaves_behind("links are made by hand here")
def test_new_name_resolves_in_every_sandbox(private_host):
    """Without a restart. How soon is measured in tests/bench/names.py."""
    upstream = private_host.popen([*SERVER, UPSTREAM])
    assert upstream.readline() == "ready"
    before = act(private_host, "up")
    more = copy.deepcopy(NAMED)
    more["sandboxes"]["late"] = {
        "networks": {"front": {"ipv4_address": "172.20.0.30"}, "back": {"ipv4_address": "172.21.0.30"}}
    }
    act(private_host, "write", more)
    for sandbox in before["wanted"]:
        assert until(lambda place=sandbox: dig(private_host, place, "late")[0], "NOERROR") == "NOERROR"
    assert act(private_host, "running")["processes"] == before["processes"]
    assert asked_upstream(private_host, upstream) == []
