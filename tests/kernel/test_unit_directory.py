# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that are the system's stay, though the last managed file in them goes."""

from __future__ import annotations

import pytest


@pytest.mark.smoke
def test_directory_of_units_stays_when_it_is_empty(private_host):
    """systemctl takes a host without /run/systemd/system for one that systemd does not run (sd_booted(3))."""
    private_host.sh(
        "mkdir -p /run/systemd/system; echo '# dockless: resolvers' > '/run/systemd/system/dockless-dns@.service'"
    )
    private_host.apply({"networks": {"quiet": {"driver_opts": {"com.docker.network.bridge.name": "br-quiet"}}}})
    private_host.apply({}, absent=True)
    assert private_host.sh("ls /run/systemd/system; stat -c %F /run/systemd/system") == "directory"
    private_host.sh("rmdir /run/systemd/system /run/systemd")
