# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Finds resolvers that watch a directory which is no longer the one with its name.

dnsmasq watches directories of records with inotify(7). A watch is of a directory and not of its name: where a backup
was restored, or a directory was moved and copied, the resolver answers from what it read before, and never learns a
new name. proc_pid_fdinfo(5) lists the inode of each watch.
"""

from __future__ import annotations

import os
import typing as t

from ..dns.dnsmasq_config import pid_path
from ..linux import files
from ..names import DNS_DIRECTORY
from ..state.objects import Resolver

_INOTIFY = "anon_inode:inotify"
_DIRECTORY, _FILE = "hostsdir=", "resolv-file="


def is_deaf(resolver: Resolver, inodes: dict[str, int]) -> bool:
    """Return whether a running resolver does not watch a directory in its configuration.

    inodes remembers the inodes of directories, which many resolvers watch. Where the kernel tells nothing about the
    watches, as after the end of the process, the answer is no.
    """
    directories = list(_watched_directories(files.read(resolver.config) or ""))
    if not directories:
        return False
    watched = _watched_inodes(resolver.sandbox)
    present = (_inode(directory, inodes) for directory in directories)
    return bool(watched) and any(inode and inode not in watched for inode in present)


def _watched_directories(configuration: str) -> t.Iterator[str]:
    """Yield the directories of dockless that dnsmasq watches with this configuration (dnsmasq(8))."""
    for line in configuration.splitlines():
        if line.startswith(_DIRECTORY):
            yield line[len(_DIRECTORY) :]
        elif line.startswith(_FILE + DNS_DIRECTORY):
            yield os.path.dirname(line[len(_FILE) :])


def _inode(directory: str, inodes: dict[str, int]) -> int:
    """Return the inode of a directory, 0 if it does not exist: a plan that creates it restarts its readers."""
    if directory not in inodes:
        try:
            inodes[directory] = os.stat(directory).st_ino
        except OSError:
            inodes[directory] = 0
    return inodes[directory]


def _watched_inodes(sandbox: str) -> set[int]:
    try:
        with open(pid_path(sandbox), encoding="ascii") as file:
            process = f"/proc/{int(file.read())}"
        numbers = os.listdir(process + "/fd")
        inotify = [number for number in numbers if os.readlink(f"{process}/fd/{number}") == _INOTIFY]
        return {inode for number in inotify for inode in _inodes_in(f"{process}/fdinfo/{number}")}
    except (OSError, ValueError):
        return set()


def _inodes_in(path: str) -> t.Iterator[int]:
    """Yield the inodes in lines like "inotify wd:3 ino:f sdev:c5 …"."""
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("inotify "):
                yield int(line.partition(" ino:")[2].split()[0], 16)
