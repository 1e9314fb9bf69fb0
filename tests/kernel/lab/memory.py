# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node and a victim know of others: neighbours, forwarding entries, routes, addresses.

No attack may teach them anything.
"""

from __future__ import annotations

import json
import typing as t

from _dockless import names

from . import places, wire
from .topology import GUEST, Lab

_LOOK = (
    f"for each in 'neighbour show' '-4 route show' '-6 route show' 'route get {places.BEHIND_L2[1]}' 'address show'; "
    "do ip -json $each || echo '[]'; echo; done"
)
_FLEETING = ("expires", "flags", "metrics")
VICTIMS = (None, "c2", "l2")  # the node is None


class Memory:
    """What was known when the lab was quiet, and what has been learned since."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._macs = self._true_macs()
        self._before = {who: self._settings(who) for who in VICTIMS}

    def changes(self) -> list[str]:
        """Return a line for everything that somebody was made to believe."""
        wrong = []
        for who in VICTIMS:
            text = self._settings(who)
            wrong += [
                f"{who or 'the node'} has another {what}"
                for what, now in text.items()
                if now != self._before[who][what]
            ]
            wrong += self._false_neighbours(who)
        return wrong + list(self._false_ports())

    def _true_macs(self) -> dict[str, str]:
        found = {}
        for name in places.SANDBOXES:
            mac = self._lab[name].mac
            found.update({places.address(name, version): mac for version in (4, 6)})
            found[wire.link_local(mac)] = mac
        for name, net in places.NETS.items():
            mac = self._lab.bridges[name][1]
            found.update({net.address(1, version): mac for version in (4, 6)})
            found[wire.link_local(mac)] = mac
        for name in ("v1", "w1"):
            found.update({places.peer_address(name, version): places.PEER_MAC for version in (4, 6)})
        found.update(dict.fromkeys((*GUEST, "fe80::99"), self._lab["guest"].mac))
        return found

    def _settings(self, who: str | None) -> dict[str, str]:
        texts = self._lab.host.sh(_LOOK, netns=who).splitlines()
        listed = [json.loads(text) for text in texts if text.strip()]
        self._neighbours = listed[0]
        names_ = ("routes of IPv4", "routes of IPv6", "way to what an operator has behind l2", "addresses")
        listed[4] = [
            (link["ifname"], address["local"], address["prefixlen"])
            for link in listed[4]
            for address in link.get("addr_info", ())
        ]
        return {name: json.dumps(_lasting(value), sort_keys=True) for name, value in zip(names_, listed[1:])}

    def _false_neighbours(self, who: str | None) -> t.Iterator[str]:
        loose = self._lab.bridges["loose"][0]
        for entry in self._neighbours:
            mac, address = entry.get("lladdr"), entry["dst"]
            if mac and address in self._macs and mac != self._macs[address]:
                yield f"{who or 'the node'} takes {mac} for {address}"
            if who is None and entry["dev"].startswith(("veth", "vx-")):
                yield f"the node looks for {address} at the port {entry['dev']}"
            if mac and address not in self._macs and entry["dev"].startswith("br-") and entry["dev"] != loose:
                yield f"{who or 'the node'} has learned of {address}"

    def _false_ports(self) -> t.Iterator[str]:
        """Yield what bridges believe to be behind which port, other than what is there."""
        known = {
            self._lab[name].mac: names.veth_link(places.PROJECT, (places.PROJECT, network), name)
            for name, network in places.NETWORK_OF.items()
        }
        known[self._lab["guest"].mac] = "guest0"
        own = {
            names.veth_link(places.PROJECT, (places.PROJECT, "loose"), name) for name in places.NETS["loose"].sandboxes
        }
        for entry in json.loads(self._lab.host.sh("bridge -json fdb show")):
            if (
                entry.get("state") == "permanent"
                or "self" in entry.get("flags", ())
                or entry["ifname"] in own
                or entry["ifname"].startswith("vx-")
            ):
                continue
            if known.get(entry["mac"]) != entry["ifname"]:
                yield f"a bridge looks for {entry['mac']} at {entry['ifname']}"


def _lasting(value: t.Any) -> t.Any:
    """Return a listing without what changes by itself."""
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in _FLEETING}
    return value
