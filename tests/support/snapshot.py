# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is like, as sorted lines by kind, so that two moments can be compared.

Runs inside the host and prints JSON: python3 snapshot.py [--cheap]. What changes by itself
(counters, timers, caches) is left out, as are directories without files in them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import typing as t

Snapshot = dict[str, list[str]]

OUR_PLACES = (
    "/run/dockless",
    "/run/netns",
    "/etc/dockless",
    "/etc/netns",
    "/var/lib/dockless",
    "/usr/local/lib/dockless",
    "/etc/sysctl.d",
    "/run/sysctl.d",
    "/etc/systemd",
)
LINK_FIELDS = ("ifname", "mtu", "address", "master", "group", "ifalias", "link_type")
ROUTE_FIELDS = ("type", "dst", "gateway", "dev", "table", "protocol", "scope", "prefsrc", "metric")
# They count or cache, or belong to modules that the kernel loads by itself at the first use.
RESTLESS_SYSCTLS = ("netfilter/nf_conntrack_count", "ipv4/tcp_fastopen_key", "ipv4/route/", "ipv6/route/flush")
_ELEMENTS = re.compile(r"elements = \{ ([^{}]*) \}")
LAZY_SYSCTLS = ("netfilter/", "bridge/", "nf_conntrack_max")


def take(cheap: bool = False) -> Snapshot:
    """Return the snapshot of the host this process is in.

    Cheap leaves out what takes long or moves on a busy machine.
    """
    found = {"netns": _netns(), **_network([])}
    for name in found["netns"]:
        for kind, lines in _network(["-n", name]).items():
            found[f"{kind} of netns {name}"] = lines
    found["file"] = _files()
    if not cheap:
        found.update(sysctl=_sysctls(), mount=_mounts(), process=_processes())
    return found


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """Return a line for everything that came or went."""
    lines = []
    for kind in sorted({*before, *after}):
        was, now = before.get(kind, []), after.get(kind, [])
        lines += [f"{kind}: gone: {line}" for line in _without(was, now)]
        lines += [f"{kind}: new: {line}" for line in _without(now, was) if not _is_lazy(kind, line)]
    return lines


def _without(these: list[str], those: list[str]) -> list[str]:
    rest = list(those)
    return [line for line in these if line not in rest or rest.remove(line)]  # a list, not a set: processes repeat


def _is_lazy(kind: str, line: str) -> bool:
    return kind == "sysctl" and line.startswith(LAZY_SYSCTLS)


def _network(where: list[str]) -> Snapshot:
    links = _ip(where, "-details", "link", "show")
    nft = ["ip", "netns", "exec", where[1]] if where else []
    return {
        "link": [_line(x, LINK_FIELDS) + _flags(x) for x in links],
        "address": [
            f"{x['ifname']} {a['local']}/{a['prefixlen']}"
            for x in _ip(where, "address", "show")
            for a in x.get("addr_info", ())
            if not a.get("dynamic")
        ],
        "route": [
            _line(x, ROUTE_FIELDS)
            for family in ("-4", "-6")
            for x in _ip(where, family, "route", "show", "table", "all")
        ],
        "rule": [json.dumps(x) for family in ("-4", "-6") for x in _ip(where, family, "rule", "show")],
        "neighbour": [_line(x, ("dst", "dev", "lladdr")) for x in _ip(where, "neighbour", "show", "nud", "permanent")],
        "nft": _sorted_elements(_out(*nft, "nft", "--stateless", "list", "ruleset")).splitlines(),
    }


def _sorted_elements(ruleset: str) -> str:
    """Return a listing with the elements of each set in one order: the kernel keeps that in which they were added."""

    def in_order(found: re.Match[str]) -> str:
        elements = " ".join(found[1].split()).split(", ")
        return f"elements = {{ {', '.join(sorted(elements))} }}"

    return _ELEMENTS.sub(in_order, ruleset)


def _flags(link: dict[str, t.Any]) -> str:
    kept = [flag for flag in link.get("flags", ()) if flag not in ("LOWER_UP", "NO-CARRIER", "M-DOWN")]
    return f" {link.get('linkinfo', {}).get('info_kind', '')} {','.join(sorted(kept))}"


def _line(thing: dict[str, t.Any], fields: t.Sequence[str]) -> str:
    return " ".join(f"{field}={thing[field]}" for field in fields if field in thing)


def _ip(where: list[str], *words: str) -> list[dict[str, t.Any]]:
    return json.loads(_out("ip", "-json", *where, *words) or "[]")


def _out(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def _netns() -> list[str]:
    try:
        return sorted(os.listdir("/run/netns"))
    except FileNotFoundError:
        return []


def _files() -> list[str]:
    return sorted(
        os.path.join(directory, name)
        for place in OUR_PLACES
        for directory, _directories, names in os.walk(place)
        for name in names
        if name != "lock"
    )


def _sysctls() -> list[str]:
    root = "/proc/sys/net/"
    found = []
    for directory, _directories, names in os.walk(root):
        for path in (os.path.join(directory, name) for name in names):
            key = path[len(root) :]
            if key.startswith(RESTLESS_SYSCTLS):
                continue
            try:
                with open(path, encoding="utf-8") as file:
                    found.append(f"{key} = {file.read().strip()}")
            except OSError:
                continue  # write-only, or not set yet
    return sorted(found)


def _mounts() -> list[str]:
    """Return mount points; /run/netns itself stays shared for good, as ip-netns(8) leaves it."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split(" ")[4] for line in file]
    return sorted(point for point in points if point != "/run/netns")


def _processes() -> list[str]:
    mine = {os.getpid(), os.getppid()} if os.getppid() != 1 else {os.getpid()}
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # ended meanwhile
        # Kernel threads and zombies have no command; Ansible's watch over an asynchronous task outlives the task by
        # seconds.
        if command and pid not in mine and "/async_wrapper.py " not in command:
            found.append(command)
    return sorted(found)


if __name__ == "__main__":
    print(json.dumps(take(cheap="--cheap" in sys.argv)))
