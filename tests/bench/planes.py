# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the control planes of overlay networks cost one host: time, objects in the kernel, memory of FRR.

    .cache/venv/bin/python tests/bench/planes.py [ENDPOINTS [HOSTS]]

One network spans three private hosts (tests/support/private_host.py; the machine is not touched, root is needed). The
first host is measured. The last one represents all other hosts of a fleet and has their ENDPOINTS sandboxes, as entries
only. Mode routed is measured with HOSTS other hosts. The kernel's memory is that of the whole machine (SUnreclaim), so
nothing else should run.
"""

from __future__ import annotations

import pathlib
import resource
import sys
import time
import typing as t

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "plugins" / "module_utils")]

from support import frr, private_fleet
from support.private_host import Place, PrivateHost

NETWORK = {"driver": "overlay", "vni": 300, "dns_enabled": False, "ipam": {"config": [{"subnet": "10.0.0.0/8"}]}}
OTHERS = 3  # the number of the host that stands for all others


def address(number: int) -> str:
    """Return a sandbox's address."""
    return f"10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def mac(number: int) -> str:
    """Return a sandbox's MAC."""
    return "02:99:" + number.to_bytes(4, "big").hex(":")


def timed(what: t.Callable[[], t.Any]) -> float:
    """Return how many seconds something takes."""
    begin = time.monotonic()
    what()
    return time.monotonic() - begin


def spent(what: t.Callable[[], t.Any]) -> float:
    """Return how many seconds of a processor the commands in it take."""

    def total() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    begin = total()
    what()
    return total() - begin


def kernel_memory() -> int:
    """Return the machine's unreclaimable slab in kB."""
    lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("SUnreclaim"))


def resident(host: Place, daemon: str) -> float:
    """Return a daemon's proportional share of memory in MB."""
    text = host.read(f"/proc/{frr.pid(host, daemon)}/smaps_rollup")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def document(vtep: int, peers: t.Mapping[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    """Return a host's document: the network and one sandbox."""
    networks = {"red": {**NETWORK, "vtep": private_fleet.address(vtep), "peers": peers, **more}}
    return {"networks": networks, "sandboxes": {f"s{vtep}": {"networks": {"red": {"ipv4_address": f"10.0.{vtep}.2"}}}}}


def static(host: PrivateHost, endpoints: int) -> None:
    """Measure the runs that tell one host of all others' sandboxes."""

    def declared(count: int) -> dict[str, t.Any]:
        sandboxes = {f"e{n}": {"addresses": [address(n)], "mac_address": mac(n)} for n in range(count)}
        return document(1, {"others": {"vtep": private_fleet.address(OTHERS), "sandboxes": sandboxes}})

    host.apply(declared(0))
    before = kernel_memory()
    first = spent(lambda: host.apply(declared(endpoints)))
    memory = kernel_memory() - before
    again, more = spent(lambda: host.apply(declared(endpoints))), spent(lambda: host.apply(declared(endpoints + 1)))
    print(
        f"static, {endpoints} remote endpoints: first run {first:.2f} s, unchanged {again:.2f} s, one more {more:.2f} s"
        f"; {3 * endpoints} objects, {memory / 1024:.0f} MB of kernel memory "
        f"({memory * 1024 / max(1, endpoints):.0f} bytes each)"
    )
    host.teardown()


def routed(host: PrivateHost, others: int) -> None:
    """Measure runs on one host that declare all other hosts."""

    def declared(count: int) -> dict[str, t.Any]:
        peers = {
            f"h{n}": {"vtep": f"192.168.{n >> 8}.{n & 255}", "subnets": [f"10.{1 + (n >> 8)}.{n & 255}.0/24"]}
            for n in range(1, count + 1)
        }
        return document(
            1,
            peers,
            mode="routed",
            ipam={"config": [{"subnet": "10.0.0.0/8", "ip_range": "10.0.1.0/24", "gateway": "10.0.1.1"}]},
        )

    host.apply(declared(0))
    first = spent(lambda: host.apply(declared(others)))
    again, more = spent(lambda: host.apply(declared(others))), spent(lambda: host.apply(declared(others + 1)))
    print(
        f"routed, {others} other hosts: first run {first:.2f} s, unchanged {again:.2f} s, one more {more:.2f} s; "
        f"{3 * others} objects"
    )
    host.teardown()


def evpn(lab: private_fleet.Fleet, endpoints: int) -> None:
    """Measure FRR: convergence and memory of a host that learns, of a reflector, and of the one that announces."""
    reflectors = [private_fleet.address(2)]
    for number, host in enumerate(lab.hosts, 1):
        if number != 2:
            host.apply(document(number, {}, control_plane="evpn"))
        frr.configure(host, private_fleet.address(number), reflectors, evpn_member=number != 2)
        frr.start(host)
    one, reflector, others = lab.hosts
    frr.until(lambda: frr.remote_macs(one, 300) and frr.remote_macs(others, 300), "both hosts know each other")
    empty = [resident(one, daemon) for daemon in ("bgpd", "zebra")]
    link, bridge = others.sh(
        "ip -o link show group 25707 type veth | cut -d' ' -f2 | cut -d@ -f1; "
        "ip -o link show group 25707 type bridge | cut -d' ' -f2 | tr -d :"
    ).split()
    numbers = range(endpoints)
    others.run(
        ["bridge", "-batch", "-"], input="".join(f"fdb add {mac(n)} dev {link} master static\n" for n in numbers)
    )
    written = timed(
        lambda: others.run(
            ["ip", "-batch", "-"],
            input="".join(
                f"neigh add {address(n)} lladdr {mac(n)} dev {bridge} nud permanent protocol 213\n" for n in numbers
            ),
        )
    )
    rest = frr.until(
        lambda: int(one.sh(f"ip neigh show dev {bridge_of(one)} nud noarp | wc -l")) > endpoints, "all are known", 600
    )
    print(f"evpn, {endpoints} remote endpoints: written on their host in {written:.1f} s, all known {rest:.1f} s later")
    for name, host, daemons in (
        ("host", one, ("bgpd", "zebra", "bfdd")),
        ("reflector", reflector, ("bgpd", "zebra", "bfdd")),
        ("announcing host", others, ("bgpd", "zebra")),
    ):
        print(f"  memory of a {name}: " + ", ".join(f"{daemon} {resident(host, daemon):.0f} MB" for daemon in daemons))
    print(f"  (bgpd {empty[0]:.0f} MB and zebra {empty[1]:.0f} MB before)")
    frr.kill(one, "watchfrr", "bgpd", "zebra")
    begin = time.monotonic()
    one.sh(f"{frr.SCRIPT} restart </dev/null >/dev/null 2>&1")
    frr.until(
        lambda: int(one.sh(f"ip neigh show dev {bridge_of(one)} nud noarp | wc -l")) > endpoints,
        "all are known again",
        600,
    )
    print(f"  a host that starts from nothing knows all after {time.monotonic() - begin:.1f} s")


def bridge_of(host: Place) -> str:
    """Return the name of a host's bridge."""
    return host.sh("ip -o link show group 25707 type bridge | cut -d' ' -f2 | tr -d :")


def main(endpoints: int = 10000, others: int = 999) -> None:
    """Measure all three."""
    with private_fleet.Fleet(3) as lab:
        static(lab.hosts[0], endpoints)
        routed(lab.hosts[0], others)
        evpn(lab, endpoints)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
