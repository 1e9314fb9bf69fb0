# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks whose data cross the underlay encrypted or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import time

import pytest

from _dockless.names import TUNNEL_GROUP
from support import capture, private_fleet, traffic
from support.private_host import NEIGHBOUR_ADDRESSES, PYTHON, SUPPORT, SYSTEM_PYTHON


@pytest.fixture(autouse=True)
def without_keys_of_no_use(fleet):
    """Take keys away that a host was given and never had a network for."""
    yield
    for host in fleet.hosts:
        host.sh("[ -e /etc/dockless/host.json ] || rm -rf /etc/dockless/wireguard")


# The acceptance list's sizes are 1,000,000,000 bytes and 100 rotations, some minutes each; docs/control-planes.md has
# the command.
CAPTURED_BYTES = int(os.environ.get("DOCKLESS_CAPTURED_BYTES", "5000000"))
ROTATIONS = int(os.environ.get("DOCKLESS_ROTATIONS", "2"))
SEALED_RULE = "@encrypted_vnis oifgroup"
_FORGED = """
import socket, struct, sys
source, target, port, mac, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5].encode()
def check(h):
    s = sum(struct.unpack("!%dH" % (len(h) // 2), h))
    while s >> 16: s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
def ip(a, b, body):
    h = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0) + socket.inet_aton(a) + socket.inet_aton(b)
    return h[:10] + struct.pack("!H", check(h)) + h[12:] + body
data = struct.pack("!HHHH", 7001, 7000, 8 + len(text), 0) + text
inner = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000077") + b"\\x08\\0"
inner += ip("10.60.0.3", "10.60.0.2", data)
outer = ip(source, target, struct.pack("!HHHHII", 40000, port, 16 + len(inner), 0, 0x08000000, 300 << 8) + inner)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("under0", 0))
wire.send(bytes.fromhex("020000000101") + bytes.fromhex("020000000103") + b"\\x08\\0" + outer)
"""
_LISTEN = """
import socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((sys.argv[1], 0))
print("ready", flush=True)
while True:
    frame, sender = wire.recvfrom(2048)
    if sender[2] == 4:  # what goes out: an answer may quote it
        continue
    for word in (b"forged", b"mutant", b"end"):
        if word in frame:
            print(word.decode(), flush=True)
"""


@pytest.mark.parametrize(
    ("outer", "inner", "options"),
    [(4, 4, {}), (6, 6, {}), (4, 4, {"port": 7777, "mtu": 1300})],
    ids=["IPv4", "IPv6", "another port"],
)
def test_no_cleartext_on_the_underlay(fleet, outer, inner, options):
    """Data cross, as large as the MTU says; on no wire is there a word of them. A second run finds nothing to do."""
    first, second = fleet.hosts[:2]
    found = capture.documents(fleet, outer, inner, **options)
    wires = capture.Wires(fleet, options.get("port", 4787))
    capture.apply_all(fleet, found)
    with capture.flow(first) as counts:
        body = "marker" * 15_000
        second.serve_http("s2", 80, body)
        assert (first.fetch("s1", "http://10.60.0.3/", wait=20) or "").startswith(body)
    assert counts["sent"] == counts["answered"] > 0
    clear, sealed = wires.seen()
    assert clear == 0 and sealed > 60
    size = traffic.links(first, "s1")["eth0"]["mtu"]
    assert size == options.get("mtu", {4: 1390, 6: 1350}[outer])
    assert traffic.fits(first, "s1", "10.60.0.3", size)
    assert not any(result["changed"] for result in capture.apply_all(fleet, found))
    assert first.sh("stat -c '%a %U' /etc/dockless/wireguard /etc/dockless/wireguard/a") == "700 root\n600 root"


def test_no_cleartext_in_a_large_transfer(fleet):
    """All wires recorded without a gap, every byte a marked one.

    Test_two_walls_keep_it_in shows that the recorders see what is in clear.
    """
    wires = capture.Wires(fleet)
    capture.apply_all(fleet, capture.documents(fleet))
    begin = time.monotonic()
    assert capture.pour(*fleet.hosts[:2], CAPTURED_BYTES, timeout=60 + CAPTURED_BYTES / 1e6) == CAPTURED_BYTES
    took, captured, clear = time.monotonic() - begin, wires.captured(), wires.seen()[0]
    print(f"{captured / 1e6:.0f} MB of WireGuard's captured in {took:.0f} s, {clear} packets in clear")
    assert captured > CAPTURED_BYTES and clear == 0


def test_no_wire_sees_it_while_networks_come_and_go(fleet):
    """From the first message to the last: one host knows nothing of the other yet, or no longer."""
    first, second = fleet.hosts[:2]
    found = capture.documents(fleet)
    wires = capture.Wires(fleet)
    first.apply(found[0])
    with capture.flow(first):
        second.apply(found[1])
        assert first.ping("s1", "10.60.0.3")
        second.apply({}, absent=True)
        found = capture.documents(fleet)  # its key went with its network
        second.apply(found[1])
        first.apply(found[0])
        assert first.ping("s1", "10.60.0.3")
    with capture.flow(second, "s2", "10.60.0.2"):
        assert second.ping("s2", "10.60.0.2")
        first.apply({**found[0], "networks": {}, "sandboxes": {}})
    clear, sealed = wires.seen()
    assert clear == 0 and sealed > 0


@pytest.mark.parametrize(
    ("port", "alone"), [(4787, True), (7777, False)], ids=["one endpoint", "another port, two endpoints"]
)
def test_cleartext_vxlan_is_dropped(fleet, port, alone):
    """With the other end's address and all the right numbers, and whatever other tables accept."""
    first, _second, third = fleet.hosts
    found = capture.documents(fleet, alone=alone, port=port)
    capture.apply_all(fleet, found)
    first.run(
        ["nft", "-f", "-"],
        input="table inet lax { chain early { type filter hook prerouting priority -400; udp dport 4787-7777 accept; "
        "}; "
        "chain input { type filter hook input priority 0; accept; }; }",
    )
    _refuse_forged(first, third, port, traffic.links(first, "s1")["eth0"]["address"])
    first.run(["nft", "delete", "table", "inet", "lax"])


def test_encrypted_network_without_endpoints_drops_cleartext(fleet):
    """Guards belong to the network, not to who is on it."""
    found = capture.documents(fleet)
    for document in found:
        document["sandboxes"] = {}
        for peer in document["networks"]["blue"]["peers"].values():
            peer["sandboxes"] = {}
    capture.apply_all(fleet, found)
    _refuse_forged(fleet.hosts[0], fleet.hosts[2], 4787, "02:00:00:00:00:99")


def _refuse_forged(first, third, port, mac):
    """Try to get data in clear into the network, and see them arrive once the rule against them is gone."""
    device = next(name for name in traffic.links(first) if name.startswith("vx-"))
    listener = first.popen([SYSTEM_PYTHON, "-c", _LISTEN, device])
    assert listener.readline() == "ready"

    own = capture.tunnel_address(1)

    def forge(text, source, target=own):
        third.run([SYSTEM_PYTHON, "-c", _FORGED, source, target, str(port), mac, text])

    shared = ("203.0.113.255", "255.255.255.255", "224.0.0.1")  # which every host of the link receives
    for source in (capture.tunnel_address(2), private_fleet.address(2), private_fleet.address(3)):
        for target in (own, private_fleet.address(1), *shared):
            forge("forged", source, target)
    with traffic.without(first, "@encrypted_vnis iifgroup"):
        forge("mutant", capture.tunnel_address(2))
        assert listener.readline() == "mutant"  # the first word: what was forged before it never came
    with traffic.without(first, "@encrypted_vnis iifgroup", "@vxlan_vnis ip saddr"):
        for target in shared:
            forge("mutant", private_fleet.address(3), target)
            assert listener.readline() == "mutant"
    forge("forged", capture.tunnel_address(2))
    with traffic.without(first, "@encrypted_vnis iifgroup"):
        forge("end", capture.tunnel_address(2))
        assert listener.readline() == "end"


@pytest.mark.parametrize(
    "loss",
    [
        "ip link del {link}",
        "ip link set {link} down",
        "kill -9 {pid}",
        "ip route del 100.100.0.2",
        "wg set {link} peer {peer} remove",
        "ip route del 100.100.0.2; ip link set {link} down; nft flush ruleset",
    ],
    ids=["link deleted", "link down", "wireguard-go killed", "route deleted", "peer removed", "and without rules"],
)
def test_traffic_stops_when_the_tunnel_is_lost(fleet, loss):
    """No packet takes another route, and the next run repairs the tunnel."""
    first = fleet.hosts[0]
    found = capture.documents(fleet)
    capture.apply_all(fleet, found)
    wires = capture.Wires(fleet)
    assert first.ping("s1", "10.60.0.3")
    link = capture.link(first)
    words = {
        "link": link,
        "pid": first.sh(f"pgrep -f '^[^ ]*wireguard-go {link}'"),
        "peer": capture.key(fleet.hosts[1]),
    }
    with capture.flow(first) as counts:
        first.sh(loss.format(**words))
        assert not first.ping("s1", "10.60.0.3", wait=1)
        operations = first.plan(found[0])["operations"]
        assert operations and all(any(word in line for word in ("WireGuard", "firewall")) for line in operations), (
            operations
        )
        first.apply(found[0])
        assert first.ping("s1", "10.60.0.3", wait=5)
    assert counts["answered"] < counts["sent"]
    assert wires.seen()[0] == 0
    assert first.apply(found[0])["operations"] == []


def test_two_rules_keep_cleartext_in(fleet):
    """The kill-switch route and the chain encrypted_only each do alone.

    Without both, data go out in clear, so there is something to keep in.
    """
    first = fleet.hosts[0]
    capture.apply_all(fleet, capture.documents(fleet))
    first.sh(f"ip link set {capture.link(first)} down")
    for barrier, rule, leaks in ((True, False, False), (False, True, False), (False, False, True)):
        wires = capture.Wires(fleet)
        if not barrier:
            first.sh("ip route del unreachable 100.100.0.2 metric 4294967280 2>/dev/null || true")
        with capture.contextlib.ExitStack() as stack:
            if not rule:
                stack.enter_context(traffic.without(first, SEALED_RULE))
            assert not first.ping("s1", "10.60.0.3", wait=1)
        assert (wires.seen()[0] > 0) is leaks
    first.sh(f"ip link set {capture.link(first)} up")


def rotate(fleet, old, new, **options):
    """Renew the keys of all hosts: every host gets a second tunnel, sends by it, and gives up the first."""
    for tunnels in ((old, new), (new, old), (new,)):
        capture.apply_all(fleet, capture.documents(fleet, tunnels=tunnels, **options))


def test_key_rotation_loses_no_packet(fleet):
    """Again and again under traffic both ways: nothing lost, nothing in clear, and no key is used again."""
    first, second = fleet.hosts[:2]
    capture.apply_all(fleet, capture.documents(fleet))
    assert first.ping("s1", "10.60.0.3")
    wires = capture.Wires(fleet)
    keys = {capture.key(first)}
    with capture.flow(first) as counts, capture.flow(second, "s2", "10.60.0.2") as others:
        for number in range(ROTATIONS):
            old, new = ("a", "b") if number % 2 == 0 else ("b", "a")
            rotate(fleet, old, new)
            assert (
                first.sh("ls /etc/dockless/wireguard") == new
                and len(first.run(["wg", "show", "interfaces"]).stdout.split()) == 1
            )
            keys.add(capture.key(first, new))
    assert counts["sent"] == counts["answered"] > 100 and others["sent"] == others["answered"] > 100
    clear, sealed = wires.seen()
    print(
        f"{ROTATIONS} rotations: {counts['sent'] + others['sent']} packets sent, all answered, "
        f"longest gaps {counts['longest_gap_ms']} and "
        f"{others['longest_gap_ms']} ms; {sealed} of WireGuard's seen, {clear} in clear"
    )
    assert clear == 0
    assert len(keys) == ROTATIONS + 1


def test_a_host_that_missed_the_new_keys_is_still_reached(fleet):
    """What has one tunnel only is sent to by that one, whichever comes first here."""
    first, second = fleet.hosts[:2]
    found = capture.documents(fleet)
    second.apply(found[1])
    ahead = capture.documents(fleet)[0]
    capture.key(first, "b")
    blue = ahead["networks"]["blue"]
    blue["tunnels"] = ["b", "a"]
    peer = blue["peers"]["host2"]
    peer["public_keys"] = {"a": peer.pop("public_key")}
    first.apply(ahead)
    assert first.ping("s1", "10.60.0.3") and second.ping("s2", "10.60.0.2")


def test_no_output_contains_a_key(fleet):
    """Plan, diff, messages, files that others read, and the arguments of every program that runs."""
    first = fleet.hosts[0]
    found = capture.documents(fleet)
    said = [json.dumps(first.plan(found[0], diff=True))]
    first.run(["tee", "/run/document"], input=json.dumps(found[0]))
    first.sh(
        "strace -D -f -qq -s 4096 -e trace=execve -o /run/calls "
        f"{PYTHON} -m _dockless.cli apply --diff --project shop /run/document >/run/said 2>&1"
    )
    first.apply(found[0])
    fleet.hosts[1].apply(found[1])
    assert first.ping("s1", "10.60.0.3")
    link = capture.link(first)
    first.sh(f"wg set {link} listen-port 4")
    said += [json.dumps(first.plan(found[0], diff=True)), first.read("/run/calls"), first.read("/run/said")]
    said.append(json.dumps(first.apply(found[0], diff=True)) + json.dumps(first.dockless("show", "--json")))
    first.sh("ip link add blocker type bridge")
    said.append(
        first.sh("grep -rah . /run/dockless /etc/dockless/projects /etc/dockless/host.json 2>/dev/null || true")
    )
    said.append(
        first.sh(
            "for pid in /proc/[0-9]*; do tr '\\0' ' ' <$pid/cmdline; tr '\\0' ' ' <$pid/environ; "
            "done 2>/dev/null || true"
        )
    )
    first.sh(
        "echo damaged >/etc/dockless/wireguard/b; cp /etc/dockless/wireguard/a /run/kept; "
        "sed -i 's/^/x/' /etc/dockless/wireguard/a"
    )
    said.append(first.refusal(found[0]))
    assert "holds no WireGuard key" in said[-1]
    first.sh(
        "rm /etc/dockless/wireguard/b; cat /run/kept >/etc/dockless/wireguard/a; rm /run/kept; ip link del blocker"
    )
    secrets = capture.private(first)
    assert len(secrets) == 5 and "wireguard-go" in said[2] and capture.key(first) in said[0] + said[1] + said[3]
    assert not [secret for secret in secrets for text in said if secret in text]


def test_a_key_is_made_when_there_is_none_and_goes_with_the_network(fleet):
    """A document by hand needs no key of its own; one made beforehand stays until it is needed."""
    first = fleet.hosts[0]
    document = capture.documents(fleet)[0]
    first.sh("rm -r /etc/dockless")
    planned = first.plan(document)["operations"]
    assert "create WireGuard key a (missing)" in planned
    assert first.apply(document)["operations"] == planned
    assert first.apply(document)["operations"] == []
    public = capture.key(first)
    assert first.run(["wg", "show", capture.link(first), "public-key"]).stdout.strip() == public
    first.sh("rm /etc/dockless/wireguard/a")
    assert [line.split(" (")[0] for line in first.apply(document)["operations"]] == [
        "create WireGuard key a",
        f"update WireGuard link {capture.link(first)}",
    ]
    assert capture.key(first) != public and first.apply(document)["operations"] == []
    first.apply({"networks": {"plain": {}}}, project="other")
    first.apply({}, absent=True)
    assert first.sh("ls /etc/dockless; pgrep -x wireguard-go || true") == "host.json\nlast-good\nprojects"
    capture.key(first)
    first.apply({"networks": {"plain": {"labels": {"a": "b"}}}}, project="other")
    assert first.sh("ls /etc/dockless/wireguard") == "a"


@pytest.mark.parametrize("what", ["raise", "kill"])
def test_a_run_that_ends_early_leaves_nothing_in_clear_and_the_next_one_is_whole(fleet, what):
    """At every step of a tunnel's making, and some of its messages: rolled back, or repaired by the next run."""
    first = fleet.hosts[0]
    document = capture.documents(fleet)[0]
    first.sh("cp -r /etc/dockless/wireguard /run/lock/kept")
    before = first.snapshot()
    argv = [PYTHON, str(SUPPORT / "faults.py")]
    counted = json.loads(first.run([*argv, "count", "0", "--project", "shop"], input=json.dumps(document)).stdout)
    events = counted["events"]
    first.apply({}, absent=True)
    places = [place for place, event in enumerate(events) if "WireGuard" in event or "kill-switch" in event]
    assert len(places) >= 3
    for place in places:
        first.sh("mkdir -p /etc/dockless; chmod 700 /etc/dockless; cp -rpT /run/lock/kept /etc/dockless/wireguard")
        first.run([*argv, what, str(place), "--project", "shop"], input=json.dumps(document), check=False)
        if what == "raise":
            first.assert_back_to(before)
        else:
            first.apply(document)
            assert first.apply(document)["operations"] == []
            first.apply({}, absent=True)
    first.sh("rm -rf /run/lock/kept /etc/dockless")


def test_a_foreign_link_with_the_tunnels_name_stays(fleet):
    """An unmanaged link with the name is a conflict, before any change."""
    first = fleet.hosts[0]
    document = capture.documents(fleet)[0]
    first.apply(document)
    link = capture.link(first)
    first.apply({}, absent=True)
    first.sh(f"ip link add {link} type bridge")
    assert f"interface {link} exists on this host and is not managed by dockless" in first.refusal(document)
    first.sh(f"ip link del {link}")


@contextlib.contextmanager
def _open_tunnel(host, chain):
    """Take the rule that drops by the group of WireGuard links out of a chain for the length of a with block."""
    kept = host.run(["nft", "list", "table", "inet", "dockless"]).stdout
    lines = host.run(["nft", "--handle", "list", "chain", "inet", "dockless", chain]).stdout.splitlines()
    (rule,) = [line for line in lines if f"group {TUNNEL_GROUP} counter" in line]
    host.run(["nft", "delete", "rule", "inet", "dockless", chain, "handle", rule.rpartition(" ")[2]])
    yield
    host.run(["nft", "-f", "-"], input=f"delete table inet dockless\n{kept}")


@pytest.mark.parametrize("inner", [4, 6], ids=["IPv4", "IPv6"])
def test_peer_reaches_overlays_by_its_tunnel_and_nothing_else(fleet, inner):
    """No service of the host, no other address of it, no sandbox at its own address, nobody behind the host."""
    first, second = fleet.hosts[:2]
    found = capture.documents(fleet, inner=inner)
    found[0]["networks"]["open"] = {
        "dns_enabled": False,
        "enable_ipv6": True,
        "gateway_mode_ipv4": "nat-unprotected",
        "gateway_mode_ipv6": "nat-unprotected",
        "ipam": {"config": [{"subnet": "172.30.0.0/24"}, {"subnet": "fd00:30::/64"}]},
    }
    found[0]["sandboxes"]["near"] = {"networks": ["open"], "ports": ["9999:7000/udp"]}
    capture.apply_all(fleet, found)
    tunnel, peer = capture.link(second), capture.tunnel_address(2, inner)
    key = second.sh(f"wg show {tunnel} peers")
    everything = "0.0.0.0/0" if inner == 4 else "::/0"
    second.sh(f"wg set {tunnel} peer {key} allowed-ips {everything}")
    sandbox_address, other = {4: ("172.30.0.2", "10.98.0.1"), 6: ("fd00:30::2", "fd00:98::1")}[inner]
    first.sh(f"ip address add {other} dev lo")
    targets = {
        "the tunnel's address": (capture.tunnel_address(1, inner), first, None, 7000),
        "another address": (other, first, None, 7000),
        "a published port": (capture.tunnel_address(1, inner), first, "near", 9999),
        "a sandbox": (sandbox_address, first, "near", 7000),
        "a gateway": ({4: "172.30.0.1", 6: "fd00:30::1"}[inner], first, None, 7000),
        "a neighbour": (NEIGHBOUR_ADDRESSES[inner == 6], first.neighbour(), None, 7000),
    }
    second.sh("; ".join(f"ip route replace {target} dev {tunnel} src {peer}" for target, *_rest in targets.values()))
    for name, (target, place, netns, port) in targets.items():
        sink = traffic.record(place, netns, 7000)
        traffic.send(second, None, target, port, "through the tunnel")
        assert second.ping("s2", "10.60.0.2"), "what may pass comes after it"
        with _open_tunnel(first, "guard"):
            traffic.send(second, None, target, port, "mutant")
            assert sink.readline().startswith("mutant"), name
        sink.stop()
    with _open_tunnel(second, "guard"):  # a sandbox does not get into the tunnel as its host
        sink = traffic.record(second, None, 7000)
        traffic.send(first, "near", peer, 7000, "into the tunnel")
        assert first.ping("s1", "10.60.0.3")
        with _open_tunnel(first, "forward"):
            traffic.send(first, "near", peer, 7000, "mutant")
            assert sink.readline().startswith("mutant")
    first.sh(f"ip address del {other} dev lo")
