# SPDX-License-Identifier: GPL-3.0-or-later
"""Host ports that something else has, judged on a host where it does."""

from __future__ import annotations

import pytest

from support.private_host import SYSTEM_PYTHON
from support.smoke import smoke_case
from support.traffic import network

CONFLICTS = {
    "another mapping": (["8080:80"], "shop/web publishes it on all addresses already"),
    "one address of all": (["192.0.2.2:8080:80"], "shop/web publishes it on all addresses already"),
    "a process on every address": (["9000:80"], "python3 (pid "),
    "a process on one address": (["9001:80"], "python3 (pid "),
    "a UDP socket": (["9002:80/udp"], "python3 (pid "),
}
SOCKETS = """
import socket
def bound(kind, address, port): s = socket.socket(socket.AF_INET, kind); s.bind((address, port)); return s
keep = [bound(socket.SOCK_STREAM, "0.0.0.0", 9000), bound(socket.SOCK_STREAM, "192.0.2.2", 9001)]
keep.append(bound(socket.SOCK_DGRAM, "0.0.0.0", 9002))
for s in keep[:2]: s.listen()
print("ready", flush=True)
__import__("signal").pause()
"""


@pytest.mark.parametrize("ports, words", smoke_case(CONFLICTS, "another mapping"))
def test_port_conflict_is_refused_before_any_change(private_host, ports, words):
    """The message has the owner's name, and the host is as it was."""
    shop = {
        "networks": {"front": network("172.20.0.0/24")},
        "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}},
    }
    private_host.apply(shop)
    assert private_host.popen([SYSTEM_PYTHON, "-c", SOCKETS]).readline() == "ready"
    before = private_host.snapshot()
    late = {"networks": ["front"], "ports": ports}
    told = private_host.refusal({**shop, "sandboxes": {**shop["sandboxes"], "late": late}})
    assert told.startswith("sandboxes.late.ports[0]: shop/late cannot publish host port ") and words in told
    private_host.assert_back_to(before)
    free = {
        "networks": ["front"],
        "ports": ["127.0.0.1:9001:80", "9002:80/tcp", "8080:80/udp"],
    }  # others than those taken
    assert private_host.apply({**shop, "sandboxes": {**shop["sandboxes"], "late": free}})["changed"]
