# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The WireGuard links that the encrypted overlay networks of a host share: keys, links, peers and kill-switch routes.

A host sends by the first of its links that the other host has as well, and receives by any. That is how keys are
rotated without a lost packet: every host gets a second link, then each sends by that, then the first is removed.
"""

from __future__ import annotations

import typing as t

from .. import names
from ..model.facts import Facts
from ..model.host import Host
from ..model.network import Network
from ..model.overlay import Overlay, OverlayPeer, wireguard_mtu, wireguard_port
from ..state.keys import Conf
from ..state.objects import HOST, Object
from ..state.wireguard import KillSwitchRoute, WireguardKey, WireguardLink, WireguardPeer

# During a key rotation, the answer to what came by one link may leave by the other.
_LOOSE_REVERSE_PATH: Conf = (("ipv4/rp_filter", 2),)
_NO_IPV6_ADDRESS: Conf = (("ipv6/addr_gen_mode", 1),)


def wireguard_objects(host: Host, facts: Facts) -> t.Iterator[Object]:
    """Yield the WireGuard links of a resolved host, their keys and peers; nothing where no network is encrypted."""
    networks = [network for network in host.networks() if network.is_encrypted]
    if not networks:
        return
    overlay = networks[0].overlay_options  # validate/wireguard.py refuses networks that differ in what they share
    peers = _peers(networks)
    for peer in peers:
        yield KillSwitchRoute(HOST, _host_route(str(peer.vtep)))
    for slot in overlay.tunnels:
        public_key = dict(facts.tunnel_keys).get(slot, "")
        yield WireguardKey(slot, public_key)
        yield _link(slot, public_key, overlay, peers, facts)
        yield from _link_peers(slot, overlay, peers)


def _link(slot: str, public_key: str, overlay: Overlay, peers: t.Sequence[OverlayPeer], facts: Facts) -> WireguardLink:
    return WireguardLink(
        HOST,
        names.tunnel_link(slot, overlay.vtep),
        slot,
        public_key,
        wireguard_port(overlay.tunnel_port, slot),
        wireguard_mtu(peers, facts),
        _host_route(overlay.vtep),
        names.tunnel_label(slot),
        conf=_LOOSE_REVERSE_PATH + (_NO_IPV6_ADDRESS if facts.ipv6 else ()),
    )


def _link_peers(slot: str, overlay: Overlay, peers: t.Sequence[OverlayPeer]) -> t.Iterator[WireguardPeer]:
    """Yield the peers of one link: the hosts that have a key for its slot. Routes use the first link that both have."""
    link = names.tunnel_link(slot, overlay.vtep)
    for peer in peers:
        common = [other for other in overlay.tunnels if overlay.peer_key(peer, other)]
        if slot in common:
            endpoint, allowed = _endpoint(peer.endpoint, slot), _host_route(str(peer.vtep))
            yield WireguardPeer(HOST, link, overlay.peer_key(peer, slot), endpoint, allowed, routed=slot == common[0])


def _peers(networks: t.Sequence[Network]) -> list[OverlayPeer]:
    """Return the other hosts, sorted by VTEP; one that several networks have counts once."""
    found = {peer.vtep: peer for network in networks for peer in network.peers}
    return [found[vtep] for vtep in sorted(found, key=str)]


def _endpoint(endpoint: str, slot: str) -> str:
    """Return a peer's ADDRESS:PORT for a slot; "" where it is not known."""
    host, colon, port = endpoint.rpartition(":")
    return f"{host}:{wireguard_port(int(port), slot)}" if colon else ""


def _host_route(address: str) -> str:
    return address + ("/128" if ":" in address else "/32")
