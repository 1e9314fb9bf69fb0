# SPDX-License-Identifier: GPL-3.0-or-later
"""Services of networks over a fleet: one address on every host, chosen once and kept."""

from __future__ import annotations

import pytest

from _dockless.errors import DocklessError
from support.fake_fleet import SimulatedFleet

RED = {"driver": "overlay", "ipam": {"config": [{"subnet": "10.60.0.0/28"}]}}


def fleet(services, mode="l2", subnet="10.60.0.0/28", **options):
    """Return a fleet with a network that has services, and two sandboxes on each of two hosts."""
    red = {**RED, "ipam": {"config": [{"subnet": subnet}]}, "mode": mode, "services": services}
    return SimulatedFleet({"red": red}, {"one": ["a", "b"], "two": ["c", "d"]}, **options)


def vips(found):
    """Return what each host has as the services' addresses."""
    return {name: host.leases["shop"].to_json().get("services", {}).get("red") for name, host in found.hosts.items()}


@pytest.mark.parametrize(
    "mode, subnet, vip", [("l2", "10.60.0.0/28", "10.60.0.14"), ("routed", "10.60.0.0/16", "10.60.255.254")]
)
def test_one_address_on_all_hosts(mode, subnet, vip):
    """It stays when hosts, sandboxes and services come and go, and nobody gets it."""
    found = fleet({"web": {"ports": [80]}, "names": {"mode": "dnsrr"}}, mode, subnet)
    found.run()
    assert vips(found) == {name: {"web": [vip]} for name in ("one", "two")}
    before = found.addresses()
    found.add("three", ["e", "f"])
    found.networks["red"]["services"]["api"] = None
    found.run()
    web = vips(found)
    assert {name: one["web"] for name, one in web.items()} == {name: [vip] for name in ("one", "two", "three")}
    assert len({one["api"][0] for one in web.values()} | {vip}) == 2
    after = found.addresses()
    assert {name: after[name] for name in before} == before and not {vip, web["one"]["api"][0]} & {
        a for all_of in after.values() for a in all_of
    }
    assert found.run().ledger == found.ledger


def test_without_a_ledger_assignments_come_from_host_reports():
    found = fleet({"web": {}}, keeps_ledger=False)
    found.run()
    found.networks["red"]["services"] = {"api": {}, "web": {}}
    found.run()
    assert vips(found) == {name: {"api": ["10.60.0.13"], "web": ["10.60.0.14"]} for name in ("one", "two")}


def test_sandboxes_keep_what_they_have_and_get_no_declared_address():
    """A service that comes later takes nobody's address; one that names its address has it."""
    found = fleet({})
    for number in range(9):
        found.inventory["one"]["sandboxes"][f"s{number}"] = {"networks": ["red"]}
    found.run()
    before = found.addresses()
    assert len(before) == 13
    with pytest.raises(
        DocklessError, match="host one, networks.red.services.web.vip: network red has no free address left"
    ):
        found.networks["red"]["services"] = {"web": {}}
        found.run()
    del found.inventory["one"]["sandboxes"]["s8"]
    with pytest.raises(DocklessError, match="no free address left"):  # its host still has it
        found.run()
    found.networks["red"]["services"] = {}
    found.run()
    found.networks["red"]["services"] = {"web": {}}
    found.run()
    assert (
        found.addresses() == {name: one for name, one in before.items() if name != "s8"}
        and vips(found)["two"]["web"] == before["s8"]
    )
    asked = fleet({"web": {"vip": "10.60.0.2"}})
    asked.run()
    assert sorted(asked.addresses().values()) == [["10.60.0.3"], ["10.60.0.4"], ["10.60.0.5"], ["10.60.0.6"]]
    assert vips(asked)["one"] == {"web": ["10.60.0.2"]}


def test_a_run_over_one_host_chooses_nothing_that_another_may_have():
    found = fleet({}, keeps_ledger=False)
    found.run()
    found.networks["red"]["services"] = {"web": {}}
    found.run(["one"])
    assert vips(found)["one"] == {"web": ["10.60.0.14"]}
    found.run()
    assert vips(found) == {name: {"web": ["10.60.0.14"]} for name in ("one", "two")}
    lost = fleet({"web": {}}, keeps_ledger=False)
    with pytest.raises(
        DocklessError, match="cannot assign a new address to service web, because host two was not read in this run"
    ):
        lost.run(["one"])


def test_invalid_declaration_is_reported_with_its_host():
    with pytest.raises(DocklessError, match="^host one, networks.red.services.web: unknown option 'vips'"):
        fleet({"web": {"vips": []}}).run()
