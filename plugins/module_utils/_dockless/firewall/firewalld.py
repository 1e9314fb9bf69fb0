# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""firewalld: dockless's zone and policies, in firewalld's files and in the output of firewall-cmd(1).

A line is a setting: "zone" (the zone exists and has the target default), "forward", "interface NAME" or "policy NAME".
In the desired and actual state each is preceded by "permanent" (in the files) or "runtime" (in the running daemon).
"""

from __future__ import annotations

import typing as t

from ..model.facts import FirewalldFirewall
from .coexistence import INBOUND, OUTBOUND, Traffic

if t.TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ZONE = "dockless"  # zones and policies share one space of names
POLICIES = {"dockless-out": (ZONE, "ANY"), "dockless-in": ("ANY", ZONE)}  # from which zone to which
MARK = "dockless.network"  # the short description of the zone and the policies
_XML = '<?xml version="1.0" encoding="utf-8"?>\n'


def wanted(firewall: FirewalldFirewall, traffic: Traffic) -> t.Iterator[str]:
    """Yield the settings: the zone of dockless's links, and policies for traffic out of the zone and into it.

    The zone's target is the default one, so it opens nothing of the host itself. Translated connections need no policy:
    firewalld accepts them, or decides about them by StrictForwardPorts.
    """
    links = sorted({link for each in traffic.bridges for link in each.links})
    settings = ["zone", "forward", *(f"interface {link}" for link in links)]
    if any(OUTBOUND in each.directions for each in traffic.bridges):
        settings.append("policy dockless-out")
    if any(INBOUND in each.directions and each.direct for each in traffic.bridges):
        settings.append("policy dockless-in")
    for place in ("permanent", "runtime") if firewall.running else ("permanent",):
        yield from (f"{place} {setting}" for setting in settings)


def parse(listing: str) -> list[str]:
    """Return the settings of dockless's zone or a policy in the output of --info-zone or --info-policy."""
    title, _newline, body = listing.partition("\n")
    name = title.split()[0] if title.split() else ""
    values = _values(body)
    if name in POLICIES:
        zones = (values.get("ingress-zones"), values.get("egress-zones"))
        complete = values.get("target") == "ACCEPT" and zones == POLICIES[name]
        return [f"policy {name}"] if complete else []
    settings = ["zone"] if values.get("target") == "default" else []
    settings += ["forward"] if values.get("forward") == "yes" else []
    return settings + sorted(f"interface {link}" for link in values.get("interfaces", "").split())


def owns(table: str, chains: t.Collection[str]) -> bool:
    """Return whether a base chain is part of firewalld's firewall."""
    return table == "firewalld"


def runtime_settings(listing: str) -> list[str]:
    """Return the foreign settings in "--list-all-zones" or "--list-all-policies", sorted, each with its zone or policy.

    A reload replaces them by those of the files. The interfaces of a zone are left out, because a reload keeps them.
    """
    found: list[str] = []
    title = ""
    for line in listing.splitlines():
        if line and not line.startswith((" ", "\t")):
            title = line.split()[0]
        elif line.strip() and title not in (ZONE, *POLICIES) and not line.startswith("  interfaces:"):
            found.append(f"{title} {line.strip()}")
    return sorted(found)


def zone_in_file(text: str) -> list[str] | None:
    """Return the settings in a zone's file (firewalld.zone(5)), None if the zone is not dockless's.

    Raises SyntaxError for a file that is not XML, as do the functions below.
    """
    root = _root(text)
    if root.findtext("short") != MARK:
        return None
    settings = ["zone"] if root.get("target", "default") == "default" else []
    settings += ["forward"] if root.find("forward") is not None else []
    return settings + sorted(f"interface {each.get('name')}" for each in root.findall("interface"))


def policy_in_file(text: str, name: str) -> list[str] | None:
    """Return the setting in a policy's file (firewalld.policy(5)), None if the policy is not dockless's."""
    root = _root(text)
    if root.findtext("short") != MARK:
        return None
    zones = [[each.get("name") for each in root.findall(f"{side}-zone")] for side in ("ingress", "egress")]
    complete = root.get("target") == "ACCEPT" and zones == [[zone] for zone in POLICIES[name]]
    return [f"policy {name}"] if complete else []


def zone_file(text: str | None, settings: t.Sequence[str]) -> str:
    """Return a zone's file with these settings. What a user added to the zone, such as a service of the host, stays."""
    from xml.etree import ElementTree

    root = _root(text or "<zone/>")
    root.attrib.pop("target", None)
    for tag in ("short", "forward", "interface"):
        for each in root.findall(tag):
            root.remove(each)
    ElementTree.SubElement(root, "short").text = MARK
    if "forward" in settings:
        ElementTree.SubElement(root, "forward")
    for setting in settings:
        if setting.startswith("interface "):
            ElementTree.SubElement(root, "interface", name=setting.partition(" ")[2])
    ElementTree.indent(root)
    return _XML + ElementTree.tostring(root, encoding="unicode") + "\n"


def policy_file(name: str) -> str:
    """Return a policy's file."""
    source, target = POLICIES[name]
    return (
        f'{_XML}<policy target="ACCEPT">\n  <short>{MARK}</short>\n  <ingress-zone name="{source}"/>\n'
        f'  <egress-zone name="{target}"/>\n</policy>\n'
    )


def _values(text: str) -> dict[str, str]:
    pairs = (line.strip().partition(":") for line in text.splitlines() if line.startswith("  "))
    return {key: value.strip() for key, _colon, value in pairs}


def _root(text: str) -> Element:
    from xml.etree import ElementTree  # only a host with firewalld needs it

    return ElementTree.fromstring(text)
