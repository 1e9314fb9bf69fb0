# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Waits for packets that are between a process that sent them and the socket that gets them, both on this host.

There is no system call for this. Where such a packet can be, two others pass or wait as well.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading

_TIMEOUT = 1.0  # seconds; packets of the loopback interface take microseconds, and may wait for a busy CPU
_LOOPBACK = "127.0.0.1"


def await_delivery() -> None:
    """Wait until each packet that met rules from before this call, on a loopback interface, is in its socket's queue.

    The same for all network namespaces. A packet can be in two places:

    - in the evaluation of rules: the kernel ends none of these between two quiescent states (RCU), and the close of a
      packet socket waits for such a period (packet_release() in net/packet/af_packet.c);
    - in the queue of a CPU, first in, first out (enqueue_to_backlog() in net/core/dev.c): another packet follows it.
    """
    with contextlib.suppress(OSError):  # a kernel without packet sockets
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    thread = threading.Thread(target=_pass_each_cpu)  # so that the caller keeps its CPUs
    thread.start()
    thread.join()


def _pass_each_cpu() -> None:
    """Send a datagram through the queue of each CPU of this host, and receive it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:  # lo is down
        own.bind((_LOOPBACK, 0))
        own.connect(own.getsockname())
        own.settimeout(_TIMEOUT)
        for _visited in filter(_move_to, range(os.cpu_count() or 1)):
            own.send(b"")
            own.recv(1)


def _move_to(cpu: int) -> bool:
    """Move this thread to a CPU. Return whether it is there: a CPU may be off, or not allowed for this process."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return False
    return True
