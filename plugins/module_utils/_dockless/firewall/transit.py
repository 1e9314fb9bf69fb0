# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Table inet dockless-transit: no packet passes between two links of the host that dockless does not manage.

It is a table of its own because it must be there before the first network, after the last one, and at boot before the
links. It needs no data about networks: links are recognized by their group. Whatever has neither a link of dockless on
one side nor an exemption is dropped. WireGuard links are no exemption: they carry packets of the host itself, and a
peer that sends others uses the host as a router.

The role prerequisites has the same text (files/transit.py): it loads the table before it turns forwarding on.
"""

from __future__ import annotations

from ..model.facts import Transit
from ..names import LINK_GROUP, PAIR_GROUP, TRANSIT_TABLE
from .nft_text import chain_text

_FAMILY = {4: "ipv4", 6: "ipv6"}  # as nft writes nf_proto
_FORWARD = chain_text(
    "forward",
    "type filter hook forward priority filter; policy drop;",
    f"iifgroup {{ {LINK_GROUP}, {PAIR_GROUP} }} accept",
    f"oifgroup {{ {LINK_GROUP}, {PAIR_GROUP} }} accept",
    "meta nfproto @forwarded accept",
    "meta nfproto . iifname @forwarded_from accept",
    'counter name "transit" drop',
)


def transit_table(transit: Transit) -> str:
    """Return the table as nft lists it, "" if the host forwards both IP versions for others."""
    if not transit.closed:
        return ""
    versions = [name for version, name in _FAMILY.items() if version not in transit.closed]
    links = [f'{_FAMILY[version]} . "{link}"' for version, link in transit.exempt]
    return (
        f"table inet {TRANSIT_TABLE} {{\n\tcounter transit {{\n\t}}\n"
        # IP versions that the host forwarded before.
        + _set_text("forwarded", "nf_proto", versions)
        # Links from which it forwarded them.
        + _set_text("forwarded_from", "nf_proto . ifname", links)
        + _FORWARD
        + "}\n"
    )


def _set_text(name: str, type_name: str, elements: list[str]) -> str:
    shown = "\t\telements = { " + ",\n\t\t\t     ".join(elements) + " }\n" if elements else ""
    return f"\n\tset {name} {{\n\t\ttype {type_name}\n{shown}\t}}\n"
