# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge a host's sysctls, and the links that its network managers ignore, so that both can be restored.

Usage: settings.py SPEC [--check], where SPEC is a JSON object:
  state       "present" or "absent"
  exact       {sysctl: value}: set to this value
  at_least    {sysctl: number}: raised to this number, never lowered
  accept_ra   true: keep default routes from router advertisements when IPv6 forwarding is turned on
  interfaces  globs of link names that NetworkManager and systemd-networkd must ignore

It prints {"changed", "lines", "warnings"} as JSON, with a line for each change. STATE_FILE records the values from
before the first change. "absent" restores these, except where another program has changed a value since. All of it is
in one file, because Ansible needs a round trip for each task.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing as t

STATE_FILE = "/var/lib/dockless/prerequisites.json"
SYSCTL_FILE = "/etc/sysctl.d/60-dockless.conf"
NETWORKMANAGER_FILE = "/etc/NetworkManager/conf.d/60-dockless.conf"
NETWORKD_FILE = "/etc/systemd/network/05-dockless.network"
HEADER = "# Written by the role dockless.network.prerequisites; prerequisites_state=absent removes it.\n"
# A later one of these files overrides SYSCTL_FILE at the next boot and by `sysctl --system`.
SYSCTL_FILES = (
    "/etc/sysctl.d/*.conf",
    "/run/sysctl.d/*.conf",
    "/usr/local/lib/sysctl.d/*.conf",
    "/usr/lib/sysctl.d/*.conf",
    "/etc/sysctl.conf",
    "/etc/ufw/sysctl.conf",
)
# When the key on the left is written, the kernel also writes those on the right (inet_forward_change,
# addrconf_fixup_forwarding), so their values are recorded and restored as well.
SIDE_EFFECTS = {
    "net.ipv4.ip_forward": ("net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"),
    "net.ipv6.conf.all.forwarding": ("net/ipv6/conf/*/forwarding",),
}
# RTF_ADDRCONF | RTF_DEFAULT: a default route that the kernel learned from a router advertisement.
RTF_ADDRCONF_DEFAULT = 0x00040000 | 0x00010000


class Run:
    """One run: its changes and its warnings."""

    def __init__(self, check: bool) -> None:
        self.check = check
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def write_sysctl(self, path: str, value: str) -> None:
        """Set one live value, unless it is set already or the kernel does not have the key."""
        before = read_sysctl(path)
        if before == value or before is None:
            return
        self.lines.append(f"{path}: {before} -> {value}")
        if not self.check:
            try:
                with open("/proc/sys/" + path, "w", encoding="ascii") as handle:
                    handle.write(value)
            except OSError as error:
                raise SystemExit(
                    f"settings: {path} cannot be set to {value}: {error.strerror}. If this is a container, set it on "
                    "the machine. Otherwise remove it from prerequisites_limits or prerequisites_sysctls."
                ) from None

    def write_file(self, path: str, text: str | None) -> bool:
        """Write the file, or remove it if text is None. Return whether that is a change."""
        try:
            with open(path, encoding="utf-8") as handle:
                before: str | None = handle.read()
        except FileNotFoundError:
            before = None
        if before == text:
            return False
        change = "written" if before is None else "rewritten"
        if text is None:
            change = "removed"
        self.lines.append(f"{path}: {change}")
        if not self.check:
            replace_file(path, text)
        return True


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


def replace_file(path: str, text: str | None) -> None:
    """Replace the file by rename, so that no reader sees half of it. None removes it."""
    if text is None:
        os.unlink(path)
        return
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".dockless-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.rename(temporary, path)


def load_state() -> dict[str, t.Any]:
    """Return the values that earlier runs recorded."""
    try:
        with open(STATE_FILE, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return {"sysctls": {}, "directories": []}


def read_before(key: str) -> dict[str, t.Any]:
    """Return the values of a sysctl, and of those that the kernel writes with it, before the first change."""
    along = {}
    for pattern in SIDE_EFFECTS.get(key, ()):
        for path in sorted(glob.glob("/proc/sys/" + pattern)):
            along[path[len("/proc/sys/") :]] = read_sysctl(path[len("/proc/sys/") :])
    return {"before": read_sysctl(path_of(key)), "along": along}


def advertised_links() -> list[str]:
    """Return the links with a default route from a router advertisement, which they would lose by forwarding."""
    try:
        with open("/proc/net/ipv6_route", encoding="ascii") as handle:
            rows = [line.split() for line in handle]
    except FileNotFoundError:
        return []
    return sorted({row[9] for row in rows if int(row[8], 16) & RTF_ADDRCONF_DEFAULT == RTF_ADDRCONF_DEFAULT})


def wanted_sysctls(spec: dict[str, t.Any], recorded: dict[str, t.Any]) -> dict[str, str]:
    """Return the values to be set, in order. Limits that are high enough without this role are left out."""
    wanted: dict[str, str] = {}
    exact = {key: str(value) for key, value in spec.get("exact", {}).items()}
    if exact.get("net.ipv6.conf.all.forwarding") == "1" and spec.get("accept_ra"):
        # Before forwarding is turned on, otherwise the kernel has removed the route already.
        links = set(advertised_links()) | {key.split("/")[3] for key in recorded if key.endswith("/accept_ra")}
        wanted.update((f"net/ipv6/conf/{link}/accept_ra", "2") for link in sorted(links))
    wanted.update(exact)
    for key, value in spec.get("at_least", {}).items():
        before = recorded[key]["before"] if key in recorded else read_sysctl(path_of(key))
        if before is None:
            continue
        is_too_low = int(before) < int(value)
        if key in recorded or is_too_low:
            wanted[key] = str(max(int(value), int(before)))
    return wanted


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


def restore(run: Run, key: str, entry: dict[str, t.Any]) -> None:
    """Set a sysctl to its recorded value, unless another program has changed it since."""
    now = read_sysctl(path_of(key))
    if now not in (entry["set"], entry["before"], None):
        run.warnings.append(f"{key} is {now}, not {entry['set']} as this role set it. It is left unchanged.")
        return
    run.write_sysctl(path_of(key), entry["before"])
    for path, value in entry["along"].items():
        if not run.check:
            run.write_sysctl(path, value)


def set_sysctls(run: Run, wanted: dict[str, str], recorded: dict[str, t.Any]) -> None:
    """Set the wanted values and restore the others. Updates recorded."""
    for key in reversed([key for key in recorded if key not in wanted]):
        restore(run, key, recorded.pop(key))
    for key, value in wanted.items():
        if read_sysctl(path_of(key)) is None:
            if key not in recorded:
                run.warnings.append(f"{key} does not exist on this host. It is skipped.")
            continue
        if key not in recorded:
            recorded[key] = read_before(key)
        recorded[key]["set"] = value
        if not run.check and recorded[key]["before"] != value:
            save(recorded)  # before the kernel changes, so that a crash in between does not lose the value
        run.write_sysctl(path_of(key), value)


def save(recorded: dict[str, t.Any], directories: list[str] | None = None) -> None:
    """Write the state file. directories are those that this run has created."""
    state = load_state()
    state["sysctls"] = recorded
    state["directories"] = sorted(set(state["directories"]) | set(directories or []))
    replace_file(STATE_FILE, json.dumps(state, indent=1, sort_keys=False) + "\n")


def succeeds(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    if not shutil.which(command[0]):
        return False
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
    return done.returncode == 0


def mark_unmanaged(run: Run, globs: t.Sequence[str]) -> None:
    """Configure NetworkManager and systemd-networkd, if installed, to ignore the links. No globs remove that."""
    networkmanager = networkd = None
    if globs and (shutil.which("NetworkManager") or os.path.isdir("/etc/NetworkManager")):
        match = ";".join("interface-name:" + name for name in globs)
        networkmanager = f"{HEADER}[device-dockless]\nmatch-device={match}\nmanaged=0\n"
    if globs and any(map(os.path.exists, ("/lib/systemd/systemd-networkd", "/usr/lib/systemd/systemd-networkd"))):
        networkd = f"{HEADER}[Match]\nName={' '.join(globs)}\n\n[Link]\nUnmanaged=yes\n"
    networkmanager_changed = run.write_file(NETWORKMANAGER_FILE, networkmanager)
    networkd_changed = run.write_file(NETWORKD_FILE, networkd)
    if run.check:
        return
    if networkmanager_changed:
        succeeds("nmcli", "general", "reload", "conf")
    if networkd_changed and succeeds("systemctl", "is-active", "-q", "systemd-networkd"):
        succeeds("networkctl", "reload")


def sysctl_text(recorded: dict[str, t.Any]) -> str | None:
    """Return the text of SYSCTL_FILE. A dash before the key of a link accepts that the link is absent at boot."""
    if not recorded:
        return None
    lines = [f"{'-' if '/' in key else ''}{key} = {entry['set']}\n" for key, entry in recorded.items()]
    return HEADER + "".join(lines)


def missing_directories() -> list[str]:
    """Return the directories of this role's files that do not exist yet, outer ones first."""
    missing = []
    for file in (SYSCTL_FILE, NETWORKMANAGER_FILE, NETWORKD_FILE, STATE_FILE):
        directory = os.path.dirname(file)
        while directory != "/" and not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
    return sorted(set(missing))


def converge(spec: dict[str, t.Any], run: Run) -> None:
    """Set or restore what spec describes."""
    state = load_state()
    recorded = state["sysctls"]
    present = spec["state"] == "present"
    created = missing_directories()
    wanted = wanted_sysctls(spec, recorded) if present else {}
    set_sysctls(run, wanted, recorded)
    run.write_file(SYSCTL_FILE, sysctl_text(recorded))
    mark_unmanaged(run, spec["interfaces"] if present else [])
    run.warnings += override_warnings(wanted, spec.get("at_least", {}))
    if run.check:
        return
    if present:
        if recorded != load_state()["sysctls"] or run.lines:
            save(recorded, [name for name in created if os.path.isdir(name)])
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(STATE_FILE)
    for directory in sorted(set(state["directories"]), reverse=True):
        with contextlib.suppress(OSError):  # another program's file is in it
            os.rmdir(directory)


def main(spec_text: str, check: bool) -> None:
    """Converge the host and print the result."""
    run = Run(check)
    converge(json.loads(spec_text), run)
    json.dump({"changed": bool(run.lines), "lines": run.lines, "warnings": run.warnings}, sys.stdout)


if __name__ == "__main__":
    # The PATH of a login that is not root's often lacks these directories.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["LC_ALL"] = "C"
    main(sys.argv[1], "--check" in sys.argv[2:])
