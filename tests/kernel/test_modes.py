# SPDX-License-Identifier: GPL-3.0-or-later
"""Network modes: the host's own stack, none, a partner's, the default bridge, a running process's."""

from __future__ import annotations

import json

import pytest

from support.invariants import address, assert_same, changed, full, links

NET = {"front": {"ipam": {"config": [{"subnet": "10.41.0.0/24"}]}}}
SHARED = {
    "networks": NET,
    "sandboxes": {
        "web": {"networks": ["front"]},
        "side": {"network_mode": "container:web"},
        "cli": {"networks": ["front"]},
    },
}


def inode(host, name):
    """Return the number of a named namespace, as a process in it sees it."""
    return host.sh("readlink /proc/self/ns/net", netns=name)


def test_host_mode_has_no_namespace_and_discards_ports_with_a_warning(private_host):
    """Nothing is made; the host's links are what its processes see; nothing answers on the port."""
    before = full(private_host)
    result = private_host.apply({"sandboxes": {"agent": {"network_mode": "host", "ports": ["8080:80"]}}})
    assert any("agent" in line and "discarded" in line for line in result["warnings"]) and result["ports"] == []
    after = full(private_host)
    assert after["netns"] == [] and after["link"] == before["link"] and after["nft"] == before["nft"]
    private_host.serve_http(None, 80, "agent")
    neighbour = private_host.neighbour()
    assert (
        neighbour.fetch(None, "http://192.0.2.2/") == "agent\n192.0.2.3\n"
        and neighbour.fetch(None, "http://192.0.2.2:8080/") is None
    )


@pytest.mark.smoke
def test_none_has_lo_only(private_host):
    """A namespace of its own with lo, up, and no way anywhere."""
    private_host.apply({"sandboxes": {"lab": {"network_mode": "none"}}})
    assert links(private_host, "lab") == ["lo"] and inode(private_host, "lab") != private_host.sh(
        "readlink /proc/self/ns/net"
    )
    assert private_host.ping("lab", "127.0.0.1") and not private_host.ping("lab", "192.0.2.2", wait=1)


def test_container_mode_is_the_partners_own_stack(private_host):
    """The same namespace by two names: same links, same ports, and one loopback."""
    result = private_host.apply(SHARED)
    assert inode(private_host, "side") == inode(private_host, "web") != inode(private_host, "cli")
    assert links(private_host, "side") == links(private_host, "web") == ["lo", "eth0"]
    private_host.serve_http("side", 80, "side")
    assert private_host.fetch("web", "http://127.0.0.1/") == "side\n127.0.0.1\n"
    assert (
        private_host.fetch("cli", f"http://{address(result, 'web', 'front')}/")
        == f"side\n{address(result, 'cli', 'front')}\n"
    )
    assert private_host.apply(SHARED)["changed"] is False


def test_partner_in_use_cannot_be_removed_and_keeps_running(private_host):
    """The refusal names who uses it, and changes nothing; both together go."""
    private_host.apply(SHARED)
    before = full(private_host)
    message = private_host.refusal(changed(SHARED, sandboxes__web=None))
    assert "web" in message and "side" in message
    assert_same(before, private_host)
    private_host.apply(changed(SHARED, sandboxes__web=None, sandboxes__side=None))
    assert private_host.sh("ls /run/netns") == "cli"


def test_process_of_a_shared_stack_outlives_its_partner(private_host):
    """The partner's namespace is taken away and the sandbox declared without network: eth0 goes, lo stays, the
    process lives.
    """
    private_host.apply(SHARED)
    server = private_host.serve_http("side", 80, "alive")
    pid = private_host.sh("pgrep -f '[s]ervers.py http 80'").split()[-1]
    private_host.apply(changed(SHARED, sandboxes__web=None, sandboxes__side=None))
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    assert server.process.poll() is None
    assert [row["ifname"] for row in json.loads(private_host.run([*enter, "ip", "-json", "link"]).stdout)] == ["lo"]
    assert private_host.run([*enter, "curl", "-s", "http://127.0.0.1/"]).stdout == "alive\n127.0.0.1\n"
    assert private_host.apply(changed(SHARED, sandboxes__web=None, sandboxes__side=None))["changed"] is False


def test_default_bridge_finds_by_address_and_links_one_way(private_host):
    """Pings by address both ways; a link is one name in one direction."""
    document = {
        "sandboxes": {"one": {"network_mode": "bridge"}, "two": {"network_mode": "bridge", "links": ["one:first"]}}
    }
    result = private_host.apply(document)
    one, two = address(result, "one", "bridge"), address(result, "two", "bridge")
    assert private_host.ping("one", two) and private_host.ping("two", one) and private_host.ping("one", "192.0.2.3")
    assert (
        private_host.lookup("one", "two") == []
        and private_host.lookup("two", "first") == [one]
        and private_host.lookup("one", "first") == []
    )
    assert "dockless0" in links(private_host)
    private_host.apply({"sandboxes": {}})
    assert "dockless0" not in links(private_host)


class Process:
    """A process with a network namespace of its own, which nobody named."""

    def __init__(self, host):
        self._host = host
        self.server = host.popen(["unshare", "--net", "sh", "-c", "echo $$; exec sleep 600"])
        self.pid = int(self.server.readline())

    def run(self, *argv):
        """Run a command in its namespace."""
        return self._host.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv], check=False)

    def links(self):
        """Return the names of its links."""
        return sorted(row["ifname"] for row in json.loads(self.run("ip", "-json", "link").stdout))


def attached(pid):
    """Return a document with a sandbox that is a running process's namespace."""
    return {
        "networks": NET,
        "sandboxes": {"app": {"networks": ["front"], "attach": {"pid": pid}}, "cli": {"networks": ["front"]}},
    }


def test_attach_gives_a_running_process_eth0_address_and_default_route(private_host):
    """By its pid; the namespace stays its own: our removal takes our things and leaves it, with its process."""
    process = Process(private_host)
    result = private_host.apply(attached(process.pid))
    assert process.links() == ["eth0", "lo"]
    assert (
        private_host.sh("readlink /proc/self/ns/net", netns="app")
        == process.run("readlink", "/proc/self/ns/net").stdout.strip()
    )
    assert f"{address(result, 'app', 'front')}/24" in process.run("ip", "-4", "address", "show", "eth0").stdout
    assert "default via 10.41.0.1" in process.run("ip", "route").stdout
    assert private_host.ping("cli", "app") and process.run("ping", "-c1", "-w2", "192.0.2.3").returncode == 0
    assert private_host.apply(attached(process.pid))["changed"] is False
    private_host.apply(changed(attached(process.pid), sandboxes__app=None))
    assert (
        process.links() == ["lo"]
        and process.server.process.poll() is None
        and private_host.sh("ls /run/netns") == "cli"
    )
    assert "dockless" not in process.run("ip", "-details", "link", "show", "lo").stdout
    assert process.run("nft", "list", "ruleset").stdout == ""
    process.server.stop()


def test_attach_follows_a_process_that_was_started_again(private_host):
    """The new pid's namespace gets the old address and MAC; neighbours find it by the same name."""
    first = Process(private_host)
    before = private_host.apply(attached(first.pid))
    first.server.stop()
    second = Process(private_host)
    after = private_host.apply(attached(second.pid))
    assert second.links() == ["eth0", "lo"] and private_host.ping("cli", "app")
    assert [e for e in before["endpoints"] if e["sandbox"] == "app"] == [
        e for e in after["endpoints"] if e["sandbox"] == "app"
    ]
    assert private_host.apply(attached(second.pid))["changed"] is False
    private_host.apply({}, absent=True)
    assert second.links() == ["lo"]
    second.server.stop()


def test_attach_to_nothing_is_refused_and_left_out_at_boot(private_host):
    """The pid is named; at boot the others come up all the same."""
    process = Process(private_host)
    private_host.apply(attached(process.pid))
    process.server.stop()
    before = full(private_host)
    assert f"{process.pid}" in private_host.refusal(attached(process.pid))
    assert_same(before, private_host)
    result = private_host.dockless("apply", "--boot", "--json")
    assert (
        any("app" in line for line in result["warnings"])
        and private_host.run(["ip", "-n", "cli", "link", "show", "eth0"]).returncode == 0
    )


@pytest.mark.parametrize("mode", ("host", "none", "container:web"))
def test_a_sandbox_changes_its_mode_and_back(private_host, mode):
    """What the new mode has no use for is gone; the way back gives the old address again."""
    document = changed(SHARED, sandboxes__side=None)
    before = private_host.apply(document)
    there = full(private_host)
    private_host.apply(changed(document, sandboxes__cli={"network_mode": mode}), on_mismatch="recreate")
    assert not private_host.ping("web", address(before, "cli", "front"), wait=1)
    again = private_host.apply(document, on_mismatch="recreate")
    assert private_host.ping("web", "cli") and len(again["endpoints"]) == 2
    assert_same(there, private_host, but=("content", "sysctl"))
    assert private_host.apply(document)["changed"] is False
