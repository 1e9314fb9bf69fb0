# SPDX-License-Identifier: GPL-3.0-or-later
"""At boot each project stands for itself: a document that does not parse, check or fit stops no other project."""

from __future__ import annotations

import json

import pytest

from support.private_host import PYTHON, PrivateHost

SHOP = {"networks": {"front": {}}, "sandboxes": {"web": {"networks": ["front"], "ports": ["8080:80"]}}}
OTHER = {"networks": {"o": {}}, "sandboxes": {"o1": {"networks": ["o"]}}}
REBOOT = """
for name in $(ls /run/netns); do ip netns delete $name; done
nft flush ruleset
for link in $(ip -br link show type bridge | cut -d' ' -f1); do ip link delete $link; done
for file in /run/dockless/dns/pids/*; do if [ -e $file ]; then kill -9 $(cat $file) || true; fi; done
rm -rf /run/dockless
"""
DOCUMENT = "/etc/dockless/projects/shop.json"
KEEP = "/run/lock/keep"
# what is done to the document (d, its text in JSON), and words of the problem
BROKEN = {
    "not JSON": ("text = '{'", "line 1: not JSON"),
    "half written": ("text = text[:len(text) // 2]", "not JSON"),
    "nested without end": ("text = '[' * 100000", "nested too deeply"),
    "not UTF-8": ("text = text.replace('front', chr(0xdcff))", "not UTF-8"),
    "a misspelt key": ("d['declaration']['networks']['front']['intrenal'] = True", "line 6: networks.front: unknown"),
    "an option of a newer version": (
        "d['declaration']['sandboxes']['web']['future'] = 1",
        "line 9: sandboxes.web: unknown",
    ),
    "a newer format": ("d['format'] = 2", "line 2: format 2 is unknown"),
    "a value of another type": ("d['declaration']['networks'] = 5", "line 5: networks: 5 is"),
    "a port twice": ("d['declaration']['sandboxes']['web']['ports'].append('8080:81')", "sandboxes.web.ports"),
    "a network that is gone": ("d['declaration']['networks'] = {}", "network front is not declared"),
    "ports of another shape": ("d['leases'] = {'ports': [1]}", "line 13: leases.ports[0]: 1 is not a list"),
    "networks of another shape": ("d['leases']['networks'] = []", "line 13: leases.networks: [] is a list"),
    "an endpoint of another shape": (
        "d['leases']['endpoints'] = {'web': {'shop/front': 7}}",
        "line 17: leases.endpoints",
    ),
    "an address that is none": (
        "d['leases']['endpoints']['web']['shop/front']['addresses'] = ['10.0.0.300/8']",
        "line 17: leases.endpoints.web.shop/front.addresses[0]: '10.0.0.300/8' is not an address",
    ),
    "a FIFO": ("os.unlink(p); os.mkfifo(p); text = ''", "is not a plain file"),
    "a directory": ("os.unlink(p); os.mkdir(p, 0o700); text = ''", "is not a plain file"),
    "a huge file": ("open(p, 'w').truncate(1 << 31); text = ''", "is larger than"),
}
EDIT = """
import json, os, sys
p = '/etc/dockless/projects/shop.json'
text = open(p).read()
d = json.loads(text)
before = json.dumps(d)
{edit}
if json.dumps(d) != before:
    from _dockless.engine import store
    text = store._pretty(d, 3) + '\\n'
if text:
    open(p, 'wb').write(text.encode('utf-8', 'surrogateescape'))
"""


class Rebooted:
    """A private host with two projects that were applied, and that is rebooted for each test."""

    def __init__(self):
        self.host = PrivateHost()
        self.host.apply(OTHER, project="other")
        self.host.apply(SHOP)
        self.host.sh(f"cp -a /etc/dockless {KEEP}")

    def damaged(self, edit):
        """Give both projects' documents back, edit that of shop, and take everything else away."""
        self.host.sh(f"rm -rf /etc/dockless; cp -a {KEEP} /etc/dockless")
        self.host.python(EDIT.format(edit=edit))
        self.host.sh(REBOOT)


@pytest.fixture(scope="module")
def rebooted():
    """Lend one host to all tests of this file that a process runs."""
    found = Rebooted()
    with found.host:
        yield found


def namespaces(host):
    """Return the names of the namespaces."""
    return host.sh("ls /run/netns 2>/dev/null || true").split()


@pytest.mark.parametrize("edit, words", BROKEN.values(), ids=BROKEN.keys())
def test_broken_document_falls_back_to_its_copy_and_is_reported(rebooted, edit, words):
    """Both projects come up, and the problem names project, file and line. The document stays for its author."""
    host = rebooted.host
    rebooted.damaged(edit)
    look = f"stat -c '%F %i %s %y' {DOCUMENT}"
    before = host.sh(look)
    told = host.dockless("apply", "--boot", "--json")
    assert namespaces(host) == ["o1", "web"]
    problem = "\n".join(told["warnings"])
    assert problem.startswith(f"The document of project shop is not used: {DOCUMENT}"), problem
    assert words in problem and problem.endswith("Its last good copy is used."), problem
    assert host.sh(look) == before


def test_journal_gets_the_problem_as_an_error(rebooted):
    """Under systemd, lines of the unit have a priority: sd-daemon(3)."""
    rebooted.damaged("text = '{'")
    done = rebooted.host.run([PYTHON, "-m", "_dockless.cli", "apply", "--boot"], env={"INVOCATION_ID": "1"})
    lines = [line for line in done.stdout.splitlines() if line.startswith("<3>")]
    assert lines and f"{DOCUMENT}, line 1" in lines[0] and "project shop" in lines[0]


@pytest.mark.parametrize("edit", [BROKEN["a misspelt key"][0], BROKEN["ports of another shape"][0]])
def test_without_a_copy_the_project_is_left_out_and_what_runs_of_it_stays(rebooted, edit):
    """Nothing is removed because a document cannot be read, when the unit is reloaded while everything runs."""
    host = rebooted.host
    rebooted.damaged(edit)
    host.dockless("apply", "--boot", "--json")
    host.sh(f"cp {DOCUMENT} /etc/dockless/last-good/projects/shop.json")
    again = host.dockless("apply", "--boot", "--json")
    assert "the project is left out" in again["warnings"][0]
    assert namespaces(host) == ["o1", "web"]
    host.sh(REBOOT)
    host.dockless("apply", "--boot", "--json")
    assert namespaces(host) == ["o1"]


def test_of_two_that_exclude_each_other_the_changed_one_is_at_fault(rebooted):
    """other publishes what shop has published since it was verified: other falls back, whatever the order of names."""
    host = rebooted.host
    rebooted.damaged("")
    host.python(
        EDIT.replace("shop.json", "other.json").format(
            edit="d['declaration']['sandboxes']['o1']['ports'] = ['8080:80']"
        )
    )
    told = host.dockless("apply", "--boot", "--json")
    assert namespaces(host) == ["o1", "web"]
    assert told["warnings"][0].startswith(
        "The document of project other is not used: /etc/dockless/projects/other.json"
    )
    assert [row["sandbox"] for row in told["ports"]] == ["web"]


def test_broken_defaults_of_the_host_stop_nothing(rebooted):
    host = rebooted.host
    rebooted.damaged("")
    code = "import json; p = '/etc/dockless/host.json'; d = json.load(open(p)); d['defaults']['mtuu'] = 1; "
    host.python(code + "json.dump(d, open(p, 'w'))")
    told = host.dockless("apply", "--boot", "--json")
    assert namespaces(host) == ["o1", "web"]
    assert told["warnings"][0].startswith("The host's document is not used: /etc/dockless/host.json")


def test_project_that_the_host_refuses_stops_no_other(rebooted):
    """An interface that dockless does not manage has the name of the bridge: known only when the host is read."""
    host = rebooted.host
    rebooted.damaged("")
    name = host.sh("ip -br link show type bridge | cut -d' ' -f1 || true")
    host.dockless("apply", "--boot", "--json")
    bridge = host.sh("ip -json link show | jq -r '.[] | select(.ifalias == \"dockless shop/front\") | .ifname'")
    host.sh(REBOOT)
    host.sh(f"ip link add {bridge} type bridge")
    told = host.dockless("apply", "--boot", "--json")
    host.sh(f"ip link delete {bridge}")
    assert name == "" and namespaces(host) == ["o1"]
    assert f"Project shop ({DOCUMENT}) is left out: interface {bridge} exists" in told["warnings"][0]


def test_other_projects_run_with_a_broken_document_beside_them(rebooted):
    """A run of another project uses the copy; the broken one's own run is refused with file and line."""
    host = rebooted.host
    rebooted.damaged("")
    host.dockless("apply", "--boot", "--json")
    host.python(EDIT.format(edit=BROKEN["a misspelt key"][0]))
    more = {**OTHER, "sandboxes": {**OTHER["sandboxes"], "o2": {"networks": ["o"]}}}
    told = host.apply(more, project="other")
    assert namespaces(host) == ["o1", "o2", "web"] and f"{DOCUMENT}, line 6" in told["warnings"][0]
    assert host.plan(more, project="other")["changed"] is False
    done = host.run([PYTHON, "-m", "_dockless.cli", "plan", "--project", "shop", "--json"], check=False)
    assert done.returncode == 1 and json.loads(done.stdout)["msg"].startswith(
        f"project shop ({DOCUMENT}, line 6): networks.front: unknown option 'intrenal'"
    )
