# SPDX-License-Identifier: GPL-3.0-or-later
"""Where resolvers send what they do not know: whose servers, what if one is silent, and what if the host's change."""

from __future__ import annotations

import copy

import pytest

from support.dns_questions import dig, until
from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

HOST4, NEIGHBOUR4 = HOST_ADDRESSES[0], NEIGHBOUR_ADDRESSES[0]
ANSWERED = ("NOERROR", ["203.0.113.7"])
SERVER = [SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py")]
HANGING = (
    "import socket, time\nu = socket.socket(type=socket.SOCK_DGRAM); u.bind(('{0}', 53))\n"
    "t = socket.create_server(('{0}', 53)); print('ready', flush=True); time.sleep(600)"
)
DOCUMENT = {
    "networks": {
        "front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
        "shut": {"internal": True, "ipam": {"config": [{"subnet": "172.21.0.0/24"}]}},
    },
    "sandboxes": {
        "web": {"networks": ["front"]},
        "own": {"networks": ["front"], "dns": [HOST4]},
        "db": {"networks": ["shut"], "dns": ["172.21.0.53", HOST4]},
        "server": {"networks": {"shut": {"ipv4_address": "172.21.0.53"}}},
    },
}


def serve(place, address, *options, netns=None):
    """Start a server that knows everything and return when it listens."""
    server = place.popen([*SERVER, address, *options], netns)
    assert server.readline() == "ready"
    return server


def asked(server, host, sandbox, mark):
    """Return what a server was asked until now; a query of our own for the name mark ends it."""
    assert dig(host, sandbox, mark)[0] != "SERVFAIL"
    found = []
    for line in iter(server.readline, ""):
        if line.startswith(mark + " "):
            return found
        found.append(line.split()[0])
    raise AssertionError("the server ended")


def once(host, sandbox, name):
    """Return the address that one query gets within a second, "" for none."""
    said = host.run(["dig", "@127.0.0.11", "+short", "+time=1", "+tries=1", name], netns=sandbox, check=False).stdout
    return "".join(line for line in said.splitlines() if not line.startswith(";"))


def changed(**sandboxes):
    """Return the document with other settings of sandboxes."""
    document = copy.deepcopy(DOCUMENT)
    for name, more in sandboxes.items():
        document["sandboxes"][name].update(more)
    return document


def test_the_sandboxs_own_servers_come_before_the_hosts_and_all_of_both_transports(private_host):
    """Each is asked its own; the host's are not asked by who has others."""
    theirs, ours = serve(private_host.neighbour(), NEIGHBOUR4), serve(private_host, HOST4)
    private_host.apply(DOCUMENT)
    for options in ((), ("+tcp",)):
        assert (
            dig(private_host, "web", "by-web.example", "A", *options)
            == dig(private_host, "own", "by-own.example", "A", *options)
            == ANSWERED
        )
    assert asked(theirs, private_host, "web", "mark-web.example") == ["by-web.example"] * 2
    assert asked(ours, private_host, "own", "mark-own.example") == ["by-own.example"] * 2


def test_next_upstream_answers_for_a_hanging_one(private_host):
    """One that takes questions and connections and never answers; UDP and TCP, names of sandboxes in any case."""
    first = "192.0.2.9"
    private_host.sh("ip address add 192.0.2.9/32 dev lo")
    hanging = private_host.popen([SYSTEM_PYTHON, "-c", HANGING.format("192.0.2.9")])
    assert hanging.readline() == "ready"
    serve(private_host, HOST4)
    private_host.apply(changed(own={"dns": [first, HOST4]}, web={"dns": [first]}))
    for options in ((), ("+tcp",)):
        assert dig(private_host, "own", "example.org", "A", *options) == ANSWERED
        assert dig(private_host, "web", "own", "A", *options)[0] == "NOERROR"
    silent = private_host.run(
        ["dig", "@127.0.0.11", "+time=1", "+tries=1", "example.org"], netns="web", check=False
    ).stdout  # nobody to ask
    assert "status: NOERROR" not in silent
    private_host.sh("ip address delete 192.0.2.9/32 dev lo")


@pytest.mark.smoke
def test_refused_is_retried_with_the_next_upstream(private_host):
    """REFUSED of one is no answer while another has one."""
    refusing = serve(private_host.neighbour(), NEIGHBOUR4, "refuse")
    private_host.apply(changed(own={"dns": [NEIGHBOUR4, HOST4]}))
    assert dig(private_host, "web", "example.org")[0] == "REFUSED"
    serve(private_host, HOST4)
    assert all(dig(private_host, "own", f"n{turn}.example.org") == ANSWERED for turn in range(3))
    assert refusing.process.poll() is None


def test_internal_network_asks_only_servers_on_itself(private_host):
    """The control is the sandbox's other server, which a sandbox with egress does ask."""
    outside = serve(private_host, HOST4)
    private_host.apply(DOCUMENT)
    inside = serve(private_host, "172.21.0.53", netns="server")
    assert dig(private_host, "db", "by-db.example") == ANSWERED
    assert asked(inside, private_host, "db", "mark.example") == ["by-db.example"]
    assert dig(private_host, "server", "by-server.example")[0] == "NXDOMAIN"
    inside.stop()
    private_host.run(["dig", "@127.0.0.11", "+time=1", "+tries=1", "lost.example"], netns="db", check=False)
    assert asked(outside, private_host, "own", "mark.example") == []


def test_forwarding_follows_the_networks_of_a_sandbox(private_host):
    """Normal, with an internal one, that alone, normal again."""
    serve(private_host.neighbour(), NEIGHBOUR4)
    for networks, wanted in (
        (["front"], ANSWERED),
        (["front", "shut"], ANSWERED),
        (["shut"], ("NXDOMAIN", [])),
        (["front"], ANSWERED),
    ):
        private_host.apply(changed(web={"networks": networks}))
        assert dig(private_host, "web", "example.org") == wanted, networks


def test_change_of_the_hosts_resolv_conf_is_followed(private_host):
    """resolv.conf names another server, the old one is gone; no process is another, and a run has nothing to do."""
    before, after = serve(private_host.neighbour(), NEIGHBOUR4), serve(private_host, HOST4)
    private_host.apply(DOCUMENT)
    pid = private_host.read("/run/dockless/dns/pids/web.pid")
    assert dig(private_host, "web", "first.example") == ANSWERED
    before.stop()
    private_host.sh(f"echo 'nameserver {HOST4}' >/etc/resolv.conf.new; mv /etc/resolv.conf.new /etc/resolv.conf")
    assert until(lambda: once(private_host, "web", "second.example"), "203.0.113.7", seconds=20) == "203.0.113.7"
    assert "second.example" in asked(after, private_host, "web", "mark.example")
    assert private_host.read("/run/dockless/dns/pids/web.pid") == pid
    assert private_host.apply(DOCUMENT)["changed"] is False
    private_host.sh(f"echo 'nameserver {NEIGHBOUR4}' >/etc/resolv.conf")


def test_upstreams_change_without_a_restart(private_host):
    """Those of a sandbox and of a network, to and fro; the process stays.

    A directory that was taken away is watched again.
    """
    serve(private_host.neighbour(), NEIGHBOUR4)
    serve(private_host, HOST4)
    private_host.apply(changed(own={"dns": ["192.0.2.9"]}))
    pid = private_host.read("/run/dockless/dns/pids/own.pid")
    for servers in ([HOST4], ["192.0.2.9"], [NEIGHBOUR4, HOST4], [NEIGHBOUR4]):
        operations = private_host.apply(changed(own={"dns": servers}))["operations"]
        assert not [line for line in operations if "resolver of" in line]
        wanted = "" if servers == ["192.0.2.9"] else "203.0.113.7"
        assert until(lambda: once(private_host, "own", "example.org"), wanted) == wanted, servers
    assert private_host.read("/run/dockless/dns/pids/own.pid") == pid
    private_host.sh("rm -r /run/dockless/dns/upstreams/own")
    private_host.apply(changed(own={"dns": [NEIGHBOUR4]}))
    private_host.apply(changed(own={"dns": [HOST4]}))
    assert dig(private_host, "own", "example.org") == ANSWERED


def test_upstream_with_a_link_local_address(private_host):
    """No sandbox has the link, so the host's forwarder asks for all."""
    private_host.sh("echo 'nameserver fe80::3%eth0' >/etc/resolv.conf")
    serve(private_host.neighbour(), "fe80::3%eth0")
    private_host.apply(DOCUMENT)
    assert dig(private_host, "web", "example.org") == dig(private_host, "web", "example.org", "A", "+tcp") == ANSWERED
    private_host.sh(f"echo 'nameserver {NEIGHBOUR4}' >/etc/resolv.conf")


def test_upstream_loop_is_refused_before_any_change(private_host):
    """A gateway, the resolver, the sandbox itself; a server somewhere else is the control."""
    for dns, said in (
        ("172.20.0.1", "the gateway of network front"),
        ("127.0.0.11", "own resolver"),
        ("172.20.0.9", "an address of its own"),
    ):
        document = changed(own={"dns": [dns], "networks": {"front": {"ipv4_address": "172.20.0.9"}}})
        message = private_host.refusal(document)
        assert (
            message.startswith(f"sandboxes.own.dns[0]: sandbox own would forward DNS queries to {dns}, ")
            and said in message
        )
    private_host.assert_back_to(private_host.birth)
    private_host.apply(DOCUMENT)
