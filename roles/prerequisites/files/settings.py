# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge a host's sysctls, and the links that its network managers ignore, so that both can be restored.

Usage: settings.py SPEC [--check], where SPEC is a JSON object:
  state       "present" or "absent"
  exact       {sysctl: value}: set to this value
  at_least    {sysctl: number}: raised to this number, never lowered
  accept_ra   true: keep default routes from router advertisements when IPv6 forwarding is turned on
  interfaces  globs of link names that NetworkManager and systemd-networkd must ignore
  boot_files  {path: text}: files by which systemd loads TRANSIT_FILE, and only then turns forwarding on
  forward_for_others  true: the host forwards for others too; null or missing: as the host's defaults have it

Forwarding that this program turns on is for dockless only: before that it loads TRANSIT_FILE, a table that drops what
the host would forward for others. Whatever turns forwarding on at boot loads it first, too.

It prints {"changed", "lines", "warnings"} as JSON, with a line for each change. STATE_FILE records the values from
before the first change. "absent" restores these, except where another program has changed a value since. All of it is
one program, because Ansible needs a round trip for each task.
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

from sysctls import SYSCTL_FILE, is_set_by_others, override_warnings, path_of, read_sysctl
from transit import (
    DELETE_TRANSIT_TABLE,
    FORWARDING,
    TRANSIT_FILE,
    closed_versions,
    forwards_for_others,
    is_same_table,
    nft,
    transit_table,
)

STATE_FILE = "/var/lib/dockless/prerequisites.json"
# Not in SYSCTL_FILE, which an initrd can contain: the unit that loads the table copies the first to the second.
FORWARDING_FILE = "/etc/sysctl.d/60-dockless.forwarding"
BOOT_FORWARDING_FILE = "/run/sysctl.d/60-dockless.forwarding.conf"
NETWORKMANAGER_FILE = "/etc/NetworkManager/conf.d/60-dockless.conf"
NETWORKD_FILE = "/etc/systemd/network/05-dockless.network"
HEADER = "# Written by the role dockless.network.prerequisites; prerequisites_state=absent removes it.\n"
# When the key on the left is written, the kernel also writes those on the right (inet_forward_change,
# addrconf_fixup_forwarding), so their values are recorded and restored as well.
SIDE_EFFECTS = {
    "net/ipv4/ip_forward": ("net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"),
    "net/ipv4/conf/all/forwarding": ("net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"),
    "net/ipv6/conf/all/forwarding": ("net/ipv6/conf/*/forwarding", "net/ipv6/conf/*/force_forwarding"),
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

    def load_table(self, text: str) -> None:
        """Load table inet dockless-transit in place of the one before; "" deletes it."""
        if is_same_table(nft("-s", "list", "table", "inet", "dockless-transit").stdout, text):
            return
        self.lines.append(f"table inet dockless-transit: {'loaded' if text else 'deleted'}")
        if self.check:
            return
        done = nft("-f", "-", script=DELETE_TRANSIT_TABLE + text)
        if done.returncode:
            raise SystemExit(
                "settings: nft cannot load table inet dockless-transit, so forwarding was not changed: "
                f"{done.stderr.strip()}. Without that table, this host would be a router for its neighbours."
            )

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
    except ValueError:
        raise SystemExit(f"settings: {STATE_FILE} is not JSON. Restore it from a backup.") from None


def read_before(key: str) -> dict[str, t.Any]:
    """Return the values of a sysctl, and of those that the kernel writes with it, before the first change."""
    along = {}
    for pattern in SIDE_EFFECTS.get(path_of(key), ()):
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


def new_entries(wanted: dict[str, str], recorded: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return what is to be recorded of each wanted key that the host has. Entries of earlier runs stay.

    Forwarding that others had turned on, and that is off again, counts as turned on by this run.
    """
    entries = {}
    for key, value in wanted.items():
        now = read_sysctl(path_of(key))
        version = FORWARDING.get(path_of(key))
        same = [entry for name, entry in recorded.items() if version and FORWARDING.get(path_of(name)) == version]
        known = recorded.get(key) or next(iter(same), None)
        is_off_again = version is not None and value == "1" and now == "0" and known and known["before"] != "0"
        if now is not None:
            entries[key] = {**(read_before(key) if known is None or is_off_again else known), "set": value}
    return entries


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


def set_sysctls(run: Run, entries: dict[str, t.Any], recorded: dict[str, t.Any], limits: t.Container[str]) -> None:
    """Set the values of entries and restore the others. Updates recorded."""
    for key in reversed([key for key in recorded if key not in entries]):
        restore(run, key, recorded.pop(key))
    for key, entry in entries.items():
        now = read_sysctl(path_of(key))
        if key in limits and now != entry["set"] and not os.access("/proc/sys/" + path_of(key), os.W_OK):
            run.warnings.append(
                f"{key} is {now} and cannot be raised to {entry['set']}, because it is read-only here. Run "
                f"sysctl -w {key}={entry['set']} on the machine that this host runs on."
            )
            continue
        recorded[key] = entry
        if not run.check and entry["before"] != entry["set"]:
            save(recorded)  # before the kernel changes, so that a crash in between does not lose the value
        run.write_sysctl(path_of(key), entry["set"])


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


def left_to_others(entries: dict[str, t.Any]) -> list[str]:
    """Return the keys of forwarding that another program turned on, by no file: it will do so at the next boot.

    If a file turned it on before that program, Docker would no longer set its policy to drop: it does so only if it is
    the first.
    """
    return [
        key
        for key, entry in entries.items()
        if path_of(key) in FORWARDING
        and (entry["before"], entry["set"]) == ("1", "1")
        and not is_set_by_others(key, "1", (SYSCTL_FILE, BOOT_FORWARDING_FILE))
    ]


def left_warning(key: str) -> str:
    """Return the warning about forwarding that is left to another program."""
    return (
        f"{key} is 1, but no file of sysctl.d sets it: another program did. It must do so at the next boot, too. If it "
        f"does not, run this role again after the boot, or add such a file if this host is meant to be a router."
    )


def sysctl_text(recorded: dict[str, t.Any], closed: t.Container[str], left: t.Container[str]) -> str | None:
    """Return the text of SYSCTL_FILE. A dash before the key of a link accepts that the link is absent at boot."""
    if not recorded:
        return None
    lines = []
    for key, entry in recorded.items():
        if key in closed:
            lines.append(f"# {key} = 1  ({FORWARDING_FILE}, after {TRANSIT_FILE})\n")
        elif key in left:
            lines.append(f"# {key} = 1  (another program sets it)\n")
        else:
            lines.append(f"{'-' if '/' in key else ''}{key} = {entry['set']}\n")
    return HEADER + "".join(lines)


def write_boot_files(run: Run, table: str, closed: t.Iterable[str], boot_files: dict[str, str]) -> None:
    """Write the files that load the table at boot and then turn forwarding on; without a table, remove them."""
    has_systemd = any(map(os.path.exists, ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")))
    forwarding = HEADER + "".join(f"{key} = 1\n" for key in closed)
    files = {TRANSIT_FILE: HEADER + DELETE_TRANSIT_TABLE + table, FORWARDING_FILE: forwarding}
    files.update((path, text) for path, text in boot_files.items() if has_systemd)
    changed = [path for path, text in files.items() if run.write_file(path, text if table else None)]
    if not table:
        run.write_file(BOOT_FORWARDING_FILE, None)
    is_booted = os.path.isdir("/run/systemd/system")  # sd_booted(3)
    if table and not (is_booted and boot_files):
        run.warnings.append(
            "systemd does not run this host. If it does not after the next boot either, forwarding is off then, until "
            f'you run "nft -f {TRANSIT_FILE} && sysctl -p {FORWARDING_FILE}". Do so before the networks start.'
        )
    if not changed or not is_booted or run.check:
        return
    if not table:
        succeeds("systemctl", "stop", "dockless-transit.service")
    succeeds("systemctl", "daemon-reload")
    if table and boot_files and not succeeds("systemctl", "restart", "dockless-transit.service"):
        run.warnings.append("dockless-transit.service fails, so forwarding will be off after the next boot.")


def missing_directories(boot_files: t.Iterable[str]) -> list[str]:
    """Return the directories of this role's files that do not exist yet, outer ones first."""
    missing = []
    for file in (SYSCTL_FILE, TRANSIT_FILE, NETWORKMANAGER_FILE, NETWORKD_FILE, STATE_FILE, *boot_files):
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
    boot_files = spec.get("boot_files", {})
    created = missing_directories(boot_files)
    wanted = wanted_sysctls(spec, recorded) if present else {}
    entries = new_entries(wanted, recorded)
    run.warnings += [f"{key} does not exist on this host. It is skipped." for key in wanted if key not in entries]
    table = "" if forwards_for_others(spec) else transit_table(entries)
    if table:
        # Closed before anything is turned on; what earlier runs have turned on stays closed until it is off.
        run.load_table(transit_table({**recorded, **entries}))
    closed = closed_versions(entries) if table else {}
    set_sysctls(run, entries, recorded, spec.get("at_least", {}))
    left = left_to_others(entries)
    run.warnings += map(left_warning, left)
    run.write_file(SYSCTL_FILE, sysctl_text(recorded, closed, left))
    write_boot_files(run, table, closed, boot_files)
    run.load_table(table)
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


def start(argv: t.Sequence[str]) -> None:
    """Run as a program with these arguments."""
    # The PATH of a login that is not root's often lacks these directories.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["LC_ALL"] = "C"
    main(argv[1], "--check" in argv[2:])


if __name__ == "__main__":
    start(sys.argv)
