# SPDX-License-Identifier: GPL-3.0-or-later
"""The table that keeps a host from forwarding for others: what it exempts, and that the role loads the same text."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from _dockless.firewall.transit import transit_table
from _dockless.model.facts import NO_TRANSIT
from _dockless.names import TRANSIT_FILE, TRANSIT_TABLE
from _dockless.observe import transit as observed
from support.collection import ROOT

FILES = ROOT / "roles" / "prerequisites" / "files"
V4, V6 = "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"
ON = {"before": "0", "set": "1", "along": {}}
WAS_ON = {**ON, "before": "1"}
LINKS = {
    "net/ipv4/conf/all/forwarding": "1",
    "net/ipv4/conf/default/forwarding": "1",
    "net/ipv4/conf/lan0/forwarding": "1",
    "net/ipv4/conf/lan1/forwarding": "0",
    "net/ipv4/conf/lan1/accept_redirects": "1",
    "net/ipv4/conf/eth0.5/forwarding": "1",
    'net/ipv4/conf/a"b/forwarding': "1",
}
LINKS6 = {"net/ipv6/conf/lan2/forwarding": "1", "net/ipv6/conf/lan3/force_forwarding": "1"}
RECORDS = {
    "nothing": ({}, [], []),
    "limits only": ({"fs.inotify.max_user_instances": ON}, [], []),
    "IPv4": ({V4: ON}, [4], []),
    "both": ({V4: ON, V6: ON}, [4, 6], []),
    "a router for IPv4": ({V4: WAS_ON, V6: ON}, [6], []),
    "a router": ({V4: WAS_ON, V6: WAS_ON}, [], []),
    "turned off": ({V4: {**ON, "set": "0"}}, [], []),
    "the other key": ({"net.ipv4.conf.all.forwarding": ON}, [4], []),
    "with slashes": ({"net/ipv4/ip_forward": ON, "net/ipv6/conf/all/forwarding": ON}, [4, 6], []),
    "some links": ({V4: {**ON, "along": LINKS}}, [4], [(4, "eth0.5"), (4, "lan0")]),
    "a link for IPv6": ({V6: {**ON, "along": LINKS6}}, [6], [(6, "lan3")]),
}


@pytest.fixture(scope="module")
def role():
    """Return the role's module of that table."""
    sys.path.insert(0, str(FILES))
    spec = importlib.util.spec_from_file_location("role_transit", FILES / "transit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(FILES))
    return module


@pytest.mark.parametrize("name", RECORDS)
def test_role_and_engine_read_the_same_from_a_record(name, role, tmp_path, monkeypatch):
    sysctls, closed, exempt = RECORDS[name]
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"sysctls": sysctls, "directories": []}), encoding="utf-8")
    monkeypatch.setattr(observed, "FORMER_SETTINGS", str(record))
    found = observed.read_transit()
    assert found == NO_TRANSIT._replace(closed=tuple(closed), exempt=tuple(exempt))
    assert transit_table(found) == role.transit_table(sysctls)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sysctls": []}', "{}"])
def test_record_that_cannot_be_read_is_unknown(text, tmp_path, monkeypatch):
    record = tmp_path / "record.json"
    monkeypatch.setattr(observed, "FORMER_SETTINGS", str(record))
    assert observed.read_transit() == NO_TRANSIT
    record.write_text(text, encoding="utf-8")
    assert not observed.read_transit().is_known


def test_role_uses_the_same_names(role):
    assert role.TRANSIT_FILE == TRANSIT_FILE
    assert f"table inet {TRANSIT_TABLE}\n" in role.DELETE_TRANSIT_TABLE
    for unit in ("dockless-transit.service", "nftables.conf"):
        assert f"nft -f {TRANSIT_FILE}\n" in (FILES / unit).read_text(encoding="utf-8")
