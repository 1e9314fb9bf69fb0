# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that imports pyroute2, which encodes rtnetlink messages (rtnetlink(7)).

pyroute2 is imported when the first message is encoded: a run that only reads does not pay for it (0.14 s), and a host
without it gets an error from require() before anything is changed. netlink.py reads answers without it.
"""

from __future__ import annotations

import functools
import sys
import typing as t

from ..errors import DocklessError

# linux/rtnetlink.h, linux/netlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK = 16, 17, 19
RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE = 20, 21, 24, 25
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
_REQUEST, _ACK = 0x1, 0x4

Fields = t.Mapping[str, int]
Attributes = t.Sequence[tuple[str, object]]  # (name of the kernel's constant, value); None and "" are left out


def require() -> None:
    """Raise DocklessError, caused by the ImportError, where pyroute2 is missing."""
    try:
        _message_types()
    except ImportError as error:
        raise DocklessError(
            f"{sys.executable} cannot import pyroute2, which encodes messages to the kernel: {error}",
            "Install the distribution's python3-pyroute2, or apply the role prerequisites.",
        ) from error


def encode(structure: str, message_type: int, flags: int, fields: Fields, attributes: Attributes) -> bytes:
    """Return a message that asks for an acknowledgement.

    structure is the C structure that it begins with (ifinfmsg, ifaddrmsg, ndmsg, rtmsg), fields are its members.
    """
    message = _message_types()[structure]()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = [(name, value) for name, value in attributes if value is not None and value != ""]
    message["header"]["type"] = message_type
    message["header"]["flags"] = _REQUEST | _ACK | flags
    message.encode()
    return bytes(message.data)


def nested(*attributes: tuple[str, object]) -> dict[str, object]:
    """Return attributes as the value of another one."""
    return {"attrs": list(attributes)}


@functools.cache
def _message_types() -> dict[str, t.Any]:
    """Return pyroute2's message classes by the name of their C structure."""
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.ndmsg import ndmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    return {"ifaddrmsg": ifaddrmsg, "ifinfmsg": ifinfmsg, "ndmsg": ndmsg, "rtmsg": rtmsg}
