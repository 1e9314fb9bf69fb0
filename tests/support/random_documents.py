# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents made by chance, from a seed: what properties are tried on."""

from __future__ import annotations

import random
import typing as t

Document = dict[str, t.Any]


def document(chance: random.Random, project: int = 0, fixed: bool = False) -> Document:
    """Return a project's declaration; with fixed, every network names its IPv4 subnet. Nothing in it is refused."""
    networks = {f"n{number}": network(chance, project, number, fixed) for number in range(chance.randint(1, 4))}
    sandboxes = {
        f"s{project}{number}": sandbox(chance, sorted(networks), project, number)
        for number in range(chance.randint(0, 7))
    }
    owners = [name for name, spec in sandboxes.items() if spec.get("network_mode", "none") in ("none", "bridge")]
    for name in list(sandboxes):
        if chance.random() < 0.1 and name not in owners[:1] and owners:
            sandboxes[name] = {"network_mode": f"container:{owners[0]}"}
    pairs = {}
    if len(owners) > 1 and chance.random() < 0.3:
        ends = [name for name in owners if not sandboxes[name].get("network_mode", "").startswith("container")][:2]
        if len(ends) == 2:
            pairs[f"{ends[0]}/direct0"] = {
                "addresses": [f"10.200.{project}.1/30"],
                "routes": [f"10.201.{project}.0/24 via 10.200.{project}.2"],
                "peer": {"name": "direct0", "netns": ends[1], "addresses": [f"10.200.{project}.2/30"]},
            }
    return {"networks": networks, "sandboxes": sandboxes, "veth_pairs": pairs}


def network(chance: random.Random, project: int, number: int, fixed: bool) -> Document:
    """Return a network's declaration."""
    spec: Document = {}
    if fixed or chance.random() < 0.6:
        spec["ipam"] = {"config": [{"subnet": f"10.{project}.{number}.0/{chance.choice((24, 25))}"}]}
    if chance.random() < 0.3:
        spec["enable_ipv6"] = True
    for key, values in (
        ("internal", [True]),
        ("isolate", ["open"]),
        ("icc", [False]),
        ("masquerade", [False]),
        ("mtu", [1400, 9000]),
        ("bridge_name", [f"br{project}n{number}"]),
        ("dns_enabled", [False]),
        ("labels", [{"tier": "x"}]),
    ):
        if chance.random() < 0.2:
            spec[key] = chance.choice(values)
    if chance.random() < 0.2:
        spec.update(overlay(chance, project, number))
    if chance.random() < 0.3:
        spec["services"] = {
            f"alias{number}": service(chance) for number in chance.sample(range(4), chance.randint(1, 2))
        }
    return spec


def overlay(chance: random.Random, project: int, number: int) -> Document:
    """Return what makes a network span hosts.

    Its own sandboxes have the upper half of the subnet, those elsewhere the lower.
    """
    there = {
        f"host{host}": {
            "vtep": f"192.0.2.{100 + host}",
            "sandboxes": {
                f"far{host}{each}": {"addresses": [f"10.{project}.{number}.{10 * host + each + 10}"]}
                for each in range(chance.randint(0, 2))
            },
        }
        for host in chance.sample(range(4), chance.randint(0, 2))
    }
    subnet = {"subnet": f"10.{project}.{number}.0/24", "ip_range": f"10.{project}.{number}.128/25"}
    return {
        "driver": "overlay",
        "vni": 300 + 10 * project + number,
        "enable_ipv6": False,
        "control_plane": ("static", "evpn")[project % 2],
        "ipam": {"config": [subnet]},
        "peers": there,
    }


def service(chance: random.Random) -> Document:
    """Return a service's declaration; behind it is who has its name as an alias."""
    if chance.random() < 0.2:
        return {"mode": "dnsrr"}
    return {"sticky": chance.random() < 0.3, "ports": chance.choice(([], [80], ["53/udp", "8080:80"]))}


def sandbox(chance: random.Random, networks: t.Sequence[str], project: int, number: int) -> Document:
    """Return a sandbox's declaration."""
    dice = chance.random()
    if dice < 0.15:
        return {"network_mode": chance.choice(("none", "host", "bridge"))}
    chosen = chance.sample(networks, chance.randint(0, min(3, len(networks))))
    joined: Document = {name: {} for name in chosen}
    for name in chosen:
        if chance.random() < 0.2:
            joined[name]["gw_priority"] = chance.randint(-3, 3)
        if chance.random() < 0.2:
            joined[name]["aliases"] = [f"alias{chance.randint(0, 3)}"]
    spec: Document = {"networks": joined}
    if chance.random() < 0.2:
        spec["attach"] = {"pid": 100 + number}
    if chance.random() < 0.4:
        spec["sysctls"] = {"net.ipv4.ip_unprivileged_port_start": str(chance.randint(0, 3))}
    if chance.random() < 0.2:
        spec["hostname"] = f"h{chance.randint(0, 3)}"
    return spec
