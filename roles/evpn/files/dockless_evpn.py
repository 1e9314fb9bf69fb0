# SPDX-License-Identifier: GPL-3.0-or-later
# Written by the role dockless.network.evpn; evpn_state=absent takes it away.
"""What FRR does not do by itself around EVPN on a host with overlay networks.

    dockless-evpn start COMMAND ...   clear, then become COMMAND: FRR starts zebra by it
    dockless-evpn clear               remove what a routing daemon left behind on our overlay networks
    dockless-evpn freeze              end zebra so that all entries stay; nobody restarts it
    dockless-evpn wait N SECONDS      wait for N sessions, and until FRR has taken over each static entry; print how far it is

zebra never removes what a killed zebra has left: such an entry would lead to a host that is gone, for ever. Only vxlan
devices of ours (link group 25707) and the bridges that they are ports of are looked at. An entry is kept when its
MAC has a permanent neighbour of ours (protocol 213), because then it is static and the engine's.
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
PID_FILES = ("/run/frr/watchfrr.pid", "/run/frr/zebra.pid")  # the watchdog first, or it would start the other one again

Row = dict[str, t.Any]


def show(*words: str) -> list[Row]:
    """Return what iproute2 prints as JSON; nothing is an empty list."""
    text = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [row for row in json.loads(text or "[]") if row]


def batch(program: t.Sequence[str], lines: t.Sequence[str]) -> None:
    """Run commands of ip or bridge; one whose object has gone meanwhile is no error."""
    if lines:
        subprocess.run(
            [*program, "-force", "-batch", "-"],
            input="\n".join(lines) + "\n",
            text=True,
            check=False,
            stderr=subprocess.DEVNULL,
        )


def devices() -> list[tuple[str, str]]:
    """Return our vxlan devices that are ports of a bridge, with that bridge."""
    rows = show("ip", "-json", "link", "show", "group", GROUP, "type", "vxlan")
    return [(row["ifname"], row["master"]) for row in rows if "master" in row]


def neighbours(bridge: str) -> list[Row]:
    """Return a bridge's neighbours of both families."""
    return show("ip", "-json", "neighbour", "show", "dev", bridge) + show(
        "ip", "-json", "neighbour", "show", "dev", bridge, "nud", "noarp"
    )


def is_learned(row: Row) -> bool:
    """Return whether a routing daemon made or took over an entry."""
    return "extern_learn" in row or "extern_learn" in row.get("flags", ())


def is_local(row: Row) -> bool:
    """Return whether a row is a device's own address, not an entry for somebody elsewhere."""
    return row.get("state") == "permanent" and "dst" not in row or row["mac"].startswith(("33:33:", "01:00:5e:"))


def clear() -> None:
    """Remove the neighbours and forwarding entries of routing daemons."""
    addresses, entries = [], []
    for device, bridge in devices():
        known = neighbours(bridge)
        addresses += [
            f"neighbour del {row['dst']} dev {bridge}" for row in known if "lladdr" in row and is_learned(row)
        ]
        ours = {row["lladdr"] for row in known if row.get("protocol") == PROTOCOL and "PERMANENT" in row["state"]}
        for row in show("bridge", "-json", "fdb", "show", "dev", device):
            if row["mac"] not in ours and not is_local(row):
                where = f"dst {row['dst']} self" if "dst" in row else "master"
                entries.append(f"fdb del {row['mac']} dev {device} {where}")
    batch(["ip"], addresses)
    batch(["bridge"], entries)


def left() -> int:
    """Return how many static entries FRR has not taken over."""
    count = 0
    for device, _bridge in devices():
        rows = show("bridge", "-json", "fdb", "show", "dev", device)
        count += sum("master" in row and not is_learned(row) and not is_local(row) for row in rows)
    return count


def sessions() -> int:
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
    """Wait for sessions and adoption, and print both counts as JSON."""
    end = time.monotonic() + seconds
    while True:
        found = {"sessions": sessions(), "static": left()}
        if found["sessions"] >= needed and not found["static"] or time.monotonic() > end:
            print(json.dumps(found))
            return
        time.sleep(0.1)


def freeze() -> None:
    """End the watchdog and zebra so that neither can tidy up."""
    for path in PID_FILES:
        try:
            with open(path, encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGKILL)
            os.unlink(path)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            continue


def main(words: t.Sequence[str]) -> None:
    """Run once."""
    if words[:1] == ["start"] and words[1:]:
        try:
            clear()
        except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
            print(f"dockless-evpn: what an earlier zebra left behind may still be there: {error}", file=sys.stderr)
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
