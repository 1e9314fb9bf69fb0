# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with one guard less: each rule of the three tables taken out, each setting of the kernel turned.

The lab must notice.
"""

from __future__ import annotations

import contextlib
import json
import re
import typing as t

from support import traffic
from support.private_host import SYSTEM_PYTHON

from . import places
from .claims import Call, try_passages
from .memory import Memory
from .topology import Lab
from .trial import failures

TABLES = ("inet dockless", "bridge dockless", "inet dockless-transit")
_BASE = re.compile(r"\s+type \w+ hook ")
# What is turned on each bridge, and on each port: the value that the engine does not give.
BRIDGE_SETTINGS = {
    "ipv6/{}/accept_ra": "2",
    "ipv6/{}/disable_ipv6": "0",
    "ipv4/{}/route_localnet": "turned",
    "ipv4/{}/send_redirects": "1",
    "ipv4/{}/accept_redirects": "1",
}
PORT_SETTINGS = {"ipv6/{}/disable_ipv6": "0"}
# Flags of ports: the file that shows each, and the value that the engine gives where it matters.
_FLAG_FILES = {
    "isolated": ("isolated", "1"),
    "hairpin": ("hairpin_mode", "1"),
    "learning": ("learning", "0"),
}


class Mutant(t.NamedTuple):
    """A guard that is missing. guard: a rule that drops, or what sets hold. faults is the trial that should notice."""

    name: str
    guard: bool
    made: t.Callable[[Lab], t.ContextManager[None]]
    faults: t.Callable[[Lab, Memory, float], list[str]] = lambda lab, memory, patience: failures(
        lab, memory, patience=patience
    )


def live(lab: Lab) -> str:
    """Return the tables as they are, counters at zero."""
    return "".join(lab.host.run(["nft", "-s", "list", "table", *table.split()]).stdout for table in TABLES)


def rules_of(text: str) -> list[int]:
    """Return the lines of a listing that are rules."""
    found, inside = [], False
    for number, line in enumerate(text.splitlines()):
        if line.startswith("\tchain "):
            inside = True
        elif line.startswith("\t}"):
            inside = False
        elif inside and line.strip() and not _BASE.match(line):
            found.append(number)
    return found


def load(lab: Lab, text: str) -> None:
    """Put tables in the place of those that are there, in one transaction."""
    lab.host.run(["nft", "-f", "-"], input="".join(f"delete table {table}\n" for table in TABLES) + text)


def of_rules(text: str) -> list[Mutant]:
    """Return a mutant for each rule of a listing."""
    lines = text.splitlines()
    found = []
    chain = ""
    numbers = set(rules_of(text))
    for number, line in enumerate(lines):
        if line.startswith(("\tchain ", "table ")):
            chain = line.split()[1]
        if number in numbers:
            rest = "\n".join(lines[:number] + lines[number + 1 :]) + "\n"
            mutant = Mutant(f"{chain}: {line.strip()}", line.rstrip().endswith("drop"), _with_text(rest, text))
            found.append(mutant._replace(faults=_FORWARDER_FAULTS.get(chain, mutant.faults)))
    return found


def _forwarder_faults(version: int) -> t.Callable[[Lab, Memory, float], list[str]]:
    """Return a trial of the chain that decides about the forwarder: what every trial finds, and its limits."""
    gateway = places.gateway("c1", version)

    def faults(lab: Lab, memory: Memory, patience: float) -> list[str]:
        found = failures(lab, memory, patience=patience)
        before = traffic.counter(lab.host, "forwarder_limits")
        lab.host.run([SYSTEM_PYTHON, "-c", _FLOOD, gateway, str(places.FORWARDER)], netns="c1")
        if traffic.counter(lab.host, "forwarder_limits") == before:
            found.append(f"a flood of queries over IPv{version} has no limit")
        talk = [SYSTEM_PYTHON, "-c", _TALK, gateway, str(places.FORWARDER), _ANSWERS]
        if lab.host.run(talk, check=False).returncode:
            found.append(f"a long TCP connection to the forwarder over IPv{version} is cut")
        return found

    return faults


# Send more datagrams at once than the limit's burst.
_FLOOD = """
import socket, sys
with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM) as wire:
    for _number in range(2000):
        wire.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
"""
# Serve one connection, of a client in the sandbox c1, with more packets than a limit of connections lets through.
_TALK = """
import socket, subprocess, sys
address, port, client = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
with socket.create_server((address, int(port)), family=family) as server:
    server.settimeout(3)
    command = ["ip", "netns", "exec", "c1", sys.executable, "-c", client, address, port]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            connection, _peer = server.accept()
            connection.settimeout(3)
            for _number in range(40):
                connection.sendall(b"?")
                assert connection.recv(1)
        except (OSError, AssertionError):
            process.kill()
            sys.exit(1)
        connection.close()
"""
_ANSWERS = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3) as wire:
    while wire.recv(1):
        wire.sendall(b"!")
"""
_FORWARDER_FAULTS = {f"forwarder{version}": _forwarder_faults(version) for version in (4, 6)}


def _with_text(mutated: str, whole: str) -> t.Callable[[Lab], t.ContextManager[None]]:
    @contextlib.contextmanager
    def made(lab: Lab) -> t.Iterator[None]:
        load(lab, mutated)
        try:
            yield
        finally:
            load(lab, whole)

    return made


def of_elements(text: str) -> list[Mutant]:
    """Return a mutant for each set and map of a listing that has elements: the same without them."""
    blocks = re.finditer(r"^\t(?:set|map) (\w+) \{\n.*?^\t\}\n", text, re.DOTALL | re.MULTILINE)
    found = []
    for block in blocks:
        emptied = re.sub(r"^\t\telements = \{.*?\}\n(?=\t\}\n)", "", block[0], flags=re.DOTALL | re.MULTILINE)
        if emptied != block[0]:
            mutated = text[: block.start()] + emptied + text[block.end() :]
            found.append(Mutant(f"elements of {block[1]}", True, _with_text(mutated, text)))
    return found


def every(lab: Lab) -> list[Mutant]:
    """Return every mutant of a lab: rules, elements of sets, settings."""
    text = live(lab)
    return [*of_rules(text), *of_elements(text), *of_settings(lab)]


def of_settings(lab: Lab) -> list[Mutant]:
    """Return a mutant for each setting, on all bridges at once, and on all ports."""
    bridges = [bridge for bridge, _mac in lab.bridges.values()]
    ports = lab.host.sh("ls /sys/class/net").split()
    found = [
        Mutant(f"sysctl {key.format('BRIDGE')}", False, _with_sysctl(key, bridges, value))
        for key, value in BRIDGE_SETTINGS.items()
    ]
    found += [
        Mutant(
            f"sysctl {key.format('PORT')}",
            False,
            _with_sysctl(key, [port for port in ports if port.startswith("veth")], value),
        )
        for key, value in PORT_SETTINGS.items()
    ]
    return [
        *found,
        Mutant("port flag isolated", False, _with_flag("isolated")),
        Mutant("port flag hairpin", False, _with_flag("hairpin"), _reflected),
        Mutant("port flag learning", False, _with_learning),
        Mutant("link flag NOARP of ports", False, _with_arp),
    ]


def _reflected(lab: Lab, _memory: Memory, patience: float) -> list[str]:
    """Where bridges call iptables, a sandbox reaches its own published port within the bridge: by the port that it
    came from.
    """
    with traffic.bridge_calls_iptables(lab.host, 1):
        return try_passages(
            lab, [], [Call("a sandbox to itself", "c1", places.HOST[0], places.host_port("c1"))], patience
        )


def _with_sysctl(key: str, links: t.Sequence[str], value: str) -> t.Callable[[Lab], t.ContextManager[None]]:
    @contextlib.contextmanager
    def made(lab: Lab) -> t.Iterator[None]:
        family, _slot, name = key.split("/")
        paths = [f"/proc/sys/net/{family}/conf/{link}/{name}" for link in links]
        before = lab.host.sh(f"cat {' '.join(paths)}").split()
        _write(lab, paths, [str(1 - int(old)) if value == "turned" else value for old in before])
        try:
            yield
        finally:
            _write(lab, paths, before)

    return made


def _write(lab: Lab, paths: t.Sequence[str], values: t.Sequence[str]) -> None:
    lab.host.sh("\n".join(f"echo {value} >{path}" for path, value in zip(paths, values)))


def _with_flag(flag: str) -> t.Callable[[Lab], t.ContextManager[None]]:
    @contextlib.contextmanager
    def made(lab: Lab) -> t.Iterator[None]:
        file, given = _FLAG_FILES[flag]
        found = lab.host.sh(f"grep -l {given} /sys/class/net/veth*/brport/{file} /sys/class/net/vx-*/brport/{file}; :")
        names = [path.split("/")[4] for path in found.split()]
        states = ("off", "on") if given == "1" else ("on", "off")
        _turn(lab, names, flag, states[0])
        try:
            yield
        finally:
            _turn(lab, names, flag, states[1])

    return made


@contextlib.contextmanager
def _with_learning(lab: Lab) -> t.Iterator[None]:
    """Let ports learn. What the bridges learn takes the place of static entries, which are put back."""
    listed = json.loads(lab.host.sh("bridge -json fdb show"))
    static = [entry for entry in listed if entry.get("state") == "static" and entry["ifname"].startswith("veth")]
    assert len(static) > len(places.SANDBOXES) / 2
    with _with_flag("learning")(lab):
        yield
    lab.host.sh("\n".join(f"bridge fdb replace {each['mac']} dev {each['ifname']} master static" for each in static))


@contextlib.contextmanager
def _with_arp(lab: Lab) -> t.Iterator[None]:
    """Let ports answer ARP, and forget what they are taught."""
    ports = [link for link in lab.host.sh("ls /sys/class/net").split() if link.startswith(("veth", "vx-"))]
    lab.host.sh("\n".join(f"ip link set {port} arp on" for port in ports))
    yield
    lab.host.sh("\n".join(f"ip link set {port} arp off; ip neighbour flush dev {port}" for port in ports))


def _turn(lab: Lab, names: t.Sequence[str], flag: str, value: str) -> None:
    lab.host.sh("\n".join(f"bridge link set dev {name} {flag} {value}" for name in names))


def tried(lab: Lab, memory: Memory, mutants: t.Sequence[Mutant]) -> t.Iterator[tuple[Mutant, list[str]]]:
    """Yield each mutant with what the lab says against it; nothing means that it survives.

    After each the lab must be whole again, or what comes next would be found wanting for what came before.
    """
    for mutant in mutants:
        lab.patience = 1
        with mutant.made(lab):
            try:
                wrong = mutant.faults(lab, memory, 0.5)
            except AssertionError as error:  # not even a marker arrives
                wrong = [str(error)]
        lab.patience = 5
        recover(lab)
        left = failures(lab, memory)
        assert not left, f"the lab does not recover from {mutant.name}: {left}"
        yield mutant, wrong


_FORGET6 = "neighbour flush all\\nroute flush proto ra\\nroute flush 2001:db8:bad::/64\\naddress flush dynamic\\n"


def recover(lab: Lab) -> None:
    """Forget what attacks taught: neighbours, places of MACs, routers and what they gave."""
    lab.host.sh("for each in /sys/class/net/br-*/bridge/flush; do echo 1 >$each; done")
    options = " ".join(f"'-n {name}'" for name in (*places.SANDBOXES, "lab-guest"))
    lab.host.sh(
        f"for each in '' {options}; do ip $each -4 neighbour flush all; "
        f"printf '{_FORGET6}' | ip $each -6 -force -batch -; done"
    )
    lab.host.sh(
        "ip route del {0}; ip route add {0} via {1}".format(places.BEHIND_L2[0], places.address("l2", 4))
    )  # with it goes what it was told
    lab.settle()
    lab.taken()
