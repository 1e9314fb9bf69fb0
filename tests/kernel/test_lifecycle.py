# SPDX-License-Identifier: GPL-3.0-or-later
"""Connect and disconnect, change in place and rebuild, two projects, the lock, and a broken document at boot."""

from __future__ import annotations

import concurrent.futures
import copy
import json

import pytest

from support.invariants import SHOP, address, assert_same, changed, full, kinds, links
from support.private_host import PYTHON, SUPPORT

BASE = {
    "networks": {
        "front": {"ipam": {"config": [{"subnet": "10.41.0.0/24"}]}},
        "back": {"ipam": {"config": [{"subnet": "10.42.0.0/24"}]}},
    },
    "sandboxes": {"web": {"networks": ["front"]}, "cli": {"networks": ["front"]}, "db": {"networks": ["back"]}},
}


def endpoint(result, sandbox, network):
    """Return a row of a result."""
    return next(e for e in result["endpoints"] if (e["sandbox"], e["network"]) == (sandbox, network))


def test_connect_and_disconnect_change_one_endpoint(private_host):
    """The second network comes and goes, with link, address and name; the first stays as it is."""
    private_host.apply(BASE)
    before = full(private_host)
    result = private_host.apply(changed(BASE, sandboxes__web__networks=["front", "back"]))
    assert links(private_host, "web") == ["lo", "eth0", "eth1"]
    assert private_host.ping("db", "web") and private_host.ping("web", "db") and private_host.ping("cli", "web")
    assert not private_host.ping("cli", address(result, "db", "back"), wait=1)
    operations = kinds(private_host.apply(BASE)["operations"])
    assert not [line for line in operations if line.startswith(("delete namespace", "create"))], operations
    assert (
        private_host.ping("cli", "web")
        and private_host.lookup("db", "web") == []
        and not private_host.ping("db", address(result, "web", "back"), wait=1)
    )
    assert_same(
        before, private_host, but=("content", "sysctl")
    )  # records say who uses what, and a setting of several links stays


def test_a_replaced_sandbox_keeps_its_name_and_moves_if_its_address_is_taken(private_host):
    """The address of one that is gone may be asked for by another; when it is back it has another, and its name."""
    first = private_host.apply(BASE)
    taken = address(first, "web", "front")
    private_host.apply(changed(BASE, sandboxes__web=None))
    private_host.apply(
        changed(BASE, sandboxes__web=None, sandboxes__new={"networks": {"front": {"ipv4_address": taken}}})
    )
    both = private_host.apply(changed(BASE, sandboxes__new={"networks": {"front": {"ipv4_address": taken}}}))
    moved = address(both, "web", "front")
    assert (
        moved != taken and private_host.lookup("cli", "web") == [moved] and private_host.lookup("cli", "new") == [taken]
    )
    assert private_host.ping("cli", "web") and private_host.ping("cli", "new")
    assert endpoint(first, "web", "front")["mac_address"] == endpoint(both, "web", "front")["mac_address"]


IN_PLACE = {
    "mtu": ({"networks__front__mtu": 1400}, lambda h: h.sh("cat /sys/class/net/eth0/mtu", netns="web") == "1400"),
    "labels": ({"networks__front__labels": {"tier": "1"}}, lambda h: True),
    "dns": ({"networks__front__dns": ["192.0.2.3"]}, lambda h: h.lookup("web", "cli")),
    "icc": (
        {"networks__front__icc": False},
        lambda h: not h.ping("web", "10.41.0.2", wait=1) or not h.ping("cli", "10.41.0.3", wait=1),
    ),
    "isolate": (
        {"networks__front__isolate": "open", "networks__back__isolate": "open"},
        lambda h: h.ping("web", "10.42.0.2"),
    ),
    "internal": (
        {"networks__front__internal": True},
        lambda h: not h.ping("web", "192.0.2.3", wait=1) and h.ping("web", "cli"),
    ),
    "subnet added": (
        {"networks__front__ipam": {"config": [{"subnet": "10.41.0.0/24"}, {"subnet": "fd41::/64"}]}},
        lambda h: h.ping("web", "fd41::1"),
    ),
    "subnet changed": (
        {"networks__front__ipam": {"config": [{"subnet": "10.51.0.0/24"}]}},
        lambda h: h.ping("web", "10.51.0.1") and h.ping("cli", "web"),
    ),
    "ports": (
        {"sandboxes__web__ports": ["8080:80"]},
        lambda h: h.serve_http("web", 80, "x") and h.neighbour().fetch(None, "http://192.0.2.2:8080/"),
    ),
    "aliases": ({"sandboxes__web__networks": {"front": {"aliases": ["www"]}}}, lambda h: h.lookup("cli", "www")),
    "address": (
        {"sandboxes__web__networks": {"front": {"ipv4_address": "10.41.0.77"}}},
        lambda h: (
            h.ping("cli", "10.41.0.77") and h.lookup("cli", "web") == ["10.41.0.77"] and h.ping("web", "192.0.2.3")
        ),
    ),
    "MAC": (
        {"sandboxes__web__networks": {"front": {"mac_address": "02:42:ac:11:00:42"}}},
        lambda h: h.sh("cat /sys/class/net/eth0/address", netns="web") == "02:42:ac:11:00:42" and h.ping("cli", "web"),
    ),
}


@pytest.mark.parametrize("change, holds", IN_PLACE.values(), ids=IN_PLACE.keys())
def test_in_place_change_takes_hold_without_a_rebuild_and_back(private_host, change, holds):
    """No namespace, link or pair is made or removed; going back gives the first state again."""
    private_host.apply(BASE)
    before = full(private_host)
    index = private_host.sh("cat /sys/class/net/eth0/ifindex", netns="web")
    document = changed(BASE, **change)
    operations = kinds(private_host.apply(document)["operations"])
    assert not [
        line
        for line in operations
        if line.startswith(("create", "delete")) and line.split()[1] in ("namespace", "bridge", "veth")
    ], operations
    assert holds(private_host), operations
    assert (
        private_host.sh("cat /sys/class/net/eth0/ifindex", netns="web") == index
        and private_host.apply(document)["changed"] is False
    )
    private_host.stop_servers()
    private_host.apply(BASE)
    moved = ("address", "route", "neighbour", "nft") if "ipv4_address" in str(change) else ()  # what was given is kept
    assert_same(before, private_host, but=("content", "sysctl", *moved))
    assert private_host.ping("web", "192.0.2.3") and private_host.ping("cli", "web")


def test_rebuild_needs_on_mismatch_recreate(private_host):
    """on_mismatch: update refuses and changes nothing; recreate rebuilds and keeps address, MAC and name."""
    first = private_host.apply(BASE)
    before = full(private_host)
    document = changed(BASE, sandboxes__web__networks={"front": {"interface_name": "lan0"}})
    assert "on_mismatch" in private_host.refusal(document)
    assert_same(before, private_host)
    after = private_host.apply(document, on_mismatch="recreate")
    assert (
        links(private_host, "web") == ["lo", "lan0"]
        and private_host.ping("cli", "web")
        and private_host.ping("web", "192.0.2.3")
    )
    old, new = endpoint(first, "web", "front"), endpoint(after, "web", "front")
    assert (old["addresses"], old["mac_address"]) == (new["addresses"], new["mac_address"])
    assert (
        private_host.lookup("cli", "web") == [address(first, "web", "front")]
        and private_host.apply(document)["changed"] is False
    )


def test_on_mismatch_fail_refuses_even_a_change_in_place(private_host):
    private_host.apply(BASE)
    before = full(private_host)
    assert "exists and differs" in private_host.refusal(changed(BASE, networks__front__mtu=1400), on_mismatch="fail")
    assert_same(before, private_host)
    assert private_host.apply(changed(BASE, networks__front__mtu=1400))["changed"]


def test_two_projects_leave_each_other_alone(private_host):
    """A run of one neither repairs nor removes objects of the other. Its removal leaves the other running."""
    private_host.apply(BASE)
    blog = {
        "networks": {"lan": {"ipam": {"config": [{"subnet": "10.61.0.0/24"}]}}},
        "sandboxes": {"wp": {"networks": ["lan"]}, "my": {"networks": ["lan"]}},
    }
    private_host.apply(blog, project="blog")
    private_host.sh("ip -n wp link delete eth0; rm /etc/netns/my/hosts")
    assert private_host.apply(BASE)["changed"] is False
    private_host.apply(changed(BASE, sandboxes__db=None))
    assert links(private_host, "wp") == ["lo"]
    assert private_host.apply(blog, project="blog")["changed"] is True and private_host.ping("wp", "my")
    private_host.apply({}, project="shop", absent=True)
    assert (
        private_host.sh("ls /run/netns") == "my\nwp"
        and private_host.ping("wp", "my")
        and private_host.ping("wp", "192.0.2.3")
    )
    assert private_host.apply(blog, project="blog")["changed"] is False


def test_external_network_is_joined_and_stays_its_owners(private_host):
    """A network that does not exist is refused. A network in use is not removed."""
    guest = {
        "networks": {"shared": {"external": True, "name": "shop/front"}},
        "sandboxes": {"wp": {"networks": ["shared"]}},
    }
    assert "shop/front" in private_host.refusal(guest, project="blog")
    private_host.apply(BASE)
    private_host.apply(guest, project="blog")
    assert private_host.ping("wp", "web") and private_host.ping("web", "wp")
    before = full(private_host)
    without = changed(BASE, networks__front=None, sandboxes__web=None, sandboxes__cli=None)
    assert "front" in private_host.refusal(without)
    assert_same(before, private_host)
    private_host.apply({}, project="blog", absent=True)
    private_host.apply(without)
    assert private_host.sh("ls /run/netns") == "db"


@pytest.mark.smoke
def test_one_sandbox_name_in_two_projects_is_refused(private_host):
    private_host.apply(BASE)
    before = full(private_host)
    message = private_host.refusal({"sandboxes": {"web": {"network_mode": "none"}}}, project="blog")
    assert "shop" in message and "blog" in message and "web" in message
    assert_same(before, private_host)


@pytest.mark.parametrize("name", ("bridge", "host", "none"))
def test_predefined_networks_cannot_be_declared(private_host, name):
    assert f"{name} is reserved" in private_host.refusal({"networks": {name: {}}})


def test_a_second_run_waits_for_the_first(private_host):
    """The lock is held from observe to record: the second finds what the first made and adds its own change."""
    quick = {"sandboxes": {"one": {"network_mode": "none"}}}
    first = private_host.popen(
        [
            "/bin/sh",
            "-c",
            f"mkfifo /run/go; echo '{json.dumps(quick)}' >/run/doc; "
            f"(cat /run/doc; cat /run/go) | {PYTHON} {SUPPORT}/faults.py wait 0",
        ]
    )
    assert first.readline() == "waiting"
    private_host.sh(f"echo '{json.dumps({'sandboxes': {'two': {'network_mode': 'none'}}})}' >/run/doc2")
    second = private_host.popen(["/bin/sh", "-c", f"{PYTHON} -m _dockless.cli apply --project blog --json /run/doc2"])
    waits = "until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c '/run/dockless/lock$' | grep -qx 2; do :; done"
    private_host.sh(waits)  # both have it open: the second is at the lock
    assert private_host.sh("ls /run/netns 2>/dev/null || true") == ""
    private_host.sh("echo go >/run/go")
    assert json.loads(first.readline())["changed"] is True and json.loads(second.readline())["changed"] is True
    assert private_host.sh("ls /run/netns") == "one\ntwo"
    private_host.sh("rm /run/go /run/doc /run/doc2")


def test_concurrent_runs_end_in_one_declared_state(private_host):
    """Sixteen runs of two documents of one project; the end is exactly one of the two, whole."""
    left = {
        "networks": {"a": {"dns_enabled": False}},
        "sandboxes": {"x": {"networks": ["a"]}, "y": {"networks": ["a"]}},
    }
    right = {
        "networks": {"b": {"dns_enabled": False, "mtu": 1400}},
        "sandboxes": {"x": {"networks": ["b"], "ports": ["80:80"]}},
    }
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        done = [
            run.result()
            for run in [
                pool.submit(private_host.apply, (left, right)[n % 2], on_mismatch="recreate") for n in range(16)
            ]
        ]
    assert len(done) == 16
    unchanged = [
        document for document in (left, right) if not private_host.plan(document, on_mismatch="recreate")["changed"]
    ]
    assert len(unchanged) == 1


def test_boot_uses_the_last_good_copy_of_a_broken_document(private_host):
    """A broken document is reported and its last good copy converged. Without --boot it is an error."""
    private_host.apply(BASE)
    private_host.sh(
        'cp /etc/dockless/projects/shop.json /run/good; echo \'{"format": 1, "proj\' >/etc/dockless/projects/shop.json'
    )
    private_host.sh("ip netns delete web; pkill -KILL -f '[r]esolvers/web.conf' || true")
    done = private_host.run([PYTHON, "-m", "_dockless.cli", "apply", "--json"], check=False)
    assert done.returncode == 1 and "shop.json" in json.loads(done.stdout)["msg"]
    result = private_host.dockless("apply", "--boot", "--json")
    assert any("shop.json" in line and "last good" in line for line in result["warnings"]) and result["changed"]
    assert private_host.ping("cli", "web") and private_host.ping("web", "192.0.2.3")
    private_host.sh("mv /run/good /etc/dockless/projects/shop.json")
    assert private_host.apply(BASE)["changed"] is False


def test_after_a_reboot_everything_is_as_before(private_host):
    """What /run held is gone with the namespaces and links; boot makes it again, the same addresses and ports."""
    document = changed(SHOP, sandboxes__web__ports=["8080:80", "90"])
    first = private_host.apply(document)
    before = full(private_host)
    private_host.sh(
        "pkill -KILL dnsmasq; for n in $(ls /run/netns); do ip netns delete $n; done; nft flush ruleset; "
        "rm -r /run/dockless; "
        "for l in $(ls -d /sys/class/net/br-* /sys/class/net/dockless0); do ip link delete $(basename $l); done"
    )
    result = private_host.dockless("apply", "--boot", "--json")
    assert copy.deepcopy(result["endpoints"]) == first["endpoints"] and result["ports"] == first["ports"]
    assert_same(before, private_host)
    assert private_host.apply(document)["changed"] is False
