# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection holds, for tests that go through all of it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = "dockless.network"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir()) if (ROOT / "roles").is_dir() else []


def environment() -> dict[str, str]:
    """Return an environment in which Ansible finds this checkout as the collection, and nothing of the user's."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
        # the tools beside this Python come first
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        "ANSIBLE_NOCOLOR": "1",
    }


def check(*argv: str) -> str:
    """Run a command at the checkout's root and return its output. Fails with that when the command does."""
    env = environment()
    program = shutil.which(argv[0], path=env["PATH"]) or argv[0]
    done = subprocess.run(
        [program, *argv[1:]],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}"
    return done.stdout
