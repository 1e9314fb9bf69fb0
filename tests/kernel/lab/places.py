# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab declares: a network of each kind, who is on it, what it publishes, and the places outside.

Data alone.
"""

from __future__ import annotations

import typing as t

HOST = ("192.0.2.2", "2001:db8:1::2")
LATE_ADDRESS = ("172.30.10.200", "fd00:10::200")  # of the node in the subnet of red, got after the run
SECOND = ("203.0.113.2", "2001:db8:3::2")  # the node's, on its second uplink
OUTSIDE = {  # a host on the node's link, which routes; one behind it; one behind the second uplink
    "nbr": ("192.0.2.3", "2001:db8:1::3"),
    "far": ("198.51.100.9", "2001:db8:2::9"),
    "vpn": ("203.0.113.9", "2001:db8:3::9"),
}
PROJECT = "lab"
FORWARDER = 10053  # the port at the gateway of red where a forwarder of names would be
THIRD_VTEP = "192.0.2.4"  # of a peer of over2 alone
SEALED = (4787, 4100)  # the UDP port and the VNI of an encrypted network
VNIS = {"over": 4097, "over6": 4098}
PEER_MAC = "02:00:00:00:99:99"  # of the one sandbox at the other end of each overlay, and of its router
# Subnets of sandboxes that no declaration has, as if both overlays had EVPN. In over, this host has PEER_MAC; in over6
# it has the first address of each.
LEARNED = ("172.30.201.0/24", "fd00:201::/64")
SLICE = ("10.95.0.0/24", "fd00:95::/64")  # what the peer of a routed overlay sends from
TUNNEL = (("10.97.0.2", "fd00:97::2"), ("10.97.0.3", "fd00:97::3"))  # ends of a WireGuard link: the node's, the peer's
FOREIGN_VNI = 99  # of a VXLAN device of the node that dockless does not manage, on the port of its overlays
FOREIGN_NET = ("10.98.0.2", "10.98.0.3")  # the addresses of the node and of the neighbour in that VNI
FOREIGN_NET6 = ("fd00:98::2", "fd00:98::3")
FOREIGN_MACS = ("02:00:00:00:98:02", "02:00:00:00:98:03")
BEHIND_L2 = ("10.99.0.0/16", "10.99.0.1")  # a network, and a host of it, that the node reaches by the sandbox l2


class Net(t.NamedTuple):
    """A network: its subnets' number, what it says beside them, its sandboxes, its families."""

    number: int
    options: dict[str, t.Any]
    sandboxes: tuple[str, ...]
    families: tuple[int, ...] = (4, 6)

    def address(self, last: int, version: int) -> str:
        """Return one of its addresses."""
        return f"172.30.{self.number}.{last}" if version == 4 else f"fd00:{self.number}::{last}"

    def subnet(self, version: int) -> str:
        """Return its subnet of a family."""
        return f"172.30.{self.number}.0/24" if version == 4 else f"fd00:{self.number}::/64"


def _mode(mode: str) -> dict[str, t.Any]:
    return {"gateway_mode_ipv4": mode, "gateway_mode_ipv6": mode}


def _overlay(name: str, number: int, vtep: str, peer: str) -> dict[str, t.Any]:
    """Return an overlay with one sandbox at its other end."""
    there = {"addresses": [f"172.30.{number}.99", f"fd00:{number}::99"], "mac_address": PEER_MAC}
    peers = {"two": {"vtep": peer, "sandboxes": {"there": there}}}
    return {"driver": "overlay", "vni": VNIS[name], "vtep": vtep, "peers": peers}


NETS: dict[str, Net] = {
    "red": Net(10, {}, ("c1", "c2")),
    "blue": Net(20, {}, ("c3",)),
    "inner": Net(30, {"internal": True}, ("c4", "c5")),
    "alone": Net(40, {"internal": True, **_mode("isolated")}, ("i1", "i2")),
    "routed": Net(50, _mode("routed"), ("r1", "r2")),
    "bare": Net(60, _mode("nat-unprotected"), ("u1",)),
    "trust": Net(70, {"trusted_host_interfaces": ["up2"]}, ("t1",)),
    "quiet": Net(80, {"icc": False}, ("q1", "q2")),
    "noout": Net(90, {"egress": False}, ("n1", "n2")),
    "noin": Net(100, {"ingress": False, **_mode("routed")}, ("o1", "o2")),
    "open1": Net(110, {"isolate": "open"}, ("p1",)),
    "open2": Net(120, {"isolate": "open"}, ("p2",)),
    "four": Net(130, {}, ("f1", "f2"), (4,)),
    "loose": Net(140, {"port_security": False}, ("l1", "l2")),
    "named": Net(150, {"host_ipv4": HOST[0], "host_ipv6": HOST[1]}, ("s1",)),
    "over": Net(200, _overlay("over", 200, HOST[0], OUTSIDE["nbr"][0]), ("v1",)),
    "over6": Net(210, _overlay("over6", 210, HOST[1], OUTSIDE["nbr"][1]), ("w1",)),
    "over2": Net(
        220, {"driver": "overlay", "vni": 4099, "vtep": HOST[0], "peers": {"three": {"vtep": THIRD_VTEP}}}, ("z1",)
    ),
}


class Tunnel(t.NamedTuple):
    """A place that sends through a VXLAN tunnel to the node: VNI, outer source, own addresses, own MAC."""

    vni: int
    source: str
    addresses: tuple[str, str]
    mac: str
    victim: str


TUNNELS = {
    "peer": Tunnel(4097, OUTSIDE["nbr"][0], ("172.30.200.99", "fd00:200::99"), "02:00:00:00:99:99", "v1"),
    "peer6": Tunnel(4098, OUTSIDE["nbr"][1], ("172.30.210.99", "fd00:210::99"), "02:00:00:00:99:99", "w1"),
    # A peer of over2, in the VNI of over: same UDP port.
    "other peer": Tunnel(4097, THIRD_VTEP, ("172.30.200.99", "fd00:200::99"), "02:00:00:00:99:99", "v1"),
    # The neighbour in a VXLAN network that dockless does not manage: a link of the host as any other.
    "foreign": Tunnel(FOREIGN_VNI, OUTSIDE["nbr"][0], (FOREIGN_NET[1], FOREIGN_NET6[1]), FOREIGN_MACS[1], "node"),
}
NETWORK_OF = {sandbox: name for name, net in NETS.items() for sandbox in net.sandboxes}
SANDBOXES = tuple(NETWORK_OF)
SCTP_PORT = 9300  # of the node, which c3 publishes
MORE_PORTS = {  # beside a port of its own for each
    "c3": [f"{SCTP_PORT}:80/sctp"],
    "c1": ["127.0.0.1:8900:80/udp", "53:80/udp"],
    "c2": [
        "9000-9002:9000-9002/udp",
        f"{HOST[0]}:9100-9102:9100-9102/udp",
        f"[{HOST[1]}]:9100-9102:9100-9102/udp",
        f"{HOST[0]}:9200:80/udp",
        f"[{HOST[1]}]:9200:80/udp",
        {"target": 80, "published": "8500", "protocol": "udp", "source_ranges": ["198.51.100.0/24", "2001:db8:2::/64"]},
    ],
}
GROUPS = ("224.0.0.251", "239.1.2.3", "ff02::fb", "ff05::1", "ff0e::1")  # which the node hears
HEARD_PORTS = {"c2": (9001, 9101), "node": (9998, 9999, 8900, 8001, 4787, FORWARDER), "nbr": (53, 4787, 4789)}


def address(place: str, version: int) -> str:
    """Return a place's own address; of the node that on its first link."""
    if place in TUNNELS:
        return TUNNELS[place].addresses[version == 6]
    if place in OUTSIDE or place == "node":
        return (HOST if place == "node" else OUTSIDE[place])[version == 6]
    net = NETS[NETWORK_OF[place]]
    return net.address(11 + net.sandboxes.index(place), version)


def peer_address(place: str, version: int) -> str:
    """Return the address of the sandbox at the other end of a sandbox's overlay."""
    return NETS[NETWORK_OF[place]].address(99, version)


def within(subnets: tuple[str, str], last: int, version: int) -> str:
    """Return an address of a pair of subnets."""
    return subnets[version == 6].partition("/")[0].removesuffix(".0").removesuffix("::") + (
        f".{last}" if version == 4 else f"::{last}"
    )


def gateway(place: str, version: int) -> str:
    """Return the node's address on a sandbox's network."""
    return NETS[NETWORK_OF[place]].address(1, version)


def host_port(place: str) -> int:
    """Return the port of the node that a sandbox asks for, to lead to its port 80."""
    return 8001 + SANDBOXES.index(place)


def leads_out(place: str) -> bool:
    """Tell whether a place is a sandbox on a network with egress."""
    net = NETS.get(NETWORK_OF.get(place, ""))
    return net is not None and not net.options.get("internal") and net.options.get("egress", True)


def document() -> dict[str, t.Any]:
    """Return the declaration, as an inventory would hold it."""
    networks = {
        name: {
            "dns_enabled": False,
            "ipam": {"config": [{"subnet": net.subnet(version)} for version in net.families]},
            **net.options,
        }
        for name, net in NETS.items()
    }
    return {"networks": networks, "sandboxes": {name: _sandbox(name) for name in SANDBOXES}}


def _sandbox(name: str) -> dict[str, t.Any]:
    net = NETS[NETWORK_OF[name]]
    fixed = {f"ipv{version}_address": address(name, version) for version in net.families}
    closed = net.options.get("internal") or not net.options.get("ingress", True)  # a port there is refused
    ports = [] if closed else [f"{host_port(name)}:80/{protocol}" for protocol in ("tcp", "udp")]
    return {"networks": {NETWORK_OF[name]: fixed}, "ports": ports + MORE_PORTS.get(name, [])}
