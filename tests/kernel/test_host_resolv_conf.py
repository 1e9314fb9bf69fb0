# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose resolv.conf gives no name server, or that dnsmasq cannot read: names of sandboxes work anyway."""

from __future__ import annotations

import pytest

from support.dns_questions import dig
from support.private_host import NEIGHBOUR_ADDRESSES, SUPPORT, SYSTEM_PYTHON

NEIGHBOUR4 = NEIGHBOUR_ADDRESSES[0]
ANSWERED = ("NOERROR", ["203.0.113.7"])
DOCUMENT = {
    "networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
    "sandboxes": {"web": {"networks": ["front"]}, "db": {"networks": {"front": {"ipv4_address": "172.20.0.9"}}}},
}
STUB = "../run/systemd/resolve/stub-resolv.conf"
# What makes the file, and what the warning says about it.
WITHOUT_SERVERS = {
    "dangling": (f"ln -s {STUB} /etc/resolv.conf", f"is a symbolic link to {STUB}, which does not exist"),
    "dangling-in-a-directory": ("ln -s ../run/none /etc/resolv.conf", "is a symbolic link to ../run/none, which"),
    "none": ("true", "does not exist"),
    "empty": (": >/etc/resolv.conf", "lists no name server"),
    "search-alone": ("echo search corp.example >/etc/resolv.conf", "lists no name server"),
}
# dig does not start with these, but a run that succeeds has had an answer of each resolver.
NOT_FILES = {
    "circle": ("ln -s resolv.conf /etc/resolv.conf", "cannot be read (Too many levels of symbolic links)"),
    "below-a-file": ("ln -s /etc/hostname/resolv.conf /etc/resolv.conf", "cannot be read (Not a directory)"),
    "directory": ("mkdir /etc/resolv.conf", "cannot be read (Is a directory)"),
}


@pytest.fixture(name="host")
def _host(private_host):
    """Return a host whose neighbour answers DNS queries, and give it its resolv.conf back."""
    before = private_host.read("/etc/resolv.conf")
    assert private_host.neighbour().popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), NEIGHBOUR4]).readline()
    yield private_host
    private_host.teardown()
    private_host.sh("rm -rf /etc/resolv.conf")
    private_host.run(["tee", "/etc/resolv.conf"], input=before)


def become(host, command):
    """Replace the host's resolv.conf."""
    host.sh(f"rm -rf /etc/resolv.conf /run/systemd/resolve; {command}")


@pytest.mark.parametrize("command, fault", WITHOUT_SERVERS.values(), ids=WITHOUT_SERVERS.keys())
def test_names_of_sandboxes_need_no_name_server_of_the_host(host, command, fault):
    """For new sandboxes, and at boot; one warning names the file and the remedy."""
    become(host, command)
    result = host.apply(DOCUMENT)
    assert len(result["warnings"]) == 1
    assert result["warnings"][0].startswith(f"/etc/resolv.conf {fault}")
    assert "a name server" in result["warnings"][0].partition(fault)[2]
    assert dig(host, "web", "db") == ("NOERROR", ["172.20.0.9"])
    assert dig(host, "web", "example.org") == ("REFUSED", [])
    assert host.plan(DOCUMENT)["changed"] is False
    host.sh("kill $(cat /run/dockless/dns/pids/*.pid); ip netns del web; ip netns del db; nft flush ruleset")
    assert host.dockless("apply", "--boot", "--json")["warnings"] == result["warnings"]
    assert dig(host, "web", "db") == ("NOERROR", ["172.20.0.9"])


@pytest.mark.parametrize("command, fault", NOT_FILES.values(), ids=NOT_FILES.keys())
def test_resolvers_start_where_no_file_can_be_read(host, command, fault):
    """Something that is no file, or a link that leads nowhere."""
    become(host, command)
    result = host.apply(DOCUMENT)
    assert [warning.startswith(f"/etc/resolv.conf {fault}") for warning in result["warnings"]] == [True]
    assert host.plan(DOCUMENT)["changed"] is False


def test_running_resolvers_survive_the_end_of_the_file(host):
    """Its directory goes while sandboxes run, and comes back with servers: the next runs follow it."""
    host.apply(DOCUMENT)
    assert dig(host, "web", "example.org") == ANSWERED
    become(host, f"ln -s {STUB} /etc/resolv.conf")
    document = {**DOCUMENT, "sandboxes": {**DOCUMENT["sandboxes"], "new": {"networks": ["front"]}}}
    host.apply(document)
    assert dig(host, "new", "db") == dig(host, "web", "db") == ("NOERROR", ["172.20.0.9"])
    host.sh(f"mkdir -p /run/systemd/resolve; echo nameserver {NEIGHBOUR4} >/run/systemd/resolve/stub-resolv.conf")
    assert host.apply(document)["warnings"] == []
    assert dig(host, "web", "example.org") == ANSWERED


def test_a_sandbox_with_servers_of_its_own_needs_no_warning(host):
    """The option that the warning names is the remedy."""
    become(host, ": >/etc/resolv.conf")
    own = {name: {**sandbox, "dns": [NEIGHBOUR4]} for name, sandbox in DOCUMENT["sandboxes"].items()}
    assert host.apply({**DOCUMENT, "sandboxes": own})["warnings"] == []
    assert dig(host, "web", "example.org") == ANSWERED


@pytest.mark.parametrize("server", [NEIGHBOUR4, "127.0.0.53"], ids=["reached", "loopback"])
def test_a_file_that_only_root_reads_is_not_left_to_dnsmasq(host, server):
    """dnsmasq reads files as its own user. Its servers are then in the configuration; those of loopback too."""
    become(host, f"echo nameserver {server} >/etc/resolv.conf; chmod 600 /etc/resolv.conf")
    if server != NEIGHBOUR4:
        assert host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), server]).readline()
    assert host.apply(DOCUMENT)["warnings"] == []
    assert dig(host, "web", "example.org") == ANSWERED
