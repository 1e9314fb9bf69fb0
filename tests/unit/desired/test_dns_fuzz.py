# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile names, aliases and records: what is accepted stands in the files as itself, and nothing else does."""

from __future__ import annotations

import os
import random
import re

from _dockless.errors import DocklessError
from _dockless.state.objects import File
from support import pipeline

TURNS = int(os.environ.get("DOCKLESS_TEST_NAMES", "100000"))
PIECES = [
    "a",
    "Z",
    "9",
    "-",
    "_",
    ".",
    "web",
    "a" * 63,
    "a" * 64,
    "xn--4ca",
    " ",
    "\n",
    "\r",
    "\t",
    "\0",
    ",",
    "=",
    "#",
    "/",
    "\\",
    '"',
    "'",
    ";",
    "%",
    "$(id)",
    "`id`",
    "\u00e9",
    "\u202e",
    "\uff0e",
    "\ud800",
    "*",
    "@",
    ":",
    "::1",
    "10.0.0.9",
    "\n10.0.0.9 bank",
    "server=10.0.0.9",
    "\naddn-hosts=/etc/shadow",
    "..",
    "../x",
    "",
    "-rf",
]
KINDS = ["A", "AAAA", "CNAME", "SRV", "TXT", "PTR", "MX", ""]
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = rf"{_LABEL}(?:\.{_LABEL})*"
_ADDRESS = r"[0-9a-f.:]+"
_STRING = r'"(?:[^"\\]|\\.)*"'
# Every line that a resolver's configuration may have; anything else came out of a name.
CONFIGURATION = re.compile(
    "|".join(
        (
            r"# dockless: sandbox [A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+",
            r"port=10053",
            r"listen-address=127\.0\.0\.11",
            "bind-interfaces",
            "no-hosts",
            "no-resolv",
            "no-poll",
            "domain-needed",
            "local=//",
            "local=/#/",
            "local-ttl=0",
            "cache-size=0",
            "dns-forward-max=1024",
            r"pid-file=/run/dockless/dns/pids/[A-Za-z0-9_.-]+\.pid",
            r"hostsdir=/run/dockless/dns/(?:networks|links)/[A-Za-z0-9_.-]+",
            r"resolv-file=/run/dockless/dns/upstreams/[A-Za-z0-9_.-]+/resolv\.conf",
            r"servers-file=/run/dockless/dns/zones",
            rf"local=/{_NAME}/",
            rf"server=/\*\.{_NAME}/#",
            rf"server={_ADDRESS}(?:#\d+)?",
            rf"cname={_NAME},{_NAME}",
            rf"srv-host={_NAME},{_NAME},\d+,\d+,\d+",
            rf"txt-record={_NAME}(?:,{_STRING})+",
            r"txt-record=config\.dockless\.invalid,[0-9a-f]{16}",
            rf"ptr-record={_NAME},{_NAME}",
        )
    )
)
ZONES = re.compile(rf"# dockless: networks of this host|server=/{_NAME}/")
HOSTS = re.compile(rf"# dockless: .*|{_ADDRESS}[ \t]{_NAME}(?:[ \t]{_NAME})*")
RESOLV = re.compile(rf"# [ -~]*|nameserver {_ADDRESS}|search {_NAME}(?: {_NAME})*|options [a-z0-9:-]+(?: [a-z0-9:-]+)*")


def text(source):
    """Return a name made of pieces, most of them harmless alone."""
    return "".join(source.choice(PIECES) for turn in range(source.choice((1, 1, 1, 2, 2, 3))))


def document(source):
    """Return a document that has hostile text wherever a name may stand."""
    record = {
        "name": text(source),
        "type": source.choice(KINDS),
        "value": source.choice((text(source), "10.0.0.1", "1 2 3 " + text(source))),
    }
    spots = {
        "alias": "www",
        "hostname": "",
        "search": "corp.example",
        "extra": "more",
        "sandbox": "web",
        "network": "front",
    }
    for spot in source.sample(sorted(spots), source.choice((0, 1, 1, 2))):
        spots[spot] = text(source)
    web = {
        "networks": {spots["network"]: {"aliases": [spots["alias"]]}},
        "hostname": spots["hostname"],
        "dns_search": [spots["search"]],
        "extra_hosts": {spots["extra"]: "10.0.0.7"},
    }
    return {
        "networks": {spots["network"]: {"records": [record] if source.random() < 0.5 else []}},
        "sandboxes": {spots["sandbox"]: {key: value for key, value in web.items() if value}},
    }


def wrong_lines(state):
    """Return the lines of files that no declaration can mean."""
    found = []
    for thing in state.values():
        if isinstance(thing, File):
            pattern = (
                CONFIGURATION
                if "/dns/resolvers/" in thing.path
                else ZONES
                if thing.path.endswith("/dns/zones")
                else RESOLV
                if thing.path.endswith("resolv.conf")
                else HOSTS
                if thing.path.endswith("/hosts") or "/dns/" in thing.path
                else None
            )
            found += [
                (thing.path, line)
                for line in (thing.text.split("\n")[:-1] if pattern else ())
                if not pattern.fullmatch(line)
            ]
    return found


def test_hostile_names_do_not_change_the_files():
    """Refused with one printable sentence, or in the files as a name.

    A hundred thousand of them, more by DOCKLESS_TEST_NAMES=1000000.
    """
    source = random.Random(55)
    refused = accepted = 0
    for _turn in range(TURNS):
        asked = document(source)
        try:
            state = pipeline.state(pipeline.resolved(asked))
        except DocklessError as refusal:
            assert str(refusal).isprintable(), asked
            refused += 1
            continue
        assert wrong_lines(state) == [], asked
        accepted += 1
    assert refused > TURNS / 10 and accepted > TURNS / 10


def test_the_patterns_see_what_they_are_for():
    """An injected line is found."""
    path = "/run/dockless/dns/resolvers/web.conf"
    for line in ("server=/x/10.0.0.9", "addn-hosts=/etc/shadow", "txt-record=a,b", ""):
        assert wrong_lines({0: File(path, f"port=10053\n{line}\n")}) == [(path, line)]
    assert wrong_lines({0: File("/run/dockless/dns/networks/a.b/a", "10.0.0.9 bank\n10.0.0.9 a b\n10.0.0.9 a,b\n")})
