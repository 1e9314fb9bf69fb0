# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Open namespaces of one run: a netlink socket and the interface indexes of each."""

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
from ..state.objects import Netns
from ..state.plan import Step

StepMessage = tuple[bytearray, Step]  # a message, and the step that it is a part of
_NETNS_END_S = 5.0  # how long the kernel may take to end a namespace
# Errors for objects that are gone already: disabling IPv6 removes routes and addresses too, and the kernel deletes the
# links of a namespace that another program deleted, at any moment.
GONE = frozenset((errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT))
_REMEDIES = {
    errno.EXFULL: "A bridge holds 1,023 interfaces; spread the sandboxes over several networks.",
    errno.EADDRINUSE: "A link on the same parent has this MAC address, perhaps in a namespace that a process holds, "
    "or a process uses this UDP port. End it, or choose another mac_address or port.",
    errno.EBUSY: "Another link has the same MAC address, or the parent is a bridge port or has links of another kind.",
    errno.EPERM: "Run as root: CAP_NET_ADMIN and CAP_SYS_ADMIN are needed.",
    errno.ENODEV: "The interface or namespace disappeared during the run; run again.",
    errno.ENOSPC: "The neighbour or route tables are full; see the limits of the role prerequisites.",
}


class NetnsHandle:
    """One namespace: the socket that messages go to, and its interfaces' indexes."""

    def __init__(self, sock: Socket, fd: int) -> None:
        self.socket = sock
        self.fd = fd
        self._indexes: dict[str, int] = {}

    def index(self, link: str) -> int:
        """Return an interface's index. Raises OSError ENODEV."""
        if link not in self._indexes:
            rows = self.socket.dump(RTM_GETLINK, LINKS)
            self._indexes = {netlink.text(attributes.get(3)): netlink.number(fixed[4:8]) for fixed, attributes in rows}
        if link not in self._indexes:
            raise OSError(errno.ENODEV, f"there is no interface {link}")
        return self._indexes[link]

    def forget_indexes(self) -> None:
        """Read interface indexes again when the next is asked for: links were created or deleted."""
        self._indexes = {}

    def send(self, messages: t.Sequence[StepMessage]) -> None:
        """Send messages. Raises KernelError for the first refusal, with the object of its step.

        A MAC address in use may belong to a link in a namespace that the kernel is still ending in the background. Such
        a message, and those that failed because of it, are sent again for some seconds.
        """
        deadline, unsent = time.monotonic() + _NETNS_END_S, list(messages)
        while unsent:
            refusals = self.socket.flight([message for message, _step in unsent])
            in_use = [refusal for refusal in refusals if refusal.errno == errno.EADDRINUSE]
            if refusals and (not in_use or time.monotonic() > deadline):
                first = (in_use or refusals)[0]
                raise refused(unsent[first.place][1], first.errno, first.text)
            unsent = [unsent[refusal.place] for refusal in refusals]
            if unsent:
                threading.Event().wait(0.02)  # the kernel does not announce a namespace's end

    def send_removals(self, messages: t.Sequence[StepMessage]) -> None:
        """Send messages that delete objects, which may be gone already. Raises KernelError for other refusals."""
        refusals = [
            one for one in self.socket.flight([message for message, _step in messages]) if one.errno not in GONE
        ]
        if refusals:
            raise refused(messages[refusals[0].place][1], refusals[0].errno, refusals[0].text)

    def close(self) -> None:
        """Close socket and descriptor."""
        self.socket.close()
        os.close(self.fd)


class NetnsHandles:
    """All namespaces that a run changes; those of sandboxes are closed after each chunk."""

    def __init__(self) -> None:
        self._open: dict[str, NetnsHandle] = {}
        self._procfs = Fresh()

    def __enter__(self) -> NetnsHandles:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close everything."""
        self._procfs.close()
        for name in list(self._open):
            self._open.pop(name).close()

    def get(self, name: str) -> NetnsHandle:
        """Return a namespace's handle, "" being the host's. Raises KernelError if there is none of that name."""
        if name not in self._open:
            try:
                fd = netns.open_named(name) if name else netns.open_own()
            except OSError as error:
                raise KernelError(
                    f"network namespace {name} cannot be opened: {error.strerror}",
                    error.errno or 0,
                    "Declare the sandbox, or create the namespace first.",
                ) from None
            with netns.entered(fd):
                self._open[name] = NetnsHandle(Socket(), fd)
        return self._open[name]

    def create(self, step: Step, mark: bytearray) -> None:
        """Create a namespace and keep it open. Raises KernelError.

        It gets its mark before it gets a name: a run that is killed in between leaves nothing behind.
        """
        namespace = step.new(Netns)
        try:
            with netns.temporary_namespace():
                self._procfs.write_defaults(namespace.defaults)
                handle = NetnsHandle(Socket(), netns.open_own())
                handle.send([(mark, step)])
                netns.pin_own(namespace.name)
                self._open[namespace.name] = handle
        except OSError as error:
            raise refused(step, error.errno or 0) from None

    def close_sandboxes(self) -> None:
        """Close all handles but the host's: a process may have 1,024 files open."""
        for name in [name for name in self._open if name]:
            self._open.pop(name).close()


def refused(step: Step, number: int, text: str = "") -> KernelError:
    """Return the error for a step that the kernel refused with an errno; text are the kernel's own words."""
    reason = os.strerror(number) + (f" ({text})" if text else "")
    return KernelError(f"cannot {step.action} {step.subject}: {reason}", number, _REMEDIES.get(number, ""))
