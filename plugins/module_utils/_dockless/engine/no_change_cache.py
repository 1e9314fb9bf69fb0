# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Answers a run that changes nothing without planning it.

A run that succeeded leaves a record: what it was asked, what it answered, and a fingerprint of everything that its
answer depends on. The same question gets the same answer when everything is read again and is the same to the bit:
documents, the host's settings, links, addresses, routes, nft generations, files, directories and the resolvers'
answers. Nothing here decides what a difference means: any difference, and anything that cannot be read, leaves the
question to an ordinary run.

The fingerprint is of what the run has seen, and not of what is there when the record is written: somebody else may
change a file in between. Settings are read before the run decides anything (Basis), files before their content is.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import typing as t

from ..linux import files, lock, netns, session
from ..linux.systemd import RUNTIME_UNITS
from ..names import DNS_DIRECTORY, ETC_DIRECTORY, FORMER_SETTINGS, NETNS_ETC_DIRECTORY, RUN_DIRECTORY
from ..observe import snapshot, uplink
from ..observe.snapshot import HostSnapshot, NetnsSnapshot

PATH = RUN_DIRECTORY + "/unchanged"
_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ANSWER_TIMEOUT_S = 2.0
_CLOCK_STEP_NS = 20_000_000  # times of files are those of the last tick: up to 10 ms ago
_SETTINGS = (
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/passwd",  # the account of dnsmasq
    "/etc/group",
    "/run/systemd/resolve/resolv.conf",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/sys/net/ipv4/ip_local_reserved_ports",
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/proc/sys/net/bridge/bridge-nf-call-ip6tables",
    FORMER_SETTINGS,
)
_PRESENCE = ("/run/systemd/system", "/proc/thread-self/net/if_inet6", "/usr/sbin/dnsmasq", "/usr/bin/dnsmasq")
Record = dict[str, t.Any]
Status = tuple[t.Any, ...]  # of a file or directory, path first


class Files(t.NamedTuple):
    """The status of each managed file and directory, and of the files in their directories that nobody manages.

    is_settled is whether a further change of any would show: no file was changed within the clock's last step.
    """

    rows: list[Status]
    is_settled: bool


NO_FILES = Files([], False)
# Documents, settings and files, each read before the run has used them.
Before = tuple[dict[str, list[t.Any]], list[t.Any], Files]


def request_digest(*parts: bytes) -> str:
    """Return a digest of a request and of the engine: a change of any engine file makes recorded answers unusable."""
    files_of_engine = []
    for directory, _below, names in os.walk(_ENGINE):
        for name in names:
            if name.endswith(".py"):
                path = f"{directory}/{name}"
                files_of_engine.append(f"{path} {os.stat(path).st_mtime_ns}".encode())
    return hashlib.sha256(b"\0".join((*parts, *sorted(files_of_engine)))).hexdigest()


def cached_answer(question: str) -> str | None:
    """Return the last run's answer to the same question, None if anything has changed since then.

    A record of any other shape, and a run that holds the lock, are left to the ordinary run: it waits, and reports.
    """
    try:
        first, _newline, answer = files.read_host_file(PATH).decode().partition("\n")
        record = json.loads(first)
        if record["question"] != question:
            return None
        with lock.lock_for_reading(0):
            is_current = _is_current(record)
        return answer if is_current and isinstance(json.loads(answer), dict) else None
    except Exception:  # a cache is never a reason to fail
        return None


def settings() -> list[t.Any]:
    """Return what the facts of a run are read from, apart from netlink. Read it before the facts."""
    peers = [str(peer) for peer in session.peers()]
    return [[_content(path) for path in _SETTINGS], [os.path.exists(path) for path in _PRESENCE], peers]


def statuses() -> Files:
    """Return the status of files and directories. Read it before their content."""
    rows: list[Status] = []
    for root in (DNS_DIRECTORY, NETNS_ETC_DIRECTORY):
        _collect(root, rows)
    for path in (RUN_DIRECTORY, ETC_DIRECTORY, *_units_and_drop_ins()):
        rows += _status_rows(path)
    newest = max((row[-1] for row in rows if len(row) > _DIRECTORY_ROW), default=0)
    return Files(sorted(rows), newest + _CLOCK_STEP_NS < time.time_ns())


def _units_and_drop_ins() -> t.Iterator[str]:
    """Yield the paths of dockless's files in directories of the system."""
    for directory in (RUNTIME_UNITS, files.DROP_INS):
        if os.path.isdir(directory):
            yield from (f"{directory}/{name}" for name in os.listdir(directory) if name.startswith("dockless"))


def documents() -> dict[str, list[t.Any]]:
    """Return mode and content of each file below /etc/dockless, and the mode of each directory, by path."""
    found: dict[str, list[t.Any]] = {}
    for directory, _below, names in os.walk(ETC_DIRECTORY):
        found[directory] = [_mode(directory)]
        for name in names:
            path = f"{directory}/{name}"
            found[path] = [_mode(path), _content(path)]
    return found


def write(question: str, host: HostSnapshot, before: Before, digests: t.Mapping[str, str], answer: str) -> None:
    """Record the answer of a run that succeeded. digests are those of its resolvers by sandbox."""
    record = {
        "question": question,
        "names": list(host.sandboxes),
        "generations": list(host.generations),
        "resolvers": dict(digests),
        "fingerprint": _fingerprint(host, before),
    }
    files.write(PATH, json.dumps(record) + "\n" + answer, 0o600)


def remove() -> None:
    """Remove the record, if there is one."""
    if os.path.lexists(PATH):
        files.remove(PATH)


def _is_current(record: Record) -> bool:
    present = (documents(), settings(), statuses())
    is_same_host = _fingerprint(_read_host(record), present) == record["fingerprint"]
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


def _fingerprint(host: HostSnapshot, found: Before) -> str:
    found_documents, found_settings, found_files = found
    content = [
        sorted(found_documents.items()),
        found_settings,
        netns.named(),
        sorted(host.generations.items()),
        [str(part) for part in uplink.read_uplink(host.host)],
        [_lasting(one) for one in (host.host, *host.sandboxes.values())],
        found_files.rows,
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


def _content(path: str) -> bytes:
    try:
        return files.read_host_file(path)
    except OSError:
        return b""


def _mode(path: str) -> list[int]:
    status = os.lstat(path)
    return [status.st_mode, status.st_uid]


_DIRECTORY_ROW = 4


def _collect(directory: str, rows: list[Status]) -> None:
    """Add the status of a directory and of everything below it."""
    rows += _status_rows(directory)
    try:
        with os.scandir(directory) as entries:
            found = list(entries)
    except FileNotFoundError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            _collect(entry.path, rows)
        elif not entry.name.endswith(".pid"):  # systemd may have started a resolver again
            rows += _status_rows(entry.path)


def _status_rows(path: str) -> list[Status]:
    """Return a row that differs after every change of a file. What a directory holds has rows of its own."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return []
    row = (path, status.st_ino, status.st_mode, status.st_uid)
    if stat.S_ISDIR(status.st_mode):
        return [row]
    return [(*row, status.st_size, status.st_mtime_ns, status.st_ctime_ns)]


def _resolvers_answer(digests: dict[str, str]) -> bool:
    """Return whether each resolver answers with the digest of its configuration, and runs the installed program."""
    if not digests:
        return True
    from ..resolvers import probe

    is_answered = probe.answers(list(digests), _ANSWER_TIMEOUT_S) == digests
    return is_answered and not any(probe.is_replaced(sandbox) for sandbox in digests)
