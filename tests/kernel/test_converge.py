# SPDX-License-Identifier: GPL-3.0-or-later
"""The main promise: a run makes what is declared, the next changes nothing, a changed line changes only that,
removal leaves nothing.
"""

from __future__ import annotations

import json

import pytest

from support import strace
from support.invariants import QUIET, SHOP, address, assert_same, changed, full, kinds

CHATTER = """
import os, socket, sys
words = os.fdopen(os.open(sys.argv[3], os.O_RDWR))  # a writer of its own: no end of file between two words
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as talk:
    print("connected", flush=True)
    for line in iter(words.readline, ""):
        talk.sendall(line.encode())
        print(talk.recv(100).decode().strip(), flush=True)
"""
ECHO = """
import socket
with socket.create_server(("", 7000)) as server:
    print("ready", flush=True)
    talk = server.accept()[0]
    while True:
        said = talk.recv(100)
        if not said:
            break
        talk.sendall(said)
"""


class Talk:
    """A TCP connection between two sandboxes that stays open over runs."""

    def __init__(self, host, server, client, where):
        self._host, self._fifo = host, f"/run/talk-{server}-{client}"
        host.sh(f"mkfifo {self._fifo}")
        listening = host.popen(["/usr/bin/python3", "-c", ECHO], netns=server)
        assert listening.readline() == "ready"
        self._client = host.popen(["/usr/bin/python3", "-c", CHATTER, where, "7000", self._fifo], netns=client)
        assert self._client.readline() == "connected"

    def goes_on(self, word):
        """Say whether a word comes back by the same connection."""
        self._host.sh(f"echo {word} >{self._fifo}")
        return self._client.readline() == word


def test_second_run_sends_no_change_and_writes_no_file(private_host):
    """strace sees no mutating message and no file opened for writing, and every byte is as it was."""
    assert private_host.apply(SHOP)["changed"] is True
    before = full(private_host)
    second = strace.run(private_host, "apply", "--project", "shop", "--json", "-", document=SHOP)
    assert second.changes == [] and second.questions > 10
    assert second.answer["changed"] is False and second.answer["operations"] == []
    assert_same(before, private_host)


def test_strace_sees_the_changes_of_a_first_run(private_host):
    """The positive control of every test with strace: links, addresses, tables, mounts and files are all noticed."""
    first = strace.run(private_host, "apply", "--project", "shop", "--json", "-", document=QUIET)
    private_host.apply(QUIET)  # the harness takes away what it knows of
    text = "\n".join(first.changes)
    for trace in (
        "nlmsg_type=0x10,",
        "nlmsg_type=0x14,",
        "nlmsg_type=0x18,",
        "nlmsg_type=0xa<<8|0,",
        "mount(",
        "mkdir",
        "rename",
        "/proc/sys",
    ):
        assert trace in text, f"the watch does not see {trace}"
    removed = strace.run(private_host, "apply", "--project", "shop", "--absent", "--json")
    text = "\n".join(removed.changes)
    for trace in ("nlmsg_type=0x11,", "umount2(", "unlink"):
        assert trace in text, f"the watch does not see {trace}"


def test_everything_that_is_declared_works(private_host):
    """What the document says is there, by packets."""
    result = private_host.apply(SHOP)
    assert (
        private_host.ping("cli", "web")
        and private_host.ping("web", "db")
        and not private_host.ping("cli", address(result, "db", "back"), wait=1)
    )
    assert private_host.ping("cli", address(result, "web", "front", 6)) and private_host.ping(
        None, address(result, "web", "front")
    )
    assert private_host.ping("lab", "10.49.0.2") and private_host.ping("old", "192.0.2.3") is True
    private_host.serve_http("side", 80, "shop")
    assert private_host.neighbour().fetch(None, "http://192.0.2.2:8080/") == "shop\n192.0.2.3\n"
    rows = json.loads(private_host.run(["ip", "-json", "-details", "link", "show"]).stdout)
    bridges = [row for row in rows if row.get("linkinfo", {}).get("info_kind") == "bridge"]
    ports = [row for row in rows if row.get("master")]
    assert len(bridges) == 3 and all("UP" in row["flags"] for row in bridges + ports)
    assert not {row["address"] for row in bridges} & {row["address"] for row in ports}
    macs = {e["interface"]: e["mac_address"] for e in result["endpoints"] if e["sandbox"] == "web"}
    inside = {
        row["ifname"]: row for row in json.loads(private_host.run(["ip", "-json", "link", "show"], netns="web").stdout)
    }
    assert (
        {name: inside[name]["address"] for name in macs} == macs and "UP" in inside["lo"]["flags"] and len(inside) == 3
    )


def test_one_changed_line_changes_only_that_and_talk_goes_on(private_host):
    """The operations are those of the change alone; connections of all sandboxes, the changed one too, go on."""
    result = private_host.apply(SHOP)
    near = Talk(private_host, "web", "cli", address(result, "web", "front"))
    back = Talk(private_host, "db", "web", address(result, "db", "back"))
    for number, (document, wanted) in enumerate(
        (
            (
                changed(SHOP, sandboxes__web__ports=["8081:80"]),
                [
                    "update firewall: no longer publish 8080/tcp on all addresses → web:80",
                    "update firewall: publish 8081/tcp on all addresses → web:80",
                ],
            ),
            (
                changed(SHOP, sandboxes__cli__networks={"front": {"aliases": ["me"]}}),
                [
                    "update file /run/dockless/dns/networks/shop.front/shop@14",
                    "update firewall: no longer publish 8081/tcp on all addresses → web:80",
                    "update firewall: publish 8080/tcp on all addresses → web:80",
                ],
            ),
            (SHOP, ["update file /run/dockless/dns/networks/shop.front/shop@14"]),
        )
    ):
        operations = kinds(private_host.apply(document)["operations"])
        assert [line for line in operations if not line.startswith("record")] == wanted, operations
        assert near.goes_on(f"near{number}") and back.goes_on(f"back{number}")
    assert private_host.apply(SHOP)["changed"] is False


def test_a_sandbox_that_goes_and_comes_leaves_others_alone(private_host):
    """Removal takes what is its own, others' connections go on; what comes back has its old place."""
    result = private_host.apply(SHOP)
    talk = Talk(private_host, "web", "cli", address(result, "web", "front"))
    operations = kinds(private_host.apply(changed(SHOP, sandboxes__db=None))["operations"])
    assert "delete namespace db" in operations and "delete resolver of db" in operations
    assert all(
        "db" in line or "shop.back" in line or line.startswith(("record", "update firewall")) for line in operations
    ), operations
    assert talk.goes_on("one") and not private_host.ping("web", address(result, "db", "back"), wait=1)
    again = private_host.apply(SHOP)
    assert (
        address(again, "db", "back") == address(result, "db", "back")
        and private_host.ping("web", "db")
        and talk.goes_on("two")
    )


@pytest.mark.smoke
def test_removal_leaves_nothing(private_host):
    """The host is as before the first run; removing what is not there is fine and changes nothing."""
    before = full(private_host)
    private_host.apply(SHOP)
    private_host.apply({}, absent=True)
    assert_same(before, private_host)
    assert private_host.apply({}, absent=True)["changed"] is False
    assert private_host.apply({}, project="never", absent=True)["changed"] is False
    assert_same(before, private_host)


def test_names_without_resolvers_are_taken_away_too(private_host):
    """What a document no longer says is gone, step by step, down to an empty project."""
    private_host.apply(SHOP)
    private_host.apply({"networks": SHOP["networks"], "sandboxes": {}, "veth_pairs": {}})
    assert (
        private_host.sh("ls /run/netns; ls /etc/netns 2>/dev/null || true; ls /run/dockless/dns 2>/dev/null || true")
        == ""
    )
    assert private_host.apply({"networks": {}, "sandboxes": {}, "veth_pairs": {}})["changed"] is True
    assert private_host.sh("ls /sys/class/net") == "eth0\nlo"
