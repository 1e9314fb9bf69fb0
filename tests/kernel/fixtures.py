# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of every suite that touches a kernel: a private host that must be left as it was, and a guard for the machine itself."""

from __future__ import annotations

import os
import typing as t

import fleet as fleets
import hosts
import pytest
import snapshot
from lab.topology import Lab


@pytest.fixture(scope="session", autouse=True)
def untouched_machine() -> t.Iterator[None]:
    """Fail the run if the machine's own links, addresses, routes, rules, tables or our files on it change."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make network and mount namespaces")
    before = snapshot.take(cheap=True)
    yield
    lines = snapshot.difference(before, snapshot.take(cheap=True))
    assert not lines, "the tests changed the machine:\n" + "\n".join(lines)


@pytest.fixture
def private_host(request: pytest.FixtureRequest) -> t.Iterator[hosts.PrivateHost]:
    """Return a new private host. At the end of the test its projects are taken away and nothing may be left."""
    with hosts.PrivateHost() as host:
        yield host
        if request.node.get_closest_marker("leaves_behind") is None:
            host.teardown()
            host.assert_back_to(host.birth)


@pytest.fixture
def fleet() -> t.Iterator[fleets.Fleet]:
    """Return three hosts on one underlay. At the end of the test their projects are taken away and nothing may be left."""
    with fleets.Fleet(3) as found:
        yield found
        found.check_clean()


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    """Return the attackers' lab, one for all tests of this process. At the end nothing of it may be left."""
    with hosts.PrivateHost() as host:
        found = Lab(host)
        yield found
        found.close()
        host.assert_back_to(host.birth)
