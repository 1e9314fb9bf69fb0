# SPDX-License-Identifier: GPL-3.0-or-later
"""Links as the kernel shows them, and what of them is ours."""

from __future__ import annotations

from _dockless.linux.links import LinkRow
from _dockless.names import LINK_GROUP
from _dockless.observe import links
from _dockless.observe.snapshot import NetnsSnapshot


def veth(index, name, peer, group, away):
    """Return one end of a pair."""
    return LinkRow(
        index, 1, name, "02:00:00:00:00:01", 1500, peer, 0, group, "", "veth", False, False, True, (), (), b"", away
    )


def seen(*rows):
    """Return the names of the managed objects on a host with these links, when nothing is declared."""
    host = NetnsSnapshot("", 1, {row.ifindex: row for row in rows}, [], [])
    return {obj.name for obj in links.observe(host, {}, {}, frozenset())}


def test_veth_end_with_the_uplinks_index_is_managed():
    """A host whose uplink is a veth pair too: numbers are those of another namespace, and say nothing here."""
    uplink = veth(2, "host0", 4, 0, True)
    assert seen(uplink, veth(4, "veth1", 2, LINK_GROUP, True)) == {"veth1"}


def test_an_inner_end_that_was_moved_to_the_host_is_none_of_its_own():
    outer, inner = veth(4, "veth1", 5, LINK_GROUP, False), veth(5, "stray0", 4, LINK_GROUP, False)
    assert seen(outer, inner) == {"veth1"}
