# SPDX-License-Identifier: GPL-3.0-or-later
"""A namespace is known by what its root cannot change: by its record outside, not by the mark on its lo."""

from __future__ import annotations

import json

import pytest

from support.traffic import network

RECORDS = "/run/dockless/namespaces.json"
PLACE = {"networks": {"front": network("172.20.0.0/24")}, "sandboxes": {"web": {"networks": ["front"]}}}
SHARED = {**PLACE, "sandboxes": {**PLACE["sandboxes"], "side": {"network_mode": "container:web"}}}
FORGED = "ip netns add web; ip -n web link set lo up alias 'dockless shop/web' group 25707"


def cookie(host, name):
    """Return the number of a namespace that no other one gets in this boot (SO_NETNS_COOKIE)."""
    code = "import socket; print(int.from_bytes(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8), 'little'))"
    return host.run(["python3", "-c", code], netns=name).stdout


@pytest.mark.smoke
def test_sandbox_without_its_mark_is_still_ours(private_host):
    """Root takes the mark off, or makes it another's: nothing is rebuilt, the mark is repaired, removal removes."""
    private_host.apply(SHARED)
    was = cookie(private_host, "web")
    for mark in ("alias ''", "alias 'dockless other/thing'", "alias '' group 0"):
        private_host.sh(f"ip -n web link set lo {mark}")
        assert private_host.apply(SHARED)["changed"] and cookie(private_host, "web") == was
        assert not private_host.apply(SHARED)["changed"]
    private_host.sh("ip -n web link set lo alias '' group 0")
    private_host.apply({}, absent=True)
    assert private_host.sh("ls /run/netns") == ""


def test_foreign_namespace_is_refused_whatever_its_root_marks(private_host):
    """One that was there before, and one in the place of ours, both with a perfect mark."""
    private_host.sh(FORGED)
    assert "web exists and is not managed by dockless" in private_host.refusal(PLACE)
    private_host.sh("ip netns delete web")
    private_host.apply(PLACE)
    private_host.sh(f"ip netns delete web; {FORGED}")
    assert "web exists and is not managed by dockless" in private_host.refusal(PLACE)
    private_host.apply({}, absent=True)
    assert private_host.sh("ls /run/netns") == "web"
    private_host.sh("ip netns delete web")


def test_record_of_a_namespace_whose_inode_another_one_got_is_of_no_use(private_host):
    """The kernel gives the inode numbers of ended namespaces to new ones; the cookie it gives once."""
    private_host.apply(PLACE)
    private_host.sh(f"ip netns delete web; {FORGED}")
    inode = int(private_host.sh("stat -L -c %i /run/netns/web"))
    content = json.loads(private_host.read(RECORDS))
    content["namespaces"]["web"]["inode"] = inode
    private_host.run(["sh", "-c", f"cat >{RECORDS}"], input=json.dumps(content))
    assert "web exists and is not managed by dockless" in private_host.refusal(PLACE)
    private_host.apply({}, absent=True)
    private_host.sh("ip netns delete web")


@pytest.mark.parametrize("lost", ["rm {}", "echo nonsense >{}", "sed -i s/boot/root/ {}"])
def test_sandboxes_of_an_earlier_version_are_adopted(private_host, lost):
    """Those that documents declare keep their namespaces and programs, and are recorded. Nobody else's is taken."""
    private_host.apply(SHARED)
    was = cookie(private_host, "web")
    private_host.sh(lost.format(RECORDS))
    private_host.sh("ip netns add theirs; ip -n theirs link set lo up alias 'dockless shop/theirs' group 25707")
    assert not private_host.plan(SHARED)["changed"]
    assert not private_host.apply(SHARED)["changed"] and cookie(private_host, "web") == was
    private_host.sh("ip -n web link set lo alias ''")
    assert private_host.apply(SHARED)["changed"] and cookie(private_host, "web") == was
    private_host.apply({}, absent=True)
    assert private_host.sh("ls /run/netns") == "theirs"
    private_host.sh("ip netns delete theirs")


def test_a_project_of_an_earlier_version_can_be_removed(private_host):
    """Its removal is the first run of the new version."""
    private_host.apply(SHARED)
    private_host.sh(f"rm {RECORDS}")
    private_host.apply({}, absent=True)
    assert private_host.sh("ls /run/netns") == ""
