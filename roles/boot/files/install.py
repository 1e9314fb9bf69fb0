# SPDX-License-Identifier: GPL-3.0-or-later
"""Make files what a JSON object on standard input says, and print {"changed", "lines"}.

  files    {path: text, or null for none}
  modes    {path: "0755"}; any other file gets 0644
  owned    directories in which nothing else may be, and which go when they are empty
  check    change nothing
  python   an interpreter that must be able to import pyroute2, or ""

One program for all the files, because copying them one by one costs a round
trip each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing as t


def content(path: str) -> str | None:
    """Return a file's text, None if there is no such file."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def write(path: str, text: str, mode: int) -> None:
    """Write by temporary file and rename: a boot that comes in between finds the old file or the new one."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".dockless-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.rename(temporary, path)


def strangers(directories: t.Sequence[str], files: dict[str, str | None]) -> list[str]:
    """Return the files of our directories that are not wanted there, compiled ones left out."""
    found = [
        os.path.join(top, name)
        for directory in directories
        for top, inner, names in os.walk(directory)
        for name in names
    ]
    return sorted(path for path in found if path not in files and "/__pycache__/" not in path)


def converge(spec: dict[str, t.Any]) -> list[str]:
    """Bring the files to what spec says; return a line for each change."""
    files: dict[str, str | None] = spec["files"]
    files.update(dict.fromkeys(strangers(spec["owned"], files)))
    lines = []
    for path, text in sorted(files.items()):
        mode = int(spec["modes"].get(path, "0644"), 8)
        before = content(path)
        if before == text and (text is None or os.stat(path).st_mode & 0o7777 == mode):
            continue
        lines.append(f"{path}: {'removed' if text is None else 'written'}")
        if spec["check"]:
            continue
        if text is None:
            os.unlink(path)
        else:
            write(path, text, mode)
    if not spec["check"]:
        tidy(spec["owned"], files)
    return lines


def tidy(directories: t.Sequence[str], files: dict[str, str | None]) -> None:
    """Remove compiled files and empty directories where nothing is wanted any more, packages of an earlier version among them."""
    kept = {path for path, text in files.items() if text is not None}
    found = [top for directory in directories for top, inner, names in os.walk(directory, topdown=False)]
    for directory in found:
        if os.path.basename(directory) != "__pycache__" and not any(path.startswith(directory + "/") for path in kept):
            shutil.rmtree(os.path.join(directory, "__pycache__"), ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rmdir(directory)


def main() -> None:
    """Run once."""
    spec = json.load(sys.stdin)
    if (
        spec["python"]
        and subprocess.run([spec["python"], "-c", "import pyroute2"], capture_output=True, check=False).returncode
    ):
        raise SystemExit(
            f"{spec['python']} cannot import pyroute2, which the engine needs at boot. Install the distribution's "
            "package (the role dockless.network.prerequisites does), or name another Python in boot_python."
        )
    lines = converge(spec)
    json.dump({"changed": bool(lines), "lines": lines}, sys.stdout)


if __name__ == "__main__":
    main()
