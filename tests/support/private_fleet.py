# SPDX-License-Identifier: GPL-3.0-or-later
"""Several private hosts on one underlay: a switch in a namespace of its own that tests can listen on, and cut.

Each host has, beside what a private host has, an interface under0 with an address of 203.0.113.0/24 and of
2001:db8:9::/64.
"""

from __future__ import annotations

import contextlib
import subprocess
import typing as t

from support.private_host import TIMEOUT, Failed, Place, PrivateHost, child_of

_SWITCH = (
    "ip link set lo up; ip link add underlay type bridge mcast_snooping 0; ip link set underlay up; echo ready; cat"
)


class Fleet:
    """Private hosts, numbered from 1, that reach each other by under0. Use it as a context manager."""

    def __init__(self, size: int) -> None:
        self._stack = contextlib.ExitStack()
        self._switch = subprocess.Popen(  # pylint: disable=consider-using-with
            [
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "/bin/bash",
                "-euc",
                _SWITCH,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._switch.stdout
        if self._switch.stdout.readline() != "ready\n":
            raise Failed("the switch of the underlay does not start")
        pid = child_of(self._switch.pid)
        self.switch = Place(["nsenter", f"--target={pid}", "--net", "--mount", "--pid"])
        self.hosts: list[PrivateHost] = []
        for _number in range(size):
            self.join()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *error: object) -> None:
        self.switch.stop_servers()
        self._stack.close()
        assert self._switch.stdin and self._switch.stdout
        self._switch.stdin.close()
        self._switch.wait(timeout=TIMEOUT)
        self._switch.stdout.close()

    def join(self) -> PrivateHost:
        """Add a host and return it."""
        host = self._stack.enter_context(PrivateHost())
        self.hosts.append(host)
        number = len(self.hosts)
        pid = child_of(self._switch.pid)
        # Both namespaces by their first processes, as this machine numbers them; the machine's own links are not
        # touched.
        subprocess.run(
            [
                "nsenter",
                f"--target={pid}",
                "--net",
                "ip",
                "link",
                "add",
                f"port{number}",
                "master",
                "underlay",
                "up",
                "type",
                "veth",
                "peer",
                "name",
                "under0",
                "address",
                f"02:00:00:00:01:{number:02x}",
                "netns",
                str(host.pid),
            ],
            check=True,
        )
        host.sh(
            f"ip link set under0 addrgenmode none; ip address add {address(number)}/24 dev under0; "
            f"ip address add {address(number, 6)}/64 dev under0 nodad; ip link set under0 up; "
            f"until ip -6 route show table local | grep -q '{address(number, 6)} '; do :; done"
        )
        host.birth = host.snapshot()
        return host

    def cut(self, number: int) -> None:
        """Pull a host's plug."""
        self.switch.run(["ip", "link", "set", f"port{number}", "down"])

    def mend(self, number: int) -> None:
        """Put the plug in again."""
        self.switch.run(["ip", "link", "set", f"port{number}", "up"])

    def check_clean(self) -> None:
        """Take everything away and fail if anything is left on a host."""
        for host in self.hosts:
            host.teardown()
        for host in self.hosts:
            host.assert_back_to(host.birth)


def address(number: int, version: int = 4) -> str:
    """Return a host's address on the underlay."""
    return f"203.0.113.{number}" if version == 4 else f"2001:db8:9::{number:x}"


def documents(
    networks: t.Mapping[str, dict[str, t.Any]],
    placed: t.Sequence[t.Mapping[str, dict[str, t.Any]]],
    version: int = 4,
) -> list[dict[str, t.Any]]:
    """Return each host's document, as a fleet's plan would fill it in.

    networks are overlays; placed are, host by host, sandboxes whose endpoints have fixed addresses.
    """
    found = []
    for number, own in enumerate(placed, 1):
        spanning = {}
        for name, spec in networks.items():
            peers = {
                f"host{other}": {"vtep": address(other, version), "sandboxes": _on(name, sandboxes)}
                for other, sandboxes in enumerate(placed, 1)
                if other != number
            }
            spanning[name] = {"driver": "overlay", "vtep": address(number, version), "peers": peers, **spec}
        found.append({"networks": spanning, "sandboxes": dict(own)})
    return found


def _on(network: str, sandboxes: t.Mapping[str, dict[str, t.Any]]) -> dict[str, t.Any]:
    return {
        name: {
            "addresses": [each[key] for key in ("ipv4_address", "ipv6_address") if key in each],
            "aliases": each.get("aliases", []),
        }
        for name, spec in sandboxes.items()
        for each in [spec["networks"].get(network)]
        if each is not None
    }
