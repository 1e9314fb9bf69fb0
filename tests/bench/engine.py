# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as bench and profile run it: its documents, its command line, its environment."""

from __future__ import annotations

import json
import pathlib
import sys
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "bench"
PYTHON = "/usr/bin/python3"
PROJECT = "bench"
PORTS_PER_BRIDGE = 1000  # a bridge of the kernel holds 1,023
FIRST_PORT = 10000

sys.path.insert(0, str(ROOT / "tests"))  # the package support, with the private hosts


def environment() -> dict[str, str]:
    """Return what the engine's process needs: bytecode is kept, as an installed package's is, but outside the tree."""
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


def document(size: int, names_served: bool) -> dict[str, t.Any]:
    """Return a document of size sandboxes p1, p2, ..., each with one port, on as few bridges as the kernel allows."""
    last = (size - 1) // PORTS_PER_BRIDGE
    networks = {
        f"n{i}": {
            "driver": "bridge",
            "dns_enabled": names_served,
            "ipam": {"config": [{"subnet": f"10.{50 + i}.0.0/16"}]},
        }
        for i in range(last + 1)
    }
    sandboxes = {
        f"p{i}": {"networks": [f"n{(i - 1) // PORTS_PER_BRIDGE}"], "ports": [f"{FIRST_PORT + i}:80"]}
        for i in range(1, size + 1)
    }
    return {"networks": networks, "sandboxes": sandboxes}


def with_one_more(declared: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the document with one more sandbox, on the last network."""
    number = len(declared["sandboxes"]) + 1
    one = {"networks": [max(declared["networks"])], "ports": [f"{FIRST_PORT + number}:80"]}
    return {**declared, "sandboxes": {**declared["sandboxes"], f"p{number}": one}}


def text(declared: dict[str, t.Any]) -> str:
    """Return the document as the engine reads it."""
    return json.dumps(declared)


def arguments(*more: str) -> list[str]:
    """Return the engine's arguments to converge the project from a document on standard input."""
    return ["apply", "--project", PROJECT, "--json", *more, "-"]
