# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs nft(8): transactions are loaded, never listed (nft_dump.py reads the kernel's tables).

A host has table inet dockless and table bridge dockless, a sandbox table inet dockless. Everything happens in the
network namespace of the calling thread. The exchange format is nft's text and not its JSON, because nft before 1.0.7
cannot load its own JSON for maps with concatenated values.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import struct
import typing as t

from .. import names
from ..errors import DocklessError, KernelError
from ..names import RUN_DIRECTORY, TABLE
from . import files, netns, nft_dump, programs
from .netlink import NETLINK_NETFILTER
from .programs import Output, Remedies

FINGERPRINT_DIRECTORY = RUN_DIRECTORY + "/fingerprints"
DETOUR = "dockless-detour"
_TIMEOUT_S = 300.0  # a table of many thousand ports takes minutes on a slow machine
_REMEDIES = Remedies("Install the package nftables.", "Check whether nft hangs, then run again.")
_LINE_OF_ERROR = re.compile(r"^(?:/dev/stdin|-|<stdin>):(\d+):\d", re.MULTILINE)
_FINGERPRINT_LIMIT = 32
_TABLE_BEGIN = re.compile(rf"\s*table inet {TABLE} \{{")
_TOKEN = re.compile(r'"[^"]*"|#[^\n]*|[{}]')

_GETGEN = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_NEWGEN = 10 << 8 | 15
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_NFTA_GEN_ID = 1


class Ruleset(t.NamedTuple):
    """Tables whose presence is checked: their text, families, and the sets whose elements do not count."""

    text: str
    families: tuple[str, ...]
    data_sets: frozenset[str] = frozenset()

    @classmethod
    def of_sandbox(cls, text: str) -> Ruleset:
        """Return the table of a sandbox."""
        return cls(text, ("inet",))


def run_nft(arguments: t.Sequence[str], script: str = "") -> Output:
    """Run nft with a script on standard input. The exit status is the caller's to check.

    Raises DocklessError if nft is not installed or does not end.
    """
    output = programs.run(["nft", *arguments], stdin=script, timeout_s=_TIMEOUT_S, check=False, remedies=_REMEDIES)
    return output._replace(stdout="") if output.status else output  # a crash leaves half of a listing


def load(script: str) -> None:
    """Load a transaction. Raises DocklessError with nft's message and lines. Then nothing has changed."""
    output = run_nft(["-f", "-"], script)
    if output.status:
        context = _context(output.stderr, script)
        raise DocklessError(f"nft refused table inet {TABLE}: {output.reason}{context}")


def replace(text: str) -> None:
    """Replace a sandbox's table in one transaction; "" deletes it. Raises DocklessError as load() does."""
    if text:
        _check_bounds(text)
    # "destroy" needs Linux 6.3 and nft 1.0.8
    load(f"table inet {TABLE}\ndelete table inet {TABLE}\n{text}")


def detour(text: str) -> None:
    """Load the text, which is table inet DETOUR, beside the table; "" deletes it.

    Raises DocklessError as load() does.
    """
    load(f"table inet {DETOUR}\ndelete table inet {DETOUR}\n{text}")


def reference(ruleset: Ruleset) -> str:
    """Return the fingerprint that a ruleset has on this kernel, to be compared with nft_dump.fingerprint().

    It comes from FINGERPRINT_DIRECTORY, or from a temporary namespace into which the ruleset is loaded. This function
    writes nothing, so a run in check mode may call it. Raises DocklessError as load() does.
    """
    known = _cached_fingerprint(ruleset.text)
    if known:
        return known
    if not ruleset.data_sets:
        _check_bounds(ruleset.text)
    with netns.temporary_namespace():
        load(ruleset.text)
        return nft_dump.fingerprint(ruleset.families, ruleset.data_sets)


def cache_fingerprint(text: str, fingerprint: str) -> None:
    """Keep a fingerprint for later runs. Only the latest _FINGERPRINT_LIMIT are kept: the directory is a tmpfs."""
    files.write(_fingerprint_path(text), fingerprint, 0o600)
    listed = files.listed(FINGERPRINT_DIRECTORY)
    newest_first = sorted(listed, key=lambda path: os.lstat(path).st_mtime_ns, reverse=True)
    for path in newest_first[_FINGERPRINT_LIMIT:]:
        files.remove(path)


def generation() -> int:
    """Return the number that the kernel increments with every change of this namespace's ruleset.

    A netlink request (NFT_MSG_GETGEN, linux/netfilter/nf_tables.h), not a process. Raises KernelError.
    """
    payload = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)  # struct nfgenmsg
    request = struct.pack("=IHHII", 16 + len(payload), _GETGEN, _NLM_F_REQUEST, 1, 0) + payload
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink_socket:
        netlink_socket.bind((0, 0))
        netlink_socket.send(request)
        answer = netlink_socket.recv(65536)
    return _generation_in(answer)


def _cached_fingerprint(text: str) -> str:
    try:
        with open(_fingerprint_path(text), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _fingerprint_path(text: str) -> str:
    return f"{FINGERPRINT_DIRECTORY}/{names.text_digest(_nft_identity() + text)}"


@functools.lru_cache(maxsize=1)
def _nft_identity() -> str:
    """Return a text that identifies this nft and kernel: another version may load the same text differently."""
    release = os.uname().release
    path = programs.find_program("nft")
    if not path:
        return release
    status = os.stat(path)
    return f"{release} {status.st_size} {status.st_mtime_ns}\n"


def _check_bounds(text: str) -> None:
    """Raise DocklessError if the text holds more than the table, as a name with braces in it could cause."""
    begin, end = _TABLE_BEGIN.match(text), _end_of_block(text)
    if not begin or not end or text[end:].strip():
        raise DocklessError(
            f"a firewall text that is not exactly table inet {TABLE} was not loaded",
            "This is a fault of dockless. Report it with the names in your document.",
        )


def _end_of_block(text: str) -> int:
    """Return the offset after the first block in braces, 0 if it has no end."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if token.group() == "}" and depth <= 0:
            return token.end() if depth == 0 else 0
    return 0


def _context(stderr: str, script: str) -> str:
    """Return the lines of the script around the first one that nft complains about, with their numbers."""
    place = _LINE_OF_ERROR.search(stderr)
    if not place:
        return ""
    lines = script.splitlines()
    number = int(place.group(1))
    around = range(max(1, number - 2), min(len(lines), number + 2) + 1)
    return "\nLines of the script:\n" + "\n".join(f"{n:5}  {lines[n - 1][:300]}" for n in around)


def _generation_in(answer: bytes) -> int:
    length, kind = struct.unpack_from("=IH", answer)
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, 16)[0]
        raise KernelError(
            f"the kernel refused to report its nftables generation: {os.strerror(number)}",
            number,
            "Load the kernel module nf_tables.",
        )
    offset = 20  # struct nlmsghdr, struct nfgenmsg
    while kind == _NEWGEN and offset + 4 <= length:
        size, attribute = struct.unpack_from("=HH", answer, offset)
        if attribute == _NFTA_GEN_ID:
            return int(struct.unpack_from(">I", answer, offset + 4)[0])
        offset += max(4, size + 3 & ~3)
    raise DocklessError("the kernel's answer about its nftables generation cannot be read")
