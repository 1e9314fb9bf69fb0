# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's host opens beside what is declared: nothing.

Sockets, pinholes, forged sources of everything that a router forwards.
"""

from __future__ import annotations

import random
import socket

import pytest

from lab import attacks_port, claims, places, wire
from lab.stations import entered
from lab.topology import one_processor
from support.traffic import network

FORGED = 4000  # frames of one kind of network


def test_run_opens_no_listening_socket_on_the_host(private_host):
    """No port, no API, no abstract socket; what listens does so in a sandbox, on its loopback address."""

    def listeners(netns=None):
        return {line.split()[4] for line in private_host.sh("ss -Hlntu", netns=netns).splitlines()}

    before = private_host.sh("cat /proc/net/unix | grep -c @ || true")
    assert listeners() == set()
    named = {**network("172.20.0.0/24 fd00:20::/64"), "dns_enabled": True}
    private_host.apply(
        {"networks": {"front": named}, "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}}}
    )
    assert listeners() == set()
    assert private_host.sh("cat /proc/net/unix | grep -c @ || true") == before
    inside = listeners("web")
    assert inside and all(address.startswith("127.0.0.11") for address in inside)


@pytest.mark.smoke
def test_no_conntrack_helper_opens_a_port(lab):
    """What looks like FTP through a published port opens no second port."""
    with entered(lab["c1"].namespace):
        server, data = socket.create_server(("", 21)), socket.create_server(("", 51201))
    lab.host.run(["nft", "add", "element", "inet", "dockless", "published4", "{ tcp . 21 : 172.30.10.11 . 21 }"])
    try:
        with entered(lab["nbr"].namespace):
            client = socket.create_connection((places.HOST[0], 21), timeout=5)
        there, _address = server.accept()
        there.sendall(b"227 Entering Passive Mode (172,30,10,11,200,1)\r\n")
        assert client.recv(100).startswith(b"227")
        client.sendall(b"PORT 192,0,2,3,200,1\r\n")
        assert there.recv(100).startswith(b"PORT")
        assert lab.host.sh("cat /proc/net/nf_conntrack_expect 2>/dev/null || true") == ""
        before = lab.counters()["direct"]
        with entered(lab["nbr"].namespace):
            late = socket.socket()
        late.setblocking(False)
        late.connect_ex(("172.30.10.11", 51201))
        lab.settle()
        assert lab.counters()["direct"] == before + 1
        data.setblocking(False)
        with pytest.raises(BlockingIOError):
            data.accept()
        for door in (client, there, late):
            door.close()
    finally:
        lab.host.run(["nft", "delete", "element", "inet", "dockless", "published4", "{ tcp . 21 }"])
        server.close()
        data.close()


@pytest.mark.parametrize(
    "origin, victim", [("c1", "c2"), ("c4", "c5"), ("i1", "i2"), ("r1", "r2"), ("n1", "n2"), ("o1", "o2"), ("f1", "f2")]
)
def test_random_forged_frames_reach_nobody(lab, origin, victim, record_property):
    """MAC, type, addresses, protocol, all by chance but never all its own; each is dropped, none is learned."""
    chance = random.Random(f"{origin} {victim}")
    before = sum(lab.counters().values())
    lab.taken()
    sent = set()
    with one_processor():
        for _number in range(FORGED):
            token = lab.token()
            sent.add(token)
            lab[origin].frame(_forged(lab, origin, victim, chance, token))
            if len(sent) % 500 == 0:
                lab[victim].listen()
        lab.settle()
    arrived = {each.token for name, list_ in lab.taken().items() if name != origin for each in list_} & sent
    assert not arrived
    assert sum(lab.counters().values()) - before == FORGED
    assert claims.control(lab, victim, 10) == []
    record_property("packets", FORGED)


def _forged(lab, origin, victim, chance, token):
    """Return a frame of which at least the MAC or the address is not the sender's."""
    mac = chance.choice([lab[origin].mac, lab[victim].mac, lab.hop(origin), "02:" + chance.randbytes(5).hex(":")])
    version = chance.choice([4, 6])
    own = mac == lab[origin].mac
    sources = [
        places.address(victim, version),
        places.gateway(origin, version),
        places.HOST[version == 6],
        places.OUTSIDE["far"][version == 6],
    ]
    source = chance.choice(sources)
    if not own and chance.random() < 0.5:
        source = places.address(origin, version)
    target = chance.choice(
        [places.address(victim, version), places.address("c3", version), places.OUTSIDE["nbr"][version == 6]]
    )
    to = lab[victim].mac if target == places.address(victim, version) else lab.hop(origin)
    if version == 4 and chance.random() < 0.3:
        return wire.ethernet(
            chance.choice([to, wire.BROADCAST]),
            mac,
            wire.ARP,
            wire.arp(
                chance.choice([1, 2]),
                chance.choice([mac, lab[victim].mac]),
                source if own else places.address(victim, 4),
                to,
                target,
                token,
            ),
        )
    payload = (
        wire.udp(source, target, chance.randrange(1, 65536), chance.randrange(1, 65536), token)
        if chance.random() < 0.7
        else token * 4
    )
    protocol = wire.UDP if len(payload) == 16 else chance.choice([1, 2, 6, 47, 50, 89, 132])
    tags = [(wire.VLAN, chance.randrange(4096))] if chance.random() < 0.1 else []
    return wire.ethernet(
        to, mac, wire.IP6 if version == 6 else wire.IP, wire.packet(source, target, protocol, payload), tags
    )


def test_fragmented_router_advertisement_is_ignored(lab):
    """Cut so that no piece shows what it is, its second piece passes no port, though the victim believes routers."""
    routes = "ip -6 route show default proto ra; ip -6 address show dynamic"
    lab.host.sh(
        "echo 2 >/proc/sys/net/ipv6/conf/eth0/accept_ra; echo 1 >/proc/sys/net/ipv6/conf/eth0/autoconf", netns="c2"
    )

    def advertised(origin, cut):
        own, token = wire.link_local(lab[origin].mac), lab.token()
        message = wire.icmp6(
            own,
            attacks_port.ALL_NODES,
            attacks_port.ROUTER_ADVERTISEMENT,
            attacks_port.advertisement(lab, origin, token),
        )
        packets = [wire.packet(own, attacks_port.ALL_NODES, wire.ICMP6, message, hops=255)]
        if cut:  # sixteen bytes of options come first, so the message begins in the second piece
            payload = bytes([wire.ICMP6, 1, 1, 12]) + bytes(12) + message
            packets = [
                piece[:7] + b"\xff" + piece[8:]
                for piece in wire.fragments(own, attacks_port.ALL_NODES, wire.OPTIONS, payload, 16, 4711)
            ]
        for packet in packets:
            lab[origin].frame(
                wire.ethernet(wire.multicast_mac(attacks_port.ALL_NODES), lab[origin].mac, wire.IP6, packet)
            )
        lab.settle()
        return token

    try:
        with one_processor():
            before = lab.counters()["malformed"]
            token = advertised("c1", cut=True)
            assert not any(each.token == token for each in lab.taken()["c2"])
            assert lab.counters()["malformed"] == before + 1
            assert lab.host.sh(routes, netns="c2") == ""
            advertised("guest", cut=False)  # somebody else's link in the bridge is not ours to guard: the control
            assert "2001:db8:bad:" in lab.host.sh(routes, netns="c2")
    finally:
        lab.host.sh(
            "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra; ip -6 route flush proto ra; ip -6 address flush dynamic; "
            "ip -6 route flush 2001:db8:bad::/64",
            netns="c2",
        )
        lab.taken()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("target, counter", [("c1", "direct"), ("r1", "closed"), ("o1", "ingress"), ("u1", "")])
def test_random_ports_answer_only_where_published(lab, target, counter, version, record_property):
    """Of a masqueraded network none answers at a sandbox's own address, of a routed one the published alone, of an
    unprotected one all.
    """
    chance = random.Random(f"{target} {version}")
    ports = [port for port in chance.sample(range(1, 65536), 1000) if port != 80]
    lab.taken()
    before = lab.counters()
    tokens = {}
    with one_processor():
        for port in ports:
            tokens[token := lab.token()] = port
            claims.udp_from("nbr", places.address("nbr", version), places.address(target, version), port)(lab, token)
            if len(tokens) % 200 == 0:
                lab[target].listen()
        lab.settle()
    arrived = {
        each.token for name, list_ in lab.taken().items() if name != "nbr" for each in list_ if each.how == "frame"
    } & set(tokens)
    after = lab.counters()
    moved = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert (len(arrived), moved) == ((0, {counter: len(ports)}) if counter else (len(ports), {}))
    record_property("packets", len(ports))
