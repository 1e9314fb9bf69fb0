# SPDX-License-Identifier: GPL-3.0-or-later
"""README.md against the code: its documents mean something, and what it names exists."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml

from _dockless.errors import DocklessError
from support.documents import host_of
from support.pipeline import resolved, state

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]
DOCUMENTS = [block for block in BLOCKS if "dockless_sandboxes" in block]


def project_of(document):
    """Return a document as the engine takes it, and the host's defaults."""
    return {key: document[f"dockless_{key}"] for key in ("networks", "sandboxes")}, document.get("dockless_defaults")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{len(document['dockless_sandboxes'])} sandboxes")
def test_documents_are_realized(document):
    declared, defaults = project_of(document)
    host = resolved(declared, defaults=defaults, project=document["dockless_project"])
    assert {key[1] for key in state(host) if key[0] == "netns"} == {
        name for name, spec in document["dockless_sandboxes"].items() if spec.get("network_mode") != "host"
    }


def test_the_fleet_is_that_of_the_example():
    """The inventory of README.md says what the one that runs says, but for where the tunnels end."""
    (inventory,) = [block for block in BLOCKS if "fleet" in block]
    example = yaml.safe_load((ROOT / "playbooks" / "examples" / "fleet" / "inventory.yml").read_text(encoding="utf-8"))[
        "fleet"
    ]
    assert inventory["fleet"]["vars"] == example["vars"]
    for name, host in inventory["fleet"]["hosts"].items():
        there = example["hosts"][name]
        assert set(host) <= set(there) and all(
            sandbox in there["dockless_sandboxes"] for sandbox in host["dockless_sandboxes"]
        )


def test_the_refusal_is_what_the_engine_says():
    with pytest.raises(DocklessError) as refusal:
        host_of({"sandboxes": {"web": {"ports": ["8080:80", "8443:443/http"]}}})
    assert f"    {refusal.value}\n" in README


@pytest.mark.parametrize("driver", ["overlay", "macvlan", "ipvlan"])
def test_every_driver_is_named(driver):
    assert driver in README


def test_every_module_and_role_is_listed():
    for path in [
        *(ROOT / "plugins" / "modules").glob("[a-z]*.py"),
        *(p for p in (ROOT / "roles").iterdir() if p.is_dir()),
    ]:
        assert re.search(rf"^\| \[?`{path.stem}`", README, re.MULTILINE), path.stem


def test_every_make_target_and_link_exists():
    targets = set(
        re.findall(r"^([a-z-]+(?: [a-z-]+)*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    known = {word for line in targets for word in line.split()} | set(
        re.search(r"SUITES := (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))[1].split()
    )
    named = set(re.findall(r"`make ([a-z-]+)`", README)) | set(re.findall(r"^make ([a-z-]+)$", README, re.MULTILINE))
    assert named <= known and {"quickstart", "teardown", "test", "bench", "molecule"} <= named
    for link in re.findall(r"\]\(([^)#]+)(?:#[a-z-]+)?\)", README):
        assert (ROOT / link).exists(), link


def test_the_bench_tool_finds_its_place():
    assert README.index("<!-- bench -->") < README.index("<!-- /bench -->")
