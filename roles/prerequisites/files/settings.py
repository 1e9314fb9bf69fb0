# SPDX-License-Identifier: GPL-3.0-or-later
"""Converge a host's kernel settings and unmanaged marks, so that they can be taken back.

Usage: settings.py SPEC [--check], SPEC a JSON object:
  state       "present" or "absent"
  exact       {sysctl: value}: set to this
  at_least    {sysctl: number}: raised to this, never lowered
  accept_ra   true: keep listening to router advertisements when IPv6 forwarding is turned on
  interfaces  globs of link names that NetworkManager and networkd must leave alone

Prints {"changed", "lines", "warnings"} as JSON; a line for each change.
What was there before is kept in STATE_FILE from the first change on, so that
"absent" puts back exactly that, and leaves alone what somebody else has changed
since. All in one file because each Ansible task costs a round trip.
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
HEADER = "# Written by the role dockless.network.prerequisites; prerequisites_state=absent takes it away.\n"
# Where a later file would undo ours at the next boot or `sysctl --system`.
RIVALS = (
    "/etc/sysctl.d/*.conf",
    "/run/sysctl.d/*.conf",
    "/usr/local/lib/sysctl.d/*.conf",
    "/usr/lib/sysctl.d/*.conf",
    "/etc/sysctl.conf",
    "/etc/ufw/sysctl.conf",
)
# Writing the key on the left makes the kernel rewrite those on the right
# (inet_forward_change, addrconf_fixup_forwarding), so they are part of what was before.
COMPANIONS = {
    "net.ipv4.ip_forward": ("net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"),
    "net.ipv6.conf.all.forwarding": ("net/ipv6/conf/*/forwarding",),
}
RTF_ADDRCONF_DEFAULT = 0x00040000 | 0x00010000  # a default route learned by the kernel from an advertisement


class Run:
    """One run: what it changes and what it has to say."""

    def __init__(self, check: bool) -> None:
        self.check = check
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def write_sysctl(self, path: str, value: str) -> None:
        """Set one live value unless it is that already."""
        before = read_sysctl(path)
        if before == value or before is None:
            return
        self.lines.append(f"{path}: {before} -> {value}")
        if not self.check:
            try:
                with open("/proc/sys/" + path, "w", encoding="ascii") as handle:
                    handle.write(value)
            except OSError as refusal:
                raise SystemExit(
                    f"settings: {path} cannot be set to {value}: {refusal.strerror}. In a container, set it on the machine; "
                    "or leave it out of prerequisites_limits or prerequisites_sysctls."
                ) from None

    def write_file(self, path: str, text: str | None) -> bool:
        """Make the file's content this, or remove it if text is None; return whether that is a change."""
        try:
            with open(path, encoding="utf-8") as handle:
                before: str | None = handle.read()
        except FileNotFoundError:
            before = None
        if before == text:
            return False
        self.lines.append(f"{path}: {'removed' if text is None else 'written' if before is None else 'rewritten'}")
        if not self.check:
            replace(path, text)
        return True


def read_sysctl(path: str) -> str | None:
    """Return a live value, words joined by one space; None if this kernel or namespace has no such key."""
    try:
        with open("/proc/sys/" + path, encoding="ascii") as handle:
            return " ".join(handle.read().split())
    except (FileNotFoundError, PermissionError):
        return None


def path_of(key: str) -> str:
    """Return a key's path below /proc/sys; sysctl.conf(5) lets dots and slashes change places."""
    if ".." in key or key.startswith("/"):
        raise SystemExit(f"settings: {key!r} is not the name of a sysctl")
    first = next((letter for letter in key if letter in "./"), "/")
    return key if first == "/" else key.translate(str.maketrans("./", "/."))


def replace(path: str, text: str | None) -> None:
    """Write by temporary file and rename, so that no reader sees half a file; None removes."""
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
    """Return what the earlier runs remembered."""
    try:
        with open(STATE_FILE, encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return {"sysctls": {}, "directories": []}


def remember(key: str) -> dict[str, t.Any]:
    """Return what a sysctl, and what the kernel changes along with it, is before we touch it."""
    along = {}
    for pattern in COMPANIONS.get(key, ()):
        for path in sorted(glob.glob("/proc/sys/" + pattern)):
            along[path[len("/proc/sys/") :]] = read_sysctl(path[len("/proc/sys/") :])
    return {"before": read_sysctl(path_of(key)), "along": along}


def advertised_links() -> list[str]:
    """Return the links that have a default route from a router advertisement, and would lose it by forwarding."""
    try:
        with open("/proc/net/ipv6_route", encoding="ascii") as handle:
            rows = [line.split() for line in handle]
    except FileNotFoundError:
        return []
    return sorted({row[9] for row in rows if int(row[8], 16) & RTF_ADDRCONF_DEFAULT == RTF_ADDRCONF_DEFAULT})


def wanted_sysctls(spec: dict[str, t.Any], known: dict[str, t.Any]) -> dict[str, str]:
    """Return the values to be set, in the order of setting; what is enough already and not ours is left out."""
    wanted: dict[str, str] = {}
    exact = {key: str(value) for key, value in spec.get("exact", {}).items()}
    if exact.get("net.ipv6.conf.all.forwarding") == "1" and spec.get("accept_ra"):
        # First, or the route is gone before the link learns to keep it.
        links = set(advertised_links()) | {key.split("/")[3] for key in known if key.endswith("/accept_ra")}
        wanted.update((f"net/ipv6/conf/{link}/accept_ra", "2") for link in sorted(links))
    wanted.update(exact)
    for key, value in spec.get("at_least", {}).items():
        floor = known[key]["before"] if key in known else read_sysctl(path_of(key))
        if floor is not None and (key in known or int(floor) < int(value)):
            wanted[key] = str(max(int(value), int(floor)))
    return wanted


def rivals() -> list[str]:
    """Return the files that are read after ours, each once."""
    names = [name for pattern in RIVALS for name in glob.glob(pattern)]
    later = [
        name for name in names if "/sysctl.d/" not in name or os.path.basename(name) > os.path.basename(SYSCTL_FILE)
    ]
    return sorted({os.path.realpath(name) for name in later})


def assignments(file: str) -> list[tuple[str, str]]:
    """Return the paths and values that a file in the syntax of sysctl.conf(5) sets."""
    with open(file, encoding="utf-8", errors="replace") as handle:
        pairs = [line.strip().lstrip("-").partition("=") for line in handle if not line.lstrip().startswith(("#", ";"))]
    return [(path_of(key.strip()), " ".join(value.split())) for key, equals, value in pairs if equals]


def overridden(wanted: dict[str, str], floors: t.Container[str]) -> list[str]:
    """Return a sentence for each file that is read after ours and sets one of our keys otherwise."""
    sentences = []
    keys = {path_of(key): key for key in wanted}
    for file in rivals():
        for path, value in assignments(file):
            key = keys.get(path, "")
            enough = key in floors and value.isdigit() and int(value) >= int(wanted[key])
            if key and value != wanted[key] and not enough:
                sentences.append(
                    f"{file} sets {key} to {value} and is read after {SYSCTL_FILE}: "
                    f"at the next boot it wins. Take that line out of {file}."
                )
    return sentences


def put_back(run: Run, key: str, entry: dict[str, t.Any]) -> None:
    """Give a sysctl the value it had before us, unless somebody else has set it since."""
    now = read_sysctl(path_of(key))
    if now not in (entry["set"], entry["before"], None):
        run.warnings.append(f"{key} is {now}, not the {entry['set']} that was set here: left as it is.")
        return
    run.write_sysctl(path_of(key), entry["before"])
    for path, value in entry["along"].items():
        if not run.check:
            run.write_sysctl(path, value)


def set_sysctls(run: Run, wanted: dict[str, str], known: dict[str, t.Any]) -> None:
    """Bring live values and memory in line with what is wanted."""
    for key in reversed([key for key in known if key not in wanted]):
        put_back(run, key, known.pop(key))
    for key, value in wanted.items():
        if read_sysctl(path_of(key)) is None:
            if key not in known:
                run.warnings.append(f"{key} does not exist here: skipped.")
            continue
        if key not in known:
            known[key] = remember(key)
        known[key]["set"] = value
        if not run.check and known[key]["before"] != value:
            save(known)  # before the kernel changes: a crash in between must not lose what was there
        run.write_sysctl(path_of(key), value)


def save(known: dict[str, t.Any], directories: list[str] | None = None) -> None:
    """Keep what was there before."""
    state = load_state()
    state["sysctls"] = known
    state["directories"] = sorted(set(state["directories"]) | set(directories or []))
    replace(STATE_FILE, json.dumps(state, indent=1, sort_keys=False) + "\n")


def runs(*command: str) -> bool:
    """Return whether a command exists and succeeds."""
    if not shutil.which(command[0]):
        return False
    return (
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30).returncode == 0
    )


def mark_unmanaged(run: Run, globs: t.Sequence[str]) -> None:
    """Tell NetworkManager and networkd, where they are installed, to leave our links alone."""
    manager = networkd = None
    if globs and (shutil.which("NetworkManager") or os.path.isdir("/etc/NetworkManager")):
        match = ";".join("interface-name:" + name for name in globs)
        manager = f"{HEADER}[device-dockless]\nmatch-device={match}\nmanaged=0\n"
    if globs and any(map(os.path.exists, ("/lib/systemd/systemd-networkd", "/usr/lib/systemd/systemd-networkd"))):
        networkd = f"{HEADER}[Match]\nName={' '.join(globs)}\n\n[Link]\nUnmanaged=yes\n"
    if run.write_file(NETWORKMANAGER_FILE, manager) and not run.check:
        runs("nmcli", "general", "reload", "conf")
    if (
        run.write_file(NETWORKD_FILE, networkd)
        and not run.check
        and runs("systemctl", "is-active", "-q", "systemd-networkd")
    ):
        runs("networkctl", "reload")


def sysctl_text(known: dict[str, t.Any]) -> str | None:
    """Return the file that sets our values at boot. The dash lets a link be absent at that moment."""
    if not known:
        return None
    return HEADER + "".join(f"{'-' if '/' in key else ''}{key} = {entry['set']}\n" for key, entry in known.items())


def missing_directories() -> list[str]:
    """Return the directories that our files need and that are not there yet, the outermost first."""
    missing = []
    for file in (SYSCTL_FILE, NETWORKMANAGER_FILE, NETWORKD_FILE, STATE_FILE):
        directory = os.path.dirname(file)
        while directory != "/" and not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
    return sorted(set(missing))


def converge(spec: dict[str, t.Any], run: Run) -> None:
    """Bring the host to what spec says."""
    state = load_state()
    known = state["sysctls"]
    present = spec["state"] == "present"
    made = missing_directories()
    wanted = wanted_sysctls(spec, known) if present else {}
    set_sysctls(run, wanted, known)
    run.write_file(SYSCTL_FILE, sysctl_text(known))
    mark_unmanaged(run, spec["interfaces"] if present else [])
    run.warnings += overridden(wanted, spec.get("at_least", {}))
    if run.check:
        return
    if present:
        if known != load_state()["sysctls"] or run.lines:
            save(known, [name for name in made if os.path.isdir(name)])
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(STATE_FILE)
    for directory in sorted(set(state["directories"]), reverse=True):
        with contextlib.suppress(OSError):  # no longer empty: others use it
            os.rmdir(directory)


def main(spec_text: str, check: bool) -> None:
    """Run once and print the result."""
    run = Run(check)
    converge(json.loads(spec_text), run)
    json.dump({"changed": bool(run.lines), "lines": run.lines, "warnings": run.warnings}, sys.stdout)


if __name__ == "__main__":
    # A login without root's PATH still has these programs.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["LC_ALL"] = "C"
    main(sys.argv[1], "--check" in sys.argv[2:])
