# SPDX-License-Identifier: GPL-3.0-or-later
"""A resolver that is started again loses no question: another answers in its place (handover.py)."""

from __future__ import annotations

import json

import pytest

from support.dns_questions import UPSTREAM, act, dig
from support.private_host import PYTHON, SUPPORT, SYSTEM_PYTHON

pytestmark = pytest.mark.leaves_behind("links are made by hand here; what the engine leaves is checked by each test")
SMALL = {
    "networks": {"net": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
    "sandboxes": {"one": {"networks": ["net"]}, "two": {"networks": ["net"]}},
}
PLACES = (
    "ls /run/dockless/dns/standins 2>/dev/null || true; "
    "pgrep -f [c]onf-file=/run/dockless/dns/standins || "
    "true; ip netns exec {} nft list tables"
)

# Start all resolvers again, and be killed when others answer in their places.
_DYING = """
import os, signal
from _dockless.model import facts
from _dockless.resolvers import supervisor
supervisor._start = lambda some, _facts: os.kill(os.getpid(), signal.SIGKILL) if some else None
supervisor.start(supervisor.running_resolvers(supervisor.configured()), facts.Facts())
"""


def asker(host, netns, name, how="each"):
    """Start to ask in a sandbox."""
    server = host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_client.py"), "/run/enough", name, how], netns)
    assert server.readline() == "ready"
    return server


def told(host, *askers):
    """End asking and return what came of it."""
    host.sh("touch /run/enough")
    found = [json.loads(one.readline()) for one in askers]
    host.sh("rm /run/enough")
    return found


@pytest.fixture(name="late")
def _late(private_host):
    upstream = private_host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), UPSTREAM, "late"])
    assert upstream.readline() == "ready"
    act(private_host, "up")
    return private_host


def test_no_question_is_refused_or_lost_while_resolvers_start_again(late):
    """Own names by a socket for each question, by one for all and by TCP, and names from elsewhere, half a second each.

    Without others, some are lost.
    """
    before = act(late, "running")["processes"]
    askers = [
        *(asker(late, "cli", "web", how) for how in ("each", "kept", "kept", "stream")),
        asker(late, "cli", "late.example.org"),
    ]
    for _turn in range(3):
        assert act(late, "start")["running"].keys() == before.keys()
    found = told(late, *askers)
    assert all(one["answered"] > 2 and one["refused"] == one["silent"] == 0 for one in found), found
    after = act(late, "running")["processes"]
    assert not set(before["cli"]) & set(after["cli"])
    left = late.sh(PLACES.format("cli"))
    assert left.splitlines() == ["table inet dockless"], left
    control = [asker(late, "cli", "web"), asker(late, "cli", "late.example.org")]
    for _turn in range(3):
        act(late, "bare")
    local, elsewhere = told(late, *control)
    assert (
        local["refused"] + local["silent"] > 0
        and local["answered"] > 0
        and elsewhere["refused"] + elsewhere["silent"] > 0
    ), (local, elsewhere)


@pytest.mark.smoke
def test_a_configuration_that_is_refused_leaves_the_old_resolver_serving(late):
    """It shows in the other one: its own process is the same, and answers."""
    before = act(late, "running")["processes"]
    path = "/run/dockless/dns/resolvers/cli.conf"
    late.sh(f"echo nonsense-option >>{path}")
    code = (
        "from _dockless.model import facts; from _dockless.state import objects as kernel; "
        "from _dockless.resolvers import supervisor as resolver\n"
        f"try: resolver.start([kernel.Resolver('cli', 'cli', '{path}', 'x')], facts.Facts())\n"
        "except Exception as error: print(error)"
    )
    said = late.python(code).stdout
    assert "resolvers do not start: sandbox cli: dnsmasq: bad option at line" in said and "nonsense" in late.read(
        path
    ), said
    assert act(late, "running")["processes"] == before
    assert dig(late, "cli", "web") == ("NOERROR", ["172.20.0.10"])
    assert late.sh(PLACES.format("cli")).splitlines() == ["table inet dockless"]


def test_stand_in_resolvers_of_a_killed_run_are_removed(private_host):
    """The run dies while others answer; names go on, and the next run takes them away.

    No resolver has variables of its caller, which may be secrets, or change what a program does.
    """
    hostile = {"DOCKLESS_HOSTILE": "secret", "MALLOC_ARENA_TEST": "1"}
    apply = [PYTHON, "-m", "_dockless.cli", "apply", "--project", "shop", "--json", "-"]
    private_host.run(apply, input=json.dumps(SMALL), env=hostile)
    died = private_host.run([PYTHON, "-c", _DYING], check=False, env=hostile)
    for pid in private_host.sh("pgrep -x dnsmasq").split():
        variables = private_host.read(f"/proc/{pid}/environ").split("\0")
        assert sorted(each.partition("=")[0] for each in variables if each) == ["LC_ALL", "PATH"], variables
    assert len(private_host.sh("pgrep -x dnsmasq").split()) == 4
    assert died.returncode in (-9, 137), died.stderr
    left = private_host.sh(PLACES.format("one"))
    assert "one.conf" in left and "table inet dockless-detour" in left
    assert private_host.lookup("one", "two") == ["172.20.0.3"]
    answer = private_host.apply(SMALL)
    assert not answer["changed"], answer["operations"]
    assert private_host.sh(PLACES.format("one")).splitlines() == ["table inet dockless"]
    assert private_host.lookup("one", "two") == ["172.20.0.3"]
    private_host.apply({}, absent=True)


def test_a_run_after_an_upgrade_of_dnsmasq_starts_resolvers_again_and_loses_no_answer(private_host):
    """A resolver that runs from a replaced file is found, reported and restarted; the next run has nothing to do."""
    private_host.sh(
        "mkdir -p /run/layer/upper /run/layer/work; "
        "mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/layer/upper,workdir=/run/layer/work /usr/sbin"
    )
    private_host.apply(SMALL)
    pids = private_host.sh("cat /run/dockless/dns/pids/*.pid").split()
    assert not private_host.apply(SMALL)["changed"]
    private_host.sh("cp /usr/sbin/dnsmasq /usr/sbin/dnsmasq.new; mv /usr/sbin/dnsmasq.new /usr/sbin/dnsmasq")
    asking = asker(private_host, "one", "two")
    answer = private_host.apply(SMALL, diff=True)
    (found,) = told(private_host, asking)
    assert found["answered"] > 10 and found["refused"] == found["silent"] == 0, found
    assert len(answer["operations"]) == 2 and all(
        "resolver" in line and "program is replaced" in line for line in answer["operations"]
    ), answer
    assert not set(pids) & set(private_host.sh("cat /run/dockless/dns/pids/*.pid").split())
    assert not private_host.apply(SMALL)["changed"]
    private_host.apply({}, absent=True)
    private_host.sh("umount /usr/sbin")
