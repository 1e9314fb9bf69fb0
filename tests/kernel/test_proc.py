# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run writes below /proc/sys: keys of its own links and namespaces only, and the real ones."""

from __future__ import annotations

import re

import pytest

from support.invariants import SHOP

_FAKE = """
set -e
mount -t tmpfs none /proc/sys
mkdir -p /proc/sys/net/ipv4
echo canary >/proc/sys/net/ipv4/ip_unprivileged_port_start
echo $$
exec sleep infinity
"""


def test_no_sysctl_of_the_host_changes(private_host):
    """With every kind of object there, only settings of managed links differ from before.

    Afterwards (the leak check) nothing does.
    """
    before = set(private_host.snapshot()["sysctl"])
    private_host.apply(SHOP)
    changed = {line.partition(" = ")[0] for line in before ^ set(private_host.snapshot()["sysctl"])}
    assert changed
    foreign = [
        key for key in changed if not re.search(r"/(?:conf|neigh)/(?:br-[0-9a-f]{12}|veth[0-9a-f]{11}|dockless0)/", key)
    ]
    assert foreign == []


@pytest.mark.smoke
def test_sysctls_are_set_despite_mounts_over_proc(private_host):
    """Only its network namespace is entered, never its mounts: what it laid over /proc/sys stays as it is, and the
    kernel has the value.
    """
    container = private_host.popen(["unshare", "--net", "--mount", "/bin/sh", "-c", _FAKE])
    pid = container.readline()
    private_host.apply(
        {
            "networks": {"front": {"dns_enabled": False}},
            "sandboxes": {
                "box": {
                    "attach": {"pid": int(pid)},
                    "networks": ["front"],
                    "sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"},
                }
            },
        }
    )
    key = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert private_host.run(["cat", key], netns="box").stdout.strip() == "80"
    assert private_host.sh(f"nsenter --target {pid} --mount cat {key}") == "canary"
