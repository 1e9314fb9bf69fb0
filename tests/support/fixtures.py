# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of every suite that touches a kernel: a private host that must be left as it was, and a guard for the
machine itself.
"""

from __future__ import annotations

import os
import typing as t

import pytest

from lab.changing import ChangingLab
from lab.topology import Lab
from support import private_fleet, snapshot
from support.private_host import PrivateHost


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
def private_host(request: pytest.FixtureRequest) -> t.Iterator[PrivateHost]:
    """Return a new private host. At the end of the test its projects are taken away and nothing may be left."""
    with PrivateHost() as host:
        yield host
        if request.node.get_closest_marker("leaves_behind") is None:
            host.teardown()
            host.assert_back_to(host.birth)


@pytest.fixture
def fleet() -> t.Iterator[private_fleet.Fleet]:
    """Return three hosts on one underlay.

    At the end of the test their projects are taken away and nothing may be left.
    """
    with private_fleet.Fleet(3) as found:
        yield found
        found.check_clean()


@pytest.fixture(scope="session")
def lab() -> t.Iterator[Lab]:
    """Return the attackers' lab, one for all tests of this process. At the end nothing of it may be left."""
    with PrivateHost() as host:
        found = Lab(host)
        yield found
        found.close()
        host.assert_back_to(host.birth)


@pytest.fixture(scope="session")
def changing() -> t.Iterator[ChangingLab]:
    """Return another lab, for tests that change its networks."""
    with PrivateHost() as host:
        found = ChangingLab(host)
        yield found
        found.close()
        host.assert_back_to(host.birth)
