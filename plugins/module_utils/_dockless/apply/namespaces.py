# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Open namespaces of one run: a socket and the interface numbers of each."""

from __future__ import annotations

import errno
import os
import threading
import time
import typing as t

from ..errors import KernelError
from ..linux import netlink, netns
from ..linux.netlink import LINKS, RTM_GETLINK, Socket
from ..linux.sysctl import Fresh
from ..state import objects
from ..state.objects import Netns
from ..state.plan import Step

Pair = tuple[bytearray, Step]
_ENDING = 5.0  # seconds that the end of a namespace may take
_REMEDIES = {
    errno.EXFULL: "A bridge holds 1,023 interfaces; spread the sandboxes over several networks.",
    errno.EADDRINUSE: "A link on the same parent has this MAC, perhaps in a namespace that a process holds, or a process has this UDP port. "
    "End it, or choose another mac_address or port.",
    errno.EBUSY: "Another link has the same MAC, or what is below is the port of a bridge or carries links of another kind.",
    errno.EPERM: "Run as root: CAP_NET_ADMIN and CAP_SYS_ADMIN are needed.",
    errno.ENODEV: "The interface or namespace vanished meanwhile; run again.",
    errno.ENOSPC: "The neighbour or route tables are full; see the limits of the role prerequisites.",
}


class Handle:
    """One namespace: where messages go and what its interfaces' numbers are."""

    def __init__(self, sock: Socket, fd: int) -> None:
        self.socket = sock
        self.fd = fd
        self._indexes: dict[str, int] = {}

    def index(self, link: str) -> int:
        """Return an interface's number. Raises OSError ENODEV."""
        if link not in self._indexes:
            self.forget()
            rows = self.socket.dump(RTM_GETLINK, LINKS)
            self._indexes = {netlink.text(attributes.get(3)): netlink.number(fixed[4:8]) for fixed, attributes in rows}
        if link not in self._indexes:
            raise OSError(errno.ENODEV, f"there is no interface {link}")
        return self._indexes[link]

    def forget(self) -> None:
        """Ask the kernel again for interface numbers: links were made or removed."""
        self._indexes = {}

    def send(self, pairs: t.Sequence[Pair]) -> None:
        """Send messages and raise KernelError for the first refusal, naming its step's object.

        A MAC in use may belong to a link in a namespace that the kernel is still ending, as it does in the background: such a
        message, and those that failed because of it, are sent again for a while.
        """
        deadline, left = time.monotonic() + _ENDING, list(pairs)
        while left:
            refusals = self.socket.flight([message for message, step in left])
            taken = [refusal for refusal in refusals if refusal.errno == errno.EADDRINUSE]
            if refusals and (not taken or time.monotonic() > deadline):
                worst = (taken or refusals)[0]
                raise refused(left[worst.place][1], worst.errno, worst.text)
            left = [left[refusal.place] for refusal in refusals]
            if left:
                threading.Event().wait(0.02)  # nothing tells of a namespace's end

    def withdraw(self, pairs: t.Sequence[Pair], gone: t.Container[int]) -> None:
        """Send messages that remove; a refusal whose errno is in gone says that the work is done."""
        refusals = [r for r in self.socket.flight([message for message, step in pairs]) if r.errno not in gone]
        if refusals:
            raise refused(pairs[refusals[0].place][1], refusals[0].errno, refusals[0].text)

    def close(self) -> None:
        """Close what is open."""
        self.socket.close()
        os.close(self.fd)


class Handles:
    """All namespaces that a run touches; those of sandboxes are closed chunk by chunk."""

    def __init__(self) -> None:
        self._open: dict[str, Handle] = {}
        self._procfs = Fresh()

    def __enter__(self) -> Handles:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close everything."""
        self._procfs.close()
        for name in list(self._open):
            self.close(name)

    def get(self, name: str) -> Handle:
        """Return a namespace's handle, "" being the host's. Raises KernelError if there is none of that name."""
        if name not in self._open:
            try:
                fd = netns.open_named(name) if name else netns.open_own()
            except OSError as error:
                raise KernelError(
                    f"network namespace {name} cannot be opened: {error.strerror}",
                    error.errno or 0,
                    "Declare the sandbox, or make the namespace first.",
                ) from None
            with netns.entered(fd):
                self._open[name] = Handle(Socket(), fd)
        return self._open[name]

    def make(self, step: Step, mark: bytearray) -> None:
        """Make a namespace and keep it open. It has its mark before it has a name: a run that ends in between leaves nothing. Raises KernelError."""
        thing = t.cast(Netns, step.after)
        try:
            with netns.temporary_namespace():
                self._procfs.write_defaults(thing.defaults)
                handle = Handle(Socket(), netns.open_own())
                handle.send([(mark, step)])
                netns.pin_own(thing.name)
                self._open[thing.name] = handle
        except OSError as error:
            raise refused(step, error.errno or 0) from None

    def close(self, name: str) -> None:
        """Close a namespace's handle."""
        self._open.pop(name).close()

    def close_sandboxes(self) -> None:
        """Close all but the host's: a process may have 1,024 files open."""
        for name in [name for name in self._open if name]:
            self.close(name)


def refused(step: Step, number: int, words: str = "") -> KernelError:
    """Return the error that tells which step the kernel refused, and why."""
    reason = os.strerror(number) + (f" ({words})" if words else "")
    return KernelError(
        f"cannot {step.action} {objects.title(step.after or step.before)}: {reason}", number, _REMEDIES.get(number, "")
    )
