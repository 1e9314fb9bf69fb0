# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Answers a run that changes nothing without planning it.

A run that succeeded leaves a record: what it was asked, what it answered, and a fingerprint of everything that its
answer depends on. The same question gets the same answer when everything is read again and is the same to the bit:
documents, the host's settings, links, addresses, routes, nft generations, files and the resolvers' answers. Nothing
here decides what a difference means: any difference, and anything that cannot be read, leaves the question to an
ordinary run.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ..errors import DocklessError
from ..linux import files, lock, netns
from ..names import ETC_DIRECTORY, FORMER_SETTINGS, RUN_DIRECTORY
from ..observe import snapshot, uplink
from ..observe.snapshot import HostSnapshot, NetnsSnapshot

PATH = RUN_DIRECTORY + "/unchanged"
_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LOCK_TIMEOUT_S = 120.0
_ANSWER_TIMEOUT_S = 2.0
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
Record = dict[str, t.Any]


def request_digest(*parts: bytes) -> str:
    """Return a digest of a request and of the engine: a change of any engine file makes recorded answers unusable."""
    files = []
    for directory, _below, names in os.walk(_ENGINE):
        for name in names:
            if name.endswith(".py"):
                path = f"{directory}/{name}"
                files.append(f"{path} {os.stat(path).st_mtime_ns}".encode())
    return hashlib.sha256(b"\0".join((*parts, *sorted(files)))).hexdigest()


def cached_answer(question: str) -> str | None:
    """Return the last run's answer to the same question, None if anything has changed since then."""
    try:
        with open(PATH, encoding="utf-8") as file:
            record = json.loads(file.readline())
            if record["question"] != question:
                return None
            with lock.lock_for_reading(_LOCK_TIMEOUT_S):
                return file.read() if _is_current(record) else None
    except (DocklessError, OSError, ValueError, KeyError):
        return None


def write(question: str, host: HostSnapshot, paths: t.Sequence[str], digests: t.Mapping[str, str], answer: str) -> None:
    """Record the answer of a run that succeeded. paths are its files, digests those of its resolvers by sandbox."""
    record = {
        "question": question,
        "names": list(host.sandboxes),
        "generations": list(host.generations),
        "files": list(paths),
        "resolvers": dict(digests),
        "fingerprint": _fingerprint(host, paths),
    }
    files.write(PATH, json.dumps(record) + "\n" + answer, 0o600)


def remove() -> None:
    """Remove the record, if there is one."""
    if files.read(PATH) is not None:
        files.remove(PATH)


def _is_current(record: Record) -> bool:
    is_same_host = _fingerprint(_read_host(record), record["files"]) == record["fingerprint"]
    return is_same_host and _resolvers_answer(record["resolvers"])


def _read_host(record: Record) -> HostSnapshot:
    """Read the host again, and nft's generation in the same namespaces as then."""
    with_table = set(record["generations"])
    generations: dict[str, int] = {}

    def visit(name: str) -> None:
        if name in with_table:
            from ..linux import nft

            generations[name] = nft.generation()

    host = snapshot.read_host()
    sandboxes = snapshot.read_named(dict.fromkeys(record["names"], ()), (), visit)
    visit("")
    return HostSnapshot(host, sandboxes, generations)


def _fingerprint(host: HostSnapshot, paths: t.Iterable[str]) -> str:
    content = [
        _documents(),
        [_content(path) for path in _SETTINGS],
        netns.named(),
        sorted(host.generations.items()),
        [str(part) for part in uplink.read_uplink(host.host)],
        [_lasting(one) for one in (host.host, *host.sandboxes.values())],
        [_status(path) for path in paths],
    ]
    return hashlib.sha256(json.dumps(content, default=bytes.hex).encode()).hexdigest()


def _lasting(one: NetnsSnapshot) -> tuple[object, ...]:
    """Return the parts of a namespace that stay equal unless someone changes them."""
    links = [row.lasting() for row in one.links.values()]
    return (
        one.netns,
        one.inode,
        one.cookie,
        links,
        one.addresses,
        one.routes,
        list(one.neighbours),
        list(one.forwarding),
    )


def _documents() -> list[tuple[str, bytes]]:
    found = []
    for directory, _below, names in os.walk(ETC_DIRECTORY):
        for name in names:
            path = f"{directory}/{name}"
            with open(path, "rb") as file:
                found.append((path, file.read()))
    return sorted(found)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _status(path: str) -> tuple[int, ...]:
    """Return a value that differs after every change of a file or of the directory that it is in."""
    status, above = os.lstat(path), os.lstat(os.path.dirname(path))
    own = (status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return (*own, above.st_ino, above.st_mtime_ns)


def _resolvers_answer(digests: dict[str, str]) -> bool:
    """Return whether each resolver answers with the digest of its configuration, and runs the installed program."""
    if not digests:
        return True
    from ..resolvers import probe

    is_answered = probe.answers(list(digests), _ANSWER_TIMEOUT_S) == digests
    return is_answered and not any(probe.is_replaced(sandbox) for sandbox in digests)
