# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Who controls this run over the network: the other ends of the TCP connections of the processes that started it.

sshd is the ancestor of what Ansible or an administrator runs, also below sudo, which clears SSH_CONNECTION. The
variable is read as well, from this process and its ancestors: sshd can be out of sight, in another PID namespace.
"""

from __future__ import annotations

import ipaddress
import os
import typing as t

from ..model.addresses import IPAddress
from . import sockets

_VARIABLE = b"SSH_CONNECTION="  # client address, client port, server address, server port; see ssh(1)


def peers() -> tuple[IPAddress, ...]:
    """Return the addresses of the other ends, sorted; none for a run at boot or on a console."""
    processes = _with_ancestors(os.getpid())
    held = {link for pid in processes for link in _sockets(pid)}
    found = set(sockets.remote_addresses(held)) if held else set()
    for pid in processes:
        found.update(_clients(_environment(pid)))
    parsed = {_parsed(text) for text in found}
    return tuple(sorted((address for address in parsed if address is not None), key=str))


def _with_ancestors(pid: int) -> list[int]:
    """Return a process and those that started it, from the last to the first."""
    found: list[int] = []
    while pid and pid not in found:
        found.append(pid)
        pid = _parent(pid)
    return found


def _parent(pid: int) -> int:
    """Return the parent of a process, 0 if it is outside of this PID namespace or has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the name in parentheses, which may contain anything.
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _sockets(pid: int) -> t.Iterator[str]:
    """Yield the sockets that a process holds, as "socket:[INODE]"."""
    directory = f"/proc/{pid}/fd/"
    try:
        descriptors = os.listdir(directory)
    except OSError:
        return
    for descriptor in descriptors:
        try:
            link = os.readlink(directory + descriptor)
        except OSError:  # closed since then
            continue
        if link.startswith("socket:"):
            yield link


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _clients(environment: bytes) -> t.Iterator[str]:
    """Yield the client's address in SSH_CONNECTION."""
    for entry in environment.split(b"\0"):
        if entry.startswith(_VARIABLE):
            yield entry[len(_VARIABLE) :].partition(b" ")[0].decode("ascii", "replace")


def _parsed(text: str) -> IPAddress | None:
    """Return the address in a text, without its scope (fe80::1%eth0), as IPv4 if it is mapped; None for other texts."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
