# SPDX-License-Identifier: GPL-3.0-or-later
"""What names cost: making and keeping resolvers, their memory, how soon a new name is known, and questions a second.

    .cache/venv/bin/python tests/bench/names.py [--sandboxes 100 500] [--names 10] [--seconds 2]

Each case is a private host (tests/kernel/hosts.py; of the machine only a limit on inotify is raised meanwhile, root is needed) with one network, so many sandboxes on it
and so many names of each. Beside it, where it is installed, aardvark-dns with the same names: one process for all, which
answers on the gateway. The asker is one Python process that waits for each answer, so that questions a second are a bound of the
asker, the same for both.
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
sys.path[:0] = [str(HERE), str(HERE.parent / "kernel")]

# pylint: disable=wrong-import-position
import hosts  # noqa: E402
import limits  # noqa: E402

AARDVARK = "/usr/lib/podman/aardvark-dns"
GATEWAY = "10.77.0.1"
# Ask for a name, over and over: how often a second; or once in each namespace until all know it: after how many milliseconds.
_ASK = """
import os, socket, struct, sys, time
def question(name):
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes((len(p),)) + p.encode() for p in name.split(".")) + b"\\0" + struct.pack("!2H", 1, 1)
def wire(server, port):
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); found.settimeout(5); found.connect((server, port)); return found
if sys.argv[1] == "rate":
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
    with open(path + ".new", "w") as file: file.write("10.77.255.254 " + name + "\\n")
    begin = time.monotonic(); os.rename(path + ".new", path)
    ask = question(name)
    for asking in wires:
        while True:
            asking.send(ask)
            if asking.recv(999)[7]: break
    print((time.monotonic() - begin) * 1000)
    os.unlink(path)
"""


class Costs(t.NamedTuple):
    """Seconds to make all, and to find nothing to change; megabytes, of all processes, shared parts counted once, and those of one alone."""

    making: float
    unchanged: float
    memory: float
    private: float
    known_after: float  # milliseconds until every sandbox knows a new name
    rate: float


def document(sandboxes: int, names: int) -> t.Dict[str, t.Any]:
    """Return one network with sandboxes of so many names each, their own among them."""
    return {"networks": {"net": {"ipam": {"config": [{"subnet": "10.77.0.0/16"}]}}},
            "sandboxes": {f"s{n}": {"networks": {"net": {"aliases": [f"s{n}-a{m}" for m in range(1, names)]}}} for n in range(sandboxes)}}


def ours(sandboxes: int, names: int, seconds: float) -> Costs:
    """Measure the engine and its resolvers."""
    with limits.room_for_resolvers(sandboxes), hosts.PrivateHost() as host:
        begin = time.monotonic()
        host.apply(document(sandboxes, names))
        made = time.monotonic()
        host.apply(document(sandboxes, names))
        unchanged = time.monotonic() - made
        memory, private = weight(host, host.sh("cat /run/dockless/dns/pids/*.pid").split())
        record = "/run/dockless/dns/networks/shop.net/@bench"
        known = float(host.run([hosts.SYSTEM_PYTHON, "-c", _ASK, "until", record, "fresh", *(f"s{n}" for n in range(sandboxes))]).stdout)
        rate = float(host.run([hosts.SYSTEM_PYTHON, "-c", _ASK, "rate", "127.0.0.11", str(seconds), *_asked(sandboxes)], netns="s0").stdout)
        host.teardown()
    return Costs(made - begin, unchanged, memory, private / sandboxes, known, rate)


def aardvark(sandboxes: int, names: int, seconds: float) -> Costs:
    """Measure aardvark-dns with the same names; it is told of a new one by a signal."""
    with hosts.PrivateHost() as host:
        rows = [f"id{n} 10.77.{n // 250 + 1}.{n % 250 + 1}  s{n},{','.join(f's{n}-a{m}' for m in range(1, names))}" for n in range(sandboxes)]
        text = "\n".join([GATEWAY, *rows, "idx 10.77.0.1  host"]) + "\n"
        host.sh(f"ip link add br0 type bridge; ip address add {GATEWAY}/16 dev br0; ip link set br0 up; mkdir /run/aardvark")
        host.run(["tee", "/run/aardvark/net"], input=text)
        begin = time.monotonic()
        server = host.popen([AARDVARK, "--config", "/run/aardvark", "--port", "53", "run"])
        argv = [hosts.SYSTEM_PYTHON, "-c", _ASK, "rate", GATEWAY]
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
        host.sh(f"kill {pid}")
        server.stop()
    return Costs(made, 0.0, memory, private, known, rate)


def weight(host: hosts.PrivateHost, pids: t.Sequence[str]) -> t.Tuple[float, float]:
    """Return the megabytes of processes: proportional (shared pages counted once), and private ones."""
    text = host.sh("cat " + " ".join(f"/proc/{pid}/smaps_rollup" for pid in pids))
    rows = [line.split() for line in text.splitlines()]
    total = sum(int(row[1]) for row in rows if row[0] == "Pss:")
    return total / 1024, sum(int(row[1]) for row in rows if row[0].startswith("Private_")) / 1024


def _asked(sandboxes: int) -> t.List[str]:
    return [f"s{n}" for n in range(0, sandboxes, max(1, sandboxes // 50))]


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandboxes", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--names", type=int, default=10, help="names of each (10)")
    parser.add_argument("--seconds", type=float, default=2, help="length of asking (2)")
    options = parser.parse_args()
    subjects = {"dockless": ours, **({"aardvark-dns": aardvark} if shutil.which(AARDVARK) else {})}
    print("| | sandboxes | names | made in, s | nothing to change, s | memory, MB | of one, private, MB | new name known after, ms | questions a second |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, measure in subjects.items():
        for size in options.sandboxes:
            found = measure(size, options.names, options.seconds)
            print(f"| {name} | {size} | {size * options.names:,} | {found.making:.2f} | {found.unchanged:.2f} | {found.memory:.0f} | {found.private:.2f} | "
                  f"{found.known_after:.0f} | {found.rate:,.0f} |", flush=True)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
