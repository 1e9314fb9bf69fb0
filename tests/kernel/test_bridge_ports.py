# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridge ports: the host's end of a sandbox's pair takes no packets, and the declaration alone says who is behind it.

test_lab_attacks.py sends everything from everywhere. Here is what a single host shows of it, each wall on its own.
"""

from __future__ import annotations

import contextlib
import json

import pytest

from lab import wire
from support import traffic, wire_probe
from support.private_host import SYSTEM_PYTHON
from support.traffic import network

LLDP = "01:80:c2:00:00:0e"
GROUPS = [f"01:80:c2:00:00:{last:02x}" for last in range(16)]
SUBNET = "172.20.0.0/24"
KINDS = {"bridge": {}, "internal": {"internal": True}, "without port security": {"port_security": False}}
RULE = "iifname != @routed_devices"


def document(**options):
    """Return two sandboxes on a network of IPv4 alone."""
    return {
        "networks": {"front": network(SUBNET, **options)},
        "sandboxes": {name: {"networks": ["front"]} for name in ("evil", "good")},
    }


def send(host, frame, netns="evil", count=1):
    """Put a frame on a sandbox's link."""
    code = "import socket, sys; w = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); w.bind(('eth0', 0))\n"
    code += "for _ in range(int(sys.argv[2])): w.send(bytes.fromhex(sys.argv[1]))"
    host.run([SYSTEM_PYTHON, "-c", code, frame.hex(), str(count)], netns=netns)


def mac_of(host, netns):
    """Return the MAC of a sandbox."""
    return host.sh("cat /sys/class/net/eth0/address", netns=netns)


def ports(host):
    """Return the names of the host's ends."""
    return [link for link in host.sh("ls /sys/class/net").split() if link.startswith("veth")]


def advertisement(mac, group):
    """Return a router advertisement (RFC 4861) in a frame to a group."""
    source = wire.link_local(mac)
    prefix = b"\x03\x04\x40\xc0" + bytes.fromhex("00000708" * 2) + bytes(4) + wire.packed("2001:db8:bad::")
    body = bytes.fromhex("40080708") + bytes(8) + wire.option6(1, mac) + prefix
    message = wire.icmp6(source, "ff02::1", 134, body)
    return wire.ethernet(group, mac, wire.IP6, wire.packet(source, "ff02::1", wire.ICMP6, message, hops=255))


def believed(host, group=LLDP):
    """Send the host an advertisement, and return its IPv6 routes and addresses that come of it."""
    send(host, advertisement(mac_of(host, "evil"), group))
    host.run(["ping", "-c", "1", "-w", "2", "172.20.0.3"], netns="evil")  # by then the frame has been handled
    return host.sh("ip -6 route show proto ra; ip -6 -br address | grep 2001:db8:bad: || true")


@contextlib.contextmanager
def with_ipv6_on_ports(host):
    """Give ports their IPv6 back."""
    for value in (0, 1):
        host.sh("; ".join(f"echo {value} >/proc/sys/net/ipv6/conf/{port}/disable_ipv6" for port in ports(host)))
        if not value:
            host.sh("; ".join(f"ip link set {port} addrgenmode eui64" for port in ports(host)))
            yield


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_the_host_takes_no_sandbox_for_a_router(private_host, options):
    """A host that does not forward IPv6 believes routers; a sandbox is none, by whatever group it advertises itself."""
    with traffic.sysctls(private_host, {"ipv6/conf/all/forwarding": 0}):
        private_host.apply(document(**options))
        assert [group for group in GROUPS if believed(private_host, group)] == []
        # Each wall stands without the other, and without both the host believes it.
        with traffic.without(private_host, RULE):
            assert not believed(private_host)
            with with_ipv6_on_ports(private_host):
                assert believed(private_host)
            private_host.sh("ip -6 route flush proto ra")
        with with_ipv6_on_ports(private_host):
            assert not believed(private_host)


def neighbours(host):
    """Return what the host knows of others at its ports."""
    return [each["dst"] for each in json.loads(host.sh("ip -json neighbour")) if each["dev"].startswith("veth")]


def test_arp_to_a_port_teaches_the_host_nothing(private_host):
    """No answer, no entry; with ARP on the port, there would be one."""
    private_host.apply(document())
    mac = mac_of(private_host, "evil")
    asked = wire.arp(1, mac, "172.20.0.2", "00:00:00:00:00:00", "192.0.2.2", b"")
    for group in GROUPS[1:]:
        send(private_host, wire.ethernet(group, mac, wire.ARP, asked))
    assert private_host.ping("evil", "172.20.0.3") and neighbours(private_host) == []
    private_host.sh("; ".join(f"ip link set {port} arp on" for port in ports(private_host)))
    send(private_host, wire.ethernet(LLDP, mac, wire.ARP, asked))
    assert private_host.ping("evil", "172.20.0.3") and neighbours(private_host) == ["172.20.0.2"]
    assert private_host.apply(document())["changed"]
    assert not private_host.apply(document())["changed"]


def behind(host, mac):
    """Return the port at which the bridge looks for a MAC, with the entry's state."""
    listed = json.loads(host.sh("bridge -json fdb show"))
    return [(each["ifname"], each.get("state")) for each in listed if each["mac"] == mac and "master" in each]


def test_no_frame_moves_a_neighbours_forwarding_entry(private_host):
    """Not even where the rules of the bridge are gone: entries are static, and ports learn nothing."""
    private_host.apply(document())
    mac = mac_of(private_host, "good")
    place = behind(private_host, mac)
    assert len(place) == 1 and place[0][1] == "static"
    private_host.run(["nft", "flush", "chain", "bridge", "dockless", "ports"])
    for group in (*GROUPS, wire.BROADCAST):
        for source in (mac, "02:00:00:00:00:99"):
            send(private_host, wire.ethernet(group, source, 0x88CC, b"x" * 50))
    assert private_host.ping("evil", "172.20.0.3")
    assert behind(private_host, mac) == place and behind(private_host, "02:00:00:00:00:99") == []


def test_a_learning_port_would_move_an_entry_that_is_not_sticky(private_host):
    """The control, and drift: one run puts all of it back."""
    private_host.apply(document())
    mac = mac_of(private_host, "good")
    place = behind(private_host, mac)
    for port in ports(private_host):
        private_host.sh(f"bridge link set dev {port} learning on")
    send(private_host, wire.ethernet(LLDP, mac, 0x88CC, b"x" * 50))
    assert private_host.ping("evil", "172.20.0.3") and behind(private_host, mac) == place
    private_host.sh(f"bridge fdb replace {mac} dev {place[0][0]} master static")
    send(private_host, wire.ethernet(LLDP, mac, 0x88CC, b"x" * 50))
    assert behind(private_host, mac) != place
    assert private_host.apply(document())["changed"]
    assert behind(private_host, mac) == place
    assert not private_host.apply(document())["changed"]


GUEST = "172.20.0.9"
PAIR = {"port": {"master": "br-front", "peer": {"name": "eth0", "netns": "guest", "addresses": [f"{GUEST}/24"]}}}


def with_pair(**options):
    """Return the two sandboxes, and a guest behind a veth pair that is a port of their bridge."""
    found = document(bridge_name="br-front", **options)
    found["sandboxes"]["guest"] = {"networks": []}
    return {**found, "veth_pairs": PAIR}


def test_a_bridged_pair_moves_no_entry_of_a_sandbox(private_host):
    """Its port learns, because the declaration does not know who is behind it. What it knows stays where it is."""
    private_host.apply(with_pair())
    mac = mac_of(private_host, "good")
    place = behind(private_host, mac)
    for source in (mac, "02:00:00:00:00:99"):
        send(private_host, wire.ethernet(wire.BROADCAST, source, 0x88B5, b"x" * 50), "guest")
    assert private_host.ping("guest", "172.20.0.3")
    assert [port for port, _state in behind(private_host, "02:00:00:00:00:99")] == ["port"]  # the control
    assert behind(private_host, mac) == place
    assert not private_host.apply(with_pair())["changed"]


def test_the_host_takes_nothing_from_the_end_of_a_bridged_pair(private_host):
    """Neither an advertisement nor a datagram in a frame that the bridge hands to the port; each wall by itself."""
    private_host.apply(with_pair())
    mac, host = mac_of(private_host, "guest"), private_host.sh("cat /sys/class/net/br-front/address")
    last = wire_probe.echo_request(host, mac, GUEST, "172.20.0.1")
    wire_probe.watch(private_host)
    datagram = wire.packet(GUEST, "192.0.2.2", wire.UDP, wire.udp(GUEST, "192.0.2.2", 4000, 9999, b"x"))
    frames = [wire.ethernet(group, mac, wire.IP, wire_probe.numbered(datagram, 77)) for group in GROUPS[1:]]

    def is_heard():
        wire_probe.send(private_host, "guest", frames, last)
        return 77 in wire_probe.heard(private_host)

    def believed_from_guest():
        wire_probe.send(private_host, "guest", [advertisement(mac, LLDP)], last)
        return private_host.sh("ip -6 route show proto ra; ip -6 -br address | grep 2001:db8:bad: || true")

    with traffic.sysctls(private_host, {"ipv6/conf/all/forwarding": 0}):
        assert not is_heard() and not believed_from_guest()
        private_host.sh("echo 0 >/proc/sys/net/ipv6/conf/port/disable_ipv6")
        assert not believed_from_guest()
        with traffic.without(private_host, "iifname @bridged_pairs"):
            assert is_heard() and believed_from_guest()
            private_host.sh("ip -6 route flush proto ra")
            private_host.sh("echo 1 >/proc/sys/net/ipv6/conf/port/disable_ipv6")
            assert not believed_from_guest()
    wire_probe.unwatch(private_host)
    assert not private_host.apply(with_pair())["changed"]


def test_a_network_without_port_security_learns(private_host):
    """Its sandboxes may have more MACs than the declaration knows: they are found where they send from."""
    private_host.apply(document(port_security=False))
    mac = "02:00:00:00:00:99"
    send(private_host, wire.ethernet("ff:ff:ff:ff:ff:ff", mac, 0x88B5, b"x" * 50))
    assert private_host.ping("evil", "172.20.0.3")
    assert len(behind(private_host, mac)) == 1
    private_host.apply(document())
    static = behind(private_host, mac_of(private_host, "good"))
    assert [state for _port, state in static] == ["static"]
    private_host.apply(document(port_security=False))
    assert private_host.ping("evil", "172.20.0.3") and not private_host.apply(document(port_security=False))["changed"]


def test_a_routed_overlay_takes_packets_and_no_advertisements(private_host):
    """Its device is no port: the host's IP stack has it, with what a router on it says turned off."""
    overlay = {
        "driver": "overlay",
        "mode": "routed",
        "vni": 300,
        "vtep": "192.0.2.2",
        "dns_enabled": False,
        "peers": {"two": {"vtep": "192.0.2.3", "subnets": ["172.20.1.0/24"]}},
        "ipam": {"config": [{"subnet": "172.20.0.0/16", "ip_range": SUBNET}]},
    }
    private_host.apply({"networks": {"front": overlay}, "sandboxes": {"evil": {"networks": ["front"]}}})
    device = next(link for link in private_host.sh("ls /sys/class/net").split() if link.startswith("vx-"))
    settings = [
        private_host.read(f"/proc/sys/net/ipv6/conf/{device}/{key}").strip() for key in ("accept_ra", "disable_ipv6")
    ]
    assert settings == ["0", "0"]
    listed = private_host.run(["nft", "list", "set", "inet", "dockless", "routed_devices"]).stdout
    assert f'"{device}"' in listed
