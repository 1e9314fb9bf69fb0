# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab with runs that change it: networks, sandboxes and ports come and go, the sandboxes of places.py stay."""

from __future__ import annotations

import json
import typing as t

from support.private_host import PYTHON, PrivateHost

from . import places
from .topology import Lab

TAKEN = (8001, 8900)  # UDP ports that the node serves in the lab, and that sandboxes publish as well
Document = dict[str, t.Any]


class ChangingLab:
    """The lab and what may be declared in it, by name: see documents."""

    def __init__(self, host: PrivateHost) -> None:
        self.lab = Lab(host)
        self.lab.leave_late_address()
        host.sh("ip link del guest0; ip link set tunnel0 group default")  # a run would take away what has our marks
        self.lab.stations.pop("guest").close()
        for station in self.lab.stations.values():
            station.follow_link()
        for port in TAKEN:
            self.lab["node"].leave_port(port)
        self._files = {name: f"/run/{name}.json" for name in documents()}
        for name, document in documents().items():
            host.run(["tee", self._files[name]], input=json.dumps(document))

    def close(self) -> None:
        """Take away everything that the lab made."""
        self.apply("all")
        self.lab.close()
        self.lab.host.run(["rm", *self._files.values()])

    def command(self, document: str) -> list[str]:
        """Return the command of a run."""
        return [PYTHON, "-m", "_dockless.cli", "apply", "--project", places.PROJECT, "--json", self._files[document]]

    def apply(self, document: str) -> None:
        """Make a run. Raises Failed with its message."""
        self.lab.host.run(self.command(document))


def documents() -> dict[str, Document]:
    """Return the lab's declaration, with every other network, with no network, and two with more than it has."""
    whole = places.document()
    every = tuple(places.NETS)
    return {
        "all": whole,
        "half": _without(whole, every[::2]),
        "none": _without(whole, every),
        "more": _with_more(whole, {"sub": "172.31.1.0/24", "mtu": 1500}, ["7001:80/tcp", "7002:80/udp"]),
        "other": _with_more(whole, {"sub": "172.31.2.0/24", "mtu": 1400}, ["7002:80/tcp", "7003-7009:7003-7009/udp"]),
    }


def _without(document: Document, networks: t.Sequence[str]) -> Document:
    """Return a document without networks; their sandboxes are on none."""
    kept = {name: value for name, value in document["networks"].items() if name not in networks}
    sandboxes = {
        name: {"network_mode": "none"} if places.NETWORK_OF[name] in networks else value
        for name, value in document["sandboxes"].items()
    }
    return {"networks": kept, "sandboxes": sandboxes}


def _with_more(document: Document, network: dict[str, t.Any], ports: list[str]) -> Document:
    """Return a document with a network, a sandbox on it, one more on a network of the lab, and their ports."""
    more = {"dns_enabled": False, "mtu": network["mtu"], "ipam": {"config": [{"subnet": network["sub"]}]}}
    sandboxes = {"x1": {"networks": ["extra"], "ports": ports}, "x2": {"networks": ["red"], "ports": ["7100:80"]}}
    return {
        "networks": {**document["networks"], "extra": more},
        "sandboxes": {**document["sandboxes"], **sandboxes},
    }
