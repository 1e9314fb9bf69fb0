# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted networks of a host: what they are made of, how they share a tunnel, and what wg says of it."""

from __future__ import annotations

import base64
import ipaddress

import pytest

from _dockless import names
from _dockless.desired.wireguard import wireguard_objects
from _dockless.errors import DocklessError
from _dockless.linux import programs, wireguard
from _dockless.linux.programs import Output
from _dockless.linux.wireguard import Device, DevicePeer
from _dockless.model.facts import Facts
from _dockless.names import INTERFACE_LIMIT
from _dockless.state import kinds, plan
from _dockless.state.wireguard import KillSwitchRoute, WireguardKey, WireguardLink, WireguardPeer
from _dockless.validate.wireguard import check_encrypted
from support.documents import host_of

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 9)]


def network(number=0, **options):
    """Return an encrypted network's declaration with two hosts."""
    peers = {
        f"host{n}": {"vtep": f"100.64.0.{n}", "public_key": KEYS[n], "endpoint": f"192.0.2.{n}:51820"} for n in (2, 3)
    }
    return {
        "driver": "overlay",
        "vni": 300 + number,
        "encrypted": True,
        "vtep": "100.64.0.1",
        "peers": peers,
        "ipam": {"config": [{"subnet": f"10.{60 + number}.0.0/16"}]},
        **options,
    }


def realized(*networks, facts=Facts()):
    """Return what tunnels are made of for these networks."""
    host = host_of({"networks": {f"n{place}": spec for place, spec in enumerate(networks)}})
    return list(wireguard_objects(host, facts))


def of(kind, found):
    """Return the objects of a kind."""
    return [thing for thing in found if isinstance(thing, kind)]


def test_one_tunnel_for_all_networks():
    found = realized(network(), network(1))
    (tunnel,) = of(WireguardLink, found)
    assert tunnel.name == names.tunnel_link("a", "100.64.0.1") and len(tunnel.name) <= INTERFACE_LIMIT
    assert (tunnel.address, tunnel.listen_port, tunnel.mtu) == ("100.64.0.1/32", 51820, 1440)
    assert [(p.public_key, p.endpoint, p.allowed, p.routed) for p in of(WireguardPeer, found)] == [
        (KEYS[2], "192.0.2.2:51820", "100.64.0.2/32", True),
        (KEYS[3], "192.0.2.3:51820", "100.64.0.3/32", True),
    ]
    assert [b.destination for b in of(KillSwitchRoute, found)] == ["100.64.0.2/32", "100.64.0.3/32"]
    assert of(WireguardKey, found) == [WireguardKey("a", "")]


def test_nothing_without_encrypted_networks():
    assert realized() == [] == realized({"internal": True})


def test_what_is_sent_goes_by_the_first_tunnel_that_the_other_host_has():
    spec = network(tunnels=["b", "a"], tunnel_port=4000)
    spec["peers"]["host2"] = {
        "vtep": "100.64.0.2",
        "public_keys": {"a": KEYS[2], "b": KEYS[4]},
        "endpoint": "[2001:db8::2]:4000",
    }
    spec["peers"]["host3"] = {"vtep": "100.64.0.3", "public_keys": {"a": KEYS[3]}}
    found = realized(spec)
    link = {slot: names.tunnel_link(slot, "100.64.0.1") for slot in "ab"}
    assert {(p.link, p.public_key, p.endpoint, p.routed) for p in of(WireguardPeer, found)} == {
        (link["b"], KEYS[4], "[2001:db8::2]:4001", True),
        (link["a"], KEYS[2], "[2001:db8::2]:4000", False),
        (link["a"], KEYS[3], "", True),
    }
    assert {(t.slot, t.listen_port, t.mtu) for t in of(WireguardLink, found)} == {("a", 4000, 1420), ("b", 4001, 1420)}


_WIREGUARD = ["wireguard_key", "kill_switch_route", "wireguard_link", "wireguard_peer"]


def test_links_come_after_tunnels_and_go_before_them():
    """In the order of execution nothing of an encrypted network is there without its tunnel."""
    order = [kind.name for kind in kinds.KINDS if kind.name in ("link", *_WIREGUARD)]
    assert order == [*_WIREGUARD, "link"]
    state = {thing.key: thing for thing in realized(network())}
    work = plan.make_plan({}, state)
    assert [step.key[0] for step in work.removal] == [
        "wireguard_link",
        "kill_switch_route",
        "kill_switch_route",
        "wireguard_key",
    ]


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"vtep": "eth0"}, ".vtep", "has no vtep, which is this host's address inside its tunnel"),
        ({"vtep": "192.0.2.1"}, ".vtep", "192.0.2.1 is an address of this host outside the tunnel"),
        ({"vtep": "100.64.0.2"}, ".vtep", "100.64.0.2 is this host's own address"),
        ({"vtep": "fd00::1"}, ".vtep", "is of another address family than fd00::1"),
        ({"peers": {"host2": {"vtep": "100.64.0.2"}}}, ".public_key", "host host2 has no public key"),
        (
            {"peers": {"host2": {"vtep": "100.64.0.2", "public_key": KEYS[1]}}},
            ".public_key",
            "host host2 has the public key of this host",
        ),
        (
            {"peers": {n: {"vtep": f"100.64.0.{v}", "public_key": KEYS[2]} for n, v in (("host2", 2), ("host3", 3))}},
            ".public_key",
            "host host2 has the same public key",
        ),
        ({"tunnels": []}, ".tunnels", "the list does not contain one or two different tunnels"),
        ({"tunnels": ["a", "a"]}, ".tunnels", "the list does not contain one or two different tunnels"),
        ({"tunnels": ["c"]}, ".tunnels", "c"),
        (
            {"peers": {"host2": {"vtep": "100.64.0.2", "public_key": "x"}}},
            ".public_key",
            "the value is not a WireGuard public key",
        ),
    ],
)
def test_what_cannot_be_is_refused(change, path, words):
    facts = Facts(addresses=(ipaddress.ip_address("192.0.2.1"),), tunnel_keys=(("a", KEYS[1]),))
    with pytest.raises(DocklessError) as refusal:
        check_encrypted(host_of({"networks": {"n0": network(**change)}}), facts)
    assert (
        refusal.value.path.startswith("networks.n0")
        and path in refusal.value.path + "."
        and words in str(refusal.value)
    )


@pytest.mark.parametrize(
    ("change", "key"),
    [({"vtep": "100.64.0.9"}, "vtep"), ({"tunnel_port": 7}, "tunnel_port"), ({"tunnels": ["b"]}, "tunnels")],
)
def test_networks_agree_on_their_tunnel(change, key):
    with pytest.raises(DocklessError, match=f"networks.n1.{key}: .* in another encrypted network of this host"):
        check_encrypted(host_of({"networks": {"n0": network(), "n1": network(1, **change)}}), Facts())


def test_the_tunnels_port_is_not_published():
    document = {
        "networks": {"n0": network()},
        "sandboxes": {"s": {"networks": {"n0": {"ipv4_address": "10.60.0.9"}}, "ports": ["51820:53/udp"]}},
    }
    with pytest.raises(DocklessError, match="UDP port 51820 is the port of this host's tunnel"):
        check_encrypted(host_of(document), Facts())


def test_what_wg_says_is_read():
    own, other, third = KEYS[:3]
    found = wireguard.parse(
        own + "\n",
        "51820\n",
        f"{other}\t192.0.2.2:51820\n{third}\t(none)\n",
        f"{third}\t(none)\n{other}\t100.64.0.9/32 100.64.0.2/32\n",
    )
    assert found == Device(
        own,
        51820,
        (DevicePeer(other, "192.0.2.2:51820", ("100.64.0.2/32", "100.64.0.9/32")), DevicePeer(third, "", ())),
    )
    assert wireguard.parse("(none)\n", "0\n", "", "") == Device("", 0, ())


def test_wg_is_never_asked_for_a_secret(monkeypatch):
    """Of all that wg shows, only what has no private or preshared key in it is asked for."""
    asked = []

    def run(argv, **options):
        asked.append(list(argv))
        return Output(0, "0\n" if argv[-1] == "listen-port" else "", "")

    monkeypatch.setattr(programs, "run", run)
    wireguard.show("wg-x")
    assert {argv[-1] for argv in asked} == {"public-key", "listen-port", "endpoints", "allowed-ips"}


def test_failure_of_a_program_with_a_secret_hides_its_output(monkeypatch, tmp_path):
    program = tmp_path / "wg"
    program.write_text("#!/bin/sh\necho private-key: SECRET >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(programs, "find_program", lambda name: str(program))
    with pytest.raises(DocklessError) as silent:
        wireguard._wg(["addconf", "wg-x", "/dev/stdin"], "SECRET", secret=True)
    with pytest.raises(DocklessError, match="SECRET"):
        wireguard._wg(["set", "wg-x"])
    assert "SECRET" not in str(silent.value) and silent.value.__cause__ is None
