# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures resolvers: creating and keeping them, memory, the delay until a new name is known, and queries per second.

    .cache/venv/bin/python tests/bench/names.py [--sandboxes 100 500] [--docker 20] [--names 10] [--seconds 2]

Each case is a private host (tests/support/private_host.py; root is needed, and the machine's limit on inotify
instances is raised for the time) with one network, so many sandboxes on it and so many names of each.

If they are installed, two others are measured too. aardvark-dns has the same names, and is one process that answers on
the gateway. Docker's resolver is a part of dockerd, and has fewer containers, because each takes a second.

The last column is the time that a known name takes while another client sends 5,000 queries per second for names of a
server that does not answer. That client uses a resolver of its own, or the same one if there is only one. A query
without an answer within a second counts as a second. The client that measures is one Python process that waits for
each answer, so queries per second are bounded by it, in the same way for all.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import sys
import time
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

# pylint: disable=wrong-import-position
import limits

from support import containers
from support.private_host import SYSTEM_PYTHON, PrivateHost, Server

AARDVARK = "/usr/lib/podman/aardvark-dns"
GATEWAY = "10.77.0.1"
# Queries names: repeatedly, to count answers per second; or in each namespace until all know a name, to measure the
# milliseconds until then.
_ASK = """
import os, socket, struct, sys, time
def question(name):
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!2H", 1, 1)
def wire(server, port):
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.settimeout(5)
    found.connect((server, port))
    return found
if sys.argv[1] == "flood":
    flood, number = wire(sys.argv[2], 53), 0
    print("ready", flush=True)
    while True:
        for turn in range(50):
            number += 1
            try: flood.send(question("n%d.example" % number))
            except OSError: pass
        time.sleep(0.01)
elif sys.argv[1] == "late":
    asking, ask, times = wire(sys.argv[2], 53), question(sys.argv[4]), []
    asking.settimeout(1)
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        begin = time.monotonic(); asking.send(ask)
        try: assert asking.recv(999)[7]
        except TimeoutError: pass
        times.append(time.monotonic() - begin)
    print(sorted(times)[len(times) * 99 // 100] * 1000)
elif sys.argv[1] == "rate":
    asking, names, count = wire(sys.argv[2], 53), [question(name) for name in sys.argv[4:]], 0
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        asking.send(names[count % len(names)]); assert asking.recv(999)[7]; count += 1
    print(count / float(sys.argv[3]))
else:
    path, name, wires = sys.argv[2], sys.argv[3], []
    for netns in sys.argv[4:]:
        descriptor = os.open("/run/netns/" + netns, os.O_RDONLY)
        import ctypes
        assert not ctypes.CDLL(None).setns(descriptor, 0x40000000)
        os.close(descriptor)
        wires.append(wire("127.0.0.11", 10053))
        wires[-1].settimeout(60)
    if path:
        with open(path) as file: text = file.read()
        with open("/run/dockless/dns/new", "w") as file: file.write(text + "10.77.255.254 " + name + "\\n")
    begin = time.monotonic()
    if path: os.rename("/run/dockless/dns/new", path)
    ask = question(name)
    for asking in wires:
        while True:
            asking.send(ask)
            if asking.recv(999)[7]: break
    print((time.monotonic() - begin) * 1000)
"""


class Costs(t.NamedTuple):
    """Seconds to create all resolvers, and to find nothing to change; megabytes of memory.

    memory is that of all processes, with shared parts counted once; private is that of one process alone.
    """

    making: float
    unchanged: float
    memory: float
    private: float
    known_after: float  # milliseconds until every sandbox knows a new name
    all_known: float  # seconds for a run that gives each sandbox a new name, until every sandbox knows the last
    rate: float
    flooded: float  # milliseconds that 99 of 100 answers take at most while another client floods


def document(sandboxes: int, names: int) -> dict[str, t.Any]:
    """Return one network with sandboxes of so many names each, their own among them."""
    return {
        "networks": {"net": {"ipam": {"config": [{"subnet": "10.77.0.0/16"}]}}},
        "sandboxes": {
            f"s{n}": {"networks": {"net": {"aliases": [f"s{n}-a{m}" for m in range(1, names)]}}}
            for n in range(sandboxes)
        },
    }


def ours(sandboxes: int, names: int, seconds: float) -> Costs:
    """Measure the engine and its resolvers."""
    with limits.room_for_resolvers(sandboxes), PrivateHost() as host:
        begin = time.monotonic()
        host.apply(document(sandboxes, names))
        making = time.monotonic() - begin
        begin = time.monotonic()
        host.apply(document(sandboxes, names))
        unchanged = time.monotonic() - begin
        memory, private = weight(host, host.sh("cat /run/dockless/dns/pids/*.pid").split())
        record = host.sh("grep -l ' s0 ' /run/dockless/dns/networks/shop.net/*")
        known = until(host, record, "fresh", sandboxes)
        begin = time.monotonic()
        host.apply(document(sandboxes, names + 1))
        until(host, "", f"s{sandboxes - 1}-a{names}", sandboxes)
        all_known = time.monotonic() - begin
        rate = float(
            host.run(
                [SYSTEM_PYTHON, "-c", _ASK, "rate", "127.0.0.11", str(seconds), *_asked(sandboxes)], netns="s0"
            ).stdout
        )
        silence(host)
        flood = host.popen(_asking("flood", "127.0.0.11"), netns="s0")
        flooded = late(host, flood, seconds, ["ip", "netns", "exec", "s1", *_asking("late", "127.0.0.11")])
        host.teardown()
    return Costs(making, unchanged, memory, private / sandboxes, known, all_known, rate, flooded)


def until(host: PrivateHost, record: str, name: str, sandboxes: int) -> float:
    """Write a name to a record file, if one is given. Return the milliseconds until every sandbox resolves it."""
    argv = [SYSTEM_PYTHON, "-c", _ASK, "until", record, name, *(f"s{n}" for n in range(sandboxes))]
    return float(host.run(argv).stdout)


def aardvark(sandboxes: int, names: int, seconds: float) -> Costs:
    """Measure aardvark-dns with the same names. A signal makes it read new ones."""
    with PrivateHost() as host:
        rows = [
            f"id{n} 10.77.{n // 250 + 1}.{n % 250 + 1}  s{n},{','.join(f's{n}-a{m}' for m in range(1, names))}"
            for n in range(sandboxes)
        ]
        text = "\n".join([GATEWAY, *rows, "idx 10.77.0.1  host"]) + "\n"
        host.sh(
            f"ip link add br0 type bridge; ip address add {GATEWAY}/16 dev br0; ip link set br0 up; mkdir /run/aardvark"
        )
        host.run(["tee", "/run/aardvark/net"], input=text)
        begin = time.monotonic()
        server = host.popen([AARDVARK, "--config", "/run/aardvark", "--port", "53", "run"])
        argv = _asking("rate", GATEWAY)
        while host.run([*argv, "0.01", "s0"], check=False).returncode:
            pass
        made = time.monotonic() - begin
        pid = host.sh("cat /run/aardvark/aardvark.pid")
        memory, private = weight(host, [pid])
        rate = float(host.run([*argv, str(seconds), *_asked(sandboxes)]).stdout)
        host.run(["tee", "/run/aardvark/net"], input=text + "idy 10.77.255.254  fresh\n")
        begin = time.monotonic()
        host.sh(f"kill -HUP {pid}")
        while "10.77.255.254" not in host.sh(f"dig +short @{GATEWAY} fresh"):
            pass
        known = (time.monotonic() - begin) * 1000
        silence(host)
        flooded = late(host, host.popen(_asking("flood", GATEWAY)), seconds, _asking("late", GATEWAY))
        host.sh(f"kill {pid}")
        server.stop()
    return Costs(made, 0.0, memory, private, known, 0.0, rate, flooded)


def _docker_aliases(number: int, names: int) -> str:
    return " ".join(f"--network-alias=s{number}-a{alias}" for alias in range(1, names))


def docker(sandboxes: int, names: int, seconds: float) -> Costs:
    """Measure Docker's resolver.

    The time to create it is that of whole containers. The memory is dockerd's, without containerd's.
    """
    with containers.Containers() as made:
        host = made.host
        made.docker()
        begin = time.monotonic()
        host.sh(
            "docker network create net >/dev/null; "
            + "".join(
                f"docker run --detach --network=net --name=s{n} {_docker_aliases(n, names)} image "
                "/usr/bin/sleep 3600 >/dev/null\n"
                for n in range(sandboxes)
            )
        )
        seconds_made = time.monotonic() - begin
        first, other = (
            ["nsenter", f"--net=/proc/{pid}/ns/net"]
            for pid in host.sh("docker inspect --format '{{.State.Pid}}' s0 s1").split()
        )
        memory, private = weight(host, [host.sh("cat /run/docker.pid")])
        rate = float(host.run([*other, *_asking("rate", "127.0.0.11"), str(seconds), *_asked(sandboxes)]).stdout)
        silence(host)
        flooded = late(
            host,
            host.popen([*first, *_asking("flood", "127.0.0.11")]),
            seconds,
            [*other, *_asking("late", "127.0.0.11")],
        )
    return Costs(seconds_made, 0.0, memory, private, 0.0, 0.0, rate, flooded)


def silence(host: PrivateHost) -> None:
    """Have the name server of the host say nothing."""
    host.neighbour().sh(
        "nft add table inet silent; nft add chain inet silent in '{ type filter hook input priority 0; }'; "
        "nft add rule inet silent in udp dport 53 drop"
    )


def late(host: PrivateHost, flood: Server, seconds: float, asking: t.Sequence[str]) -> float:
    """Return how many milliseconds 99 of 100 answers take at most while flood goes on, and end it."""
    assert flood.readline() == "ready"
    found = float(host.run([*asking, str(seconds), "s1"]).stdout)
    flood.stop()
    return found


def _asking(how: str, server: str) -> list[str]:
    return [SYSTEM_PYTHON, "-c", _ASK, how, server]


def weight(host: PrivateHost, pids: t.Sequence[str]) -> tuple[float, float]:
    """Return the megabytes of processes: proportional (shared pages counted once), and private ones."""
    text = host.sh("cat " + " ".join(f"/proc/{pid}/smaps_rollup" for pid in pids))
    rows = [line.split() for line in text.splitlines()]
    total = sum(int(row[1]) for row in rows if row[0] == "Pss:")
    return total / 1024, sum(int(row[1]) for row in rows if row[0].startswith("Private_")) / 1024


def _asked(sandboxes: int) -> list[str]:
    return [f"s{n}" for n in range(0, sandboxes, max(1, sandboxes // 50))]


def shown(value: float, digits: int) -> str:
    """Return a figure, nothing where there is none."""
    return f"{value:.{digits}f}" if value else ""


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandboxes", type=int, nargs="+", default=[100, 500])
    parser.add_argument(
        "--docker", type=int, nargs="*", default=[20], help="containers of Docker (20); none leaves it out"
    )
    parser.add_argument("--names", type=int, default=10, help="names of each (10)")
    parser.add_argument("--seconds", type=float, default=2, help="length of asking (2)")
    options = parser.parse_args()
    subjects = [("dockless", ours, options.sandboxes)]
    subjects += [("aardvark-dns", aardvark, options.sandboxes)] if shutil.which(AARDVARK) else []
    subjects += [("Docker", docker, options.docker)] if shutil.which("dockerd") else []
    print(
        "| | sandboxes | names | made in, s | nothing to change, s | memory, MB | of one, private, MB "
        "| new name known after, ms | a new name each, s | questions a second | while another floods, ms |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, measure, sizes in subjects:
        for size in sizes:
            found = measure(size, options.names, options.seconds)
            print(
                f"| {name} | {size} | {size * options.names:,} | {found.making:.2f} | {shown(found.unchanged, 2)} "
                f"| {found.memory:.0f} | {found.private:.2f} | {shown(found.known_after, 0)} "
                f"| {shown(found.all_known, 1)} | {found.rate:,.0f} | {found.flooded:.2f} |",
                flush=True,
            )
    print(f"\nload {os.getloadavg()[0]:.1f} at the end", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
