# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs have a time limit, which holds for what they start as well."""

from __future__ import annotations

import contextlib
import os
import select

import pytest

from _dockless.errors import DocklessError
from _dockless.linux import programs

# It hangs, and a child of it holds its output.
HANGING = '#!/bin/sh\nsleep 1000 &\necho $! >"$0.child"\nsleep 1000\n'


def test_program_that_hangs_is_killed_with_its_children(tmp_path):
    script = tmp_path / "hanging"
    script.write_text(HANGING, encoding="utf-8")
    script.chmod(0o755)
    with pytest.raises(DocklessError, match="hanging did not end within 1 s. Find out why."):
        programs.run([str(script)], timeout_s=1, remedies=programs.Remedies(hangs="Find out why."))
    child = int((tmp_path / "hanging.child").read_text(encoding="ascii"))
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        descriptor = os.pidfd_open(child)
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)


def test_output_of_a_program_that_ends_is_complete(tmp_path):
    """The control: the limit does not touch what ends in time."""
    done = programs.run(["/bin/sh", "-c", "cat; echo error >&2; exit 3"], stdin="x" * 200_000, check=False)
    assert (done.status, done.stdout, done.stderr) == (3, "x" * 200_000, "error\n")
