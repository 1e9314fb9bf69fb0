# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module by ansible-playbook in a private host: its target, and the examples of its documentation."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

from support.collection import MODULES, ROOT, environment

TARGETS = ROOT / "tests" / "integration" / "targets"
SETUPS = ROOT / "tests" / "integration" / "examples"
TASKS = list[dict[str, t.Any]]


def play(host, directory: pathlib.Path, content: dict[str, t.Any]) -> str:
    """Run a play in the private host and return what ansible-playbook says.

    Fails when a task does, or when there is none.
    """
    book = directory / "play.yml"
    book.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, **content}], sort_keys=False), encoding="utf-8"
    )
    env = {
        **environment(),
        "ANSIBLE_ROLES_PATH": str(TARGETS),
        "HOME": str(directory),
        "ANSIBLE_LOCAL_TEMP": str(directory),
        "ANSIBLE_REMOTE_TEMP": str(directory),
    }
    argv = ["ansible-playbook", "--inventory", "localhost,", "--connection", "local", "--diff", str(book)]
    said = host.run(argv, env=env, check=False, timeout=300)
    assert said.returncode == 0, said.stdout + said.stderr
    assert re.search(r"ok=[1-9]", said.stdout), said.stdout
    return said.stdout


def examples(module: str) -> TASKS:
    """Return the tasks in the EXAMPLES block of a module."""
    source = (ROOT / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    block = source.split('EXAMPLES = r"""', 1)[1].split('"""', 1)[0]
    return yaml.safe_load(block)


def setup(module: str) -> TASKS:
    """Return the tasks that make what a module's examples take for granted."""
    file = SETUPS / f"{module}-setup.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else []


@pytest.mark.parametrize("module", MODULES)
def test_target(private_host, tmp_path, module):
    assert (TARGETS / module / "tasks" / "main.yml").is_file(), f"{module} has no integration target"
    play(private_host, tmp_path, {"roles": [module]})


@pytest.mark.parametrize("module", MODULES)
def test_examples(private_host, tmp_path, module):
    tasks = examples(module)
    assert any(f"dockless.network.{module}" in task for task in tasks), "no example uses the module"
    play(private_host, tmp_path, {"tasks": [*setup(module), *tasks]})
