# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks over several hosts: what crosses the underlay, what must not, and what a change touches."""

from __future__ import annotations

import json

import pytest

from _dockless.names import endpoint_mac
from support import capture, private_fleet, traffic
from support.private_host import PYTHON, SYSTEM_PYTHON

BLUE, GREEN = "10.60.0.0/16 fd00:60::/64", "10.61.0.0/16"


def spec(vni, subnets, **options):
    """Return an overlay's declaration."""
    return {"vni": vni, "ipam": {"config": [{"subnet": subnet} for subnet in subnets.split()]}, **options}


def on(network, last, **options):
    """Return a sandbox on one network with the addresses that end in last."""
    fixed = (
        {"ipv4_address": f"10.60.0.{last}", "ipv6_address": f"fd00:60::{last}"}
        if network == "blue"
        else {"ipv4_address": f"10.61.0.{last}"}
    )
    return {"networks": {network: {**fixed, **options}}}


def apply_all(fleet, documents, **options):
    """Apply each host its document; return the results."""
    return [host.apply(document, **options) for host, document in zip(fleet.hosts, documents)]


NETWORKS = {"blue": spec(300, BLUE), "green": spec(301, GREEN)}
PLACED = [
    {"a": on("blue", 2), "b": on("blue", 3), "c": on("green", 2)},
    {"d": on("blue", 4, aliases=["www"]), "e": on("green", 3)},
]
PLAIN = [
    {name: {**sandbox, "networks": dict(sandbox["networks"])} for name, sandbox in placed.items()} for placed in PLACED
]


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4 underlay", "IPv6 underlay"])
def test_two_subnets_over_two_hosts(fleet, version):
    """A, B and D share a subnet, C and E another; nothing goes from one to the other, by either host."""
    documents = private_fleet.documents(NETWORKS, PLACED, version)
    first, second = fleet.hosts[:2]
    assert all(result["changed"] for result in apply_all(fleet, documents))
    for address in ("10.60.0.4", "fd00:60::4", "10.60.0.3"):
        assert first.ping("a", address), address
    assert second.ping("e", "10.61.0.2") and second.ping("d", "fd00:60::2")
    assert not first.ping("c", "10.60.0.4", wait=1) and not second.ping("e", "10.60.0.2", wait=1)
    assert first.lookup("a", "d") == ["10.60.0.4", "fd00:60::4"] == first.lookup("b", "www.blue")
    short_id = next(
        row["id"] for row in second.dockless("show", "--project", "shop", "--json")["sandboxes"] if row["name"] == "d"
    )
    assert (
        first.lookup("a", short_id) == ["10.60.0.4", "fd00:60::4"]
        and first.lookup("c", "d") == first.lookup("c", short_id) == []
    )
    assert not any(result["changed"] for result in apply_all(fleet, documents))
    shown = {network["name"]: network for network in first.dockless("show", "--project", "shop", "--json")["networks"]}
    assert (shown["blue"]["scope"], shown["blue"]["vni"], shown["blue"]["vtep"]) == (
        "fleet",
        300,
        private_fleet.address(1, version),
    )
    assert shown["blue"]["peers"]["host2"]["sandboxes"] == {"d": ["10.60.0.4", "fd00:60::4"]}


def test_overlay_interface_name_and_vxlan_port(fleet):
    """An endpoint's interface has the name asked for, and packets cross by the port asked for, which the firewall
    knows.
    """
    first, second = fleet.hosts[:2]
    placed = [{"a": on("blue", 2, interface_name="foobar")}, {"d": on("blue", 4)}]
    apply_all(fleet, private_fleet.documents({"blue": spec(300, BLUE, port=7777)}, placed))
    assert set(traffic.links(first, "a")) == {"lo", "foobar"}
    listener = fleet.switch.popen([SYSTEM_PYTHON, "-c", _LISTEN.replace("4789", "7777")])
    assert listener.readline() == "ready"
    assert first.ping("a", "10.60.0.4") and second.ping("d", "fd00:60::2")
    assert listener.readline().split()[0] in ("0800", "86dd")


def unnamed(**options):
    """Return the networks without names, which is quicker."""
    return {name: {**network, "dns_enabled": False, **options} for name, network in NETWORKS.items()}


def test_a_packet_as_large_as_the_mtu_crosses_whole(fleet):
    """The MTU is the underlay's less what VXLAN adds: one more byte is refused at the sender, not cut up on the way."""
    first = fleet.hosts[0]
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED))
    assert traffic.links(first, "a")["eth0"]["mtu"] == 1450
    assert traffic.fits(first, "a", "10.60.0.4", 1450) and not traffic.fits(first, "a", "10.60.0.4", 1451)
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED, 6))
    assert traffic.links(first, "a")["eth0"]["mtu"] == 1430
    assert traffic.fits(first, "a", "10.60.0.4", 1430)


_LISTEN = """
import json, socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("port1", 0)); wire.settimeout(15)
print("ready", flush=True)
while True:
    frame = wire.recv(2048)
    if frame[12:14] == b"\\x08\\0" and frame[23] == 17 and frame[36:38] == struct.pack("!H", 4789):
        inner = frame[14 + 20 + 8 + 8:]
        print(inner[12:14].hex(), inner[:6].hex(), inner[14:].count(b"last"), flush=True)
"""


def test_nothing_is_asked_or_flooded_over_the_underlay(fleet):
    """No ARP, no neighbour discovery, no broadcast, no frame for an unknown one: what is where is known beforehand."""
    first = fleet.hosts[0]
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED))
    listener = fleet.switch.popen([SYSTEM_PYTHON, "-c", _LISTEN])
    assert listener.readline() == "ready"
    assert not first.ping("a", "10.60.0.99", wait=1)  # nobody's
    first.run(["ping", "-b", "-c", "1", "-w", "1", "10.60.255.255"], netns="a", check=False)
    assert first.ping("a", "10.60.0.4") and first.ping("a", "fd00:60::4")
    sink = traffic.record(fleet.hosts[1], "d", 7000)
    traffic.send(first, "a", "10.60.0.4", 7000, "last")
    assert sink.readline() == "last 10.60.0.2"
    seen = []
    while not seen or seen[-1][2] == "0":
        seen.append(listener.readline().split())
    macs = {
        link["address"].replace(":", "")
        for host, names in ((first, "ab"), (fleet.hosts[1], "d"))
        for name in names
        for link in [traffic.links(host, name)["eth0"]]
    }
    assert {kind for kind, mac, last in seen} == {"0800", "86dd"} and {mac for kind, mac, last in seen} <= macs


def test_each_sandbox_leaves_and_is_reached_by_its_own_host(fleet):
    """The gateway is the same everywhere; a port is published where the sandbox is, and egress is by that host."""
    placed = [PLACED[0], {**PLACED[1], "d": {**on("blue", 4), "ports": ["8080:80"]}}]
    first, second, third = fleet.hosts
    apply_all(fleet, private_fleet.documents(unnamed(), placed))
    second.serve_http("d", 80, "hello")
    assert first.fetch("a", "http://10.60.0.4/") == "hello\n10.60.0.2\n"
    for client, netns, seen in (
        (third, None, private_fleet.address(3)),
        (first, None, private_fleet.address(1)),
        (first, "a", private_fleet.address(1)),
    ):
        assert client.fetch(netns, f"http://{private_fleet.address(2)}:8080/") == f"hello\n{seen}\n"
    assert third.fetch(None, f"http://{private_fleet.address(1)}:8080/", wait=1) is None
    sink = traffic.record(third, None, 7000)
    for host, sandbox, seen in ((first, "a", 1), (second, "d", 2)):
        traffic.send(host, sandbox, private_fleet.address(3), 7000, "out")
        assert sink.readline() == f"out {private_fleet.address(seen)}"


def test_internal_overlay_has_no_egress(fleet):
    documents = private_fleet.documents(unnamed(internal=True), PLACED)
    first = fleet.hosts[0]
    apply_all(fleet, documents)
    assert first.ping("a", "10.60.0.4") and not first.ping("a", private_fleet.address(3), wait=1)
    assert not first.ping("a", "10.61.0.3", wait=1)


def _mac_of(network, sandbox):
    """Return the MAC of a sandbox, on whatever host it is."""
    return endpoint_mac("shop", ("shop", network), sandbox)


def _vxlan(place, source, target, vni, mac, inner_source, inner_target, text):
    """Send a datagram inside of VXLAN, from an address that may be another's.

    inner_source is the address of d or e, which the frame comes from.
    """
    sender = _mac_of("blue", "d") if inner_source == "10.60.0.4" else _mac_of("green", "e")
    code = (
        "import socket, struct, sys\n"
        "source, target, vni, mac, sender, a, b, text = sys.argv[1:]\n"
        "data = struct.pack('!HHHH', 7001, 7000, 8 + len(text), 0) + text.encode()\n"
        "def check(h):\n"
        "    s = sum(struct.unpack('!%dH' % (len(h) // 2), h))\n"
        "    while s >> 16: s = (s & 0xffff) + (s >> 16)\n"
        "    return ~s & 0xffff\n"
        "def ip(a, b, body):\n"
        "    h = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(body), 1, 0, 64, 17, "
        "0) + socket.inet_aton(a) + socket.inet_aton(b)\n"
        "    return h[:10] + struct.pack('!H', check(h)) + h[12:] + body\n"
        "inner = bytes.fromhex(mac.replace(':', '') + sender.replace(':', '')) + b'\\x08\\0' + ip(a, b, data)\n"
        "outer = struct.pack('!HHHHII', 40000, 4789, 16 + len(inner), 0, 0x08000000, int(vni) << 8) + inner\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
        "s.sendto(ip(source, target, outer), (target, 0))\n"
    )
    place.run([SYSTEM_PYTHON, "-c", code, source, target, str(vni), mac, sender, inner_source, inner_target, text])


def test_vxlan_from_an_unknown_source_is_dropped(fleet):
    """VXLAN has no authentication.

    A peer's frames arrive. Those of an unknown host with the right VNI and port do not.
    """
    first, second, third = fleet.hosts
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED))
    mac = traffic.links(first, "a")["eth0"]["address"]
    sink = traffic.record(first, "a", 7000)
    target = private_fleet.address(1)

    def inject(text):
        _vxlan(third, private_fleet.address(3), target, 300, mac, "10.60.0.4", "10.60.0.2", text)

    inject("stranger")
    _vxlan(second, private_fleet.address(2), target, 300, mac, "10.60.0.4", "10.60.0.2", "peer")
    assert sink.readline() == "peer 10.60.0.4"
    with traffic.without(first, "@vxlan_vnis ip saddr"):
        inject("mutant")
        assert sink.readline() == "mutant 10.60.0.4"  # nothing else is in its way
    inject("stranger again")
    traffic.send(second, "d", "10.60.0.2", 7000, "end")
    assert sink.readline() == "end 10.60.0.4"


def test_peer_of_one_overlay_cannot_send_into_another(fleet):
    """Host 2 is a peer of blue and host 3 of green, and both overlays use the same UDP port."""
    first, second, third = fleet.hosts
    placed = [PLACED[0], {"d": on("blue", 4)}, {"e": on("green", 3)}]
    document = private_fleet.documents(unnamed(), placed)[0]
    for network, other in (("blue", "host3"), ("green", "host2")):
        del document["networks"][network]["peers"][other]
    first.apply(document)
    mac, sink = traffic.links(first, "c")["eth0"]["address"], traffic.record(first, "c", 7000)

    def inject(number, text, target=""):
        place, target = (second, third)[number - 2], target or private_fleet.address(1)
        _vxlan(place, private_fleet.address(number), target, 301, mac, "10.61.0.3", "10.61.0.2", text)

    first.sh("ip address add 203.0.113.101/24 dev under0")
    inject(2, "other peer")
    inject(3, "to another address of the host", "203.0.113.101")
    inject(3, "peer")
    assert sink.readline() == "peer 10.61.0.3"
    with traffic.without(first, "@vxlan_vnis ip saddr"):
        inject(2, "mutant")
        assert sink.readline() == "mutant 10.61.0.3"
        inject(3, "mutant", "203.0.113.101")
        assert sink.readline() == "mutant 10.61.0.3"
    inject(2, "other peer again")
    inject(3, "end")
    assert sink.readline() == "end 10.61.0.3"
    first.sh("ip address del 203.0.113.101/24 dev under0")


@pytest.mark.parametrize(
    ("version", "port"), [(4, 4789), (6, 4789), (4, 4787)], ids=["IPv4", "IPv6", "port of an encrypted overlay"]
)
def test_foreign_vxlan_device_keeps_working(fleet, version, port):
    """Docker Swarm's or flannel's device shares the UDP port: before the first run, beside an overlay, and after it."""
    first, second = fleet.hosts[:2]
    encrypted = port == 4787
    documents = capture.documents(fleet) if encrypted else private_fleet.documents(unnamed(), PLACED, version)
    for number, host in enumerate((first, second), 1):
        local, remote = private_fleet.address(number, version), private_fleet.address(3 - number, version)
        host.sh(
            f"ip link add swarm type vxlan id 4242 dstport {port} local {local} remote {remote} dev under0; "
            f"ip link set swarm addrgenmode none; ip address add 10.99.0.{number}/24 dev swarm; ip link set swarm up"
        )

    def works():
        return first.ping(None, "10.99.0.2") and second.ping(None, "10.99.0.1")

    assert works()
    apply_all(fleet, documents)
    assert works() and first.ping(*(("s1", "10.60.0.3") if encrypted else ("a", "10.60.0.4")))
    assert not any(result["changed"] for result in apply_all(fleet, documents))
    first.run(["nft", "add", "rule", "inet", "dockless", "input", "udp", "dport", str(port), "drop"])
    assert not first.ping(None, "10.99.0.2", wait=1)  # its packets pass the chain
    for host in (first, second):
        host.apply({}, absent=True)
    assert works()
    for host in (first, second):
        host.sh("ip link del swarm")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (
            "id 300 dstport 4789",
            "networks.blue.vni: the vni 300 on UDP port 4789 is taken by the VXLAN device foreign of this host",
        ),
        (
            "external dstport 4789",
            "networks.blue.port: UDP port 4789 is taken by the VXLAN device foreign of this host",
        ),
    ],
    ids=["same VNI", "every VNI"],
)
def test_foreign_vxlan_device_in_conflict_is_named(fleet, device, message):
    """Before anything is changed. On another port, such a device is none of our business."""
    first = fleet.hosts[0]
    first.sh(f"ip link add foreign type vxlan {device}")
    before = first.snapshot()
    document = private_fleet.documents(unnamed(), PLACED)[0]
    assert message in first.refusal(document)
    first.assert_back_to(before)
    for network in document["networks"].values():
        network["port"] = 4790
    assert first.apply(document)["changed"] and not first.apply(document)["changed"]
    first.apply({}, absent=True)
    first.sh("ip link del foreign")


def test_sandbox_cannot_send_vxlan_to_a_remote_vtep(fleet):
    """Masquerading would give it its host's address, which is a peer's."""
    first, second = fleet.hosts[:2]
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED))
    mac = traffic.links(second, "e")["eth0"]["address"]  # of another network than the sender's
    code = (
        "import socket, struct, sys\n"
        "target, mac, sender, text = sys.argv[1:]\n"
        "data = struct.pack('!HHHH', 7001, 7000, 8 + len(text), 0) + text.encode()\n"
        "h = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(data), 1, 0, 64, 17, "
        "0) + socket.inet_aton('10.61.0.2') + socket.inet_aton('10.61.0.3')\n"
        "s = sum(struct.unpack('!10H', h))\n"
        "while s >> 16: s = (s & 0xffff) + (s >> 16)\n"
        "h = h[:10] + struct.pack('!H', ~s & 0xffff) + h[12:]\n"
        "frame = bytes.fromhex(mac.replace(':', '') + sender.replace(':', '')) + b'\\x08\\0' + h + data\n"
        "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "u.sendto(struct.pack('!II', 0x08000000, 301 << 8) + frame, (target, 4789))\n"
    )
    sink = traffic.record(second, "e", 7000)

    def forge(text):
        argv = [SYSTEM_PYTHON, "-c", code, private_fleet.address(2), mac, _mac_of("green", "c"), text]
        first.run(argv, netns="a", check=False)

    forge("forged")
    traffic.send(first, "c", "10.61.0.3", 7000, "end")
    assert sink.readline() == "end 10.61.0.2"
    with traffic.without(first, "ip daddr . udp dport @vxlan_peers4"):
        forge("mutant")
        assert sink.readline() == "mutant 10.61.0.2"


def test_sandbox_cannot_send_vxlan_to_its_own_vtep(fleet):
    """Nor to the end on its own host, under a peer's address."""
    first = fleet.hosts[0]
    apply_all(
        fleet, private_fleet.documents(unnamed(port_security=False), PLACED)
    )  # else a peer's address is the first thing that stops it
    gateway = next(link for name, link in traffic.links(first).items() if "10.60.0.1/16" in link["cidrs"])
    mac = traffic.links(first, "c")["eth0"]["address"]
    sink = traffic.record(first, "c", 7000)
    inner = _inner_frame(mac, "10.61.0.3", "10.61.0.2")

    def forge():
        _raw_udp(first, "a", gateway["address"], private_fleet.address(2), private_fleet.address(1), 4789, inner)

    forge()
    traffic.send(fleet.hosts[1], "e", "10.61.0.2", 7000, "end")
    assert sink.readline() == "end 10.61.0.3"
    with traffic.without(first, "udp dport @vxlan_ports", "@vxlan_vnis ip saddr", "ip saddr . iifname != @sources4"):
        forge()
        traffic.send(fleet.hosts[1], "e", "10.61.0.2", 7000, "end")
        assert sink.readline() == "forged 10.61.0.3"


def _checked(header):
    total = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, len(header), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + (~total & 0xFFFF).to_bytes(2, "big") + header[12:]


def _ip(source, target, protocol, body):
    parts = [bytes(map(int, address.split("."))) for address in (source, target)]
    header = (
        b"\x45\0"
        + (20 + len(body)).to_bytes(2, "big")
        + b"\0\1\0\0\x40"
        + bytes([protocol])
        + b"\0\0"
        + b"".join(parts)
    )
    return _checked(header) + body


def _udp(source_port, port, body):
    return (
        source_port.to_bytes(2, "big") + port.to_bytes(2, "big") + (8 + len(body)).to_bytes(2, "big") + b"\0\0" + body
    )


def _inner_frame(mac, source, target, text=b"forged"):
    frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000077") + b"\x08\0"
    return b"\x08\0\0\0" + (301 << 8).to_bytes(4, "big") + frame + _ip(source, target, 17, _udp(7001, 7000, text))


def _raw_udp(host, netns, mac, source, target, port, body):
    frame = (
        bytes.fromhex(mac.replace(":", ""))
        + bytes.fromhex("020000000078")
        + b"\x08\0"
        + _ip(source, target, 17, _udp(40000, port, body))
    )
    code = (
        "import socket, sys\nw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nw.bind(('eth0', 0))\n"
        "w.send(bytes.fromhex(sys.argv[1]))\n"
    )
    host.run([SYSTEM_PYTHON, "-c", code, frame.hex()], netns=netns)


def test_sandbox_cannot_take_over_a_remote_mac_or_address(fleet):
    """A sandbox that sends with another's MAC, and says that the other's address is its own, changes nothing."""
    first, second = fleet.hosts[:2]
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED))
    victim = traffic.links(first, "a")["eth0"]["address"]
    liar = (
        "import socket, sys\nw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nw.bind(('eth0', 0))\n"
        "mac = bytes.fromhex(sys.argv[1])\n"
        "arp = b'\\0\\1\\x08\\0\\6\\4\\0\\2' + mac + bytes((10, 60, 0, 2)) + b'\\xff' * 6 + bytes((10, 60, 0, 2))\n"
        "w.send(b'\\xff' * 6 + mac + b'\\x08\\6' + arp + bytes(18))\n"
    )

    def whereabouts(host):
        forwards = json.loads(host.run(["bridge", "-json", "fdb", "show"]).stdout)
        return sorted(f"{row.get('dst', '')} {row['ifname']}" for row in forwards if row["mac"] == victim)

    before = [whereabouts(host) for host in (first, second)]
    for host, sandbox in ((second, "d"), (first, "b")):
        host.run([SYSTEM_PYTHON, "-c", liar, victim.replace(":", "")], netns=sandbox)
    assert [whereabouts(host) for host in (first, second)] == before
    assert second.ping("d", "10.60.0.2") and first.ping("b", "10.60.0.2")
    assert second.run(["ip", "neigh", "show", "10.60.0.2"]).stdout.split()[4] == victim


def test_a_change_touches_only_what_changes(fleet):
    """A sandbox comes: its host makes it, the others get its entries, and a host that is not concerned changes
    nothing.
    """
    placed = [*PLACED, {"f": on("green", 4)}]
    apply_all(fleet, private_fleet.documents(unnamed(), placed))
    more = [placed[0], {**placed[1], "g": on("blue", 9)}, placed[2]]
    first, second, third = apply_all(fleet, private_fleet.documents(unnamed(), more))
    assert [line.split(" (")[0].split(" on ")[0].split(" 02:")[0] for line in first["operations"]] == [
        "create neighbour 10.60.0.9",
        "create neighbour fd00:60::9",
        "create forwarding entry",
        "update firewall: accept address 10.60.0.9 from other hosts of network blue",
        "update firewall: accept address fd00:60::9 from other hosts of network blue",
        "record project shop",
    ]
    assert any(line.startswith("create namespace g") for line in second["operations"])
    # The third host is on blue as well, for its document says so; without a sandbox there it only knows the addresses.
    expected = ("create neighbour", "create forwarding", "update firewall", "record")
    assert all(line.startswith(expected) for line in third["operations"])
    assert fleet.hosts[0].ping("a", "10.60.0.9")
    gone = apply_all(fleet, private_fleet.documents(unnamed(), placed))
    assert all(
        line.startswith(("delete neighbour", "delete forwarding", "record", "update firewall"))
        for line in gone[0]["operations"]
    )


def test_a_sandbox_moves_and_keeps_its_address(fleet):
    first, second = fleet.hosts[:2]
    apply_all(fleet, private_fleet.documents(unnamed(), PLACED))
    mac = traffic.links(first, "b")["eth0"]["address"]
    moved = [{name: sandbox for name, sandbox in PLACED[0].items() if name != "b"}, {**PLACED[1], "b": PLACED[0]["b"]}]
    apply_all(fleet, private_fleet.documents(unnamed(), moved))
    assert first.ping("a", "10.60.0.3") and second.ping("d", "10.60.0.3")
    assert traffic.links(second, "b")["eth0"]["address"] == mac
    assert not any(result["changed"] for result in apply_all(fleet, private_fleet.documents(unnamed(), moved)))


def test_another_address_of_a_host_is_followed(fleet):
    """The ends of the tunnels move to another address: sandboxes keep their links, and answer again after the run."""
    first, second = fleet.hosts[:2]
    documents = private_fleet.documents(unnamed(), PLACED)
    apply_all(fleet, documents)
    before = traffic.links(second, "d")["eth0"]["ifindex"]
    second.sh("ip address add 203.0.113.102/24 dev under0")
    documents[1]["networks"] = {
        name: {**network, "vtep": "203.0.113.102"} for name, network in documents[1]["networks"].items()
    }
    documents[0]["networks"] = {
        name: {**network, "peers": {"host2": {**network["peers"]["host2"], "vtep": "203.0.113.102"}}}
        for name, network in documents[0]["networks"].items()
    }
    results = apply_all(fleet, documents)
    assert not any("veth" in line or "namespace" in line for result in results for line in result["operations"])
    assert first.ping("a", "10.60.0.4") and traffic.links(second, "d")["eth0"]["ifindex"] == before
    second.sh("ip address del 203.0.113.102/24 dev under0")


def test_overlay_drift_is_reported_and_repaired(fleet):
    documents = private_fleet.documents(unnamed(), PLACED)
    first = fleet.hosts[0]
    apply_all(fleet, documents)
    device = next(
        name
        for name, link in traffic.links(first).items()
        if link.get("linkinfo", {}).get("info_data", {}).get("id") == 300
    )
    mac = traffic.links(fleet.hosts[1], "d")["eth0"]["address"]
    for damage in (
        f"bridge fdb del {mac} dev {device} self",
        f"bridge fdb del {mac} dev {device} master",
        f"ip link del {device}",
        f"bridge link set dev {device} flood on learning on",
        "ip neigh flush nud permanent",
    ):
        first.sh(damage)
        assert first.plan(documents[0])["changed"], damage
        assert first.apply(documents[0])["changed"] and first.ping("a", "10.60.0.4"), damage
        assert not first.apply(documents[0])["changed"], damage


def routed(last, version_free=False):
    """Return a sandbox of a routed network, on the host whose slice is last's."""
    number, address = last.split(".")
    return {"networks": {"wide": {"ipv4_address": f"10.70.{number}.{address}"}}}


def test_routed_slices(fleet):
    """Each host has a slice and one route to each other host: a new sandbox touches its own host alone."""
    placed = [{"a": routed("1.2")}, {"b": routed("2.2")}, {"c": routed("3.2")}]

    def documents(where):
        found = []
        for number, own in enumerate(where, 1):
            peers = {
                f"host{other}": {"vtep": private_fleet.address(other), "subnets": [f"10.70.{other}.0/24"]}
                for other in (1, 2, 3)
                if other != number
            }
            network = {
                "driver": "overlay",
                "mode": "routed",
                "vni": 400,
                "vtep": private_fleet.address(number),
                "dns_enabled": False,
                "peers": peers,
                "ipam": {"config": [{"subnet": "10.70.0.0/16", "ip_range": f"10.70.{number}.0/24"}]},
            }
            found.append(
                {
                    "networks": {"wide": network, "other": {"dns_enabled": False}},
                    "sandboxes": {**own, f"alone{number}": {"networks": ["other"]}},
                }
            )
        return found

    first = fleet.hosts[0]
    apply_all(fleet, documents(placed))
    for address in ("10.70.2.2", "10.70.3.2", "10.70.1.1"):
        assert first.ping("a", address), address
    assert fleet.hosts[1].ping(None, private_fleet.address(1)) and not first.ping("alone1", "10.70.2.2", wait=1)
    fleet.hosts[1].serve_udp("b", 53, "b")
    assert first.ask_udp("a", "10.70.2.2", 53) == "b\n10.70.1.2\n"  # the real sender
    more = [placed[0], {**placed[1], "d": routed("2.3")}, placed[2]]
    assert [result["changed"] for result in apply_all(fleet, documents(more))] == [False, True, False]
    assert first.ping("a", "10.70.2.3")
    assert not any(result["changed"] for result in apply_all(fleet, documents(more)))


def test_routed_slices_of_an_internal_network(fleet):
    """Without a default route, the other hosts' slices are reached, and nothing else."""
    documents = []
    for number in (1, 2):
        other = 3 - number
        network = {
            "driver": "overlay",
            "mode": "routed",
            "vni": 400,
            "vtep": private_fleet.address(number),
            "dns_enabled": False,
            "internal": True,
            "peers": {f"host{other}": {"vtep": private_fleet.address(other), "subnets": [f"10.70.{other}.0/24"]}},
            "ipam": {"config": [{"subnet": "10.70.0.0/16", "ip_range": f"10.70.{number}.0/24"}]},
        }
        documents.append({"networks": {"wide": network}, "sandboxes": {f"s{number}": routed(f"{number}.2")}})
    apply_all(fleet, documents)
    assert fleet.hosts[0].ping("s1", "10.70.2.2") and not fleet.hosts[0].ping("s1", private_fleet.address(2), wait=1)


def test_a_network_gets_another_name_and_keeps_its_number(fleet):
    """A host holds one vxlan device of a number, so the old one goes before the new one comes."""
    first = fleet.hosts[0]
    documents = private_fleet.documents(unnamed(), PLACED)
    apply_all(fleet, documents)
    renamed = {"purple" if name == "blue" else name: network for name, network in documents[0]["networks"].items()}
    sandboxes = {
        name: {
            "networks": {
                "purple" if network == "blue" else network: fixed for network, fixed in spec["networks"].items()
            }
        }
        for name, spec in PLACED[0].items()
    }
    document = {"networks": renamed, "sandboxes": sandboxes}
    assert first.apply(document, on_mismatch="recreate")["changed"] and first.ping("a", "10.60.0.3")
    assert not first.apply(document)["changed"]


def test_at_boot_the_end_of_the_tunnels_is_waited_for(fleet):
    """Networks are made while the host still gets its addresses.

    Nothing is refused for it, and nothing changes when it has them.
    """
    first = fleet.hosts[0]
    documents = private_fleet.documents(unnamed(), PLACED)
    apply_all(fleet, documents)
    lost = (
        "ip address del 203.0.113.1/24 dev under0; "
        "ip -batch - <<<$(ip -brief link show type vxlan | awk "
        "'{print \"link del \" $1}')"
    )
    first.sh(lost)
    booting = first.popen([PYTHON, "-m", "_dockless.cli", "apply", "--boot", "--json"])
    first.sh("until grep -q FLOCK /proc/locks; do :; done; ip address add 203.0.113.1/24 dev under0")
    assert json.loads(booting.readline())["warnings"] == []
    assert first.ping("a", "10.60.0.4")
    first.sh(lost)
    boot = (
        "from _dockless import commands; from _dockless.observe import underlay; underlay.WAIT_S = 0.0; "
        "commands.run(['apply', '--boot', '--json'], '', '')"
    )
    result = json.loads(first.python(boot).stdout)
    assert result["changed"] and "does not have the address 203.0.113.1 yet" in result["warnings"][0]
    assert first.ping("a", "10.60.0.3")
    first.sh("ip address add 203.0.113.1/24 dev under0")
    assert first.ping("a", "10.60.0.4") and not first.apply(documents[0])["changed"]


@pytest.mark.smoke
def test_a_run_that_fails_goes_back(fleet):
    """The kernel does not let two VXLAN devices share a port if only one has gbp: nothing of the run stays."""
    first = fleet.hosts[0]
    first.sh(
        "ip link add foreign type vxlan id 299 dstport 4789 local 203.0.113.1 gbp; "
        "ip link set foreign addrgenmode none; ip link set foreign up"
    )
    before = first.snapshot()
    message = first.refusal(private_fleet.documents(unnamed(), PLACED)[0])
    assert "Address already in use" in message and "as it was before" in message
    first.assert_back_to(before)
    first.sh("ip link del foreign")
