# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan a fleet's networks on the controller: read the inventory, call the engine, write the plan and the ledger."""

from __future__ import annotations

import os

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.dockless.network.plugins.module_utils._dockless.engine import fleet_files
from ansible_collections.dockless.network.plugins.module_utils._dockless.errors import DocklessError
from ansible_collections.dockless.network.plugins.module_utils._dockless.fleet.host_report import parse_host_report
from ansible_collections.dockless.network.plugins.module_utils._dockless.fleet.ledger import ledger_lines
from ansible_collections.dockless.network.plugins.module_utils._dockless.fleet.model import FleetHost
from ansible_collections.dockless.network.plugins.module_utils._dockless.fleet.plan import TUNNEL_SUBNET, plan_fleet

OPTIONS = {
    "group": {"type": "str", "default": "all"},
    "ledger": {"type": "str"},
    "memory": {"type": "str", "default": "dockless_member"},
    "purge": {"type": "bool", "default": True},
    "tunnel_subnet": {"type": "str", "default": TUNNEL_SUBNET},
    "tunnels": {"type": "list", "elements": "str", "choices": ["a", "b"], "default": ["a"]},
    "project": {"type": "str", "default": "default"},
}
# Hidden, because Ansible reads all other files of an inventory that is a directory.
LEDGER = ".dockless-fleet.json"
# Variable of a host -> field of FleetHost.
VARIABLES = {
    "dockless_project": "project",
    "dockless_networks": "networks",
    "dockless_sandboxes": "sandboxes",
    "dockless_defaults": "defaults",
    "dockless_vtep": "vtep",
    "dockless_endpoint": "endpoint",
}


class ActionModule(ActionBase):
    """Runs once for the play, and connects to no host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Return the directory of the plan, a summary of each host, and whether the ledger changed."""
        result = super().run(tmp, task_vars)
        validated, options = self.validate_argument_spec(argument_spec=OPTIONS)
        try:
            path = self._ledger_path(options["ledger"], task_vars)
            with fleet_files.locked_ledger(path, self._task.check_mode) as before:
                plan = self._plan(options, before, task_vars)
                changed = plan.ledger != before
                if changed and path and not self._task.check_mode:
                    fleet_files.write_ledger(path, plan.ledger)
            directory = fleet_files.write_plan(plan, C.DEFAULT_LOCAL_TMP)
        except DocklessError as error:
            # Returned, not raised: Ansible evaluates failed_when on results only.
            return {**result, "failed": True, "msg": str(error)}
        result.update(changed=changed and bool(path), plan=directory, ledger=path, hosts=summary(plan))
        if plan.warnings:
            result["warnings"] = list(plan.warnings)
        if self._task.diff and changed:
            result["diff"] = ledger_diff(path, before, plan.ledger)
        return result

    def _ledger_path(self, option, task_vars):
        """Return the path of the ledger, "" if none is kept. Raises DocklessError if there is no default for it."""
        if option is not None:
            return self._loader.path_dwim(os.path.expanduser(option)) if option else ""
        directory = task_vars.get("inventory_dir")
        # The variable is "None" if the inventory is not a file, such as --inventory localhost,
        if not isinstance(directory, str) or not os.path.isabs(directory):
            raise DocklessError(
                "the ledger has no default path, because this inventory is not a file",
                "Set ledger to a path, or to '' to keep none.",
                "ledger",
            )
        return os.path.join(str(directory), LEDGER)

    def _plan(self, options, before, task_vars):
        groups = task_vars["groups"]
        if options["group"] not in groups:
            raise DocklessError(
                f"the inventory has no group {options['group']}",
                "Set the group of the fleet's hosts, or all.",
                "group",
            )
        hostvars = task_vars["hostvars"]
        hosts = [read_host(str(name), hostvars[name], options) for name in groups[options["group"]]]
        return plan_fleet(
            hosts,
            before,
            inventory=map(str, groups["all"]),
            purge=options["purge"],
            tunnel_subnet=options["tunnel_subnet"],
            tunnels=options["tunnels"],
        )


def read_host(name, variables, options):
    """Return one host as its variables declare it, with its report if this run read it."""
    fields = {"project": options["project"]}
    for variable, field in VARIABLES.items():
        value = read_variable(name, variables, variable)
        if value is not None:
            fields[field] = value
    registered = read_variable(name, variables, options["memory"])
    if isinstance(registered, dict) and isinstance(registered.get("memory"), dict):
        fields["report"] = parse_host_report(registered["memory"], name)
    return FleetHost(name, **fields)


def read_variable(name, variables, variable):
    """Return a variable of a host, templated, as plain values. None if it is not set."""
    if variable not in variables:
        return None
    try:
        return plain(variables[variable])
    except AnsibleError as error:
        raise DocklessError(str(error), "", f"host {name}, {variable}") from error


def plain(value):
    """Return a value as built-in types, without tags and without dictionaries that template when they are read."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def summary(plan):
    """Return for each host the number of its overlay networks, and of sandboxes there: its own, and those of others."""
    sizes = {key: {name: len(row["sandboxes"]) for name, row in rows.items()} for key, rows in plan.peer_tables.items()}
    totals = {key: sum(rows.values()) for key, rows in sizes.items()}
    found = {}
    for name, positions in plan.positions.items():
        local = sum(sizes[position.key].get(name, 0) for position in positions)
        total = sum(totals[position.key] for position in positions)
        found[name] = {"networks": len(positions), "local": local, "remote": total - local}
    return found


def ledger_diff(path, before, after):
    """Return the removed and added lines of the ledger as Ansible's diff."""
    old, new = ledger_lines(before), ledger_lines(after)
    removed, added = set(old) - set(new), set(new) - set(old)
    return {
        "before_header": path or "no ledger",
        "after_header": path or "no ledger",
        "before": "".join(f"{line}\n" for line in old if line in removed),
        "after": "".join(f"{line}\n" for line in new if line in added),
    }
