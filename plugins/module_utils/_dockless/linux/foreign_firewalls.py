# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs other firewalls' own programs: iptables(8) and ip6tables(8), ufw(8), firewall-cmd(1).

Docker's chain is iptables' own: a rule that nft writes there makes every later call of iptables fail, Docker's as well.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import typing as t

from ..errors import DocklessError
from ..firewall import docker_user, firewalld, ufw
from ..firewall.coexistence import COMMENT
from ..firewall.docker_user import CHAIN, PROGRAMS, DockerChain
from ..firewall.firewalld import POLICIES, ZONE
from ..model.facts import Firewall
from ..state import objects
from ..state.objects import ForeignFirewallRules
from ..state.plan import Step
from .programs import program

Steps = t.Sequence[Step]
_ENVIRONMENT = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin", "LC_ALL": "C"}
_TIMEOUT = 60.0  # seconds; a daemon that hangs answers never
_ZONE_FILE = f"/etc/firewalld/zones/{ZONE}.xml"
_POLICY_FILES = {name: f"/etc/firewalld/policies/{name}.xml" for name in POLICIES}
_KEEP = "Keep them by firewall-cmd --runtime-to-permanent, or drop them by firewall-cmd --reload; then run again."


def detect(firewalls: t.Collection[str]) -> tuple[Firewall, ...]:
    """Return those of the named firewalls that are on this host; one that is not needs nothing. Raises DocklessError."""
    found = []
    for name in sorted(set(firewalls)):
        if name == "docker":
            chains = {each: _docker_chain(each) for each in PROGRAMS}
            there = {each: chain for each, chain in chains.items() if chain is not None}
            if there:
                found.append(
                    Firewall(
                        name,
                        programs=tuple(there),
                        taken=tuple(sorted({b for chain in there.values() for b in chain.bridges})),
                    )
                )
        elif name == "ufw" and program("ufw"):
            found.append(Firewall(name, taken=tuple(ufw.ufw_rules(_said(["ufw", "show", "added"]))[1])))
        elif name == "firewalld" and program("firewall-cmd"):
            found.append(Firewall(name, running=_firewalld_runs()))
    return tuple(found)


def named_firewalls(defaults: t.Mapping[str, t.Any]) -> set[str]:
    """Return the firewalls that a document of the host names."""
    return set(defaults.get("coexist") or ())


def observe(firewalls: t.Collection[str]) -> list[ForeignFirewallRules]:
    """Return what the named firewalls let through for us now. Raises DocklessError where what has our name is somebody else's."""
    found = []
    for name in sorted(set(firewalls)):
        lines = _OBSERVED[name]()
        if lines:
            found.append(objects.foreign_firewall_rules(name, lines))
    return found


def apply_rules(steps: Steps) -> None:
    """Carry out steps, removals included. Raises DocklessError with the program's own words."""
    for step in steps:
        before, after = (
            thing.text.splitlines() if isinstance(thing, ForeignFirewallRules) else []
            for thing in (step.before, step.after)
        )
        _CHANGED[step.key[1]](before, after)


# ---- Docker ------------------------------------------------------------------


def _docker_chain(tool: str) -> DockerChain | None:
    return docker_user.docker_chain(_listing(tool))


def _listing(tool: str) -> str:
    """Return the table filter as iptables lists it, "" where it cannot: without the program, or of a family that the kernel does not have."""
    if not program(tool):
        return ""
    done = _run([tool, "-w", "-S"])
    return "" if done.returncode else done.stdout


def _docker_observed() -> list[str]:
    lines = []
    for tool in PROGRAMS:
        listing = _listing(tool)
        chain = docker_user.docker_chain(listing)
        if chain is not None:
            lines += [f"{tool} {each}" for each in chain.ours]
            lines += [
                f"{tool} has a rule that is never reached"
                for spare in docker_user.deletions_of_own_rules(listing)[len(chain.ours) :]
            ]
    return lines


def _change_docker(before: t.Sequence[str], after: t.Sequence[str]) -> None:
    """Put all rules in place of the old ones, each family's in one transaction."""
    for tool in PROGRAMS:
        listing = _listing(tool)
        chain = docker_user.docker_chain(listing)
        rules = [line.partition(" ")[2].rpartition(" -j ") for line in after if line.startswith(tool + " ")]
        if chain is None:
            if rules:
                raise DocklessError(
                    f"{tool} has the chain {CHAIN} no more", "Docker was stopped or changed meanwhile; run again."
                )
            continue
        script = [" ".join(words) for words in docker_user.deletions_of_own_rules(listing)]
        for place, (condition, _jump, verdict) in enumerate(rules, chain.place):
            script.append(f"-I {CHAIN} {place} {condition} -m comment --comment {COMMENT} -j {verdict}")
        if script:
            _said([f"{tool}-restore", "-w", "--noflush"], "\n".join(["*filter", *script, "COMMIT", ""]))


# ---- ufw ---------------------------------------------------------------------


def _ufw_observed() -> list[str]:
    return sorted(ufw.ufw_rules(_said(["ufw", "show", "added"]))[0]) if program("ufw") else []


def _change_ufw(before: t.Sequence[str], after: t.Sequence[str]) -> None:
    for line in after:
        if line not in before:
            _said(["ufw", *line.split(), "comment", COMMENT])
    for line in before:
        if line not in after:
            _said(["ufw", "--force", "route", "delete", *line.split()[1:]])


# ---- firewalld ---------------------------------------------------------------


def _firewalld_runs() -> bool:
    """Return whether it answers; of one that does not, only the files are read and changed."""
    return not _run(["firewall-cmd", "--state"]).returncode


def _firewalld_observed() -> list[str]:
    if not program("firewall-cmd"):
        return []
    lines = [f"permanent {each}" for each in _in_file(_ZONE_FILE, firewalld.zone_in_file)]
    for name, path in _POLICY_FILES.items():
        lines += [
            f"permanent {each}" for each in _in_file(path, functools.partial(firewalld.policy_in_file, name=name))
        ]
    zone = _run(["firewall-cmd", f"--info-zone={ZONE}"])
    if not zone.returncode:  # ours need it
        lines += [f"runtime {each}" for each in firewalld.zone_of_listing(zone.stdout)]
        for name in POLICIES:
            done = _run(["firewall-cmd", f"--info-policy={name}"])
            lines += (
                [f"runtime {each}" for each in firewalld.policy_of_listing(done.stdout, name)]
                if not done.returncode
                else []
            )
    return lines


def _in_file(path: str, settings: t.Callable[[str], list[str] | None]) -> list[str]:
    text = _text(path)
    if text is None:
        return []
    try:
        found = settings(text)
    except SyntaxError as error:  # of XML
        raise DocklessError(f"{path} cannot be read: {error}", "Mend or remove it, and reload firewalld.") from None
    if found is None:
        raise DocklessError(
            f"{path} exists and is not ours", "Rename that zone or policy, or leave firewalld out of coexist."
        )
    return found


def _change_firewalld(before: t.Sequence[str], after: t.Sequence[str]) -> None:
    """Change our files, which firewalld watches, then what is at work. Only a reload makes a zone or policy come, go, or have another target.

    The files (firewalld.zone(5)) are written here, because firewall-offline-cmd writes that of the default zone as well.
    """
    runs = _firewalld_runs()
    reloaded = runs and _needs_reload(before, after)
    if reloaded:
        _refuse_to_lose()
    lasting = _of("permanent", after)
    for name, path in _POLICY_FILES.items():
        _put(path, firewalld.policy_file(name) if f"policy {name}" in lasting else None)
    _put(_ZONE_FILE, firewalld.zone_file(_text(_ZONE_FILE), lasting) if "zone" in lasting else None)
    if reloaded:
        _said(["firewall-cmd", "--reload"])
    elif runs:
        _edit(_of("runtime", before), _of("runtime", after))


def _of(time: str, lines: t.Sequence[str]) -> list[str]:
    return [line.partition(" ")[2] for line in lines if line.startswith(time + " ")]


def _needs_reload(before: t.Sequence[str], after: t.Sequence[str]) -> bool:
    """Return whether a zone or a policy comes or goes; one that only has to go from the files of a stopped daemon is no reason."""
    return any(
        (f"runtime {thing}" in before) != (f"runtime {thing}" in after)
        for thing in ("zone", *(f"policy {name}" for name in POLICIES))
    )


def _refuse_to_lose() -> None:
    """Raise DocklessError where a reload would take away what others have set at run time only."""
    for question in ("--list-all-zones", "--list-all-policies"):
        now, then = (
            firewalld.permanent_only(_said(["firewall-cmd", *more, question])) for more in ((), ("--permanent",))
        )
        lost = [line for line in now if line not in then]
        if lost:
            raise DocklessError(
                f"firewalld must be reloaded to know our zone, and would lose what is set at run time only: {lost[0]}",
                _KEEP,
            )


def _edit(before: t.Sequence[str], after: t.Sequence[str]) -> None:
    for action, lines in (
        ("remove", [line for line in before if line not in after]),
        ("add", [line for line in after if line not in before]),
    ):
        options = [f"--{action}-interface={line.partition(' ')[2]}" for line in lines if line.startswith("interface ")]
        for words in (options, [f"--{action}-forward"] if "forward" in lines else []):
            if words:
                _said(["firewall-cmd", f"--zone={ZONE}", *words])


def _put(path: str, text: str | None) -> None:
    """Replace a file of ours in firewalld's directory; None removes it, with the copy that firewalld keeps of an earlier one."""
    if text is None:
        for each in (path, path + ".old"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each)
    elif text != _text(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        os.replace(path + ".new", path)


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


# ---- programs ----------------------------------------------------------------


def _said(argv: t.Sequence[str], script: str = "") -> str:
    done = _run(argv, script)
    if done.returncode:
        raise _refused(argv, done)
    return done.stdout


def _refused(argv: t.Sequence[str], done: subprocess.CompletedProcess[str]) -> DocklessError:
    said = (done.stderr.strip() or done.stdout.strip())[:500] or f"exit status {done.returncode}"
    return DocklessError(f"{' '.join(argv)} failed: {said}", "See to it, or leave that firewall out of coexist.")


def _run(argv: t.Sequence[str], script: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, input=script, capture_output=True, text=True, env=_ENVIRONMENT, check=False, timeout=_TIMEOUT
        )
    except FileNotFoundError:
        raise DocklessError(
            f"the program {argv[0]} is not installed", "Install it, or leave that firewall out of coexist."
        ) from None
    except subprocess.TimeoutExpired:
        raise DocklessError(
            f"{' '.join(argv)} does not answer within {_TIMEOUT:g} s", "See to that firewall, then run again."
        ) from None


_OBSERVED: dict[str, t.Callable[[], list[str]]] = {
    "docker": _docker_observed,
    "firewalld": _firewalld_observed,
    "ufw": _ufw_observed,
}
_CHANGED: dict[str, t.Callable[[t.Sequence[str], t.Sequence[str]], None]] = {
    "docker": _change_docker,
    "firewalld": _change_firewalld,
    "ufw": _change_ufw,
}
