# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converge a host on its part of a fleet's plan: read its documents on the controller, run the module on the host."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.dockless.network.plugins.module_utils._dockless.engine import fleet_files
from ansible_collections.dockless.network.plugins.module_utils._dockless.errors import DocklessError

MODULE = "dockless.network.container_networks"
OPTIONS = {
    "plan": {"type": "path", "required": True},
    "project": {"type": "str"},
    "veth_pairs": {"type": "dict"},
    "defaults": {"type": "dict"},
    "purge": {"type": "bool", "default": True},
    "on_mismatch": {"type": "str", "choices": ["update", "recreate", "fail"], "default": "update"},
    "verify": {"type": "bool", "default": True},
}


class ActionModule(ActionBase):
    """Runs the module container_networks on each host, once for each of its documents."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp=None, task_vars=None):
        """Return the results of the module, merged."""
        result = super().run(tmp, task_vars)
        validated, options = self.validate_argument_spec(argument_spec=OPTIONS)
        try:
            documents = fleet_files.read_host_documents(options["plan"], str(task_vars["inventory_hostname"]))
        except DocklessError as error:
            # Returned, not raised: Ansible evaluates failed_when on results only.
            return {**result, "failed": True, "msg": str(error)}
        own = {name: options[name] for name in ("veth_pairs", "defaults") if options[name] is not None}
        result.update(changed=False, operations=[], endpoints=[], ports=[], diff=[])
        for document in documents:
            common = {name: options[name] for name in ("purge", "on_mismatch", "verify")}
            arguments = {**common, **document}
            if document is documents[-1]:
                arguments.update(own)
            done = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
            if done.get("failed") or done.get("unreachable"):
                return without_arguments({**result, **done, "changed": result["changed"] or done.get("changed", False)})
            merge(result, done)
        return without_arguments(result)


def merge(result, done):
    """Add the result of one project to those of the projects before it."""
    result["changed"] = result["changed"] or done.get("changed", False)
    for key in ("operations", "endpoints", "ports"):
        result[key] += done.get(key, [])
    for key in ("warnings", "deprecations"):
        if done.get(key):
            result[key] = result.get(key, []) + done[key]
    if done.get("diff"):
        result["diff"] += done["diff"] if isinstance(done["diff"], list) else [done["diff"]]
    if done.get("ansible_facts"):
        result.setdefault("ansible_facts", {}).update(done["ansible_facts"])


def without_arguments(result):
    """Return the result without the module's arguments, which have the sandboxes of all other hosts."""
    result.pop("invocation", None)
    if not result["diff"]:
        del result["diff"]
    return result
