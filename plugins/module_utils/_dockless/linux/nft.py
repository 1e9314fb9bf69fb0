# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs nft(8): our tables, read, replaced and compared as text.

They are table inet dockless, and on a host table bridge dockless beside it, which what is called
the table here includes: both are loaded in one transaction.

Everything happens in the calling thread's namespace; a caller that means another
one enters it first. Text rather than JSON, because nft before 1.0.7 cannot load
its own JSON for maps with concatenated values.
"""

from __future__ import annotations

import functools
import os
import re
import socket
import struct
import subprocess
import typing as t

from .. import names
from ..errors import DocklessError, KernelError
from ..firewall import foreign_chains
from ..firewall.foreign_chains import BlockingChain, Chain
from ..names import RUN_DIRECTORY, TABLE
from . import files, netns
from .netlink import NETLINK_NETFILTER

CANONICAL_DIRECTORY = RUN_DIRECTORY + "/canonical"
DETOUR = "dockless-detour"
_TABLE = "inet " + TABLE
_FAMILIES = ("inet", "bridge")
_ENVIRONMENT = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin", "LC_ALL": "C"}
_PLACE = re.compile(r"^(?:/dev/stdin|-|<stdin>):(\d+):\d", re.MULTILINE)
_CANONICAL_LIMIT = 32
_BEGIN = re.compile(rf"\s*table ({'|'.join(_FAMILIES)}) {TABLE} \{{")
_TOKEN = re.compile(r'"[^"]*"|#[^\n]*|[{}]')
_ABSENT = "No such file or directory"

_GETGEN = 10 << 8 | 16  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETGEN
_NEWGEN = 10 << 8 | 15
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_NFTA_GEN_ID = 1


def listing(netns_name: str = "", families: t.Sequence[str] = _FAMILIES) -> str:
    """Return our tables of a named namespace ("": the calling thread's) as nft lists them, "" if it has none.

    A caller that knows that a namespace can have but one spares a process.
    """
    with netns.entered_named(netns_name):
        return _listing(families)


def replace(text: str) -> None:
    """Put the table in place of whatever it is now, in one transaction; "" deletes it.

    Raises DocklessError with nft's own words and the lines they are about; then nothing has changed.
    """
    if text:
        _check_bounds(text)
    # "destroy" needs Linux 6.3 and nft 1.0.8
    _load(
        "".join(
            f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in _families_in(text) or _FAMILIES
        )
        + text
    )


def detour(text: str) -> None:
    """Put the text, table inet DETOUR, beside ours for a while; "" takes it away. Raises DocklessError as replace() does."""
    _load(f"table inet {DETOUR}\ndelete table inet {DETOUR}\n{text}")


def canonical(text: str) -> str:
    """Return the text as nft would list it, so that it can be compared with listing().

    Known forms are read from CANONICAL_DIRECTORY; nothing is ever written here,
    so that a check may call this. Raises DocklessError as replace() does.
    """
    if not text:
        return ""
    form = cached_listing(names.text_digest(text))
    if form:
        return form
    _check_bounds(text)
    with netns.temporary_namespace():
        _load(text)
        return _listing(
            _families_in(text)
        )  # a second process: a list in the same script would show the state before it


def cached_listing(digest: str) -> str:
    """Return the canonical form of the text with this digest, "" if it is not known."""
    try:
        with open(_canonical_path(digest), encoding="utf-8") as known:
            return known.read()
    except FileNotFoundError:
        return ""


def cache_listing(text: str, form: str) -> None:
    """Keep a canonical form for later runs, and only the latest few: they are in memory."""
    files.write(_canonical_path(names.text_digest(text)), form, 0o600)
    kept = sorted(files.listed(CANONICAL_DIRECTORY), key=lambda path: os.lstat(path).st_mtime_ns, reverse=True)
    for path in kept[_CANONICAL_LIMIT:]:
        files.remove(path)


def generation() -> int:
    """Return the number that the kernel raises with every change of this namespace's ruleset.

    Asked with NFT_MSG_GETGEN (linux/netfilter/nf_tables.h), which costs no process. Raises KernelError.
    """
    payload = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)  # struct nfgenmsg
    request = struct.pack("=IHHII", 16 + len(payload), _GETGEN, _NLM_F_REQUEST, 1, 0) + payload
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as door:
        door.bind((0, 0))
        door.send(request)
        answer = door.recv(65536)
    return _generation_in(answer)


def blocking_chains(bridges: t.Sequence[str], families: t.Collection[str] = ("ip", "ip6")) -> list[BlockingChain]:
    """Return other people's forward chains that would drop traffic of our bridges.

    families are those that our networks use; chains of inet and bridge always count.
    Only the headers of all chains are listed, and singly those at the forward hook: an old
    nft crashes on rules of others that it does not know. What cannot be read is told as such.
    """
    if not bridges:
        return []
    done = _run(["list", "chains"])
    if done.returncode:
        return [foreign_chains.unreadable_chain(Chain("", "", "", ""), _words(done))]
    relevant = set(families) | {"inet", "bridge"}
    found: list[BlockingChain] = []
    for chain in foreign_chains.forward_chains(done.stdout):
        if chain.family in relevant and not (chain.family in _FAMILIES and chain.table == TABLE):
            try:
                rules = _chain_with_jumps(chain)
            except DocklessError as error:
                found.append(foreign_chains.unreadable_chain(chain, error.what))
            else:
                found += foreign_chains.analyse(chain, rules, bridges, _bridged_frames_pass(chain.family))
    return found


def _chain_with_jumps(chain: Chain) -> dict[str, list[str]]:
    """Return the rules of a chain and of all that it can jump to, by chain name. Raises DocklessError."""
    rules: dict[str, list[str]] = {}
    waiting = [chain.name]
    while waiting:
        name = waiting.pop()
        if name not in rules:
            done = _run(["list", "chain", chain.family, chain.table, name])
            if done.returncode:
                raise DocklessError(_words(done))
            rules[name] = foreign_chains.rules_in(done.stdout)
            waiting += foreign_chains.jumps(rules[name])
    return rules


def _bridged_frames_pass(family: str) -> bool:
    """Say whether frames from one port of a bridge to another meet the forward chains of this family."""
    keys = {"ip": ("iptables",), "ip6": ("ip6tables",), "inet": ("iptables", "ip6tables")}.get(family)
    if keys is None:
        return True
    return any(_is_one(f"/proc/sys/net/bridge/bridge-nf-call-{key}") for key in keys)


def _is_one(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as value:
            return value.read().strip() == "1"
    except FileNotFoundError:  # br_netfilter is not loaded
        return False


def _canonical_path(digest: str) -> str:
    return f"{CANONICAL_DIRECTORY}/{names.text_digest(_lister() + digest)}"


@functools.lru_cache(maxsize=1)
def _lister() -> str:
    """Return what tells one nft and kernel from another: an upgrade may list the same table differently."""
    release = os.uname().release
    for directory in _ENVIRONMENT["PATH"].split(":"):
        try:
            program = os.stat(directory + "/nft")
        except OSError:
            continue
        return f"{release} {program.st_size} {program.st_mtime_ns}\n"
    return release


def _families_in(text: str) -> list[str]:
    """Return the families of the tables that begin lines of a text."""
    return [family for family in _FAMILIES if re.search(rf"^table {family} {TABLE} \{{", text, re.MULTILINE)]


def _listing(families: t.Sequence[str]) -> str:
    """Return the tables one after the other, by a process each: nft 1.0.6 finds only the last of several that it is to list."""
    return "".join(map(_listed, families))


def _listed(family: str) -> str:
    done = _run(["-s", "list", "table", family, TABLE])
    if not done.returncode:
        return done.stdout
    if _ABSENT in done.stderr:
        return ""
    raise DocklessError(f"nft cannot list table {family} {TABLE}: {_words(done)}")


def _check_bounds(text: str) -> None:
    """Raise DocklessError if the text is more than our tables: whatever a name may have smuggled in, it stays inside."""
    found: list[str] = []
    rest = text
    while rest.strip():
        begin, end = _BEGIN.match(rest), _end_of_block(rest)
        if not begin or not end or begin.group(1) in found:
            found = []
            break
        found.append(begin.group(1))
        rest = rest[end:]
    if found not in ([_FAMILIES[0]], [_FAMILIES[1]], list(_FAMILIES)):
        raise DocklessError(
            f"a firewall text that is not exactly table {_TABLE} was not loaded",
            "This is a fault of dockless; please report it with the names in your document.",
        )


def _end_of_block(text: str) -> int:
    """Return where the first block in braces ends, 0 if it does not."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if token.group() == "}" and depth <= 0:
            return token.end() if depth == 0 else 0
    return 0


def _load(script: str) -> None:
    done = _run(["-f", "-"], script)
    if done.returncode:
        raise DocklessError(f"nft refused table {_TABLE}: {_words(done)}{_context(done.stderr, script)}")


def _run(arguments: t.Sequence[str], script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["nft", *arguments], input=script, capture_output=True, text=True, env=_ENVIRONMENT, check=False
        )
    except FileNotFoundError:
        raise DocklessError("the program nft is not installed", "Install the package nftables.") from None


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """Return what nft said, shortened; a signal says nothing but its number."""
    said = done.stderr.strip()
    return said[:2000] if said else f"exit status {done.returncode}"


def _context(stderr: str, script: str) -> str:
    """Return the lines of our script around nft's first complaint, with their numbers."""
    place = _PLACE.search(stderr)
    if not place:
        return ""
    lines = script.splitlines()
    number = int(place.group(1))
    around = range(max(1, number - 2), min(len(lines), number + 2) + 1)
    return "\nthe script there:\n" + "\n".join(f"{n:5}  {lines[n - 1][:300]}" for n in around)


def _generation_in(answer: bytes) -> int:
    length, kind = struct.unpack_from("=IH", answer)
    if kind == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, 16)[0]
        raise KernelError(
            f"the kernel does not tell its nftables generation: {os.strerror(number)}",
            number,
            "Load the kernel module nf_tables.",
        )
    offset = 20  # struct nlmsghdr, struct nfgenmsg
    while kind == _NEWGEN and offset + 4 <= length:
        size, attribute = struct.unpack_from("=HH", answer, offset)
        if attribute == _NFTA_GEN_ID:
            return t.cast(int, struct.unpack_from(">I", answer, offset + 4)[0])
        offset += max(4, size + 3 & ~3)
    raise DocklessError("the kernel's answer about its nftables generation cannot be read")
