# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the engine's promises share: a document with every kind of object, and a host's state to the
last byte.
"""

from __future__ import annotations

import copy
import json
import typing as t

from support import snapshot
from support.private_host import PYTHON, SUPPORT, PrivateHost, Result

Document = dict[str, t.Any]

# Every kind of object that the engine makes: bridges, namespaces (own, shared), endpoints of both families, a plain
# pair,
# addresses, routes, sysctls, files, tables of the host and of sandboxes, resolvers, published ports, the default
# bridge.
SHOP: Document = {
    "networks": {
        "front": {"enable_ipv6": True, "ipam": {"config": [{"subnet": "10.41.0.0/24"}, {"subnet": "fd41::/64"}]}},
        "back": {"internal": True, "ipam": {"config": [{"subnet": "10.42.0.0/24"}]}},
    },
    "sandboxes": {
        "web": {
            "networks": {"front": {"aliases": ["www"]}, "back": {}},
            "ports": ["8080:80"],
            "sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"},
        },
        "cli": {"networks": ["front"]},
        "db": {"networks": ["back"]},
        "side": {"network_mode": "container:web"},
        "lab": {"network_mode": "none"},
        "old": {"network_mode": "bridge"},
    },
    "veth_pairs": {
        "lab/cable": {
            "mac_address": "02:00:00:00:49:01",
            "addresses": ["10.49.0.1/30"],
            "peer": {
                "name": "cable",
                "netns": "cli",
                "mac_address": "02:00:00:00:49:02",
                "addresses": ["10.49.0.2/30"],
            },
        }
    },
}

# The same without names, for runs under strace: that follows every process to its end, and a resolver has none.
QUIET: Document = {
    "networks": {name: {**network, "dns_enabled": False} for name, network in SHOP["networks"].items()},
    "sandboxes": {name: sandbox for name, sandbox in SHOP["sandboxes"].items() if name != "web"},
    "veth_pairs": SHOP["veth_pairs"],
}
QUIET["sandboxes"]["web"] = {"networks": ["front", "back"], "ports": ["8080:80"]}

_CONTENTS = """
import hashlib, json, os, stat, sys
found = []
for place in sys.argv[1:]:
    for directory, _directories, names in os.walk(place):
        for name in names:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if name != "lock" and stat.S_ISREG(status.st_mode) and not directory.startswith("/run/netns"):
                text = open(path, "rb").read()
                if directory.endswith("/pids"):
                    text = b""  # a resolver that was stopped and started again has another number
                if name == "namespaces.json":
                    records = json.loads(text)["namespaces"]
                    for record in records.values():
                        del record["inode"], record["cookie"]  # of a namespace that was made again
                    text = json.dumps(records, sort_keys=True).encode()
                digest, end = hashlib.sha256(text).hexdigest()[:16], text.decode(errors='replace')[-300:]
                found.append(f"{path} {status.st_mode:o} {digest} {end!r}")
print(json.dumps(sorted(found)))
"""
_PLACES = ("/etc/dockless", "/etc/netns", "/run/dockless")
_CACHES = (
    "/run/dockless/generations.json",
    "/run/dockless/fingerprints/",
    "/run/dockless/unchanged",
)  # what nft and the last run said before; nothing depends on them


def changed(document: Document, **paths: t.Any) -> Document:
    """Return a copy of a document with values put in place: changed(SHOP, networks__front__mtu=1400); None removes."""
    new = copy.deepcopy(document)
    for path, value in paths.items():
        *above, last = path.split("__")
        place = new
        for key in above:
            place = place[key]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return new


def full(host: PrivateHost) -> snapshot.Snapshot:
    """Return what the host is like with all of its files' contents, its bridge ports' flags and its sandboxes'
    sysctls.
    """
    found = host.snapshot()
    lines = json.loads(host.python(_CONTENTS, *_PLACES).stdout)
    found["content"] = [line for line in lines if not line.startswith(_CACHES)]
    found["file"] = [path for path in found["file"] if not path.startswith(_CACHES)]
    for kind, rows in found.items():  # the kernel adds these some time after a link or address
        if kind.startswith(("route", "address")):
            found[kind] = [row for row in rows if not ("table=local" in row and ":" in row or " fe80:" in row)]
    found["sysctl"] = [
        line for line in found["sysctl"] if "/promote_secondaries = " not in line
    ]  # set when an address is taken away
    found["port"] = [
        f"{row['ifname']} {row.get('master')} {json.dumps(row.get('linkinfo', {}).get('info_slave_data', {}).get(key))}"
        for row in json.loads(host.sh("ip -json -details link show") or "[]")
        for key in ("isolated", "hairpin", "state")
    ]
    for name in found["netns"]:
        found[f"sysctl of {name}"] = host.run(
            [
                "sh",
                "-c",
                "sysctl -a --pattern '^net\\.ipv[46]\\.(conf|ip_unpriv)' 2>/dev/null | "
                "grep -v -e stable_secret -e promote_secondaries",
            ],
            netns=name,
        ).stdout.splitlines()
    return found


def assert_same(before: snapshot.Snapshot, host: PrivateHost, what: str = "", but: tuple[str, ...] = ()) -> None:
    """Fail, with a line for each difference, unless the host is as it was, to the last byte.

    But are kinds that may differ.
    """
    was, now = (
        {kind: lines for kind, lines in found.items() if not kind.startswith(but)} if but else found
        for found in (before, full(host))
    )
    lines = snapshot.difference(was, now)
    assert not lines, f"{what}: the host is not as it was:\n" + "\n".join(lines)


def hooked(host: PrivateHost, what: str, number: int, document: Document, *options: str) -> Result:
    """Run the engine with something happening at its step of that number; see faults.py. Returns its output."""
    done = host.run(
        [PYTHON, str(SUPPORT / "faults.py"), what, str(number), *options], input=json.dumps(document), check=False
    )
    if done.returncode == -9 or done.returncode == 137:
        return {"killed": True}
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def steps(events: t.Iterable[str]) -> list[str]:
    """Return the events of a counted run that are steps of its plan, which alone count where a run waits."""
    return [event for event in events if event.startswith("before ") and " of document " not in event]


def kinds(operations: t.Iterable[str]) -> list[str]:
    """Return operations without their reasons, sorted."""
    return sorted(line.partition(" (")[0] for line in operations)


def address(result: Result, sandbox: str, network: str, version: int = 4) -> str:
    """Return the address that a run gave to an endpoint."""
    return next(
        cidr.partition("/")[0]
        for e in result["endpoints"]
        if (e["sandbox"], e["network"]) == (sandbox, network)
        for cidr in e["addresses"]
        if (":" in cidr) == (version == 6)
    )


def links(host: PrivateHost, netns: str | None = None) -> list[str]:
    """Return the names of interfaces, in the order of their numbers."""
    rows = json.loads(host.run(["ip", "-json", "link", "show"], netns=netns).stdout)
    return [row["ifname"] for row in sorted(rows, key=lambda row: row["ifindex"])]
