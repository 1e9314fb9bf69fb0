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
from ..linux import links, netlink, netns
from ..linux.netlink import Socket
from ..linux.sysctl import Fresh
from ..state.objects import Netns
from ..state.plan import Step

StepMessage = tuple[bytearray, Step]  # a message, and the step that it is a part of
OnFailure = t.Callable[[Step, KernelError], None]  # called for each step that the kernel refuses; may raise the error
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

    def __init__(self, sock: Socket, fd: int, on_failure: OnFailure) -> None:
        self.socket = sock
        self.fd = fd
        self._fail = on_failure
        self._indexes: dict[str, int] = {}

    def index(self, link: str) -> int:
        """Return an interface's index. Raises OSError ENODEV.

        One interface is asked for, because root in a sandbox can make thousands.
        """
        if link not in self._indexes:
            row = self.socket.link(netlink.link_request(link))
            found = links.decode(*row) if row is not None else None
            if found is None or found.name != link:  # the name may be an alternative one of another interface
                raise OSError(errno.ENODEV, f"there is no interface {link}")
            self._indexes[link] = found.ifindex
        return self._indexes[link]

    def forget_indexes(self) -> None:
        """Read interface indexes again when the next is asked for: links were created or deleted."""
        self._indexes = {}

    def send(self, messages: t.Sequence[StepMessage]) -> None:
        """Send messages, and report each refusal with the object of its step.

        A MAC address in use may belong to a link in a namespace that the kernel is still ending in the background. Such
        a message, and those that failed because of it, are sent again for some seconds.
        """
        deadline, unsent = time.monotonic() + _NETNS_END_S, list(messages)
        while unsent:
            refusals = self.socket.flight([message for message, _step in unsent])
            in_use = [refusal for refusal in refusals if refusal.errno == errno.EADDRINUSE]
            if refusals and (not in_use or time.monotonic() > deadline):
                others = [refusal for refusal in refusals if refusal not in in_use]
                for refusal in in_use + others:
                    self._report(unsent, refusal)
                return
            unsent = [unsent[refusal.place] for refusal in refusals]
            if unsent:
                threading.Event().wait(0.02)  # the kernel does not announce a namespace's end

    def send_removals(self, messages: t.Sequence[StepMessage]) -> None:
        """Send messages that delete objects, which may be gone already, and report other refusals."""
        for refusal in self.socket.flight([message for message, _step in messages]):
            if refusal.errno not in GONE:
                self._report(messages, refusal)

    def close(self) -> None:
        """Close socket and descriptor."""
        self.socket.close()
        os.close(self.fd)

    def _report(self, messages: t.Sequence[StepMessage], refusal: netlink.Refusal) -> None:
        step = messages[refusal.place][1]
        self._fail(step, refused(step, refusal.errno, refusal.text))


class NetnsHandles:
    """All namespaces that a run changes; those of sandboxes are closed after each chunk."""

    def __init__(self, on_failure: OnFailure, on_host_failure: OnFailure) -> None:
        self._fail = on_failure
        self._fail_on_host = on_host_failure
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
            self.keep(name, fd)
        return self._open[name]

    def keep(self, name: str, fd: int) -> NetnsHandle:
        """Keep the namespace of a descriptor open under a name, which it need not have yet."""
        try:
            with netns.entered(fd):
                self._open[name] = NetnsHandle(Socket(), fd, self._fail if name else self._fail_on_host)
        except BaseException:
            os.close(fd)
            raise
        return self._open[name]

    def create(self, step: Step, mark: bytearray) -> None:
        """Create a namespace without a name and keep it open. Raises KernelError.

        A run that is killed before the namespace has its name leaves nothing behind.
        """
        namespace = step.new(Netns)
        try:
            with netns.temporary_namespace():
                self._procfs.write_defaults(namespace.defaults)
                fd = netns.open_own()
            self.keep(namespace.name, fd).send([(mark, step)])
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
