# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab as it stands: a private host with everything that places.py declares, namespaces around it, and a station
in each.

Nothing is waited for by the clock. A marker that must arrive is sent after what must not, on the same processor
(one_processor), whose queue the kernel works off in order: when every station has its marker, whatever was to come has
come.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import struct
import time
import typing as t

from _dockless.names import TUNNEL_GROUP, vxlan_link
from support import traffic
from support.private_host import Place, PrivateHost

from . import places, wire
from .stations import Heard, Station, flush_connections, mac_in

_FORMER = "/var/lib/dockless/prerequisites.json"
_WEAK = {  # settings of the node that guard as little as can be, so that what is ours decides
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/all/accept_redirects": 1,
    "ipv4/conf/all/accept_source_route": 1,
    "ipv4/conf/eth0/accept_source_route": 1,
    "ipv6/conf/all/accept_source_route": 1,
    "ipv6/conf/eth0/accept_source_route": 1,
    "ipv6/conf/all/seg6_enabled": 1,
    "ipv6/conf/eth0/seg6_enabled": 1,
    "ipv6/conf/default/seg6_enabled": 1,
    "ipv6/conf/all/rpl_seg_enabled": 1,
    "ipv6/conf/eth0/rpl_seg_enabled": 1,
    "ipv6/conf/default/rpl_seg_enabled": 1,
    "ipv4/tcp_synack_retries": 0,
    "bridge/bridge-nf-call-iptables": 0,
    "bridge/bridge-nf-call-ip6tables": 0,
}
SENDERS = ("slice", "tunnel")  # peers of a routed overlay and of a WireGuard link; nobody asks what they hear
OUTER_NAMESPACES = ("lab-far", "lab-vpn", "lab-guest", *(f"lab-{name}" for name in SENDERS))
GUEST = ("172.30.10.99", "fd00:10::99")  # somebody else's link in the bridge of red
Counters = dict[str, int]


class Lab:
    """The stations, by name, and what is known of the node. close() takes everything away again, to the last link."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        self._numbers = itertools.count()
        self.packets = 0  # sent so far
        self.patience = 5.0  # seconds that a marker may take
        host.sh("until ip -6 route show table local | grep -q 'fe80::2 '; do :; done")  # its addresses are in use
        host.birth = host.snapshot()
        self._weak = contextlib.ExitStack()
        self._weak.enter_context(traffic.sysctls(host, _WEAK))
        self._surround()
        host.apply(places.document(), project=places.PROJECT)
        self.seal()
        self._arm()
        self._calm()
        self.bridges = self._bridges()
        self._invite()
        self.stations = {name: self._station(name) for name in ("node", *places.OUTSIDE, "guest", *places.SANDBOXES)}
        self.senders = {name: Station(name, host.namespace(f"lab-{name}")) for name in SENDERS}
        self._seal_tunnels()
        read = "cat /sys/class/net/{}/address"
        self._tunnels = {name: TunnelEnd(self, tunnel) for name, tunnel in places.TUNNELS.items()}
        self._hops = {
            "foreign": places.FOREIGN_MACS[0],
            **{
                name: self.bridges[net][1]
                for name, net in (("peer", "over"), ("peer6", "over6"), ("other peer", "over"))
            },
            "nbr": self["node"].mac,
            "vpn": host.sh(read.format("up2")),
            "far": mac_in(host.neighbour_namespace, "far0"),
            **{name: host.sh(read.format(f"{name}0")) for name in SENDERS},
        }
        self["node"].join(places.GROUPS, [self.bridges[name][0] for name in ("inner", "alone")])
        self._warm()

    def _station(self, name: str) -> Station:
        host = self.host
        paths = {
            "node": host.namespace(),
            "nbr": host.neighbour_namespace,
            "far": host.namespace("lab-far"),
            "vpn": host.namespace("lab-vpn"),
            "guest": host.namespace("lab-guest"),
        }
        return Station(
            name,
            paths.get(name) or host.namespace(name),
            hears_frames=name != "node",
            more_ports=places.HEARD_PORTS.get(name, ()),
        )

    def __getitem__(self, name: str) -> t.Any:
        """Return a station, or what sends as one."""
        return self.stations.get(name) or self.senders.get(name) or self._tunnels[name]

    def close(self) -> None:
        """Take away everything that the lab made."""
        for station in (*self.stations.values(), *self.senders.values()):
            station.close()
        host = self.host
        self.leave_late_address()
        host.sh("ip link del guest0 2>/dev/null || true")  # a test that changes networks takes it away
        host.sh("ip link set tunnel0 group default")
        host.apply({}, project=places.PROJECT, absent=True)
        host.sh(
            "ip link del up2; ip link del foreign0; ip link del slice0; ip link del tunnel0; "
            + "; ".join(f"ip netns del {name}" for name in OUTER_NAMESPACES)
        )
        host.sh(f"rm {_FORMER}; rmdir /var/lib/dockless; nft delete table inet dockless-transit")
        self._weak.close()

    def _surround(self) -> None:
        """Build what is around the node: a far host, a second uplink, and a router that attacks."""
        host, nbr = self.host, self.host.neighbour()
        host.sh("; ".join(f"ip netns add {name}; ip -n {name} link set lo up" for name in OUTER_NAMESPACES))
        nbr.sh(
            "ip link add far0 type veth peer name eth0 netns lab-far; echo 1 >/proc/sys/net/ipv4/ip_forward; "
            "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; "
            "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit"
        )
        host.sh("ip link add up2 type veth peer name eth0 netns lab-vpn")
        mac, peer_mac = places.FOREIGN_MACS
        host.sh(
            f"ip link add foreign0 address {mac} type vxlan id {places.FOREIGN_VNI} dstport 4789 "
            f"local {places.HOST[0]} nolearning; "
            f"ip link set foreign0 addrgenmode none; ip address add {places.FOREIGN_NET[0]}/24 dev foreign0; "
            f"ip address add {places.FOREIGN_NET6[0]}/64 dev foreign0 nodad; ip link set foreign0 up; "
            f"bridge fdb add {peer_mac} dev foreign0 dst {places.OUTSIDE['nbr'][0]}; "
            f"ip neighbour add {places.FOREIGN_NET[1]} lladdr {peer_mac} dev foreign0"
        )
        host.sh(
            "ip link add slice0 type veth peer name eth0 netns lab-slice; "
            "ip link add tunnel0 type veth peer name eth0 netns lab-tunnel; "
            "ip link set slice0 addrgenmode none; ip link set slice0 up"
        )
        for name in SENDERS:  # which send nothing by themselves
            host.sh("sysctl -q -w net.ipv6.conf.eth0.disable_ipv6=1; ip link set eth0 up", netns=f"lab-{name}")
        _address(host, "tunnel0", places.TUNNEL[0])
        _address(nbr, "far0", ("198.51.100.2", "2001:db8:2::2"))
        _address(host, "up2", places.SECOND)
        for netns, place, via in (
            ("lab-far", "far", ("198.51.100.2", "2001:db8:2::2")),
            ("lab-vpn", "vpn", places.SECOND),
        ):
            _address(host, "eth0", places.OUTSIDE[place], netns)
            host.sh(f"ip route add default via {via[0]}; ip route add default via {via[1]}", netns=netns)
        # The neighbour knows all our networks, and the second uplink's, by way of the node.
        routes = [
            (net.subnet(version), version)
            for name, net in places.NETS.items()
            if name != "alone"
            for version in net.families
        ]
        nbr.sh(
            "; ".join(
                f"ip route add {subnet} via {places.HOST[version == 6]}"
                for subnet, version in (*routes, ("203.0.113.0/24", 4), ("2001:db8:3::/64", 6))
            )
        )
        former = {
            "sysctls": {
                f"net.{key}": {"before": "0", "set": "1"} for key in ("ipv4.ip_forward", "ipv6.conf.all.forwarding")
            }
        }
        host.sh(f"mkdir -p /var/lib/dockless; echo '{json.dumps(former)}' >{_FORMER}")

    def seal(self) -> None:
        """Add the data of an encrypted network, of a forwarder of names, and of a declared pair in a bridge: their
        rules are loaded, the things are tried elsewhere.
        """
        port, vni = places.SEALED
        bridges = self._bridges()
        added = [("vxlan_ports", str(port)), ("encrypted_vnis", f"{port} . {vni}"), ("bridged_pairs", '"guest0"')]
        for version in (4, 6):
            added.append((f"forwarders{version}", f"{places.gateway('c1', version)} . {places.FORWARDER}"))
            for name in ("c1", "c3", "r1"):
                client = f'{places.address(name, version)} . "{bridges[places.NETWORK_OF[name]][0]}"'
                added += [(f"forwarder_{what}{version}", client) for what in ("queries", "connections")]
        for name, element in added:
            self.host.run(["nft", "add", "element", "inet", "dockless", name, f"{{ {element} }}"])

    def _seal_tunnels(self) -> None:
        """Add the data of a routed overlay and of overlays with EVPN: their rules are tried by other links.

        A run of dockless would take tunnel0 away.
        """
        self.host.sh(f"ip link set tunnel0 group {TUNNEL_GROUP}")
        mac = self.senders["slice"].mac
        over, over6 = (f'"{vxlan_link(places.PROJECT, name)}"' for name in places.VNIS)
        elements = {"inet routed_devices": ['"slice0"']}
        elements["bridge local_macs"] = [f"{places.PEER_MAC} . {over}"]
        for version, vni in zip((4, 6), places.VNIS.values()):
            subnet, learned = (pair[version == 6] for pair in (places.SLICE, places.LEARNED))
            host, vtep = places.HOST[version == 6], places.TUNNEL[1][version == 6]
            macs = (self[("v1", "w1")[version == 6]].mac + places.PEER_MAC).replace(":", "")
            elements[f"inet routed_sources{version}"] = [f'{subnet} . {mac} . "slice0"']
            elements[f"inet routers{version}"] = [f"{vtep} . {host} . 4789 . 0x{vni:06x}00{macs}"]
            elements[f"bridge learned_subnets{version}"] = [f"{learned} . {device}" for device in (over, over6)]
            own = places.within(places.LEARNED, 1, version)
            elements[f"bridge local_addresses{version}"] = [f"{own} . {over6}"]
        for name, found in elements.items():
            family, set_name = name.split()
            self.host.run(["nft", "add", "element", family, "dockless", set_name, f"{{ {', '.join(found)} }}"])

    def _arm(self) -> None:
        """Give sandboxes the routes and neighbours that one with all rights inside would give itself."""
        for name in ("c4", "c5"):
            self.host.sh(
                f"ip route add default via {places.gateway(name, 4)}; "
                f"ip route add default via {places.gateway(name, 6)}",
                netns=name,
            )
        for address in places.LATE_ADDRESS:
            self.host.run(["ip", "address", "add", address, "dev", "lo"])
        # An operator's route by way of a sandbox: what the host could be led away from.
        self.host.sh(f"ip route add {places.BEHIND_L2[0]} via {places.address('l2', 4)}")
        for one, other in (("q1", "q2"), ("q2", "q1")):
            mac = self.mac_of(other)
            for version in (4, 6):
                self.host.run(
                    ["ip", "neighbour", "replace", places.address(other, version), "lladdr", mac, "dev", "eth0"],
                    netns=one,
                )
        bridge = self.host.sh("ip -json link show type bridge")
        mac = next(link["address"] for link in json.loads(bridge) if link.get("ifalias") == "dockless lab/alone")
        for name in ("i1", "i2"):
            for version in (4, 6):
                gateway = places.gateway(name, version)
                self.host.sh(
                    f"ip neighbour replace {gateway} lladdr {mac} dev eth0 nud permanent; "
                    f"ip route add default via {gateway} dev eth0 onlink",
                    netns=name,
                )

    def _calm(self) -> None:
        """Let no server repeat its half of a handshake: where a mutant dropped the first one, the next would come up
        in somebody else's count.
        """
        once = "sysctl -q -w net.ipv4.tcp_synack_retries=0"
        every = " ".join((*OUTER_NAMESPACES, *places.SANDBOXES))
        self.host.neighbour().sh(once)
        self.host.sh(f"for each in {every}; do ip netns exec $each {once}; done")

    def leave_late_address(self) -> None:
        """Take away the addresses in a subnet of dockless, with which a run would refuse the network."""
        for address in places.LATE_ADDRESS:
            self.host.run(["ip", "address", "del", address, "dev", "lo"], check=False)

    def mac_of(self, sandbox: str) -> str:
        """Return the MAC of a sandbox's eth0."""
        return self.host.sh("cat /sys/class/net/eth0/address", netns=sandbox)

    def _bridges(self) -> dict[str, tuple[str, str]]:
        """Return name and MAC of each network's bridge."""
        links = json.loads(self.host.sh("ip -json link show type bridge"))
        return {
            link["ifalias"].rpartition("/")[2]: (link["ifname"], link["address"])
            for link in links
            if "lab/" in link.get("ifalias", "")
        }

    def _invite(self) -> None:
        """Attach an unmanaged link to the bridge of red. The port rules do not apply to it."""
        self.host.sh(
            "ip link add guest0 type veth peer name eth0 netns lab-guest; "
            f"ip link set guest0 master {self.bridges['red'][0]} up"
        )
        self.host.sh("echo 0 >/proc/sys/net/ipv6/conf/eth0/router_solicitations", netns="lab-guest")  # of no attack
        _address(self.host, "eth0", GUEST, "lab-guest")

    def hop(self, origin: str) -> str:
        """Return the MAC that a place's packets to elsewhere go to: the node's on its link, for far the router's."""
        if origin in places.NETWORK_OF:
            return self.bridges[places.NETWORK_OF[origin]][1]
        return self._hops[origin]

    def token(self) -> bytes:
        """Return a new token."""
        self.packets += 1
        return b"DL%06d" % (next(self._numbers) % 1000000)

    def _warm(self) -> None:
        """Send until it arrives, both ways: a kernel takes a moment before it uses an IPv6 address of a new link."""
        pairs = [("node", name) for name in places.OUTSIDE] + [(name, "node") for name in places.OUTSIDE]
        end = time.monotonic() + 10
        for source, target in pairs:
            for version in (4, 6):
                token = self.token()
                while not any(each.token == token for each in self[target].heard):
                    assert time.monotonic() < end, f"{source} does not reach {target} over IPv{version}"
                    self[source].datagram(places.address(target, version), 80, token)
                    self[target].listen()
        self.taken()

    def settle(self) -> None:
        """Return when every station has heard a marker that is sent now, and with it all that was sent before."""
        expected = {}
        for name in self.stations:
            friend, address = self.friend(name)
            expected[name] = self.token()
            assert self.stations[friend].datagram(address, 80, expected[name]), f"{friend} cannot send to {name}"
        end = time.monotonic() + self.patience
        while expected and time.monotonic() < end:
            for name in list(expected):
                station = self.stations[name]
                station.listen()
                if any(each.token == expected[name] and each.how == "udp" for each in station.heard):
                    del expected[name]
        assert not expected, f"no marker arrived at {', '.join(expected)}"

    def friend(self, name: str) -> tuple[str, str]:
        """Return who may send to a place, and to which address: the node, where it can."""
        if places.NETWORK_OF.get(name) == "alone":  # the node has no address there
            return ("i2" if name == "i1" else "i1"), places.address(name, 4)
        if name == "node":
            return "nbr", places.HOST[0]
        return "node", GUEST[0] if name == "guest" else places.address(name, 4)

    def taken(self) -> dict[str, list[Heard]]:
        """Return what each station heard since the last call."""
        found = {name: station.heard for name, station in self.stations.items()}
        for station in self.stations.values():
            station.heard = []
        return found

    def counters(self) -> Counters:
        """Return how many packets each rule has dropped since its table was loaded, by counter."""
        listed = json.loads(self.host.run(["nft", "-j", "list", "counters"]).stdout)["nftables"]
        return {item["counter"]["name"]: item["counter"]["packets"] for item in listed if "counter" in item}

    def forget(self) -> None:
        """Let the node forget all connections."""
        flush_connections(self.host.namespace())


class TunnelEnd:
    """Sends as a station does, each frame in a VXLAN packet (RFC 7348) of the neighbour."""

    def __init__(self, lab: Lab, tunnel: places.Tunnel) -> None:
        self._lab, self._tunnel = lab, tunnel
        self.mac = tunnel.mac

    def frame(self, frame: bytes) -> None:
        """Put a frame into the tunnel."""
        source = self._tunnel.source
        six = ":" in source
        outer = wire.udp(
            source, places.HOST[six], 50000, 4789, struct.pack("!II", 0x08000000, self._tunnel.vni << 8) + frame
        )
        packet = wire.packet(source, places.HOST[six], wire.UDP, outer)
        neighbour = self._lab["nbr"]
        neighbour.frame(wire.ethernet(self._lab["node"].mac, neighbour.mac, wire.IP6 if six else wire.IP, packet))


@contextlib.contextmanager
def one_processor() -> t.Iterator[None]:
    """Stay on one processor for the length of a with block: one queue of packets, hence one order."""
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(processors)[os.getpid() % len(processors)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, processors)


def _address(place: Place, link: str, addresses: tuple[str, str], netns: str | None = None) -> None:
    """Give a link addresses, a link-local one among them: who forwards asks for neighbours by that."""
    own = "fe80::99" if addresses is GUEST else "fe80::9" if netns else "fe80::2"
    place.sh(
        f"ip link set {link} addrgenmode none; ip address add {own}/64 dev {link} nodad; "
        f"ip address add {addresses[0]}/24 dev {link}; "
        f"ip address add {addresses[1]}/64 dev {link} nodad; ip link set {link} up",
        netns=netns,
    )
