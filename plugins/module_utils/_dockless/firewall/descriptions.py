# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Elements of the firewall in the words of the document, for plans and diffs: publish 8080/tcp -> web:80.

A sentence says what an element does. Elements that do the same, as those of both IP versions, have one sentence.
"""

from __future__ import annotations

import typing as t

from .nft_text import Element

_Fields = t.Sequence[str]


class Names(t.NamedTuple):
    """What elements are about. An element whose subject is not here is described by its address or link."""

    sandboxes: t.Mapping[str, str]  # by address
    networks: t.Mapping[str, str]  # by bridge or VXLAN device
    ports: t.Mapping[str, tuple[str, str]]  # sandbox and network, by the bridge port

    def with_more(self, other: Names) -> Names:
        """Return these names with those that only the other has."""
        return Names(
            {**other.sandboxes, **self.sandboxes}, {**other.networks, **self.networks}, {**other.ports, **self.ports}
        )

    def target(self, address: str, port: str = "") -> str:
        """Return the sandbox with this address, with a port."""
        name = self.sandboxes.get(address)
        if name is None:
            name = f"[{address}]" if ":" in address and port else address
        return f"{name}:{port}" if port else name

    def network(self, link: str) -> str:
        """Return a network by its bridge."""
        name = self.networks.get(link.strip('"'))
        return f"network {name}" if name else f"link {link}"

    def port(self, link: str) -> str:
        """Return a sandbox on a network by its bridge port."""
        found = self.ports.get(link.strip('"'))
        return f"{found[0]} on network {found[1]}" if found else self.network(link)


NO_NAMES = Names({}, {}, {})


def describe(elements: t.Iterable[Element], names: Names) -> list[str]:
    """Return a sentence for each element, each once, sorted."""
    return sorted({_SENTENCES[name](element.replace(" : ", " . ").split(" . "), names) for name, element in elements})


def _about_network(text: str, place: int = 0) -> t.Callable[[_Fields, Names], str]:
    """Return the sentence of an element with a link in a field. text: with {} for the network."""
    return lambda fields, names: text.format(names.network(fields[place]))


def _about_subnet(text: str) -> t.Callable[[_Fields, Names], str]:
    return lambda fields, names: text.format(*fields)


def _within(fields: _Fields, names: Names) -> str:
    if fields[0] == fields[1]:
        return f"let sandboxes of {names.network(fields[0])} reach each other"
    return f"let sandboxes of {names.network(fields[0])} on other hosts reach each other"


def _attached(fields: _Fields, names: Names) -> str:
    return f"take {fields[0]} for {names.network(fields[1])}"


def _published(fields: _Fields, names: Names) -> str:
    protocol, port, address, target_port = fields
    return f"publish {port}/{protocol} on all addresses → {names.target(address, target_port)}"


def _published_on(fields: _Fields, names: Names) -> str:
    host_address, protocol, port, address, target_port = fields
    return f"publish {port}/{protocol} on {host_address} → {names.target(address, target_port)}"


def _range(fields: _Fields, names: Names) -> str:
    protocol, ports, address = fields
    return f"publish {ports}/{protocol} on all addresses → {names.target(address, ports)}"


def _range_on(fields: _Fields, names: Names) -> str:
    host_address, protocol, ports, address = fields
    return f"publish {ports}/{protocol} on {host_address} → {names.target(address, ports)}"


def _target(fields: _Fields, names: Names) -> str:
    source, address, protocol, port = fields
    return f"allow {_source(source)} to {names.target(address, port)}/{protocol} at its own address"


def _allowed(fields: _Fields, names: Names) -> str:
    source, address, protocol, port = fields
    return f"allow {source} to port {port}/{protocol} {_on(address)}"


def _restricted(fields: _Fields, names: Names) -> str:
    address, protocol, port = fields
    return f"close port {port}/{protocol} {_on(address)} to sources that are not allowed"


def _trusted(fields: _Fields, names: Names) -> str:
    return f"let published ports in {fields[0]} be reached from link {fields[1]}"


def _snat(fields: _Fields, names: Names) -> str:
    return f"let packets of {fields[0]} leave with address {fields[1]}"


def _forwarder(fields: _Fields, names: Names) -> str:
    return f"let sandboxes ask the DNS forwarder at {fields[0]}"


def _forwarder_queries(fields: _Fields, names: Names) -> str:
    return f"let {names.target(fields[0])} query the DNS forwarder, within limits"


def _forwarder_connections(fields: _Fields, names: Names) -> str:
    return f"let {names.target(fields[0])} connect to the DNS forwarder, within limits"


def _sender(fields: _Fields, names: Names) -> str:
    vni = fields[3][: len("0x000000")]  # in front of MAC addresses, in a routed overlay
    return f"admit VXLAN of VNI {int(vni, 16)} from peer {fields[0]}"


def _vxlan_peer(fields: _Fields, names: Names) -> str:
    return f"keep sandboxes from sending VXLAN to peer {fields[0]}"


def _vni(fields: _Fields, names: Names) -> str:
    return f"admit VXLAN of VNI {int(fields[1], 16)} from peers only"


def _encrypted(fields: _Fields, names: Names) -> str:
    return f"carry VNI {int(fields[1], 16)} by WireGuard only"


def _direct(text: str) -> t.Callable[[_Fields, Names], str]:
    return lambda fields, names: text.format(names.network(fields[1]))


def _station(fields: _Fields, names: Names) -> str:
    return f"let {names.port(fields[0])} send with MAC address {fields[1]}"


def _station_address(fields: _Fields, names: Names) -> str:
    if fields[0].strip('"') in names.networks:
        return f"accept address {fields[2]} from other hosts of {names.network(fields[0])}"
    return f"let {names.port(fields[0])} send with address {fields[2]}"


def _neighbour(fields: _Fields, names: Names) -> str:
    return f"let {names.port(fields[0])} announce its IPv6 addresses"


def _unfiltered(fields: _Fields, names: Names) -> str:
    return f"do not filter what {names.port(fields[0])} sends"


def _from_others(fields: _Fields, names: Names) -> str:
    return f"accept {fields[0]} from other hosts of {names.network(fields[-1])}"


def _own(fields: _Fields, names: Names) -> str:
    return f"do not accept {fields[0]} from other hosts of {names.network(fields[1])}"


def _source(source: str) -> str:
    return "every source" if source in ("0.0.0.0/0", "::/0") else source


def _on(address: str) -> str:
    return "on all addresses" if address in ("0.0.0.0/0", "::/0") else f"on {address}"


_Sentence = t.Callable[[_Fields, Names], str]
_EACH_VERSION: dict[str, _Sentence] = {
    "sources": _attached,
    "attached": _attached,
    "no_direct": _about_subnet("close {} to packets from outside that no published port translates"),
    "gateways": _about_subnet("close {}, an address of this host in a network, to other links"),
    "trusted": _trusted,
    "targets": _target,
    "restricted": _restricted,
    "allowed": _allowed,
    "masqueraded": _about_subnet("masquerade packets of {}"),
    "snat": _snat,
    "forwarders": _forwarder,
    "forwarder_queries": _forwarder_queries,
    "forwarder_connections": _forwarder_connections,
    "vxlan_senders": _sender,
    "routers": _sender,
    "vxlan_peers": _vxlan_peer,
    "routed_sources": _from_others,
    "learned_subnets": _from_others,
    "local_addresses": _own,
    "source_addresses": _station_address,
    "neighbours": _neighbour,
    "published": _published,
    "ranges": _range,
}
_SENTENCES: dict[str, _Sentence] = {
    **{f"{name}{version}": sentence for name, sentence in _EACH_VERSION.items() for version in (4, 6)},
    **{f"published{version}_on": _published_on for version in (4, 6)},
    **{f"ranges{version}_on": _range_on for version in (4, 6)},
    "same_bridge": _within,
    "not_internal": _about_network("let {} reach other networks"),
    "egress": _about_network("let sandboxes of {} connect to the outside"),
    "ingress": _about_network("let published ports of {} be reached"),
    "isolate_open": _about_network("open {} to other open networks"),
    "all_host_addresses": _about_network("let sandboxes of {} reach all addresses of the host"),
    "any_source": _about_network("let sandboxes of {} choose their source addresses"),
    "direct_ping": _direct("let sandboxes of {} answer pings at their own addresses"),
    "direct_ports": _direct("let published ports of {} be reached at the sandboxes' own addresses"),
    "direct_all": _direct("let every port of {} be reached at the sandboxes' own addresses"),
    "bridged_pairs": _about_subnet("take no packets from link {} itself, which is a port of a bridge"),
    "routed_devices": _about_network("take packets of {} from other hosts"),
    "vxlan_ports": _about_subnet("keep sandboxes from sending VXLAN to port {}"),
    "vxlan_vnis": _vni,
    "encrypted_vnis": _encrypted,
    "unfiltered": _unfiltered,
    "local_macs": _own,
    "source_macs": _station,
}
