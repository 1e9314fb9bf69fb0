# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that forwards for dockless only is a router for nobody else, from the moment that forwarding is on.

The neighbour and a host behind a second link send through the private host, in both directions: TCP, UDP and echo of
both IP versions, and multicast. What arrives is what the host forwarded. The role's program turns forwarding on, as on
a real host. That a boot opens nothing either is shown by molecule/systemd/transit.yml.
"""

from __future__ import annotations

import contextlib
import json
import signal
import typing as t

import pytest

from support.collection import ROOT
from support.private_host import SYSTEM_PYTHON, PrivateHost

FILES = ROOT / "roles" / "prerequisites" / "files"
BOTH = {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}
TABLE = "inet dockless-transit"
RECORD = "/var/lib/dockless/prerequisites.json"
BEYOND = ("203.0.113.9", "2001:db8:3::9")
NEIGHBOUR = ("192.0.2.3", "2001:db8:1::3")
DOCUMENT = {
    "networks": {"front": {"enable_ipv6": True}},
    "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}},
}
REFUSED = {
    "networks": {"front": {}},
    "sandboxes": {"web": {"networks": ["front"], "attach": {"pid": 99999}}},
}
# Prints a line for each IP packet with a mark that arrives: its IP version, protocol and mark.
ARRIVALS = """
import re, socket
wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
wire.bind(("eth0", 0))
print("ready", flush=True)
wire.settimeout(30)  # a test that waits for what never comes fails by its end
while True:
    packet, place = wire.recvfrom(2048)
    found = re.search(rb"mark-(?:[0-9]{4}|end)", packet)
    if found and place[2] != socket.PACKET_OUTGOING:
        version = packet[0] >> 4
        print(version, packet[9] if version == 4 else packet[6], found.group().decode(), flush=True)
"""
# Routes multicast of both IP versions from eth0 to up2, as a daemon of multicast routing does, until it is stopped.
ROUTE_MULTICAST = """
import ipaddress, signal, socket, struct
inside, outside = socket.if_nametoindex("eth0"), socket.if_nametoindex("up2")
pack = lambda address: ipaddress.ip_address(address).packed
four = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
four.setsockopt(0, 200, 1)  # MRT_INIT
for number, index in enumerate((inside, outside)):
    four.setsockopt(0, 202, struct.pack("=HBBIii", number, 8, 1, 0, index, 0))  # MRT_ADD_VIF, VIFF_USE_IFINDEX
rows = bytes([0, 1]) + bytes(30)
four.setsockopt(0, 204, struct.pack("=4s4sH32s2xIIIi", pack("192.0.2.3"), pack("239.1.2.3"), 0, rows, 0, 0, 0, 0))
six = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
six.setsockopt(41, 200, 1)  # MRT6_INIT
for number, index in enumerate((inside, outside)):
    six.setsockopt(41, 202, struct.pack("=HBBHxxI", number, 0, 1, index, 0))
name = lambda address: struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, pack(address), 0)
six.setsockopt(41, 204, name("2001:db8:1::3") + name("ff05::7") + struct.pack("=HxxI28x", 0, 2))
print("ready", flush=True)
signal.pause()
"""
# Sends one packet of each protocol to each address, as frames: no connection is needed, so both directions are tried
# alone. argv: the mark, the MAC address of the host, and pairs of source and destination.
SEND = """
import ipaddress, socket, struct, sys
mark, mac = sys.argv[1].encode(), bytes.fromhex(sys.argv[2].replace(":", ""))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
def total(data):
    data += b"\\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16: value = (value & 0xffff) + (value >> 16)
    return ~value & 0xffff
for source, target in zip(sys.argv[3::2], sys.argv[4::2]):
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
    for protocol in (6, 17, 1 if a.version == 4 else 58, 132):
        if protocol == 6: body = [struct.pack("!HHIIBBH", 7, 9, 1, 0, 80, 2, 999), struct.pack("!HH", 0, 0) + mark, 16]
        elif protocol == 17: body = [struct.pack("!HHH", 7, 9, 8 + len(mark)), struct.pack("!H", 0) + mark, 6]
        elif protocol == 132: body = [struct.pack("!HHII", 7, 9, 0, 0), mark, None]
        else: body = [bytes([8 if a.version == 4 else 128, 0]), struct.pack("!HHH", 0, 1, 1) + mark, 2]
        segment = body[0] + body[1]
        pseudo = a.packed + b.packed + struct.pack("!IHBB", len(segment), 0, 0, protocol)
        if body[2] is not None:
            value = total((b"" if protocol == 1 else pseudo) + segment)
            at = body[2]
            segment = segment[:at] + struct.pack("!H", value) + segment[at + 2:]
        if a.version == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 7, 0, 64, protocol, 0) + a.packed + b.packed
            packet, kind = head[:10] + struct.pack("!H", total(head)) + head[12:] + segment, 0x0800
        else:
            head = struct.pack("!IHBB", 6 << 28, len(segment), protocol, 64) + a.packed + b.packed
            packet, kind = head + segment, 0x86DD
        if b.is_multicast:
            low = b.packed[-4:]
            to = bytes([1, 0, 0x5e, low[1] & 127, low[2], low[3]]) if b.version == 4 else b"\\x33\\x33" + low
        else: to = mac
        wire.send(to + wire.getsockname()[4] + struct.pack("!H", kind) + packet)
"""


# Runs the role's program and kills it before its change of this number.
KILLED = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
import settings, transit
left = [int(sys.argv[3])]
def killing(change):
    def changed(*arguments, **options):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*arguments, **options)
    return changed
settings.replace_file = killing(settings.replace_file)
settings.os.unlink = killing(os.unlink)
settings.nft = killing(settings.nft)
settings.open = killing(open)
settings.start(["", sys.argv[2]])
"""
# Runs the engine and kills it before its step of this number. For 0 it only prints how many there are; -1 kills never.
KILLED_RUN = """
import json, os, signal, sys
from _dockless.engine import converge, request
document, left = json.loads(sys.argv[1]), [int(sys.argv[2])]
def hook(step):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
asked = request.Request("shop", lambda before: document, remove_project=not document, check=left[0] == 0)
outcome = converge.converge(asked, hook)
print(len(outcome.work.clearing + outcome.work.building + outcome.work.removal))
"""


class Ways:
    """Packets of both neighbours through the host, and what arrives of them."""

    def __init__(self, host) -> None:
        self.host = host
        host.sh(
            "ip netns add beyond; ip link add up2 type veth peer name eth0 netns beyond; "
            "ip link set up2 addrgenmode none; ip address add 203.0.113.2/24 dev up2; "
            "ip address add 2001:db8:3::2/64 dev up2 nodad; ip link set up2 up"
        )
        host.sh(
            "ip link set lo up; ip link set eth0 addrgenmode none; ip address add 203.0.113.9/24 dev eth0; "
            "ip address add 2001:db8:3::9/64 dev eth0 nodad; ip link set eth0 up; "
            "ip route add default via 203.0.113.2; ip route add default via 2001:db8:3::2",
            netns="beyond",
        )
        host.neighbour().sh("ip route add 203.0.113.0/24 via 192.0.2.2; ip route add 2001:db8:3::/64 via 2001:db8:1::2")
        self._sides = ((host.neighbour(), None, "eth0"), (host, "beyond", "up2"))
        self._arrivals = [place.popen([SYSTEM_PYTHON, "-c", ARRIVALS], netns) for place, netns, _link in self._sides]
        for arrival in self._arrivals:
            assert arrival.readline() == "ready"
        # Neighbours are resolved before, so that a packet is not the one that a resolution loses.
        for address in BEYOND:
            host.ping(None, address)
        for address in NEIGHBOUR:
            host.ping(None, address)
        self._number = 0

    def passed(self, *extra: tuple[str, str]) -> set[tuple[str, str]]:
        """Return the IP versions and protocols of the packets that pass the host in either direction.

        extra: further pairs of source and destination, which the neighbour sends.
        """
        return self.passed_from(0, extra) | self.passed_from(1)

    def passed_from(self, side: int, extra: t.Iterable[tuple[str, str]] = ()) -> set[tuple[str, str]]:
        """Return the same for packets that the neighbour (0) sends, or the host behind the second link (1)."""
        ends = (NEIGHBOUR, BEYOND)
        place, netns, link = self._sides[side]
        mac = self.host.read(f"/sys/class/net/{link}/address").strip()
        flat = [address for pair in (*zip(ends[side], ends[1 - side]), *extra) for address in pair]
        self._number += 1  # answers to an earlier packet can arrive late
        sent = f"mark-{self._number:04}"
        place.run([SYSTEM_PYTHON, "-c", SEND, sent, mac, *flat], netns=netns)
        # A packet of the host itself follows: what it forwarded arrived before that.
        self.host.run(["ping", "-q", "-c", "1", "-p", b"mark-end".hex(), ends[1 - side][0]])
        arrival = self._arrivals[1 - side]
        found = []
        while not found or found[-1][2] != "mark-end":
            found.append(arrival.readline().split())
        return {(version, protocol) for version, protocol, mark in found if mark == sent}

    @contextlib.contextmanager
    def without_table(self) -> t.Iterator[None]:
        """Delete the table for the length of a with block."""
        text = self.host.sh(f"nft list table {TABLE}")
        self.host.run(["nft", "delete", "table", *TABLE.split()])
        yield
        self.host.run(["nft", "-f", "-"], input=text)

    def close(self) -> None:
        """Take the second neighbour away."""
        for arrival in self._arrivals:
            arrival.stop()
        self.host.sh("ip link delete up2; ip netns delete beyond")
        self.host.neighbour().sh("ip route delete 203.0.113.0/24; ip route delete 2001:db8:3::/64")


ALL4 = {("4", protocol) for protocol in ("6", "17", "1", "132")}
ALL6 = {("6", protocol) for protocol in ("6", "17", "58", "132")}


def settings(host, state: str = "present", **spec: t.Any) -> dict[str, t.Any]:
    """Run the role's program and return what it says."""
    text = json.dumps({"state": state, "interfaces": [], "accept_ra": True, **spec})
    return json.loads(host.run(["/usr/bin/python3", "-B", str(FILES / "settings.py"), text]).stdout)


@pytest.fixture(scope="module")
def one_host():
    """Return a host with two neighbours, one for all tests. At the end it must be as it was."""
    with PrivateHost() as host:
        found = Ways(host)
        yield found
        found.close()
        host.sh("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        host.assert_back_to(host.birth)


@pytest.fixture
def ways(one_host):
    """Return the ways through a host that does not forward yet."""
    host = one_host.host
    # A change of the key sets it on each link too, which a test may have done for one alone.
    for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        host.sh(f"echo 1 >/proc/sys/net/{key}; echo 0 >/proc/sys/net/{key}")
    yield one_host
    host.apply({}, absent=True)
    settings(host, state="absent")
    assert not host.sh(
        "nft list tables; find /etc/sysctl.d /run /etc/nftables.d -name '*dockless*' 2>/dev/null || true"
    )


def test_host_forwards_for_nobody_else_at_any_moment(ways):
    """Before the first run, after a refused one, with networks, after the last project and after absent. Without the
    table, each packet passes.
    """
    host = ways.host
    assert ways.passed() == set(), "forwarding is off"
    settings(host, exact=BOTH)
    assert host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").split() == ["1", "1"]
    assert ways.passed() == set(), "before the first run"
    host.run(["nft", "delete", "table", *TABLE.split()])
    assert ways.passed() == ALL4 | ALL6, "the control"
    settings(host, exact=BOTH)
    assert "attach" in host.refusal(REFUSED)
    assert ways.passed() == set(), "after a run that was refused"
    host.apply(DOCUMENT)
    assert ways.passed() == set(), "with a network"
    server = host.serve_http("web", 80, "hello")
    for address in ("192.0.2.2", "[2001:db8:1::2]"):
        assert host.neighbour().fetch(None, f"http://{address}:8080/")
    assert host.ping("web", BEYOND[0]) and host.ping("web", BEYOND[1])
    server.stop()
    host.apply({}, absent=True)
    assert ways.passed() == set(), "after the last project"
    settings(host, state="absent")
    assert ways.passed() == set() and TABLE not in host.sh("nft list tables")


def test_host_that_was_a_router_stays_one(ways):
    """A whole IP version, or one link of a host that is no router as a whole, is left as it was."""
    host = ways.host
    host.sh("echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
    settings(host, exact=BOTH)
    assert ways.passed() == ALL6
    settings(host, state="absent")
    assert ways.passed() == ALL6
    host.sh("echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv4/conf/eth0/forwarding")
    settings(host, exact=BOTH)
    neighbour, beyond = (ways.passed_from(side) for side in (0, 1))
    assert (neighbour, beyond) == (ALL4, set())
    host.run(["nft", "delete", "table", *TABLE.split()])
    host.apply(DOCUMENT)  # the engine reads the same from the record
    assert (ways.passed_from(0), ways.passed_from(1)) == (ALL4, set())


def test_forwarding_that_others_turned_off_again_is_ours(ways):
    """Another program turned forwarding on before the first run, and it is off after a boot: then this role does."""
    host = ways.host
    host.sh("echo 1 >/proc/sys/net/ipv4/ip_forward")
    settings(host, exact=BOTH)
    assert ways.passed() == ALL4
    host.sh("echo 0 >/proc/sys/net/ipv4/ip_forward")
    settings(host, exact=BOTH)
    assert ways.passed() == set()


@pytest.mark.parametrize("key", ["net/ipv4/ip_forward", "net.ipv4.conf.all.forwarding"])
def test_each_name_of_the_setting_counts(ways, key):
    """The key with slashes, and the other key of the same setting, also after the usual one."""
    host = ways.host
    settings(host, exact={key: 1})
    assert ways.passed() == set()
    host.run(["nft", "delete", "table", *TABLE.split()])
    host.apply({})
    assert ways.passed() == set(), "the engine knows it too"
    settings(host, state="absent")
    settings(host, exact=BOTH)
    settings(host, exact={key: 1})
    assert host.read("/proc/sys/net/ipv4/ip_forward").strip() == "1"
    assert ways.passed() == set()


def test_multicast_and_tunnels_are_others_as_well(ways):
    """Multicast that a daemon routes, and peers behind a WireGuard link, which is known by its group."""
    host = ways.host
    settings(host, exact=BOTH)
    host.sh("ip link set up2 group 25710")
    assert ways.passed() == set()
    host.sh("ip link set up2 group 25709")
    assert ways.passed() == ALL4 | ALL6, "the control: a plain veth pair that a user declares passes"
    host.sh("ip link set up2 group 0")
    daemon = host.popen([SYSTEM_PYTHON, "-c", ROUTE_MULTICAST])
    assert daemon.readline() == "ready"
    groups = ((NEIGHBOUR[0], "239.1.2.3"), (NEIGHBOUR[1], "ff05::7"))
    assert ways.passed(*groups) == set()
    with ways.without_table():
        assert ways.passed_from(0, groups) >= {("4", "17"), ("6", "17")}
    daemon.stop()


def test_lost_table_is_reported_and_loaded_again(ways):
    """Flushed with all tables, or changed: plan says so and changes nothing, a run loads it, the next one does not."""
    host = ways.host
    settings(host, exact=BOTH)
    host.apply(DOCUMENT)
    for damage, word in (
        ("flush ruleset", "missing"),
        (f"flush chain {TABLE} forward", "changed"),
        (f"add element {TABLE} forwarded {{ ipv4 }}", "changed"),
        (f"add chain {TABLE} forward {{ policy accept; }}", "changed"),
    ):
        host.run(["nft", damage])
        planned = host.plan(DOCUMENT)
        assert planned["changed"] and [line for line in planned["warnings"] if f"was {word}" in line]
        assert host.plan(DOCUMENT) == planned
        done = host.apply(DOCUMENT)
        verb = "create" if word == "missing" else "update"
        assert f"{verb} nft table dockless-transit" in done["operations"]
        assert ways.passed() == set()
        again = host.apply(DOCUMENT)
        assert not again["changed"] and not [line for line in again["warnings"] if "dockless-transit" in line]
    host.sh("echo '25707 containers' >>/etc/iproute2/group")
    assert "containers" in host.sh(f"nft list table {TABLE}"), "nft lists the table in another form"
    assert not host.apply(DOCUMENT)["changed"] and not settings(host, exact=BOTH)["changed"]
    host.sh("sed -i '/containers/d' /etc/iproute2/group")
    host.sh(f"cp {RECORD} /run/record; echo '{{' >{RECORD}; nft delete table {TABLE}")
    assert "is unknown" in "".join(host.apply(DOCUMENT)["warnings"])
    host.sh(f"mv /run/record {RECORD}")


def test_host_that_shall_forward_for_others(ways):
    """ip_forward_no_drop, declared to the engine or to the role, and taken back."""
    host = ways.host
    settings(host, exact=BOTH)
    host.apply({**DOCUMENT, "defaults": {"ip_forward_no_drop": True}})
    assert ways.passed() == ALL4 | ALL6
    assert settings(host, exact=BOTH)["changed"], "the role learns it from the host's document"
    assert not settings(host, exact=BOTH)["changed"] and ways.passed() == ALL4 | ALL6
    assert "net.ipv4.ip_forward = 1\n" in host.read("/etc/sysctl.d/60-dockless.conf")
    host.apply({**DOCUMENT, "defaults": {}})
    assert ways.passed() == set()
    settings(host, exact=BOTH, forward_for_others=True)
    assert ways.passed() == ALL4 | ALL6
    settings(host, exact=BOTH, forward_for_others=False)
    assert ways.passed() == set()


def test_boot_turns_forwarding_on_after_the_table(ways):
    """No file that is read at boot turns it on, but one that is used after the table is loaded. A firewall that flushes
    all tables and includes the table's file leaves no moment without it.
    """
    host = ways.host
    warnings = settings(host, exact=BOTH)["warnings"]
    assert [line for line in warnings if "forwarding is off then" in line]
    host.sh("echo 0 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; nft flush ruleset")
    host.sh("sysctl --system >/dev/null 2>&1 || true")
    assert host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").split() == ["0", "0"]
    host.sh("nft -f /etc/nftables.d/dockless-transit.nft; sysctl -qp /etc/sysctl.d/60-dockless.forwarding")
    assert host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").split() == ["1", "1"]
    assert ways.passed() == set()
    host.run(
        ["nft", "-f", "-"],
        input='flush ruleset\ntable inet other { }\ninclude "/etc/nftables.d/dockless-transit.nft"\n',
    )
    assert ways.passed() == set() and "inet other" in host.sh("nft list tables")
    host.run(["nft", "delete", "table", "inet", "other"])
    assert not [line for line in host.apply({})["operations"] if "transit" in line], "the engine has the same text"


def test_forwarding_stays_off_without_the_table(ways):
    """nft is missing or refuses the table: the role's program fails before it changes anything."""
    host = ways.host
    host.sh("mkdir /run/bin; printf '#!/bin/sh\necho sorry >&2; exit 1\n' >/run/bin/nft; chmod +x /run/bin/nft")
    text = json.dumps({"state": "present", "interfaces": [], "accept_ra": True, "exact": BOTH})
    done = host.run(
        ["env", "PATH=/run/bin:/usr/bin:/bin", SYSTEM_PYTHON, "-B", str(FILES / "settings.py"), text], check=False
    )
    host.sh("rm -r /run/bin")
    assert done.returncode == 1 and "router for its neighbours" in done.stderr and "sorry" in done.stderr
    assert host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding").split() == ["0", "0"]
    assert not host.sh("ls /etc/sysctl.d | grep dockless || true")


def test_killed_program_of_the_role_leaves_no_router(ways):
    """Killed before each of its changes, on the way there and back: forwarding is on only with the table, and a boot
    would turn nothing on without it.
    """
    host = ways.host
    spec = {"interfaces": [], "accept_ra": True, "exact": BOTH}
    for state in ("present", "absent"):
        for number in range(1, 40):
            text = json.dumps({**spec, "state": state})
            done = host.run([SYSTEM_PYTHON, "-B", "-c", KILLED, str(FILES), text, str(number)], check=False)
            forwards = "1" in host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding")
            assert not forwards or TABLE in host.sh("nft list tables"), f"{state}, change {number}"
            assert not host.run(["grep", "-rqE", "^net.*forward", "/etc/sysctl.d"], check=False).stdout
            if done.returncode == 0:
                break
        assert done.returncode == 0 and number > 5
        assert ways.passed() == set()


def test_killed_run_of_the_engine_leaves_no_router(ways):
    """Killed before the first, a middle and the last step of building and of removal."""
    host = ways.host
    settings(host, exact=BOTH)
    for document in (DOCUMENT, {}):
        text = json.dumps(document)
        for share in (0.0, 0.5, 1.0):
            steps = int(host.python(KILLED_RUN, text, "0").stdout)
            killed = host.python(KILLED_RUN, text, str(max(1, int(steps * share))), check=False)
            assert killed.returncode == -signal.SIGKILL
            assert ways.passed() == set(), f"after {share} of {steps} steps"
        host.python(KILLED_RUN, text, "-1")


def test_forwarding_of_another_program_is_left_to_it_at_boot(ways):
    """Docker sets its policy to drop only if it turns forwarding on itself. So no file of the role does it earlier, and
    the networks come up without it. What a file of the host turns on stays as it is.
    """
    host = ways.host
    host.sh("echo 1 >/proc/sys/net/ipv4/ip_forward")
    done = settings(host, exact={"net.ipv4.ip_forward": 1})
    assert [line for line in done["warnings"] if "another program did" in line]
    host.apply({**DOCUMENT, "networks": {"front": {}}})
    host.sh("echo 0 >/proc/sys/net/ipv4/ip_forward; sysctl --system >/dev/null 2>&1 || true")
    assert host.read("/proc/sys/net/ipv4/ip_forward").strip() == "0"
    booted = host.dockless("apply", "--boot", "--json")
    assert [line for line in booted["warnings"] if "net.ipv4.ip_forward is 0" in line]
    host.sh("echo 1 >/proc/sys/net/ipv4/ip_forward")
    assert host.ping("web", BEYOND[0]) and ways.passed() == ALL4
    host.sh("echo net.ipv4.ip_forward=1 >/etc/sysctl.d/50-router.conf")
    done = settings(host, exact={"net.ipv4.ip_forward": 1})
    assert not done["warnings"] and "\nnet.ipv4.ip_forward = 1\n" in host.read("/etc/sysctl.d/60-dockless.conf")
    host.sh("rm /etc/sysctl.d/50-router.conf")
