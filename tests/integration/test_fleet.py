# SPDX-License-Identifier: GPL-3.0-or-later
"""The role overlay over the hosts of the example inventory: two private hosts on one underlay, reached by one
ansible-playbook.

Ansible enters a host by its Python, which is a script that starts it in the host's namespaces. The controller has a
network and a /run of its own, so that what would not go to a host finds nothing of the machine.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml

from support import capture
from support.collection import ROOT, environment
from support.private_fleet import Fleet

EXAMPLE = ROOT / "playbooks" / "examples" / "fleet"
PLAY = [{"hosts": "fleet", "gather_facts": False, "roles": ["dockless.network.overlay"]}]
ROTATE = ROOT / "playbooks" / "rotate_keys.yml"
LEDGER = ".dockless-fleet.json"


class Controlled:
    """Hosts one, two … and the playbook runs over them."""

    def __init__(self, fleet: Fleet, directory: pathlib.Path) -> None:
        self.hosts = dict(zip(("one", "two", "three"), fleet.hosts))
        self._directory = directory
        self._inventory = directory / "inventory"
        self._inventory.mkdir()
        self.inventory = yaml.safe_load((EXAMPLE / "inventory.yml").read_text(encoding="utf-8"))
        self.declared = self.inventory["fleet"]["hosts"]
        for name, host in self.hosts.items():
            python = directory / f"python-{name}"
            python.write_text(
                f"#!/bin/sh\nexec nsenter --target={host.pid} --net --mount --pid --uts --ipc -- /usr/bin/python3 "
                '"$@"\n',
                encoding="ascii",
            )
            python.chmod(0o755)
        (directory / "play.yml").write_text(json.dumps(PLAY), encoding="utf-8")

    @property
    def ledger(self) -> dict[str, t.Any] | None:
        """Return what the ledger holds of the network red, by sandbox; None if there is no ledger."""
        file = self._inventory / LEDGER
        return (
            json.loads(file.read_text(encoding="utf-8"))["networks"]["example/red"]["endpoints"]
            if file.exists()
            else None
        )

    def run(self, *options: str, book: pathlib.Path | None = None, fails: bool = False) -> str:
        """Run the role, or a playbook, over the inventory as it is now; return what ansible-playbook says."""
        for name, variables in self.declared.items():
            variables.update(
                ansible_connection="local",
                ansible_host=None,
                ansible_become=False,
                ansible_python_interpreter=str(self._directory / f"python-{name}"),
            )
        (self._inventory / "hosts.yml").write_text(yaml.safe_dump(self.inventory), encoding="utf-8")
        env = {
            **environment(),
            "HOME": str(self._directory),
            "ANSIBLE_LOCAL_TEMP": str(self._directory),
            "ANSIBLE_PIPELINING": "1",
        }
        apart = [
            "unshare",
            "--net",
            "--mount",
            "--kill-child",
            "--fork",
            "sh",
            "-c",
            'mount -t tmpfs run /run; exec "$@"',
            "sh",
        ]
        argv = [
            *apart,
            "ansible-playbook",
            "--inventory",
            str(self._inventory),
            *options,
            str(book or self._directory / "play.yml"),
        ]
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout


def changes(said: str) -> dict[str, int]:
    """Return how many tasks changed something, by host."""
    found = {name: int(number) for name, number in re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", said, re.MULTILINE)}
    assert found, said
    return found


@pytest.fixture
def controlled(tmp_path: pathlib.Path) -> t.Iterator[Controlled]:
    """Return the example's two hosts; nothing may be left on them at the end."""
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(Fleet(2))
        yield Controlled(fleet, tmp_path)
        fleet.check_clean()


def test_example_fleet(controlled):
    """The example's inventory from its first run to its end: check mode, proof, a second run, a moved sandbox,
    --limit, absence.
    """
    predicted = controlled.run("--check", "--diff")
    assert changes(predicted) == {"one": 2, "two": 1}  # the plan is a task of the first host
    assert "network example/red: VNI 257" in predicted and controlled.ledger is None

    controlled.run()
    controlled.run(book=EXAMPLE / "prove.yml")
    assert changes(controlled.run()) == {"one": 0, "two": 0}
    given = controlled.ledger

    controlled.declared["two"]["dockless_sandboxes"]["b"] = controlled.declared["one"]["dockless_sandboxes"].pop("b")
    assert changes(controlled.run()) == {"one": 2, "two": 1}
    moved = controlled.ledger
    assert {**given["example/b"], "host": "two"} == moved["example/b"]
    assert controlled.hosts["one"].ping("a", "bob") and controlled.hosts["two"].ping("b", "a")

    controlled.declared["one"]["dockless_sandboxes"]["new"] = {"networks": ["red"]}
    assert changes(controlled.run("--limit", "one")) == {"one": 2}
    assert controlled.hosts["one"].ping("new", given["example/d"]["addresses"][0]) is False  # two was not told yet
    assert changes(controlled.run()) == {"one": 0, "two": 1}
    assert controlled.hosts["one"].ping("new", "d")

    controlled.run("--extra-vars", "overlay_state=absent")


def test_no_address_is_given_past_a_host_that_nobody_knows(controlled):
    assert "because host two was not read in this run" in controlled.run("--limit", "one", fails=True)


@pytest.fixture
def sealed(controlled: Controlled) -> Controlled:
    """Return the example's hosts with one network, which is encrypted."""
    variables = controlled.inventory["fleet"]["vars"]
    variables["dockless_networks"] = {
        "red": {"driver": "overlay", "encrypted": True, "ipam": {"config": [{"subnet": "10.60.0.0/16"}]}}
    }
    for name, sandbox in (("one", "a"), ("two", "d")):
        controlled.declared[name].update(dockless_sandboxes={sandbox: {"networks": ["red"]}}, dockless_vtep="under0")
    return controlled


def test_key_rotation_shows_no_key(sealed):
    """By one playbook, with -vvv and --diff and a log.

    No packet is lost, and no secret is in anything that is said or kept.
    """
    one, two = sealed.hosts.values()
    said = [sealed.run("-vvv", "--diff")]
    assert changes(sealed.run()) == {"one": 0, "two": 0}
    addresses = [traffic["addresses"][0] for traffic in sealed.ledger.values()]
    assert one.ping("a", addresses[1])
    secrets = capture.private(one) + capture.private(two)
    before = capture.key(one)
    with capture.flow(one, "a", addresses[1]) as counts:
        said.append(sealed.run("-vvv", "--diff", book=ROTATE))
    secrets += capture.private(one) + capture.private(two)
    assert "overlay_tunnels: [b]" in said[1] and counts["sent"] == counts["answered"] > 100
    assert one.sh("ls /etc/dockless/wireguard") == "b" == two.sh("ls /etc/dockless/wireguard")
    ledger = "".join(path.read_text(encoding="utf-8") for path in sealed._inventory.iterdir())
    assert before in said[0] + said[1] and before not in ledger and capture.key(one, "b") in ledger
    assert not [secret for secret in secrets for text in (*said, ledger) if secret in text]
    sealed.inventory["fleet"]["vars"]["overlay_tunnels"] = ["b"]
    assert changes(sealed.run()) == {"one": 0, "two": 0}
    assert "alias dockless tunnel b" in one.run(["ip", "-details", "link", "show", "group", "25710"]).stdout
    sealed.run("--extra-vars", "overlay_state=absent")
