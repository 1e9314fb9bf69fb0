# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection's files look like, by the tools that its users trust."""

from __future__ import annotations

import tarfile

import yaml

from support.collection import MODULES, ROOT, check


def test_ansible_lint_production():
    assert "Passed: 0 failure(s), 0 warning(s)" in check(
        "ansible-lint", "--offline", "--nocolor", "--profile", "production"
    )


def test_changelog():
    check("antsibull-changelog", "lint")


def test_every_module_is_in_the_action_group():
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    assert runtime["action_groups"]["dockless"] == MODULES


def test_build_holds_what_runs_and_no_rubbish(tmp_path):
    check("ansible-galaxy", "collection", "build", "--output-path", str(tmp_path))
    (built,) = tmp_path.glob("dockless-network-*.tar.gz")
    with tarfile.open(built) as archive:
        names = archive.getnames()
    assert "plugins/modules/container_networks.py" in names and "meta/runtime.yml" in names
    hidden = [name for name in names if name.startswith(".")]
    built_or_compiled = [name for name in names if name.endswith((".pyc", ".gz"))]
    for_developers = [name for name in names if name in ("ansible.cfg", "mypy.ini", "ruff.toml")]
    assert not hidden + built_or_compiled + for_developers
