# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example playbook, and the quickstart from its first run to its teardown, each on a private host."""

from __future__ import annotations

import pytest

from support.collection import ROOT
from support.playbooks import changes, own_limits, run_playbook

EXAMPLES = sorted(path.stem for path in (ROOT / "playbooks" / "examples").glob("*.yml"))


def test_there_is_an_example_for_each_walk_through():
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(private_host, tmp_path, name):
    """An example proves its statements by tasks that fail when they are untrue, and leaves nothing."""
    private_host.sh("echo 0 > /proc/sys/net/ipv4/ip_forward")  # as a fresh host has it
    with own_limits(private_host):
        fresh = private_host.snapshot()
        run_playbook(private_host, tmp_path, f"examples/{name}.yml")
        private_host.assert_back_to(fresh)
    private_host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")


def test_quickstart(private_host, tmp_path):
    """The shop opens, stays as it is when asked for again, is shown, is changed in one line only, and goes without a
    trace.
    """
    with own_limits(private_host):
        closed = private_host.snapshot()
        first = run_playbook(private_host, tmp_path, "quickstart.yml")
        assert "shop-web" in first and "The database says: 42 lamps" in first
        assert "The database says" in (private_host.fetch(None, "http://127.0.0.1:8080/") or "")
        assert private_host.fetch("shop-client", "http://www/")

        opened = private_host.snapshot()
        assert changes(run_playbook(private_host, tmp_path, "quickstart.yml")) == 0
        assert "shop-web" in run_playbook(private_host, tmp_path, "inspect.yml")
        assert changes(run_playbook(private_host, tmp_path, "prune.yml")) == 0
        private_host.assert_back_to(opened)

        moved = run_playbook(private_host, tmp_path, "quickstart.yml", "--extra-vars", "quickstart_port=8081")
        assert changes(moved) == 1
        assert private_host.fetch(None, "http://127.0.0.1:8081/")
        assert private_host.fetch(None, "http://127.0.0.1:8080/") is None

        run_playbook(private_host, tmp_path, "teardown.yml")
        private_host.assert_back_to(closed)
        assert changes(run_playbook(private_host, tmp_path, "teardown.yml")) == 0


def test_teardown_spares_settings_that_others_need(private_host, tmp_path):
    """The host's settings stay while another project has networks."""
    with own_limits(private_host):
        run_playbook(private_host, tmp_path, "quickstart.yml")
        private_host.apply({"networks": {"lan": {}}}, project="other")
        run_playbook(private_host, tmp_path, "teardown.yml")
        assert (
            private_host.sh("ls /etc/sysctl.d/60-dockless.conf /run/netns")
            == "/etc/sysctl.d/60-dockless.conf\n\n/run/netns:"
        )
        private_host.apply({}, project="other", absent=True)
        run_playbook(private_host, tmp_path, "teardown.yml")
