# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Answering a run that changes nothing without planning it.

A run that ended well leaves a note: what it was asked, what it answered, and a
fingerprint of all that its answer rests on. The same question finds the same
answer when everything is read again and is the same to the bit: documents, the
host's settings, links, addresses, routes, firewall generations, files and the
resolvers' answers. Nothing here decides what a difference means: any difference,
or any doubt, leaves the question to the ordinary way.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ..linux import lock, netns
from ..names import ETC_DIRECTORY, FORMER_SETTINGS, RUN_DIRECTORY
from ..observe import snapshot, uplink
from ..observe.snapshot import HostSnapshot, NetnsSnapshot

PATH = RUN_DIRECTORY + "/unchanged"
_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_WAIT_S = 120.0
_SETTINGS = (
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/run/systemd/resolve/resolv.conf",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
    FORMER_SETTINGS,
)


def request_digest(*parts: bytes) -> str:
    """Return what tells one question from another, and one engine from the next."""
    engine = [
        f"{directory}/{name} {os.stat(f'{directory}/{name}').st_mtime_ns}"
        for directory, _below, files in os.walk(_ENGINE)
        for name in files
        if name.endswith(".py")
    ]
    return hashlib.sha256(b"\0".join((*parts, *map(str.encode, sorted(engine))))).hexdigest()


def cached_answer(question: str) -> str | None:
    """Return what the last run answered to the same question, None if anything has changed since."""
    try:
        with open(PATH, encoding="utf-8") as file:
            note = json.loads(file.readline())
            if note["question"] != question:
                return None
            with lock.lock_for_reading(_WAIT_S):
                if _fingerprint(_look(note), note["files"]) != note["fingerprint"] or not _resolvers_answer(note):
                    return None
                return file.read()
    except (OSError, ValueError, KeyError):
        return None


def render_record(
    question: str, sight: HostSnapshot, paths: t.Sequence[str], resolvers: dict[str, str], text: str
) -> str:
    """Return the note of a run that ended well: the paths of its files and its resolvers' digests by name."""
    return (
        json.dumps(
            {
                "question": question,
                "names": list(sight.sandboxes),
                "generations": list(sight.generations),
                "files": list(paths),
                "resolvers": resolvers,
                "fingerprint": _fingerprint(sight, paths),
            }
        )
        + "\n"
        + text
    )


def _look(note: dict[str, t.Any]) -> HostSnapshot:
    asked = set(note["generations"])
    generations: dict[str, int] = {}

    def visit(name: str) -> None:
        if name in asked:
            from ..linux import nft

            generations[name] = nft.generation()

    host = snapshot.read_host()
    inside = snapshot.read_named(note["names"], visit)
    visit("")
    return HostSnapshot(host, inside, generations)


def _fingerprint(sight: HostSnapshot, paths: t.Iterable[str]) -> str:
    found = uplink.read_uplink(sight.host)
    content = [
        _documents(),
        [_text(path) for path in _SETTINGS],
        netns.named(),
        sorted(sight.generations.items()),
        [str(part) for part in found],
        [_space(space) for space in (sight.host, *sight.sandboxes.values())],
        [_status(path) for path in paths],
    ]
    return hashlib.sha256(json.dumps(content, default=bytes.hex).encode()).hexdigest()


def _space(space: NetnsSnapshot) -> tuple[t.Any, ...]:
    links = [row.lasting() for row in space.links.values()]
    return (
        space.netns,
        space.inode,
        links,
        space.addresses,
        space.routes,
        list(space.neighbours),
        list(space.forwarding),
    )


def _documents() -> list[tuple[str, bytes]]:
    found = []
    for directory, _below, files in os.walk(ETC_DIRECTORY):
        for name in files:
            with open(f"{directory}/{name}", "rb") as file:
                found.append((f"{directory}/{name}", file.read()))
    return sorted(found)


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _status(path: str) -> tuple[int, ...]:
    """Return what changes when a file, or the directory that it is in, is touched in any way."""
    status, above = os.lstat(path), os.lstat(os.path.dirname(path))
    return (
        status.st_ino,
        status.st_mode,
        status.st_uid,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        above.st_ino,
        above.st_mtime_ns,
    )


def _resolvers_answer(note: dict[str, t.Any]) -> bool:
    wanted: dict[str, str] = note["resolvers"]
    if not wanted:
        return True
    from ..resolvers import probe

    return probe.answers(list(wanted), 2.0) == wanted and not any(map(probe.is_replaced, wanted))
