# SPDX-License-Identifier: GPL-3.0-or-later
"""Write and remove files as a JSON object on standard input describes, and print {"changed", "lines"}.

  files    {path: text, or null to remove the file}
  modes    {path: "0755"}; other files get 0644
  owned    directories whose other files are removed, and that are removed when they are empty
  check    true: change nothing
  python   an interpreter that must be able to import pyroute2, or ""

One program writes all files, because Ansible needs a round trip for each file that it copies.
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


def read_text(path: str) -> str | None:
    """Return a file's text, None if the file does not exist."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def write(path: str, text: str, mode: int) -> None:
    """Replace the file by rename, so that an interrupted run leaves the old file or the new one."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".dockless-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, mode)
    os.rename(temporary, path)


def unmanaged_files(directories: t.Sequence[str], files: t.Container[str]) -> list[str]:
    """Return the files in the directories that are not in files, except compiled ones."""
    found = [
        os.path.join(top, name)
        for directory in directories
        for top, inner, names in os.walk(directory)
        for name in names
    ]
    return sorted(path for path in found if path not in files and "/__pycache__/" not in path)


def converge(spec: dict[str, t.Any]) -> list[str]:
    """Write and remove the files of spec. Return a line for each change."""
    files: dict[str, str | None] = spec["files"]
    files.update(dict.fromkeys(unmanaged_files(spec["owned"], files)))
    lines = []
    for path, text in sorted(files.items()):
        mode = int(spec["modes"].get(path, "0644"), 8)
        before = read_text(path)
        same_mode = text is None or before is None or os.stat(path).st_mode & 0o7777 == mode
        if before == text and same_mode:
            continue
        lines.append(f"{path}: {'removed' if text is None else 'written'}")
        if spec["check"]:
            continue
        if text is None:
            os.unlink(path)
        else:
            write(path, text, mode)
    if not spec["check"]:
        remove_unused_directories(spec["owned"], [path for path, text in files.items() if text is not None])
    return lines


def remove_unused_directories(directories: t.Sequence[str], paths: t.Sequence[str]) -> None:
    """Remove directories that contain none of paths, such as packages of an earlier version, with compiled files."""
    found = [top for directory in directories for top, inner, names in os.walk(directory, topdown=False)]
    for directory in found:
        is_used = any(path.startswith(directory + "/") for path in paths)
        if is_used or os.path.basename(directory) == "__pycache__":
            continue
        shutil.rmtree(os.path.join(directory, "__pycache__"), ignore_errors=True)
        with contextlib.suppress(OSError):  # another program's file is in it
            os.rmdir(directory)


def can_import_pyroute2(python: str) -> bool:
    """Return whether an interpreter has pyroute2."""
    return subprocess.run([python, "-c", "import pyroute2"], capture_output=True, check=False).returncode == 0


def main() -> None:
    """Read the JSON object, change the files, and print the result."""
    spec = json.load(sys.stdin)
    if spec["python"] and not can_import_pyroute2(spec["python"]):
        raise SystemExit(
            f"{spec['python']} cannot import pyroute2, which the engine needs at boot. Install the distribution's "
            "package (the role dockless.network.prerequisites does), or set boot_python to another Python."
        )
    lines = converge(spec)
    json.dump({"changed": bool(lines), "lines": lines}, sys.stdout)


if __name__ == "__main__":
    main()
