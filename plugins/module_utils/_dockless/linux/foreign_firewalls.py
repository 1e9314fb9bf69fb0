# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs the programs of foreign firewalls: iptables(8) and ip6tables(8), ufw(8), firewall-cmd(1).

Docker's chain is changed with iptables and not with nft: a rule that nft writes into it makes every later call of
iptables fail, Docker's own included.
"""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t

from ..errors import DocklessError
from ..firewall import docker_user, firewalld, ufw
from ..firewall.coexistence import COMMENT
from ..firewall.docker_user import CHAIN, PROGRAMS
from ..firewall.firewalld import POLICIES, ZONE
from ..model.facts import DockerFirewall, Firewall, FirewalldFirewall, UfwFirewall
from ..state.objects import ForeignFirewallRules
from ..state.plan import Step
from . import programs
from .programs import Output, Remedies, find_program

_ZONE_FILE = f"/etc/firewalld/zones/{ZONE}.xml"
_POLICY_FILES = {name: f"/etc/firewalld/policies/{name}.xml" for name in POLICIES}
_REMEDIES = Remedies(
    "Install it, or remove that firewall from coexist.",
    "Check that firewall, then run again.",
    "Fix the cause, or remove that firewall from coexist.",
)


class Change(t.NamedTuple):
    """A change of dockless's lines in a foreign firewall."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def added(self) -> list[str]:
        """Return the lines that are new."""
        return [line for line in self.after if line not in self.before]

    @property
    def removed(self) -> list[str]:
        """Return the lines that go."""
        return [line for line in self.before if line not in self.after]

    def only(self, prefix: str) -> Change:
        """Return the change of the lines that begin with a word, without that word."""
        before, after = (
            tuple(line.partition(" ")[2] for line in lines if line.startswith(prefix + " "))
            for lines in (self.before, self.after)
        )
        return Change(before, after)


class Adapter(t.Protocol):
    """Access to one foreign firewall. Each method raises DocklessError with the message of the firewall's program."""

    def detect(self) -> Firewall | None:
        """Return the firewall if this host has it."""

    def observe(self) -> list[str]:
        """Return the lines that dockless has in the firewall now."""

    def apply(self, change: Change) -> None:
        """Carry out a change."""


def detect(firewalls: t.Collection[str]) -> tuple[Firewall, ...]:
    """Return those of the named firewalls that this host has. Raises DocklessError."""
    found = (_ADAPTERS[name].detect() for name in sorted(set(firewalls)))
    return tuple(firewall for firewall in found if firewall is not None)


def named_firewalls(defaults: t.Mapping[str, t.Any]) -> set[str]:
    """Return the firewalls that a document of the host names in coexist."""
    return set(defaults.get("coexist") or ())


def observe(firewalls: t.Collection[str]) -> list[ForeignFirewallRules]:
    """Return dockless's rules in the named firewalls.

    Raises DocklessError, also for a zone or policy that has a name of dockless's and belongs to someone else.
    """
    found = []
    for name in sorted(set(firewalls)):
        lines = _ADAPTERS[name].observe()
        if lines:
            found.append(ForeignFirewallRules.of(name, lines))
    return found


def apply_rules(steps: t.Sequence[Step]) -> None:
    """Carry out steps, removals included. Raises DocklessError."""
    for step in steps:
        before, after = (
            tuple(rules.text.splitlines()) if isinstance(rules, ForeignFirewallRules) else ()
            for rules in (step.before, step.after)
        )
        _ADAPTERS[step.key[1]].apply(Change(before, after))


class _Docker:
    def detect(self) -> DockerFirewall | None:
        chains = {tool: docker_user.parse(_list_filter_table(tool)) for tool in PROGRAMS}
        present = {tool: chain for tool, chain in chains.items() if chain is not None}
        if not present:
            return None
        bridges = {bridge for chain in present.values() for bridge in chain.bridges}
        return DockerFirewall(tuple(present), tuple(sorted(bridges)))

    def observe(self) -> list[str]:
        lines = []
        for tool in PROGRAMS:
            listing = _list_filter_table(tool)
            chain = docker_user.parse(listing)
            if chain is None:
                continue
            lines += [f"{tool} {rule}" for rule in chain.own_rules]
            unreached = len(docker_user.deletions_of_own_rules(listing)) - len(chain.own_rules)
            lines += [f"{tool} has a rule that is never reached"] * unreached
        return lines

    def apply(self, change: Change) -> None:
        """Replace all rules of dockless, in one transaction for each IP version."""
        for tool in PROGRAMS:
            listing = _list_filter_table(tool)
            chain = docker_user.parse(listing)
            rules = change.only(tool).after
            if chain is None:
                if rules:
                    raise DocklessError(
                        f"{tool} no longer has the chain {CHAIN}: Docker was stopped or changed in the meantime",
                        "Run again.",
                    )
                continue
            script = [" ".join(words) for words in docker_user.deletions_of_own_rules(listing)]
            for position, rule in enumerate(rules, chain.position):
                condition, _jump, verdict = rule.rpartition(" -j ")
                script.append(f"-I {CHAIN} {position} {condition} -m comment --comment {COMMENT} -j {verdict}")
            if script:
                _run([f"{tool}-restore", "-w", "--noflush"], "\n".join(["*filter", *script, "COMMIT", ""]))


def _list_filter_table(tool: str) -> str:
    """Return the table filter as iptables lists it, "" without the program or without support for it in the kernel."""
    if not find_program(tool):
        return ""
    output = _run([tool, "-w", "-S"], check=False)
    return "" if output.status else output.stdout


class _Ufw:
    def detect(self) -> UfwFirewall | None:
        return UfwFirewall(_ufw_routes().foreign) if find_program("ufw") else None

    def observe(self) -> list[str]:
        return sorted(_ufw_routes().own) if find_program("ufw") else []

    def apply(self, change: Change) -> None:
        for line in change.added:
            _run(["ufw", *line.split(), "comment", COMMENT])
        for line in change.removed:
            _run(["ufw", "--force", "route", "delete", *line.split()[1:]])


def _ufw_routes() -> ufw.Routes:
    return ufw.parse(_run(["ufw", "show", "added"]).stdout)


class _Firewalld:
    def detect(self) -> FirewalldFirewall | None:
        return FirewalldFirewall(_firewalld_runs()) if find_program("firewall-cmd") else None

    def observe(self) -> list[str]:
        if not find_program("firewall-cmd"):
            return []
        permanent = _settings_in_file(_ZONE_FILE, firewalld.zone_in_file)
        for name, path in _POLICY_FILES.items():
            permanent += _settings_in_file(path, functools.partial(firewalld.policy_in_file, name=name))
        runtime = _runtime_settings("zone", ZONE)
        if runtime is not None:  # policies need the zone
            for name in POLICIES:
                runtime += _runtime_settings("policy", name) or []
        return [f"permanent {each}" for each in permanent] + [f"runtime {each}" for each in runtime or ()]

    def apply(self, change: Change) -> None:
        """Write the files, which firewalld watches, then change the running daemon.

        Only a reload creates or deletes a zone or policy, or changes its target. The files (firewalld.zone(5)) are
        written by dockless, because firewall-offline-cmd writes the file of the default zone as well.
        """
        runs = _firewalld_runs()
        runtime = change.only("runtime")
        needs_reload = runs and any(_is_zone_or_policy(line) for line in (*runtime.added, *runtime.removed))
        if needs_reload:
            _refuse_loss_of_settings()
        permanent = change.only("permanent").after
        for name, path in _POLICY_FILES.items():
            _write(path, firewalld.policy_file(name) if f"policy {name}" in permanent else None)
        _write(_ZONE_FILE, firewalld.zone_file(_read(_ZONE_FILE), permanent) if "zone" in permanent else None)
        if needs_reload:
            _run(["firewall-cmd", "--reload"])
        elif runs:
            _change_zone("remove", runtime.removed)
            _change_zone("add", runtime.added)


def _firewalld_runs() -> bool:
    """Return whether the daemon answers. Of one that does not run, only the files are read and written."""
    return not _run(["firewall-cmd", "--state"], check=False).status


def _runtime_settings(kind: str, name: str) -> list[str] | None:
    """Return the settings of a zone or policy in the running daemon, None if it has none of that name."""
    output = _run(["firewall-cmd", f"--info-{kind}={name}"], check=False)
    return None if output.status else firewalld.parse(output.stdout)


def _settings_in_file(path: str, parse: t.Callable[[str], list[str] | None]) -> list[str]:
    text = _read(path)
    if text is None:
        return []
    try:
        settings = parse(text)
    except SyntaxError as error:  # of XML
        raise DocklessError(f"{path} cannot be read: {error}", "Fix or remove it, and reload firewalld.") from None
    if settings is None:
        raise DocklessError(
            f"{path} exists, but dockless did not create it",
            "Rename that zone or policy, or remove firewalld from coexist.",
        )
    return settings


def _is_zone_or_policy(line: str) -> bool:
    return line == "zone" or line.startswith("policy ")


def _refuse_loss_of_settings() -> None:
    """Raise DocklessError if a reload would delete foreign settings that exist in the running daemon only."""
    for option in ("--list-all-zones", "--list-all-policies"):
        runtime = firewalld.runtime_settings(_run(["firewall-cmd", option]).stdout)
        permanent = firewalld.runtime_settings(_run(["firewall-cmd", "--permanent", option]).stdout)
        lost = [line for line in runtime if line not in permanent]
        if lost:
            raise DocklessError(
                "firewalld must be reloaded to load the zone dockless, but the reload would delete settings that "
                f"exist at run time only: {lost[0]}",
                "Keep them with firewall-cmd --runtime-to-permanent or delete them with firewall-cmd --reload, "
                "then run again.",
            )


def _change_zone(action: str, lines: t.Sequence[str]) -> None:
    """Add or remove interfaces and forwarding of dockless's zone in the running daemon."""
    interfaces = [line.partition(" ")[2] for line in lines if line.startswith("interface ")]
    if interfaces:
        _run(["firewall-cmd", f"--zone={ZONE}", *(f"--{action}-interface={name}" for name in interfaces)])
    if "forward" in lines:
        _run(["firewall-cmd", f"--zone={ZONE}", f"--{action}-forward"])


def _write(path: str, text: str | None) -> None:
    """Replace a file in firewalld's directory. None removes it, with firewalld's backup of an earlier one."""
    if text is None:
        for each in (path, path + ".old"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each)
    elif text != _read(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        os.replace(path + ".new", path)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _run(argv: t.Sequence[str], script: str = "", check: bool = True) -> Output:
    return programs.run(argv, stdin=script, check=check, remedies=_REMEDIES)


# Keys are names.FIREWALLS.
_ADAPTERS: dict[str, Adapter] = {"docker": _Docker(), "firewalld": _Firewalld(), "ufw": _Ufw()}
