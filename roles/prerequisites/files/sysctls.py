# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of sysctls, their live values, and the files that set them at boot."""

from __future__ import annotations

import glob
import os
import typing as t

SYSCTL_FILE = "/etc/sysctl.d/60-dockless.conf"
# A later one of these files overrides SYSCTL_FILE at the next boot and by `sysctl --system`.
SYSCTL_FILES = (
    "/etc/sysctl.d/*.conf",
    "/run/sysctl.d/*.conf",
    "/usr/local/lib/sysctl.d/*.conf",
    "/usr/lib/sysctl.d/*.conf",
    "/etc/sysctl.conf",
    "/etc/ufw/sysctl.conf",
)


def read_sysctl(path: str) -> str | None:
    """Return a live value, its words joined by one space. None if this kernel or namespace does not have the key."""
    try:
        with open("/proc/sys/" + path, encoding="ascii") as handle:
            return " ".join(handle.read().split())
    except (FileNotFoundError, PermissionError):
        return None


def path_of(key: str) -> str:
    """Return a key's path in /proc/sys. The separator is the first dot or slash of the key (sysctl.conf(5))."""
    if ".." in key or key.startswith("/"):
        raise SystemExit(f"settings: {key!r} is not the name of a sysctl.")
    first = next((letter for letter in key if letter in "./"), "/")
    return key if first == "/" else key.translate(str.maketrans("./", "/."))


def later_files() -> list[str]:
    """Return the files that are read after SYSCTL_FILE, each once."""
    own_name = os.path.basename(SYSCTL_FILE)
    paths = [path for pattern in SYSCTL_FILES for path in glob.glob(pattern)]
    # Files in a sysctl.d are read in the order of their names, the others after them.
    later = [path for path in paths if "/sysctl.d/" not in path or os.path.basename(path) > own_name]
    return sorted({os.path.realpath(path) for path in later})


def assignments(file: str) -> list[tuple[str, str]]:
    """Return the paths and values that a file in the syntax of sysctl.conf(5) sets."""
    with open(file, encoding="utf-8", errors="replace") as handle:
        pairs = [line.strip().lstrip("-").partition("=") for line in handle if not line.lstrip().startswith(("#", ";"))]
    return [(path_of(key.strip()), " ".join(value.split())) for key, equals, value in pairs if equals]


def is_set_by_others(key: str, value: str, own_files: t.Container[str]) -> bool:
    """Return whether a file that is not this role's sets a key to a value at boot."""
    paths = [path for pattern in SYSCTL_FILES for path in glob.glob(pattern) if path not in own_files]
    return any((path_of(key), value) in assignments(path) for path in paths)


def override_warnings(wanted: dict[str, str], limits: t.Container[str]) -> list[str]:
    """Return a warning for each later file that sets a wanted key to another value, or a lower one for limits."""
    warnings = []
    keys = {path_of(key): key for key in wanted}
    for file in later_files():
        for path, value in assignments(file):
            key = keys.get(path)
            if key is None or value == wanted[key]:
                continue
            is_high_enough = key in limits and value.isdigit() and int(value) >= int(wanted[key])
            if not is_high_enough:
                warnings.append(
                    f"{file} sets {key} to {value}, and overrides {SYSCTL_FILE} at the next boot, because it is read "
                    f"later. Remove that line from {file}."
                )
    return warnings
