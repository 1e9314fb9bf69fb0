# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs nft(8): dockless's tables, read, replaced and compared as text.

"The table" is table inet dockless and, on a host, also table bridge dockless. Both are loaded in one transaction.

Everything happens in the network namespace of the calling thread. The exchange format is nft's text and not its JSON,
because nft before 1.0.7 cannot load its own JSON for maps with concatenated values.
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
from . import files, netns, programs
from .netlink import NETLINK_NETFILTER
from .programs import Output, Remedies

CANONICAL_DIRECTORY = RUN_DIRECTORY + "/canonical"
DETOUR = "dockless-detour"
FAMILIES = ("inet", "bridge")
_TABLE = "inet " + TABLE
_TIMEOUT_S = 300.0  # a table of many thousand ports takes minutes on a slow machine
_REMEDIES = Remedies("Install the package nftables.", "Check whether nft hangs, then run again.")
_LINE_OF_ERROR = re.compile(r"^(?:/dev/stdin|-|<stdin>):(\d+):\d", re.MULTILINE)
_CANONICAL_LIMIT = 32
_TABLE_BEGIN = re.compile(rf"\s*table ({'|'.join(FAMILIES)}) {TABLE} \{{")
_TOKEN = re.compile(r'"[^"]*"|#[^\n]*|[{}]')
_ABSENT = "No such file or directory"

_GETGEN = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_NEWGEN = 10 << 8 | 15
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_NFTA_GEN_ID = 1


def run_nft(arguments: t.Sequence[str], script: str = "") -> Output:
    """Run nft with a script on standard input. The exit status is the caller's to check.

    Raises DocklessError if nft is not installed or does not end.
    """
    output = programs.run(["nft", *arguments], stdin=script, timeout_s=_TIMEOUT_S, check=False, remedies=_REMEDIES)
    return output._replace(stdout="") if output.status else output  # a crash leaves half of a listing


def listing(netns_name: str = "", families: t.Sequence[str] = FAMILIES) -> str:
    """Return dockless's tables as nft lists them, "" if there are none.

    netns_name: "" stands for the namespace of the calling thread. Each family is a process. A caller that knows that a
    namespace has only one family names it in families.
    """
    with netns.entered_named(netns_name):
        return _list_tables(families)


def replace(text: str) -> None:
    """Replace the table in one transaction; "" deletes it.

    Raises DocklessError with nft's message and the lines that it is about. Then nothing has changed.
    """
    if text:
        _check_bounds(text)
    # "destroy" needs Linux 6.3 and nft 1.0.8
    families = _families_in(text) or FAMILIES
    deletions = "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in families)
    _load(deletions + text)


def detour(text: str) -> None:
    """Load the text, which is table inet DETOUR, beside the table; "" deletes it.

    Raises DocklessError as replace() does.
    """
    _load(f"table inet {DETOUR}\ndelete table inet {DETOUR}\n{text}")


def canonical(text: str) -> str:
    """Return the text as nft would list it, so that it can be compared with listing().

    The result comes from CANONICAL_DIRECTORY or from a temporary namespace. This function writes nothing, so a run in
    check mode may call it. Raises DocklessError as replace() does.
    """
    if not text:
        return ""
    form = cached_listing(names.text_digest(text))
    if form:
        return form
    _check_bounds(text)
    with netns.temporary_namespace():
        _load(text)
        # A second process: a "list" in the same script shows the state before the script.
        return _list_tables(_families_in(text))


def cached_listing(digest: str) -> str:
    """Return the canonical form of the text with this digest, "" if it is not cached."""
    try:
        with open(_canonical_path(digest), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def cache_listing(text: str, form: str) -> None:
    """Keep a canonical form for later runs. Only the latest _CANONICAL_LIMIT are kept: the directory is a tmpfs."""
    files.write(_canonical_path(names.text_digest(text)), form, 0o600)
    newest_first = sorted(files.listed(CANONICAL_DIRECTORY), key=lambda path: os.lstat(path).st_mtime_ns, reverse=True)
    for path in newest_first[_CANONICAL_LIMIT:]:
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


def _canonical_path(digest: str) -> str:
    return f"{CANONICAL_DIRECTORY}/{names.text_digest(_nft_identity() + digest)}"


@functools.lru_cache(maxsize=1)
def _nft_identity() -> str:
    """Return a text that identifies this nft and kernel: another version may list the same table differently."""
    release = os.uname().release
    path = programs.find_program("nft")
    if not path:
        return release
    status = os.stat(path)
    return f"{release} {status.st_size} {status.st_mtime_ns}\n"


def _families_in(text: str) -> list[str]:
    """Return the families of the tables that a text defines."""
    return [family for family in FAMILIES if re.search(rf"^table {family} {TABLE} \{{", text, re.MULTILINE)]


def _list_tables(families: t.Sequence[str]) -> str:
    """Return the tables of these families.

    A process for each: of several lists in one script, nft 1.0.6 prints only the last.
    """
    return "".join(map(_list_table, families))


def _list_table(family: str) -> str:
    output = run_nft(["-s", "list", "table", family, TABLE])
    if not output.status:
        return output.stdout
    if _ABSENT in output.stderr:
        return ""
    raise DocklessError(f"nft cannot list table {family} {TABLE}: {output.reason}")


def _check_bounds(text: str) -> None:
    """Raise DocklessError if the text holds more than dockless's tables, as a name with braces in it could cause."""
    families: list[str] = []
    rest = text
    while rest.strip():
        begin, end = _TABLE_BEGIN.match(rest), _end_of_block(rest)
        if not begin or not end or begin.group(1) in families:
            families = []
            break
        families.append(begin.group(1))
        rest = rest[end:]
    if families not in ([FAMILIES[0]], [FAMILIES[1]], list(FAMILIES)):
        raise DocklessError(
            f"a firewall text that is not exactly table {_TABLE} was not loaded",
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


def _load(script: str) -> None:
    output = run_nft(["-f", "-"], script)
    if output.status:
        context = _context(output.stderr, script)
        raise DocklessError(f"nft refused table {_TABLE}: {output.reason}{context}")


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
