# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md on a host: its document converges, and each command under "Debugging" says something."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

README = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def full_document():
    """Return the document that shows every kind of key, and the host's defaults in it."""
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
    longest = max(found, key=lambda document: len(document.get("dockless_sandboxes", ())))
    return {key: longest[f"dockless_{key}"] for key in ("networks", "sandboxes", "defaults")}


def debugging():
    """Return the commands, dockless as it is run without the role boot; the journal is systemd's."""
    (block,) = re.findall(r"## Debugging\n\n```\n(.*?)```", README, re.DOTALL)
    lines = [line.split("  #")[0].strip() for line in block.splitlines()]
    return [
        re.sub(r"^dockless ", "/usr/bin/python3 -m _dockless.cli ", line)
        for line in lines
        if not line.startswith("journalctl")
    ]


@pytest.fixture
def shop(private_host):
    """Return a private host with the document on it."""
    private_host.apply(full_document())
    return private_host


@pytest.mark.smoke
def test_the_document_converges_and_debugging_commands_answer(shop):
    assert not shop.apply(full_document())["changed"]
    commands = debugging()
    assert len(commands) >= 8
    answers = {command: shop.sh(command) for command in commands}
    assert all(answers.values()), answers
    assert answers["/usr/bin/python3 -m _dockless.cli plan"] == "nothing to change"
    assert "172.20.4.10/16" in answers["ip netns exec web ip -brief address"]
    assert "nameserver 127.0.0.11" in answers["ip netns exec web cat /etc/resolv.conf"]
    assert answers["ip -details link show group 25707"].count("alias dockless shop/") == 3
