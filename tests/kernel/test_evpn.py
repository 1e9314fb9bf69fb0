# SPDX-License-Identifier: GPL-3.0-or-later
"""EVPN: FRR's zebra, bgpd and bfdd announce to three hosts where each sandbox is.

What they do to traffic, counted by pings that go on.

Two of the hosts are route reflectors as well. The hosts are made once, as FRR takes a while to start; each test leaves
the fabric whole.
"""

from __future__ import annotations

import concurrent.futures
import os
import typing as t

import pytest

from support import capture, frr, private_fleet
from support.private_host import FAR_ADDRESSES, SYSTEM_PYTHON, PrivateHost, Result

VNI = 300
REFLECTORS = [private_fleet.address(1), private_fleet.address(2)]
NETWORK = {
    "vni": VNI,
    "enable_ipv6": True,
    "dns_enabled": False,
    "ipam": {"config": [{"subnet": "10.60.0.0/16"}, {"subnet": "fd60::/64"}]},
}
PATHS = [(one, other) for one in range(3) for other in range(3) if one != other]

pytestmark = [
    pytest.mark.skipif(
        not os.path.exists("/usr/lib/frr/bgpd"), reason="FRR is not installed (Debian: frr, frr-pythontools)"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make network and mount namespaces"),
]
Names = t.Sequence[t.Sequence[str]]
HOME: Names = (("a",), ("b",), ("c",))
NUMBERS = {name: number for number, name in enumerate("abcd", 2)}


class Fabric:
    """Three hosts on one overlay, and what is declared on them."""

    def __init__(self, lab: private_fleet.Fleet) -> None:
        self.lab, self.hosts = lab, lab.hosts

    def declare(self, control_plane: str, placed: Names = HOME, only: t.Sequence[int] = (0, 1, 2)) -> list[Result]:
        """Converge the hosts with these numbers."""
        documents = self.documents(control_plane, placed)
        return [self.hosts[number].apply(documents[number]) for number in only]

    def documents(self, control_plane: str, placed: Names = HOME) -> list[dict[str, t.Any]]:
        """Return all hosts' documents."""
        sandboxes = [
            {name: {"networks": {"red": {"ipv4_address": v4(name), "ipv6_address": v6(name)}}} for name in names}
            for names in placed
        ]
        return private_fleet.documents({"red": {**NETWORK, "control_plane": control_plane}}, sandboxes)

    def configure(self) -> None:
        """Write FRR's files."""
        for number, host in enumerate(self.hosts, 1):
            frr.configure(host, private_fleet.address(number), REFLECTORS)

    def start(self) -> None:
        """Start FRR everywhere and return when each host knows the sandboxes of the others."""
        everywhere(self.hosts, frr.start)
        self.converged()

    def converged(self) -> float:
        """Wait until each host knows the sandboxes of the other two, and return how long that took."""
        return frr.until(
            lambda: all(len(frr.remote_macs(host, VNI)) == 2 for host in self.hosts), "each host knows two remote MACs"
        )

    def reaches(self, one: int, other: int) -> bool:
        """Tell whether a host's first sandbox reaches another's, by both families."""
        source, target = HOME[one][0], HOME[other][0]
        return all(self.hosts[one].ping(source, address) for address in (v4(target), v6(target)))

    def pings(self, number: int, *names: str) -> frr.Pings:
        """Ping sandboxes from a host's first one, by both families, until they are counted."""
        return frr.Pings(
            self.hosts[number], HOME[number][0], *[address(name) for name in names for address in (v4, v6)]
        )


def everywhere(places: t.Sequence[PrivateHost], what: t.Callable[[PrivateHost], object]) -> None:
    """Do something on all hosts concurrently."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(what, places))


def v4(name: str) -> str:
    """Return a sandbox's IPv4 address."""
    return f"10.60.0.{NUMBERS[name]}"


def v6(name: str) -> str:
    """Return a sandbox's IPv6 address."""
    return f"fd60::{NUMBERS[name]:x}"


@pytest.fixture(scope="module", name="fabric")
def make_fabric() -> t.Iterator[Fabric]:
    """Return a fabric that has converged by EVPN. At the end FRR and networks go, and nothing may be left."""
    with private_fleet.Fleet(3) as lab:
        fabric = Fabric(lab)
        fabric.declare("evpn")
        fabric.configure()
        fabric.start()
        yield fabric
        everywhere(lab.hosts, frr.stop)
        assert [frr.learned(host) for host in lab.hosts] == [[], [], []], (
            "FRR takes away what it has learned when it is stopped in order"
        )
        lab.check_clean()


def test_sandboxes_reach_each_other_and_their_own_gateway(fabric: Fabric) -> None:
    assert all(fabric.reaches(*path) for path in PATHS)
    for number, host in enumerate(fabric.hosts):
        name = HOME[number][0]
        assert host.ping(name, "10.60.0.1") and host.ping(name, "fd60::1")
        assert host.ping(name, FAR_ADDRESSES[0]), "the way out is this host's own gateway"


def test_only_sandboxes_are_announced_not_the_gateway_that_all_hosts_have(fabric: Fabric) -> None:
    """Type 2 with and without an address; no type 3, for nothing is flooded."""
    routes = [
        route
        for entries in frr.vtysh(fabric.hosts[2], "show bgp l2vpn evpn route").values()
        if isinstance(entries, dict)
        for route in entries
        if route.startswith("[")
    ]
    assert routes and {route[:3] for route in routes} == {"[2]"}
    found = {route.split("[")[-1].rstrip("]") for route in routes if route.count("[") == 6}
    assert {v4(name) for name in "abc"} | {v6(name) for name in "abc"} <= found
    assert not found & {"10.60.0.1", "fd60::1"}
    assert len(frr.remote_macs(fabric.hosts[2], VNI)) == 2


def test_nothing_is_flooded_and_frr_opens_no_port_to_sandboxes(fabric: Fabric) -> None:
    for number, host in enumerate(fabric.hosts, 1):
        assert "00:00:00:00:00:00" not in host.sh("bridge fdb show")
        listening = host.sh("ss -Hlnt").splitlines()
        addresses = [line.split()[3] for line in listening]
        assert addresses == (
            [f"{private_fleet.address(number)}:179"] if private_fleet.address(number) in REFLECTORS else []
        )


def test_password_is_in_one_file_that_only_root_and_frr_read(fabric: Fabric) -> None:
    """Neither in a process's arguments nor in what the start and the log say."""
    host = fabric.hosts[0]
    assert host.sh("stat -c %U:%G:%a /etc/frr/frr.conf") == "root:frr:640"
    assert frr.PASSWORD in host.read("/etc/frr/frr.conf"), "the control"
    assert frr.PASSWORD not in host.sh(
        "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; cat /run/frr.start; cat /run/frr.log 2>/dev/null || true"
    )
    done = host.run(["ip", "netns", "exec", "a", "python3", "-c", _CALL, private_fleet.address(2)], check=False)
    assert "refused" not in done.stdout and "connected" not in done.stdout, "an unsigned call is not answered at all"


_CALL = """
import socket, sys
s = socket.socket(); s.settimeout(1.5)
try:
    s.connect((sys.argv[1], 179)); print("connected")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silence")
"""


def test_a_run_changes_nothing_of_what_frr_has_learned(fabric: Fabric) -> None:
    before = [frr.learned(host) for host in fabric.hosts]
    assert all(len(lines) == 8 for lines in before)  # for each of two sandboxes: vxlan device, bridge, two neighbours
    results = fabric.declare("evpn")
    assert [result["operations"] for result in results] == [[], [], []]
    assert [frr.learned(host) for host in fabric.hosts] == before


def test_new_sandbox_is_known_elsewhere_without_a_run_there(fabric: Fabric) -> None:
    placed = (("a", "d"), ("b",), ("c",))
    fabric.declare("evpn", placed, only=[0])
    took = frr.until(lambda: v4("d") in "".join(frr.learned(fabric.hosts[2])), "a new sandbox is known elsewhere")
    print(f"known elsewhere {took * 1000:.0f} ms after the end of the run")
    assert fabric.hosts[2].ping("c", v4("d")) and fabric.hosts[2].ping("c", v6("d"))
    fabric.declare("evpn", only=[0])
    took = frr.until(
        lambda: v4("d") not in "".join(frr.learned(fabric.hosts[2])), "a sandbox that went is forgotten elsewhere"
    )
    print(f"forgotten elsewhere {took * 1000:.0f} ms after the end of the run")


def test_sandbox_that_moves_is_found_at_its_new_host(fabric: Fabric) -> None:
    fabric.declare("evpn", (("a", "d"), ("b",), ("c",)), only=[0])
    frr.until(lambda: fabric.hosts[2].ping("c", v4("d")), "it is reached at its first host")
    mac = next(iter(set(frr.remote_macs(fabric.hosts[2], VNI)) - set(_home_macs(fabric))))
    fabric.declare("evpn", (("a",), ("b", "d"), ("c",)), only=[0, 1])
    frr.until(
        lambda: frr.remote_macs(fabric.hosts[2], VNI).get(mac) == private_fleet.address(2),
        "its MAC is behind the new host",
    )
    assert fabric.hosts[2].ping("c", v4("d")) and fabric.hosts[2].ping("c", v6("d"))
    assert fabric.hosts[0].ping("a", v4("d")), "the host that it left reaches it, too"
    fabric.declare("evpn", only=[1])
    fabric.converged()


def _home_macs(fabric: Fabric) -> list[str]:
    return [
        fabric.hosts[number].sh(f"ip netns exec {names[0]} cat /sys/class/net/eth0/address")
        for number, names in enumerate(HOME)
    ]


def test_static_to_evpn_and_back_loses_nothing(fabric: Fabric) -> None:
    """And what was static once is taken over once more."""
    pings = [fabric.pings(0, "b", "c"), fabric.pings(1, "c", "a")]
    for _round in range(2):
        _to_static(fabric)
        _to_evpn(fabric)
    lost = [each.lost() for each in pings]
    assert not any(sum(each.values()) for each in lost), lost
    assert all(fabric.reaches(*path) for path in PATHS)


def _to_static(fabric: Fabric) -> None:
    for host in fabric.hosts:
        host.sh(f"{frr.PROGRAM} freeze")
    assert not any(frr.pid(host, "zebra") for host in fabric.hosts)
    fabric.declare("static")
    everywhere(fabric.hosts, lambda host: host.sh(f"{frr.SCRIPT} stop >/dev/null 2>&1 || true; {frr.PROGRAM} clear"))
    for host in fabric.hosts:
        assert not [line for line in frr.learned(host) if "static" not in line], (
            "what nothing static has taken the place of is gone"
        )
    assert [result["operations"] for result in fabric.declare("static")] == [[], [], []]


def _to_evpn(fabric: Fabric) -> None:
    fabric.start()
    for host in fabric.hosts:
        assert host.sh(f"{frr.PROGRAM} wait 1 {frr.PATIENCE}").endswith('"static": 0}')
    fabric.declare("evpn")


def test_a_reflector_that_dies_loses_nothing(fabric: Fabric) -> None:
    """Between hosts that have another one: the reflector's own bgpd is also what announces its own sandboxes."""
    pings = fabric.pings(1, "c")
    frr.kill(fabric.hosts[0], "watchfrr", "bgpd")
    frr.until(lambda: frr.sessions(fabric.hosts[2]) == 1, "the session is down")
    frr.until(lambda: not fabric.hosts[2].ping("c", v4("a"), 1), "the control: its own sandbox is forgotten")
    lost = pings.lost()
    _again(fabric, 0)
    assert not sum(lost.values()), lost


def _again(fabric: Fabric, number: int) -> None:
    host = fabric.hosts[number]
    host.sh(f"{frr.SCRIPT} restart </dev/null >/run/frr.start 2>&1")
    fabric.converged()
    frr.until(lambda: all(fabric.reaches(*path) for path in PATHS), "everybody reaches everybody")


@pytest.mark.parametrize("daemon", ["bgpd", "zebra"])
def test_a_daemon_that_dies_comes_back_and_leaves_no_orphan(fabric: Fabric, daemon: str) -> None:
    """A sandbox goes away while nobody listens; what was learned of it must not stay for ever."""
    host = fabric.hosts[2]
    took = _die_while_a_sandbox_goes(fabric, daemon)
    print(f"{daemon}: all is known again {took:.1f} s after the sandbox went")
    frr.until(lambda: all(fabric.reaches(*path) for path in PATHS), "everybody reaches everybody")
    frr.until(lambda: v4("d") not in "".join(frr.learned(host)), "no orphan")
    assert len(frr.learned(host)) == 8


def _die_while_a_sandbox_goes(fabric: Fabric, daemon: str) -> float:
    fabric.declare("evpn", (("a", "d"), ("b",), ("c",)), only=[0])
    frr.until(lambda: v4("d") in "".join(frr.learned(fabric.hosts[2])), "the sandbox is known")
    frr.kill(fabric.hosts[2], daemon)
    fabric.declare("evpn", only=[0])
    return fabric.converged()


def test_without_clearing_before_the_start_an_orphan_stays(fabric: Fabric) -> None:
    """The control: FRR alone never removes what a killed zebra left."""
    host = fabric.hosts[2]
    host.sh(
        "cp /etc/frr/daemons /run/frr.daemons; sed -i '/^zebra_wrap/d' /etc/frr/daemons"
    )  # the watchdog reads it at each start
    _die_while_a_sandbox_goes(fabric, "zebra")
    assert v4("d") in "".join(frr.learned(host))
    host.sh("cp /run/frr.daemons /etc/frr/daemons")
    frr.kill(host, "zebra")
    frr.until(lambda: v4("d") not in "".join(frr.learned(host)), "the next start clears")
    fabric.converged()


def test_a_host_that_falls_silent_is_forgotten(fabric: Fabric) -> None:
    """BFD sees it long before the sessions' own limit."""
    frr.until(lambda: all(frr.watched(host) == 2 for host in fabric.hosts), "BFD sees every host")
    fabric.lab.cut(3)
    took = [
        frr.until(lambda host=host: len(frr.remote_macs(host, VNI)) == 1, "a silent host is forgotten")
        for host in fabric.hosts[:2]
    ]
    print(f"forgotten {took[0]:.2f} s after the cable was pulled")
    assert fabric.reaches(0, 1)
    fabric.lab.mend(3)
    print(f"back {fabric.converged():.2f} s after it was put in again")
    frr.until(lambda: all(fabric.reaches(*path) for path in PATHS), "everybody reaches everybody")


_CLAIM = """
import socket, sys
link, mac, claimed, target = sys.argv[1:]
mine, sender, asked = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(claimed), socket.inet_aton(target)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((link, 0))
for kind, receiver in ((1, bytes(6)), (2, b"\\xff" * 6)):
    header = b"\\xff" * 6 + mine + b"\\x08\\x06\\0\\x01\\x08\\0\\x06\\x04\\0" + bytes([kind])
    wire.send(header + mine + sender + receiver + asked)
"""


def test_claiming_the_address_of_a_remote_sandbox_changes_nothing(fabric: Fabric) -> None:
    """A sandbox asks its gateway in another's name, and answers where nobody asked.

    Its port lets no such claim through, and FRR believes none.
    """
    mac = fabric.hosts[0].sh("ip netns exec a cat /sys/class/net/eth0/address")
    before = [frr.learned(host) for host in fabric.hosts]

    def claim(address: str) -> None:
        fabric.hosts[0].run([SYSTEM_PYTHON, "-c", _CLAIM, "eth0", mac, address, "10.60.0.1"], netns="a")

    claim("10.60.9.8")  # stopped at the port
    unguarded = fabric.documents("evpn")[0]
    unguarded["networks"]["red"]["port_security"] = False
    fabric.hosts[0].apply(unguarded)
    claim(v4("c"))
    claim("10.60.9.9")  # the control: one that nobody has is believed, and it comes after the others
    frr.until(lambda: "10.60.9.9" in "".join(frr.learned(fabric.hosts[1])), "an address that nobody has is announced")
    assert [[line for line in frr.learned(host) if "10.60.9.9" not in line] for host in fabric.hosts] == before
    bridge = fabric.hosts[0].sh("ip -o link show group 25707 type bridge | cut -d' ' -f2 | tr -d :")
    fabric.hosts[0].sh(f"ip neigh del 10.60.9.9 dev {bridge}")
    frr.until(lambda: "10.60.9.9" not in "".join(frr.learned(fabric.hosts[1])), "it is forgotten")
    fabric.declare("evpn", only=[0])
    assert all(fabric.reaches(*path) for path in PATHS)


def test_encrypted_network_by_evpn(fabric: Fabric) -> None:
    """FRR says that a sandbox is behind a tunnel's address, and WireGuard carries it: all of it is answered, none of
    it is in clear.
    """
    documents = capture.documents(fabric.lab, control_plane="evpn", vni=VNI + 1)
    for document in documents:
        for peer in document["networks"]["blue"]["peers"].values():
            peer["sandboxes"] = {}  # the play does not say where they are
    wires = capture.Wires(fabric.lab)
    capture.apply_all(fabric.lab, documents)
    frr.until(
        lambda: all(len(frr.remote_macs(host, VNI + 1)) == 1 for host in fabric.hosts[:2]),
        "both hosts know the other's sandbox",
    )
    assert set(frr.remote_macs(fabric.hosts[0], VNI + 1).values()) == {capture.tunnel_address(2)}
    assert fabric.hosts[0].ping("s1", "10.60.0.3")
    with capture.flow(fabric.hosts[0]) as counts:
        fabric.hosts[1].serve_http("s2", 80, "marker" * 15_000)
        assert fabric.hosts[0].fetch("s1", "http://10.60.0.3/", wait=20)
    assert counts["sent"] == counts["answered"] > 0
    clear, sealed = wires.seen()
    assert clear == 0 and sealed > 60
    fabric.hosts[1].stop_servers()
    fabric.declare("evpn")
    fabric.converged()
