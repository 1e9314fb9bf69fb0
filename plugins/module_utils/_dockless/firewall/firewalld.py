# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The zone and the policies that firewalld has for us, in its files and in the words of its program."""

from __future__ import annotations

import typing as t

from ..model.facts import Facts, Firewall
from ..model.host import Host
from ..model.overlay import vxlan_device
from ..model.topology import Networks
from . import coexistence

ZONE = "dockless"  # firewalld's name for what is ours; zones and policies share one space of names
POLICIES = {"dockless-out": (ZONE, "ANY"), "dockless-in": ("ANY", ZONE)}  # from and to which zone
MARK = "dockless.network"  # the short description of all three
_XML = '<?xml version="1.0" encoding="utf-8"?>\n'


def zone_in_file(text: str) -> list[str] | None:
    """Return the settings in a zone's file (firewalld.zone(5)), None if it is somebody else's."""
    root = _root(text)
    if root.findtext("short") != MARK:
        return None
    found = ["zone"] if root.get("target", "default") == "default" else []
    found += ["forward"] if root.find("forward") is not None else []
    return found + sorted(f"interface {each.get('name')}" for each in root.findall("interface"))


def policy_in_file(text: str, name: str) -> list[str] | None:
    """Return the setting in a policy's file (firewalld.policy(5)), None if it is somebody else's."""
    root = _root(text)
    if root.findtext("short") != MARK:
        return None
    zones = [[each.get("name") for each in root.findall(f"{side}-zone")] for side in ("ingress", "egress")]
    return [f"policy {name}"] if zones == [[zone] for zone in POLICIES[name]] and root.get("target") == "ACCEPT" else []


def zone_file(text: str | None, settings: t.Sequence[str]) -> str:
    """Return a zone's file with our settings; what others have put into our zone, such as a service of the host, stays."""
    root = _root(text or "<zone/>")
    root.attrib.pop("target", None)
    for tag in ("short", "forward", "interface"):
        for each in root.findall(tag):
            root.remove(each)
    from xml.etree import ElementTree

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


def _root(text: str) -> t.Any:
    from xml.etree import ElementTree  # for hosts with firewalld only

    return ElementTree.fromstring(text)


def zone_of_listing(text: str) -> list[str]:
    """Return the same settings as "firewall-cmd --info-zone" tells them."""
    said = _said(text)
    found = ["zone"] if said.get("target") == "default" else []
    found += ["forward"] if said.get("forward") == "yes" else []
    return found + sorted(f"interface {name}" for name in said.get("interfaces", "").split())


def policy_of_listing(text: str, name: str) -> list[str]:
    """Return the same setting as "firewall-cmd --info-policy" tells it."""
    said = _said(text)
    complete = (
        said.get("target") == "ACCEPT" and (said.get("ingress-zones"), said.get("egress-zones")) == POLICIES[name]
    )
    return [f"policy {name}"] if complete else []


def permanent_only(text: str) -> list[str]:
    """Return what "--list-all-zones" or "--list-all-policies" tells of others' settings that a reload takes from the files.

    Which interfaces a zone has is left out: those are kept over a reload.
    """
    found: list[str] = []
    title = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "\t")):
            title = line.split()[0]
        elif line.strip() and title not in (ZONE, *POLICIES) and not line.startswith("  interfaces:"):
            found.append(f"{title} {line.strip()}")
    return sorted(found)


def _said(text: str) -> dict[str, str]:
    pairs = (line.strip().partition(":") for line in text.splitlines() if line.startswith("  "))
    return {key: value.strip() for key, colon, value in pairs}


# ---- firewalld ---------------------------------------------------------------


def wanted_settings(firewall: Firewall, host: Host, networks: Networks, facts: Facts) -> t.Iterator[str]:
    """Yield the zone of our links, whose target is the default: of the host itself it opens nothing; and policies that lead out of it and in.

    Translated connections need no policy: firewalld accepts them, or by StrictForwardPorts decides about them.
    """
    led = coexistence._bridge_networks(networks)
    links = sorted(
        {network.bridge_name for network in led}
        | {vxlan_device(network) for network in led if coexistence._routed(network)}
    )
    settings = ["zone", "forward", *(f"interface {link}" for link in links)]
    settings += ["policy dockless-out"] if any(network.egress for network in led) else []
    settings += (
        ["policy dockless-in"]
        if any(network.ingress and coexistence._is_open_directly(host, network) for network in led)
        else []
    )
    for time in ("permanent", "runtime") if firewall.running else ("permanent",):
        yield from (f"{time} {setting}" for setting in settings)
