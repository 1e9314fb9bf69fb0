# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR on a private host, with the very files that the role evpn would write, under FRR's own start script and
watchdog.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import time
import typing as t

import jinja2

from support.private_host import TIMEOUT, Failed, Place

ROLE = pathlib.Path(__file__).resolve().parent.parent.parent / "roles" / "evpn"
SCRIPT = "/usr/lib/frr/frrinit.sh"
PROGRAM = "/usr/local/sbin/dockless-evpn"
PASSWORD = "a-password-of-this-test"
RANGE = "203.0.113.0/24"
PATIENCE = 30  # seconds; what takes longer does not happen
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(str(ROLE / "templates")),
    trim_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)


def configure(host: Place, address: str, reflectors: t.Sequence[str], **variables: t.Any) -> None:
    """Write the role's files for a member of the fabric, which is a reflector as well if its address is among them."""
    values = {
        "inventory_hostname_short": "host" + address.rpartition(".")[2],
        "__evpn_own": address,
        "evpn_asn": 65000,
        "evpn_member": True,
        "evpn_password": PASSWORD,
        "evpn_timers": [3, 9],
        "evpn_listen": [RANGE],
        "evpn_listen_limit": 1000,
        "evpn_log": "file /run/frr.log",
        "evpn_bfd_interval": 300,
        "evpn_bfd_multiplier": 3,
        "__evpn_bfd": False,
        "__evpn_program": PROGRAM,
        "__evpn_is_reflector": address in reflectors,
        "__evpn_others": [each for each in reflectors if each != address],
        **variables,
    }
    for name in ("frr.conf", "daemons"):
        host.run(["tee", f"/etc/frr/{name}"], input=_TEMPLATES.get_template(name + ".j2").render(values))
    host.run(
        ["tee", PROGRAM],
        input="#!/usr/bin/python3\n" + (ROLE / "files" / "dockless_evpn.py").read_text(encoding="utf-8"),
    )
    host.sh(
        f"chown root:frr /etc/frr/frr.conf; chmod 640 /etc/frr/frr.conf; chmod 755 {PROGRAM}; "
        "mkdir -p /var/tmp/frr; mountpoint -q /var/tmp || mount -t tmpfs tmpfs /var/tmp"
    )


def start(host: Place) -> None:
    """Start it and return when its daemons have their configuration."""
    host.sh(f"{SCRIPT} start </dev/null >/run/frr.start 2>&1")


def stop(host: Place) -> None:
    """Stop it in order: what it has learned goes from the kernel."""
    host.sh(
        f"{SCRIPT} stop </dev/null >/run/frr.stop 2>&1 || true; rm -f /run/frr.* {PROGRAM}; umount /var/tmp; "
        "rm -rf /run/frr"
    )


def pid(host: Place, daemon: str) -> int:
    """Return a daemon's process id as the host sees it; 0 when it has none or does not run."""
    text = host.sh(f"p=$(cat /run/frr/{daemon}.pid 2>/dev/null || echo 0); [ -d /proc/$p ] && echo $p || echo 0")
    return int(text)


def kill(host: Place, *daemons: str) -> None:
    """End daemons in the middle of whatever they do."""
    host.sh("; ".join(f"kill -KILL $(cat /run/frr/{daemon}.pid)" for daemon in daemons))


def vtysh(host: Place, command: str) -> t.Any:
    """Return what FRR says to a command with JSON; an empty dictionary while it does not run."""
    done = host.run(["vtysh", "-c", command + " json"], check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {}


def sessions(host: Place) -> int:
    """Return how many BGP sessions are established."""
    peers = vtysh(host, "show bgp l2vpn evpn summary").get("peers", {})
    return sum(peer.get("state") == "Established" for peer in peers.values())


def watched(host: Place) -> int:
    """Return how many hosts BFD sees alive."""
    peers = vtysh(host, "show bfd peers")
    return sum(peer.get("status") == "up" for peer in peers) if isinstance(peers, list) else 0


def remote_macs(host: Place, vni: int) -> dict[str, str]:
    """Return the MACs that FRR knows behind other hosts, each with that host's VTEP address."""
    macs = vtysh(host, "show evpn mac vni all").get(str(vni), {}).get("macs", {})
    return {mac: row.get("remoteVtep", "") for mac, row in macs.items() if row["type"] == "remote"}


def learned(host: Place) -> list[str]:
    """Return the kernel's entries that carry a routing daemon's mark, those for multicast and for link-local
    addresses left out.
    """
    lines = host.sh("bridge fdb show; ip neigh show; ip neigh show nud noarp; ip -6 neigh show nud noarp").splitlines()
    return sorted({line.strip() for line in lines if "extern_learn" in line and not line.startswith("fe80:")})


def until(what: t.Callable[[], t.Any], text: str, patience: float = PATIENCE) -> float:
    """Wait until something is so, and return how many seconds that took."""
    begin = time.monotonic()
    while not what():
        if time.monotonic() > begin + patience:
            raise Failed(f"{text}: not within {patience} s")
        time.sleep(0.01)
    return time.monotonic() - begin


class Pings:
    """Pings that go on, one each 20 ms, until they are counted."""

    def __init__(self, host: Place, netns: str, *addresses: str) -> None:
        self._running = {
            address: host.popen(["ip", "netns", "exec", netns, "ping", "-n", "-q", "-i", "0.02", address])
            for address in addresses
        }

    def lost(self) -> dict[str, int]:
        """End them and return how many were not answered, by address.

        That which is on its way at the end is no loss.
        """
        found = {}
        for address, server in self._running.items():
            time.sleep(0.05)  # an answer to the last but one is in by then
            hosts_pid = server.pid
            if hosts_pid:
                signal_to(hosts_pid)
            said = server.process.communicate(timeout=TIMEOUT)[0]
            sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())  # type: ignore[union-attr]
            assert sent > 10, said
            found[address] = max(0, sent - received - 1)
        return found


def signal_to(process: int) -> None:
    """Tell ping to sum up and end."""
    os.kill(process, signal.SIGINT)
