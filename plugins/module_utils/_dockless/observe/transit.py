# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Reads for whom the host forwarded packets before the role prerequisites turned forwarding on, from its record."""

from __future__ import annotations

import json
import re
import typing as t

from ..model.facts import NO_TRANSIT, Transit
from ..names import FORMER_SETTINGS

# The sysctls that turn forwarding on for all links, in the form with slashes.
_FORWARDING = {"net/ipv4/ip_forward": 4, "net/ipv4/conf/all/forwarding": 4, "net/ipv6/conf/all/forwarding": 6}
# The sysctls that turn it on for packets from one link, whatever those above are.
# Other names of links are left out: they would need quoting in nft's text.
_LINK_FORWARDING = re.compile(
    r"net/(ipv4)/conf/([A-Za-z0-9._:@-]{1,15})/forwarding|net/(ipv6)/conf/([A-Za-z0-9._:@-]{1,15})/force_forwarding"
)


def read_transit() -> Transit:
    """Return which transit is closed, and from which links it is not. Without a record, none is."""
    try:
        with open(FORMER_SETTINGS, encoding="utf-8") as file:
            entries = json.load(file)["sysctls"].items()
    except FileNotFoundError:
        return NO_TRANSIT
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NO_TRANSIT._replace(is_known=False)
    closed: set[int] = set()
    exempt: set[tuple[int, str]] = set()
    for key, entry in entries:
        version = _FORWARDING.get(_path_of(key))
        was_turned_on = isinstance(entry, dict) and (entry.get("before"), entry.get("set")) == ("0", "1")
        if version is not None and was_turned_on:
            closed.add(version)
            exempt.update(_forwarding_links(entry.get("along")))
    return Transit(tuple(sorted(closed)), tuple(sorted(exempt)))


def _path_of(key: str) -> str:
    """Return a key below /proc/sys. The separator is its first dot or slash (sysctl.conf(5))."""
    return key if "/" in key.partition(".")[0] else key.translate(str.maketrans("./", "/."))


def _forwarding_links(along: t.Any) -> t.Iterator[tuple[int, str]]:
    """Yield the links from which packets were forwarded. The record has "1" for each of them."""
    for path, value in (along if isinstance(along, dict) else {}).items():
        found = _LINK_FORWARDING.fullmatch(path)
        version, link = filter(None, found.groups()) if found else ("", "all")
        if link not in ("all", "default") and value == "1":
            yield int(version[-1]), link
