# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the collection's playbooks in private hosts."""

from __future__ import annotations

import contextlib
import pathlib
import re
import typing as t

from support.collection import ROOT, environment

MACHINE_LIMITS = ("max_user_instances", "max_user_watches")
Host = t.Any


def run_playbook(host: Host, directory: pathlib.Path, book: str | pathlib.Path, *options: str) -> str:
    """Run a playbook of the checkout, or one at an absolute path, on the host; return what it says.

    Fails when a task does.
    """
    env = {**environment(), "HOME": str(directory), "ANSIBLE_LOCAL_TEMP": str(directory)}
    argv = [
        "ansible-playbook",
        "--inventory",
        "localhost,",
        "--connection",
        "local",
        *options,
        str(ROOT / "playbooks" / book),
    ]
    said = host.run(argv, env=env, check=False, timeout=300)
    assert said.returncode == 0, said.stdout + said.stderr
    assert re.search(r"ok=[1-9]", said.stdout), said.stdout
    return said.stdout


def changes(said: str) -> int:
    """Return how many tasks changed something."""
    found = re.search(r"^localhost +: ok=\d+ +changed=(\d+)", said, re.MULTILINE)
    assert found, said
    return int(found.group(1))


@contextlib.contextmanager
def own_limits(host: Host) -> t.Iterator[None]:
    """Give the host files in place of those limits of inotify that are the machine's, not a namespace's."""
    for limit in MACHINE_LIMITS:
        path = f"/proc/sys/fs/inotify/{limit}"
        host.sh(f"cat {path} > /run/{limit}; mount --bind /run/{limit} {path}")
    try:
        yield
    finally:
        _back(host)


def _back(host: Host) -> None:
    for limit in MACHINE_LIMITS:
        host.sh(f"umount /proc/sys/fs/inotify/{limit}; rm /run/{limit}")
