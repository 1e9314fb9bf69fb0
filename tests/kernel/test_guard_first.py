# SPDX-License-Identifier: GPL-3.0-or-later
"""No managed link ever exists without the table that guards it."""

from __future__ import annotations

import json

import pytest

WATCH = """
import json, os, subprocess, sys
from _dockless.engine import converge, request
links = []
def hook(step):
    present = any(name.startswith(("br-", "veth")) for name in os.listdir("/sys/class/net"))
    guarded = not subprocess.run(["nft", "list", "chain", "inet", "dockless", "guard"], capture_output=True).returncode
    links.append([present, guarded])
document = json.loads(sys.argv[1])
converge.converge(request.Request("shop", lambda before: document, remove_project=not document), hook)
print(json.dumps(links))
"""
DOCUMENT = {
    "networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
    "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}, "cli": {"networks": ["front"]}},
}


def watched(host, document):
    """Converge and return, for each step, whether managed links existed and whether they were guarded."""
    return json.loads(host.python(WATCH, json.dumps(document)).stdout)


@pytest.mark.smoke
def test_firewall_exists_before_the_first_link_and_after_the_last(private_host):
    """The table comes first and goes last; a step without links and without table is the control."""
    private_host.sh("umount /sys 2>/dev/null || true; mount -t sysfs sysfs /sys")
    for document in (DOCUMENT, {}):
        seen = watched(private_host, document)
        assert [True, True] in seen
        assert [True, False] not in seen
    assert watched(private_host, DOCUMENT)[0] == [False, False]
