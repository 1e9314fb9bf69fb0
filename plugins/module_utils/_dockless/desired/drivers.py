# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The drivers: what a network and an endpoint consist of, by the network's driver.

A new driver is one file here with the same functions, and a row of DRIVERS.
"""

from __future__ import annotations

import typing as t

from ..model.facts import Facts
from ..model.network import Network
from ..state.objects import Object
from . import bridge, macvlan, overlay
from .attachment import Attachment


class Driver(t.NamedTuple):
    """network yields the objects of a network, endpoint those of a sandbox's attachment to it.

    The flag that network gets is whether 127.0.0.0/8 of the host reaches a published port on it.
    """

    network: t.Callable[[Network, bool, Facts], t.Iterator[Object]]
    endpoint: t.Callable[[Attachment, Facts], t.Iterator[Object]]


DRIVERS: dict[str, Driver] = {
    "bridge": Driver(bridge.network_objects, bridge.endpoint_objects),
    "overlay": Driver(overlay.network_objects, overlay.endpoint_objects),
    "macvlan": Driver(macvlan.network_objects, macvlan.endpoint_objects),
    "ipvlan": Driver(macvlan.network_objects, macvlan.endpoint_objects),
}
