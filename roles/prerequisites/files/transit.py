# SPDX-License-Identifier: GPL-3.0-or-later
"""Table inet dockless-transit, which drops what the host would forward between links that dockless does not manage."""

from __future__ import annotations

import json
import re
import subprocess
import typing as t

from sysctls import path_of

TRANSIT_FILE = "/etc/nftables.d/dockless-transit.nft"
HOST_FILE = "/etc/dockless/host.json"
FORWARDING = {
    "net/ipv4/ip_forward": "ipv4",
    "net/ipv4/conf/all/forwarding": "ipv4",
    "net/ipv6/conf/all/forwarding": "ipv6",
}
# The sysctls that turn forwarding on for packets from one link, whatever those above are.
LINK_FORWARDING = re.compile(
    r"net/(ipv4)/conf/([A-Za-z0-9._:@-]{1,15})/forwarding|net/(ipv6)/conf/([A-Za-z0-9._:@-]{1,15})/force_forwarding"
)
# As nft lists it. The engine has the same text (firewall/transit.py). 25707 and 25709 are groups of dockless's links.
TRANSIT_TABLE = """\
table inet dockless-transit {
    counter transit {
    }

    set forwarded {
        type nf_proto
%s    }

    set forwarded_from {
        type nf_proto . ifname
%s    }

    chain forward {
        type filter hook forward priority filter; policy drop;
        iifgroup { 25707, 25709 } accept
        oifgroup { 25707, 25709 } accept
        meta nfproto @forwarded accept
        meta nfproto . iifname @forwarded_from accept
        counter name "transit" drop
    }
}
""".replace("    ", "\t")
DELETE_TRANSIT_TABLE = "table inet dockless-transit\ndelete table inet dockless-transit\n"


def nft(*arguments: str, script: str = "") -> subprocess.CompletedProcess[str]:
    """Run nft. A missing one is an exit status, too."""
    try:
        return subprocess.run(["nft", *arguments], input=script, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(["nft"], 127, "", "nft is not installed")


def is_same_table(listing: str, text: str) -> bool:
    """Return whether a listing is that of a text, which another version of nft can list in another form."""
    if listing == text or not (listing and text):
        return listing == text
    command = ["unshare", "--net", "sh", "-ec", "nft -f -; nft -s list table inet dockless-transit"]
    return subprocess.run(command, input=text, text=True, capture_output=True, check=False).stdout == listing


def closed_versions(entries: dict[str, t.Any]) -> dict[str, str]:
    """Return the keys of forwarding that was off before this role turned it on, with their IP versions."""
    return {
        key: FORWARDING[path_of(key)]
        for key, entry in entries.items()
        if path_of(key) in FORWARDING and (entry["before"], entry["set"]) == ("0", "1")
    }


def transit_table(entries: dict[str, t.Any]) -> str:
    """Return the table that drops what the host would forward for others, "" if it forwarded that before."""
    closed = closed_versions(entries)
    if not closed:
        return ""
    exempt = set()
    for key in closed:
        for path, value in entries[key]["along"].items():
            found = LINK_FORWARDING.fullmatch(path)
            version, link = filter(None, found.groups()) if found else ("", "all")
            if link not in ("all", "default") and value == "1":
                exempt.add(f'{version} . "{link}"')
    versions = {"ipv4", "ipv6"} - set(closed.values())
    return TRANSIT_TABLE % (elements_text(versions), elements_text(exempt))


def elements_text(elements: t.Collection[str]) -> str:
    """Return the elements of a set, as nft lists them."""
    return "\t\telements = { " + ",\n\t\t\t     ".join(sorted(elements)) + " }\n" if elements else ""


def forwards_for_others(spec: dict[str, t.Any]) -> bool:
    """Return whether the host's default ip_forward_no_drop is set, in the spec or in the document of an earlier run."""
    if spec.get("forward_for_others") is not None:
        return bool(spec["forward_for_others"])
    try:
        with open(HOST_FILE, encoding="utf-8") as handle:
            value = json.load(handle)["defaults"].get("ip_forward_no_drop", False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return str(value).lower() in ("true", "yes", "on", "1")
