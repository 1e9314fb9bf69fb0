# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways around a namespace: what programs in a sandbox ask on Unix sockets is asked of the host, and must not be
asked there.
"""

from __future__ import annotations

import pytest

from support.private_host import SYSTEM_PYTHON

DOCUMENT = {
    "networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
    "sandboxes": {
        "web": {"networks": {"front": {"ipv4_address": "172.20.0.10"}}},
        "cli": {"networks": ["front"], "hostname": "c1"},
        "near": {"network_mode": "container:cli"},
    },
}
SOURCES = "passwd: files systemd\nhosts: mymachines {} files dns myhostname # theirs\ngroup: files\n"
# A source of names as nss-resolve(8) is one: it asks a daemon at a Unix socket, and what that says is final.
_SOURCE = """
#include <errno.h>
#include <nss.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static enum nss_status ask(const char *name, int *problem, int *why) {
    struct sockaddr_un there = {AF_UNIX, "/run/asked"};
    int wire = socket(AF_UNIX, SOCK_STREAM, 0), found = connect(wire, (void *)&there, sizeof there);
    if (!found) { write(wire, name, strlen(name)); write(wire, "\\n", 1); }
    close(wire);
    *problem = ENOENT;
    *why = HOST_NOT_FOUND;
    return found ? NSS_STATUS_UNAVAIL : NSS_STATUS_NOTFOUND;
}
enum nss_status _nss_outside_gethostbyname4_r(
    const char *name, void **found, char *room, size_t size, int *problem, int *why, int *ttl) {
    return ask(name, problem, why);
}
enum nss_status _nss_outside_gethostbyname2_r(
    const char *name, int family, void *found, char *room, size_t size, int *problem, int *why) {
    return ask(name, problem, why);
}
"""
_DAEMON = """
import os, socket
with socket.socket(socket.AF_UNIX) as door:
    door.bind("/run/asked")
    os.chmod("/run/asked", 0o666)
    door.listen()
    print("ready", flush=True)
    while True:
        wire = door.accept()[0]
        print(wire.recv(999).decode().strip(), flush=True)
        wire.close()
"""


@pytest.fixture(name="daemon")
def _daemon(private_host, tmp_path):
    """Return a daemon of the host's that programs ask for names, before they ask DNS.

    It says what it was asked, and knows nothing.
    """
    (tmp_path / "source.c").write_text(_SOURCE, encoding="ascii")
    private_host.sh(
        "cp /etc/nsswitch.conf /run/lock; "
        f"gcc -w -shared -fPIC -o /usr/local/lib/libnss_outside.so.2 {tmp_path}/source.c; ldconfig"
    )
    private_host.run(["tee", "/etc/nsswitch.conf"], input=SOURCES.format("outside [!UNAVAIL=return]"))
    daemon = private_host.popen([SYSTEM_PYTHON, "-c", _DAEMON])
    assert daemon.readline() == "ready"
    yield daemon
    daemon.stop()
    private_host.teardown()
    private_host.sh(
        "cp /run/lock/nsswitch.conf /etc/nsswitch.conf; "
        "rm /run/lock/nsswitch.conf /run/asked /usr/local/lib/libnss_outside.so.2; ldconfig"
    )


@pytest.mark.smoke
def test_the_hosts_daemon_is_not_asked_from_a_sandbox(private_host, daemon):
    """The control comes first: on the host, and in a namespace of nobody's, the daemon is asked, and its no is
    final.
    """
    private_host.sh("ip netns add stranger")
    for netns in (None, "stranger"):
        assert private_host.lookup(netns, "web") == [] and daemon.readline() == "web"
    private_host.apply(DOCUMENT)
    for netns in ("cli", "near"):
        assert private_host.lookup(netns, "web") == ["172.20.0.10"]
    assert (
        private_host.lookup(None, "sentinel") == [] and daemon.readline() == "sentinel"
    )  # nothing was asked in between
    private_host.sh("ip netns delete stranger")


def test_only_the_line_of_hosts_is_changed(private_host, daemon):
    """Accounts come from where the host has them.

    The file is there where it is needed, follows the host's, and goes with its sandbox.
    """
    assert daemon.pid
    private_host.apply(DOCUMENT)
    assert private_host.run(["cat", "/etc/nsswitch.conf"], netns="cli").stdout == (
        "# dockless: sandbox shop/cli\npasswd: files systemd\nhosts: files dns myhostname\ngroup: files\n"
    )
    private_host.run(["tee", "/etc/nsswitch.conf"], input=SOURCES.format("mdns4_minimal [NOTFOUND=return]"))
    assert private_host.apply(DOCUMENT)["changed"] is False
    private_host.run(["tee", "/etc/nsswitch.conf"], input="hosts: files dns\n")
    assert private_host.apply(DOCUMENT)["changed"] is True and private_host.apply(DOCUMENT)["changed"] is False
    assert private_host.sh("ls /etc/netns/cli") == "hostname\nhosts\nresolv.conf"
    private_host.run(["tee", "/etc/nsswitch.conf"], input=SOURCES.format("resolve [!UNAVAIL=return]"))
    private_host.apply(DOCUMENT)
    private_host.apply({}, absent=True)
    assert private_host.sh("ls /etc/netns 2>/dev/null || true") == ""


@pytest.mark.parametrize("netns, called", [("cli", "c1"), ("near", "c1"), ("web", "web")])
def test_etc_files_as_programs_in_a_sandbox_see_them(private_host, netns, called):
    """resolv.conf, hosts and hostname by ip netns exec, and for a partner under its own name."""
    private_host.apply(DOCUMENT)
    said = private_host.sh(
        "cat /etc/hostname; getent hosts $(cat /etc/hostname) | head -1; "
        "grep -c 'nameserver 127.0.0.11' /etc/resolv.conf",
        netns=netns,
    ).splitlines()
    assert said[0] == called and said[1].split()[1] == called and said[1].startswith("172.20.0.") and said[2] == "1"
