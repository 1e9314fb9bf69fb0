# SPDX-License-Identifier: GPL-3.0-or-later
# Written by the role dockless.network.evpn; evpn_state=absent removes it.
"""The steps of EVPN on a host with overlay networks that FRR does not do.

    dockless-evpn start COMMAND ...   clear, then execute COMMAND: FRR starts zebra in this way
    dockless-evpn clear               remove the entries that a killed zebra left on overlay networks
    dockless-evpn freeze              kill zebra and its watchdog, so that all entries stay
    dockless-evpn wait N SECONDS      wait until N sessions are established and FRR has taken over each static entry,
                                      then print both counts

zebra does not remove the entries of a killed zebra. They would point to a host that is gone, for ever. Only vxlan
devices of dockless (link group 25707) and their bridges are changed. An entry is kept if its MAC has a permanent
neighbour of dockless (route protocol 213), because it is then a static one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import typing as t

GROUP = "25707"
PROTOCOL = "213"
# The watchdog comes first, because it would restart zebra.
PID_FILES = ("/run/frr/watchfrr.pid", "/run/frr/zebra.pid")

Row = dict[str, t.Any]


def show(*words: str) -> list[Row]:
    """Return the rows of a command of iproute2 with -json, which prints nothing if there are none."""
    text = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [row for row in json.loads(text or "[]") if row]


def batch(program: t.Sequence[str], lines: t.Sequence[str]) -> None:
    """Run commands of ip or bridge. It is no error if an object is already gone."""
    if lines:
        subprocess.run(
            [*program, "-force", "-batch", "-"],
            input="\n".join(lines) + "\n",
            text=True,
            check=False,
            stderr=subprocess.DEVNULL,
        )


def devices() -> list[tuple[str, str]]:
    """Return the vxlan devices of dockless that are ports of a bridge, with the bridge."""
    rows = show("ip", "-json", "link", "show", "group", GROUP, "type", "vxlan")
    return [(row["ifname"], row["master"]) for row in rows if "master" in row]


def neighbours(bridge: str) -> list[Row]:
    """Return a bridge's neighbours of both families."""
    return show("ip", "-json", "neighbour", "show", "dev", bridge) + show(
        "ip", "-json", "neighbour", "show", "dev", bridge, "nud", "noarp"
    )


def is_learned(row: Row) -> bool:
    """Return whether a routing daemon created an entry or took it over."""
    return "extern_learn" in row or "extern_learn" in row.get("flags", ())


def is_local(row: Row) -> bool:
    """Return whether a row is an address of the device itself or a multicast address, not one of a remote sandbox."""
    is_own = row.get("state") == "permanent" and "dst" not in row
    return is_own or row["mac"].startswith(("33:33:", "01:00:5e:"))


def clear() -> None:
    """Remove the neighbours and forwarding entries of routing daemons."""
    addresses, entries = [], []
    for device, bridge in devices():
        rows = neighbours(bridge)
        learned = [row for row in rows if "lladdr" in row and is_learned(row)]
        addresses += [f"neighbour del {row['dst']} dev {bridge}" for row in learned]
        static = {row["lladdr"] for row in rows if row.get("protocol") == PROTOCOL and "PERMANENT" in row["state"]}
        for row in show("bridge", "-json", "fdb", "show", "dev", device):
            if row["mac"] not in static and not is_local(row):
                where = f"dst {row['dst']} self" if "dst" in row else "master"
                entries.append(f"fdb del {row['mac']} dev {device} {where}")
    batch(["ip"], addresses)
    batch(["bridge"], entries)


def count_static() -> int:
    """Return how many static entries FRR has not taken over."""
    count = 0
    for device, _bridge in devices():
        rows = show("bridge", "-json", "fdb", "show", "dev", device)
        count += sum("master" in row and not is_learned(row) and not is_local(row) for row in rows)
    return count


def count_sessions() -> int:
    """Return how many BGP sessions are established."""
    done = subprocess.run(
        ["vtysh", "-c", "show bgp l2vpn evpn summary json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    try:
        peers = json.loads(done.stdout or "{}").get("peers", {})
    except ValueError:
        return 0
    return sum(peer.get("state") == "Established" for peer in peers.values())


def wait(needed: int, seconds: float) -> None:
    """Wait for sessions and for static entries to be taken over. Print both counts as JSON."""
    end = time.monotonic() + seconds
    while True:
        counts = {"sessions": count_sessions(), "static": count_static()}
        is_done = counts["sessions"] >= needed and counts["static"] == 0
        if is_done or time.monotonic() > end:
            print(json.dumps(counts))
            return
        time.sleep(0.1)


def freeze() -> None:
    """Kill the watchdog and zebra, so that zebra cannot remove its entries."""
    for path in PID_FILES:
        try:
            with open(path, encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGKILL)
            os.unlink(path)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            continue


def main(words: t.Sequence[str]) -> None:
    """Run the subcommand."""
    if words[:1] == ["start"] and words[1:]:
        try:
            clear()
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            print(f"dockless-evpn: entries of an earlier zebra may not have been removed: {error}", file=sys.stderr)
        os.execvp(words[1], words[1:])
    elif words == ["clear"]:
        clear()
    elif words == ["freeze"]:
        freeze()
    elif words[:1] == ["wait"] and len(words) == 3:
        wait(int(words[1]), float(words[2]))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
