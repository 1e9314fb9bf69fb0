# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Types of the objects of encrypted overlays: keys, links and peers of WireGuard."""

from __future__ import annotations

import typing as t

from .keys import Conf, Key


class WireguardKey(t.NamedTuple):
    """A private key of this host, identified by its public key; "" accepts any, one that does not exist yet too."""

    slot: str
    public_key: str = ""

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "wireguard_key", self.slot

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"WireGuard key {self.slot}"


class KillSwitchRoute(t.NamedTuple):
    """An unreachable route with the last metric: packets for a missing WireGuard link must not use another link."""

    netns: str
    destination: str

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "kill_switch_route", self.netns, self.destination

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"kill-switch route {self.destination}"


class WireguardLink(t.NamedTuple):
    """A WireGuard link. slot selects its private key, public_key identifies that key; "" accepts any.

    answering is False where no process serves the link any more, or a killed run has left it unfinished.
    """

    netns: str
    name: str
    slot: str
    public_key: str
    listen_port: int
    mtu: int
    address: str
    label: str
    up: bool = True
    conf: Conf = ()
    answering: bool = True

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "wireguard_link", self.netns, self.name

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"WireGuard link {self.name}"


class WireguardPeer(t.NamedTuple):
    """Another host as the peer of a WireGuard link.

    allowed   CIDRs that only this peer may send from
    routed    whether packets to these use this link
    endpoint  ADDRESS:PORT; "" is where the peer sent from last
    """

    netns: str
    link: str
    public_key: str
    endpoint: str
    allowed: str  # separated by spaces
    routed: bool = True

    @property
    def key(self) -> Key:
        """Identifies the object on the host. The name of its kind comes first."""
        return "wireguard_peer", self.netns, self.link, self.public_key

    def __str__(self) -> str:
        """Return its name for plans and messages."""
        return f"WireGuard peer {self.allowed} on {self.link}"


WireguardObject = t.Union[WireguardKey, KillSwitchRoute, WireguardLink, WireguardPeer]
