# SPDX-License-Identifier: GPL-3.0-or-later
"""Edits of DNS options and records."""

from __future__ import annotations

import pytest

from _dockless.edits import dns
from _dockless.errors import DocklessError
from support.documents import host_of


def test_names_are_added_replaced_and_removed(shop):
    scope = ("sandboxes", "db")
    more = dns.put_dns(
        shop,
        scope,
        {
            "records": [{"name": "A.", "value": "10.0.0.1"}, {"name": "b", "value": "10.0.0.2"}],
            "forward": "none",
            "dns": None,
        },
    )
    assert [r["name"] for r in more["sandboxes"]["db"]["records"]] == ["a", "b"]
    assert more["sandboxes"]["db"]["forward"] == "none"
    assert dns.replace_dns(more, scope, {"records": []})["sandboxes"]["db"]["records"] == []
    less = dns.remove_dns(more, scope, {"records": [{"name": "a", "type": "A", "value": "10.0.0.1"}]})
    assert less["sandboxes"]["db"]["records"] == [{"name": "b", "value": "10.0.0.2"}]
    assert dns.remove_dns(more, scope, {})["sandboxes"]["db"] == {"networks": ["back"]}
    host_of(more)


def test_names_of_what_is_not_declared(shop):
    with pytest.raises(DocklessError, match="the network lost is not declared"):
        dns.put_dns(shop, ("networks", "lost"), {"dns": []})
    assert dns.put_dns(shop, ("networks", "default"), {"dns": []})["networks"]["default"] == {"dns": []}
    assert dns.remove_dns(shop, ("networks", "lost"), {}) is shop
