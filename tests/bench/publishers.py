# SPDX-License-Identifier: GPL-3.0-or-later
"""The subjects of datapath.py: each publishes many TCP ports of one sandbox, with its own rules or elements."""

from __future__ import annotations

import json
import typing as t

import engine

from support.private_host import PrivateHost

SANDBOX = "web"
FIRST_PORT = 20000
NETAVARK_PROGRAM = "/usr/lib/podman/netavark"
OURS, OURS_RANGE, IPTABLES, NETAVARK = "dockless", "dockless, one range", "iptables as Docker lays it", "netavark"
_SUBNET, _ADDRESS, _BRIDGE = "10.60.0.0/16", "10.60.0.2", "bench0"


class Publisher:
    """Something that publishes a sandbox's ports on a private host."""

    apart = 10000  # between a port of the host and the sandbox's: no two of them make a range

    def target(self, number: int) -> int:
        """Return the sandbox's port behind the host's port FIRST_PORT + number."""
        return FIRST_PORT + number + self.apart

    def build(self, host: PrivateHost, size: int) -> None:
        """Make the sandbox and publish its ports with the numbers from 0 to size - 1."""
        raise NotImplementedError

    def add(self, host: PrivateHost, size: int) -> None:
        """Publish the port with the number size, where all before it are."""
        raise NotImplementedError


class Engine(Publisher):
    """The engine, port by port."""

    def ports(self, size: int) -> list[str]:
        """Return the ports as a document has them."""
        return [f"{FIRST_PORT + number}:{self.target(number)}" for number in range(size)]

    def build(self, host: PrivateHost, size: int) -> None:
        declared = {
            "networks": {"front": {"dns_enabled": False, "ipam": {"config": [{"subnet": _SUBNET}]}}},
            "sandboxes": {SANDBOX: {"networks": ["front"], "ports": self.ports(size)}},
        }
        host.run(
            [engine.PYTHON, "-m", "_dockless.cli", *engine.arguments()],
            input=engine.text(declared),
            env=engine.environment(),
            timeout=600,
        )

    def add(self, host: PrivateHost, size: int) -> None:
        self.build(host, size + 1)


class EngineRange(Engine):
    """The engine, all ports in one range."""

    apart = 0

    def ports(self, size: int) -> list[str]:
        return [f"{FIRST_PORT}-{FIRST_PORT + size - 1}:{FIRST_PORT}-{FIRST_PORT + size - 1}"]


class Iptables(Publisher):
    """Rules as Docker Engine writes them.

    Each port has one that translates, one that accepts, and one for the sandbox's connections to itself.
    """

    def build(self, host: PrivateHost, size: int) -> None:
        _bridge(host)
        host.run(
            ["iptables-restore"],
            timeout=600,
            input="\n".join(
                [
                    "*raw",
                    f"-A PREROUTING -d {_ADDRESS}/32 ! -i {_BRIDGE} -j DROP",
                    "COMMIT",
                    "*nat",
                    ":DOCKER -",
                    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
                    "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
                    f"-A POSTROUTING -s {_SUBNET} ! -o {_BRIDGE} -j MASQUERADE",
                    *(rule for number in range(size) for table, rule in self._rules(number) if table == "nat"),
                    "COMMIT",
                    "*filter",
                    ":FORWARD DROP",
                    ":DOCKER -",
                    f"-A FORWARD -o {_BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                    f"-A FORWARD -o {_BRIDGE} -j DOCKER",
                    f"-A FORWARD -i {_BRIDGE} -j ACCEPT",
                    *(rule for number in range(size) for table, rule in self._rules(number) if table == "filter"),
                    "COMMIT",
                    "",
                ]
            ),
        )

    def add(self, host: PrivateHost, size: int) -> None:
        host.sh("; ".join(f"iptables -w -t {table} {rule}" for table, rule in self._rules(size)))

    def _rules(self, number: int) -> list[tuple[str, str]]:
        port, target = FIRST_PORT + number, self.target(number)
        return [
            (
                "nat",
                f"-A DOCKER ! -i {_BRIDGE} -p tcp -m tcp --dport {port} -j DNAT --to-destination {_ADDRESS}:{target}",
            ),
            ("nat", f"-A POSTROUTING -s {_ADDRESS}/32 -d {_ADDRESS}/32 -p tcp -m tcp --dport {target} -j MASQUERADE"),
            (
                "filter",
                f"-A DOCKER -d {_ADDRESS}/32 ! -i {_BRIDGE} -o {_BRIDGE} -p tcp -m tcp --dport {target} -j ACCEPT",
            ),
        ]


class Netavark(Publisher):
    """Netavark: one call, one container, and a mapping for each port.

    One more port needs a second container, because a running one cannot get another port.
    """

    def build(self, host: PrivateHost, size: int) -> None:
        self._call(host, SANDBOX, _ADDRESS, range(size))

    def add(self, host: PrivateHost, size: int) -> None:
        self._call(host, "more", "10.60.0.3", [size])

    def _call(self, host: PrivateHost, name: str, address: str, numbers: t.Sequence[int]) -> None:
        network = {
            "name": "bench",
            "id": "a" * 64,
            "driver": "bridge",
            "network_interface": _BRIDGE,
            "ipv6_enabled": False,
            "internal": False,
            "subnets": [{"subnet": _SUBNET, "gateway": "10.60.0.1"}],
            "dns_enabled": False,
            "ipam_options": {"driver": "host-local"},
        }
        mappings = [
            {
                "container_port": self.target(number),
                "host_port": FIRST_PORT + number,
                "host_ip": "",
                "protocol": "tcp",
                "range": 1,
            }
            for number in numbers
        ]
        host.sh(f"mkdir -p /run/netavark; ip netns add {name}")
        host.run(
            [NETAVARK_PROGRAM, "--config", "/run/netavark", "setup", f"/run/netns/{name}"],
            timeout=600,
            input=json.dumps(
                {
                    "container_id": name,
                    "container_name": name,
                    "port_mappings": mappings,
                    "networks": {"bench": {"static_ips": [address], "interface_name": "eth0"}},
                    "network_info": {"bench": network},
                }
            ),
        )


PUBLISHERS = {OURS: Engine(), OURS_RANGE: EngineRange(), IPTABLES: Iptables(), NETAVARK: Netavark()}


def _bridge(host: PrivateHost) -> None:
    host.sh(f"""
        ip netns add {SANDBOX}
        ip link add {_BRIDGE} type bridge; ip address add 10.60.0.1/16 dev {_BRIDGE}; ip link set {_BRIDGE} up
        ip link add port0 master {_BRIDGE} type veth peer name eth0 netns {SANDBOX}; ip link set port0 up
        ip -netns {SANDBOX} address add {_ADDRESS}/16 dev eth0; ip -netns {SANDBOX} link set eth0 up
        ip -netns {SANDBOX} route add default via 10.60.0.1""")
