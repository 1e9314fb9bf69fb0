# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""WireGuard links of a host, their keys and their peers."""

from __future__ import annotations

import typing as t

from .. import names
from ..model.facts import Facts
from ..model.host import Host, Network, Overlay, OverlayPeer
from ..model.overlay import _port, encrypted_networks, key_of, mtu
from ..state.objects import HOST, Conf, KillSwitchRoute, Object, WireguardKey, WireguardLink, WireguardPeer

_SETTINGS: Conf = (("ipv4/rp_filter", 2),)  # while keys are renewed, what comes by one tunnel is answered by the other


def wireguard_objects(host: Host, facts: Facts) -> t.Iterator[Object]:
    """Yield the tunnels of a resolved host, their keys, and the hosts at their other ends."""
    networks = encrypted_networks(host)
    if not networks:
        return
    overlay, peers = t.cast(Overlay, networks[0].overlay), _peers(networks)
    known = dict(facts.tunnel_keys)
    for peer in peers:
        yield KillSwitchRoute(HOST, _only(str(peer.vtep)))
    conf = _SETTINGS + ((("ipv6/addr_gen_mode", 1),) if facts.ipv6 else ())
    for slot in overlay.tunnels:
        link = names.tunnel_link(slot, overlay.vtep)
        yield WireguardKey(slot, known.get(slot, ""))
        yield WireguardLink(
            HOST,
            link,
            slot,
            known.get(slot, ""),
            _port(overlay.tunnel_port, slot),
            mtu(peers, facts),
            _only(overlay.vtep),
            names.tunnel_label(slot),
            conf=conf,
        )
        for peer in peers:
            key = key_of(peer, slot, overlay)
            if key:
                shared = [s for s in overlay.tunnels if key_of(peer, s, overlay)]
                yield WireguardPeer(
                    HOST, link, key, _endpoint(peer.endpoint, slot), _only(str(peer.vtep)), slot == shared[0]
                )


def _peers(networks: t.Sequence[Network]) -> list[OverlayPeer]:
    found = {peer.vtep: peer for network in networks for peer in network.peers}
    return [found[vtep] for vtep in sorted(found, key=str)]


def _endpoint(endpoint: str, slot: str) -> str:
    host, colon, port = endpoint.rpartition(":")
    return f"{host}:{_port(int(port), slot)}" if colon else ""


def _only(address: str) -> str:
    return address + ("/128" if ":" in address else "/32")
