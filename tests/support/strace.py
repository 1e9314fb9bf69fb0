# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run sends and writes, seen by strace(1): every change that it asks the kernel for, and nothing that it only
reads.

Messages of every netlink socket are distinguished by their numbers, changes being all that is not known for a
question. What goes to a nameless scratch namespace of the run itself is no change to the host.
"""

from __future__ import annotations

import json
import re
import typing as t

from support.private_host import PYTHON, PrivateHost

_LOG = "/run/strace"
_CALLS = (
    "socket,close,dup,dup2,dup3,sendto,sendmsg,sendmmsg,ioctl,setsockopt,open,openat,openat2,creat,mkdir,"
    "mkdirat,rmdir,unlink,unlinkat,rename,"
    "renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,truncate,ftruncate,chmod,fchmod,"
    "fchmodat,chown,fchown,lchown,fchownat,"
    "utimensat,setxattr,lsetxattr,fsetxattr,mount,umount2,move_mount,unshare,setns,clone,clone3,fork,"
    "vfork,kill,tkill,tgkill,pidfd_send_signal"
)
_CHANGES = frozenset(
    (
        "creat",
        "mkdir",
        "mkdirat",
        "rmdir",
        "unlink",
        "unlinkat",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
        "mknod",
        "mknodat",
        "truncate",
        "ftruncate",
        "chmod",
        "fchmod",
        "fchmodat",
        "chown",
        "fchown",
        "lchown",
        "fchownat",
        "utimensat",
        "setxattr",
        "lsetxattr",
        "fsetxattr",
        "mount",
        "umount2",
        "move_mount",
        "openat2",
        "kill",
        "tkill",
        "tgkill",
        "pidfd_send_signal",
    )
)
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\Z")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>.* = (-?\d+)")
_RESULT = re.compile(r"\) += (-?\d+|0x[0-9a-f]+)[^=]*\Z")
_MESSAGE = re.compile(r"nlmsg_len=(\d+|0x[0-9a-f]+), nlmsg_type=(?:(0x[0-9a-f]+)<<8\|)?(0x[0-9a-f]+|\d+)")
_NUMBER = re.compile(r"(?:0x[0-9a-f]+|-?\d+)(?:\|0x[0-9a-f]+)*")  # flags are shown with a bar between the bits
_SIZE = re.compile(r"\], (\d+), (?:0|0x[0-9a-f]+), (?:NULL|\{sa_family)")
_NETLINK, _ROUTE, _SOCK_DIAG, _NETFILTER = 16, 0, 4, 12
_NFT_QUESTIONS = frozenset(
    0xA00 | number for number in (1, 4, 7, 10, 13, 16, 19, 23)
)  # NFT_MSG_GET*, linux/netfilter/nf_tables.h
_IOCTL_QUESTIONS = frozenset((0x8912, 0x8913, 0x8915, 0x8921, 0x8927, 0x8933, 0x8910))  # SIOCGIF*
_O_WRITES = 0x3 | 0x40 | 0x200  # O_ACCMODE, O_CREAT, O_TRUNC
_NEWNET, _CLONE_FILES = 0x40000000, 0x400
_ALLOWED = ('"/dev/null"', '"/dev/tty"', '"lock"')


class Traced(t.NamedTuple):
    """The answer of a run and the lines of the trace that change something."""

    answer: dict[str, t.Any]
    changes: list[str]
    questions: int  # netlink messages that only ask: a trace without any has seen nothing


def run(host: PrivateHost, *argv: str, document: t.Mapping[str, t.Any] | None = None) -> Traced:
    """Run the engine under strace. It must start no resolver: strace waits for every process that it follows."""
    done = host.run(
        [
            "strace",
            "-f",
            "-qq",
            "-v",
            "-X",
            "raw",
            "-s",
            "512",
            "-o",
            _LOG,
            "-e",
            "trace=" + _CALLS,
            PYTHON,
            "-m",
            "_dockless.cli",
            *argv,
        ],
        input=json.dumps(document or {}),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )
    log = host.read(_LOG)
    host.sh(f"rm {_LOG}")
    changes, questions = changes_in(log)
    return Traced(json.loads(done.stdout), changes, questions)


def changes_in(log: str) -> tuple[list[str], int]:
    """Return the calls of a trace that change something, and how many netlink messages only ask."""
    reader = _Reader()
    for line in log.splitlines():
        reader.read(line)
    return reader.changes, reader.questions


class _Reader:
    def __init__(self) -> None:
        self.changes: list[str] = []
        self.questions = 0
        self._scratch: dict[str, bool] = {}  # process -> whether it is in a namespace that it made just now
        self._sockets: dict[
            str, dict[int, tuple[int, bool]]
        ] = {}  # process -> descriptor -> protocol, whether of a scratch
        self._begun: dict[str, str] = {}  # calls that have not returned
        self._arguments: dict[str, str] = {}

    def read(self, line: str) -> None:
        resumed = _RESUMED.match(line)
        if resumed:
            pid, call, result = resumed.groups()
            self._begun.pop(pid, "")
            self._returned(pid, call, self._arguments.pop(pid, ""), int(result))
            return
        called = _CALL.match(line)
        if not called:
            assert "+++" in line or "---" in line, "strange line of strace: " + line
            return
        pid, call, rest = called.groups()
        if pid not in self._sockets:
            self._born(
                pid,
                [parent for parent, before in self._begun.items() if before in ("clone", "clone3", "fork", "vfork")],
            )
        self._entered(pid, call, rest, line)
        result = _RESULT.search(rest)
        if result and "<unfinished" not in rest:
            self._returned(pid, call, rest, int(result.group(1), 0))
        else:
            self._begun[pid], self._arguments[pid] = call, rest

    def _entered(self, pid: str, call: str, rest: str, line: str) -> None:
        words = [word.strip() for word in rest.split(",")]
        if call in _CHANGES:
            self.changes.append(line)
            if (
                call == "mount"
            ):  # it may get a name here, and what is sent by the sockets that are there is a change from now on
                self._scratch[pid] = False
                self._sockets[pid] = {
                    descriptor: (protocol, False) for descriptor, (protocol, _scratch) in self._sockets[pid].items()
                }
        elif call in ("open", "openat"):
            flags = _NUMBER.search(rest, rest.rindex('"'))
            assert flags, "an open without flags: " + line
            if _number(flags.group()) & _O_WRITES and not any(name in rest for name in _ALLOWED):
                self.changes.append(line)
        elif (
            (
                call == "ioctl"
                and int(words[1].split(")")[0], 0) >> 8 == 0x89
                and int(words[1], 0) not in _IOCTL_QUESTIONS
            )
            or call == "setsockopt"
            and int(words[1], 0) in (0, 41, 255)
            and int(words[2], 0) >= 64
        ):
            self.changes.append(line)
        elif call in ("sendto", "sendmsg", "sendmmsg"):
            self._sent(pid, call, int(words[0]), rest, line)

    def _sent(self, pid: str, call: str, descriptor: int, rest: str, line: str) -> None:
        known = self._sockets.get(pid, {}).get(descriptor)
        found = [
            (int(length, 0), int(system or "0", 0) << 8 | int(kind, 0))
            for length, system, kind in _MESSAGE.findall(rest)
        ]
        if known is None:
            assert not found, "a netlink socket from nowhere: " + line
            return
        protocol, scratch = known
        assert found, "a netlink message that strace does not show: " + line
        if call == "sendto":  # every byte is one that was looked at
            size = _SIZE.search(rest)
            assert size and sum((length + 3) & ~3 for length, kind in found) >= int(size.group(1)), (
                "strace shows a part only: " + line
            )
        changing = [kind for length, kind in found if not _is_question(protocol, kind)]
        if changing and not scratch:
            self.changes.append(line)
        self.questions += len(found) - len(changing)

    def _returned(self, pid: str, call: str, rest: str, result: int) -> None:
        if result < 0:
            return
        sockets = self._sockets.setdefault(pid, {})
        words = _NUMBER.findall(rest)
        numbers = (
            [_number(word) for word in words[:3]]
            if call in ("socket", "close", "dup", "dup2", "dup3", "unshare")
            else []
        )
        if call == "socket" and numbers[0] == _NETLINK:
            sockets[result] = numbers[2], self._scratch.get(pid, False)
        elif call in ("socket", "open", "openat"):
            sockets.pop(result, None)
        elif call == "close":
            sockets.pop(numbers[0], None)
        elif call in ("dup", "dup2", "dup3") and numbers[0] in sockets:
            sockets[result] = sockets[numbers[0]]
        elif call == "unshare" and numbers[0] & _NEWNET:
            self._scratch[pid] = True
        elif call == "setns":
            self._scratch[pid] = False
        elif call in ("clone", "clone3", "fork", "vfork") and str(result) not in self._sockets:
            self._born(str(result), [pid])

    def _born(self, pid: str, parents: t.Sequence[str]) -> None:
        """Let a process begin with what its parent has; a thread shares it."""
        assert len(parents) <= 1, "several processes fork at once, so strace does not tell whose child this is"
        self._scratch[pid] = bool(parents) and self._scratch.get(parents[0], False)
        known = self._sockets.get(parents[0], {}) if parents else {}
        flags = re.search(r"flags=([0-9a-fx|]+)", self._arguments.get(parents[0], "")) if parents else None
        self._sockets[pid] = known if flags and _number(flags.group(1)) & _CLONE_FILES else dict(known)


def _number(text: str) -> int:
    found = 0
    for part in text.split("|"):
        found |= int(part, 0)
    return found


def _is_question(protocol: int, kind: int) -> bool:
    if protocol == _ROUTE:
        return kind >= 16 and kind % 4 == 2  # RTM_GET*, linux/rtnetlink.h
    if protocol == _NETFILTER:
        return kind in _NFT_QUESTIONS
    return protocol == _SOCK_DIAG and kind == 20
