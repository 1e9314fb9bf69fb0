# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of sandboxes for the host's own programs, through the host's own resolver: a real dnsmasq here."""

from __future__ import annotations

import json

import pytest

from support.dns_questions import dig
from support.invariants import address
from support.private_host import SUPPORT, SYSTEM_PYTHON, Failed

DROP_IN = "/etc/dnsmasq.d/dockless.conf"
DOCUMENT = {
    "networks": {
        "front": {
            "ipam": {"config": [{"subnet": "172.20.0.0/24"}]},
            "records": [{"name": "w.front", "type": "CNAME", "value": "web.front"}],
        },
        "back": {"ipam": {"config": [{"subnet": "172.21.0.0/24"}]}},
        "shut": {"internal": True, "ipam": {"config": [{"subnet": "172.22.0.0/24"}]}},
    },
    "sandboxes": {
        "web": {"networks": {"front": {"aliases": ["www"]}}},
        "db": {"networks": ["back"]},
        "deep": {"networks": ["shut"]},
    },
}
CODE = (
    "import json, sys\nfrom _dockless.engine import converge\n"
    "wish = json.loads(sys.argv[1])\n"
    "done = converge.converge(converge.Request('shop', lambda before: json.loads(sys.argv[2]), "
    "defaults={'host_names': wish} if wish else {}))\n"
    "print(json.dumps({'operations': done.operations, 'endpoints': done.endpoints, 'warnings': done.warnings}))"
)


def converge(host, wish, document=None):
    """Converge with host_names and return the outcome."""
    return json.loads(host.python(CODE, json.dumps(wish), json.dumps(document or DOCUMENT)).stdout)


def restart(host):
    """Restart the host's own dnsmasq, as its service would."""
    host.sh(
        "if [ -e /run/own.pid ]; then kill $(cat /run/own.pid); while kill -0 $(cat /run/own.pid) 2>/dev/null; "
        "do sleep 0.01; done; fi"
    )
    host.sh(
        "dnsmasq --conf-file=/dev/null --conf-dir=/etc/dnsmasq.d --listen-address=127.0.0.1 --bind-interfaces "
        "--no-resolv --no-hosts "
        "--server=127.0.0.53 --cache-size=0 --pid-file=/run/own.pid"
    )


@pytest.fixture(name="resolving")
def _resolving(private_host):
    """Return a host whose resolver is a dnsmasq of its own on 127.0.0.1, behind which 127.0.0.53 knows everything,
    and that one.
    """
    private_host.sh(
        "cp /etc/resolv.conf /run/lock/resolv.conf; echo 'nameserver 127.0.0.1' >/etc/resolv.conf; "
        "mkdir -p /etc/dnsmasq.d"
    )
    upstream = private_host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), "127.0.0.53"])
    assert upstream.readline() == "ready"
    restart(private_host)
    yield private_host
    private_host.teardown()
    private_host.sh(
        "kill $(cat /run/own.pid); rm /run/own.pid; cat /run/lock/resolv.conf >/etc/resolv.conf; "
        "rm /run/lock/resolv.conf"
    )


def test_the_host_finds_names_of_the_chosen_networks_and_goes_back(resolving):
    host = resolving
    first = converge(host, {"through": "dnsmasq", "networks": ["shop/front", "shop/shut"]})
    assert any(DROP_IN in warning for warning in first["warnings"])
    restart(host)
    web, deep = address(first, "web", "front"), address(first, "deep", "shut")
    assert host.lookup(None, "web.front") == host.lookup(None, "www.front") == host.lookup(None, "w.front") == [web]
    assert host.lookup(None, "deep.shut") == [deep]
    assert host.lookup(None, "db.back") == ["2001:db8::7", "203.0.113.7"]  # nobody took that: the world answers it
    assert host.lookup(None, "nobody.front") == [] and host.lookup(None, "example.org") == [
        "2001:db8::7",
        "203.0.113.7",
    ]
    again = converge(host, {"through": "dnsmasq", "networks": ["shop/front", "shop/shut"]})
    assert again["operations"] == again["warnings"] == []
    host.sh("kill -9 $(cat /run/dockless/dns/pids/@names.pid)")
    assert [
        line.split(" (")[0]
        for line in converge(host, {"through": "dnsmasq", "networks": ["shop/front", "shop/shut"]})["operations"]
    ] == ["create resolver of @names"]
    more = {**DOCUMENT, "sandboxes": {**DOCUMENT["sandboxes"], "late": {"networks": ["front"]}}}
    late = address(
        converge(host, {"through": "dnsmasq", "networks": ["shop/front", "shop/shut"]}, more), "late", "front"
    )
    assert host.lookup(None, "late.front") == [late]
    converge(host, None)
    restart(host)
    assert host.lookup(None, "web.front") == ["2001:db8::7", "203.0.113.7"]
    assert "dockless" not in host.sh("ls /etc/dnsmasq.d") and "names" not in host.sh("ls /run/dockless/dns/resolvers")


@pytest.mark.smoke
def test_host_names_are_not_visible_to_sandboxes(resolving):
    """A sandbox whose questions end at the host's resolver finds no names of networks that it is not on.

    The host does.
    """
    host = resolving
    first = converge(host, {"through": "dnsmasq"})
    restart(host)
    assert host.lookup(None, "web.front") == [address(first, "web", "front")]
    assert dig(host, "db", "example.org") == ("NOERROR", ["203.0.113.7"])
    question = ["dig", "+time=2", "+tries=1", "-p", "10053", "@172.21.0.1", "web.front"]
    assert "NXDOMAIN" in host.run(question, netns="db").stdout  # the forwarder itself
    for sandbox in ("db", "deep"):
        assert dig(host, sandbox, "web.front") == ("NXDOMAIN", []), sandbox


def test_foreign_files_stay_and_missing_programs_are_reported(resolving):
    host = resolving
    host.sh(f"echo 'server=/front/192.0.2.9' >{DROP_IN}")
    with pytest.raises(Failed, match=f"file {DROP_IN} exists and is not managed by dockless"):
        converge(host, {"through": "dnsmasq"})
    assert host.read(DROP_IN) == "server=/front/192.0.2.9\n"
    converge(host, None)
    assert host.read(DROP_IN) == "server=/front/192.0.2.9\n"
    host.sh(f"rm {DROP_IN}")
    with pytest.raises(Failed, match=r"defaults\.host_names\.networks\[0\]: there is no network shop/gone with names"):
        converge(host, {"through": "dnsmasq", "networks": ["shop/gone"]})
