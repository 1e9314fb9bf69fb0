# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The adapter between Ansible and the engine: task arguments in, task results out.

A module is its documentation and one call of run_networks, run_edit, run_work,
run_host_report or run_inspect. No other file imports Ansible, so that the engine
runs without it.
"""

from __future__ import annotations

import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from .edits import networks
from .engine.converge import converge
from .engine.request import Outcome, Request
from .errors import DocklessError, reason_of

Params = dict[str, t.Any]
Declaration = dict[str, t.Any]
Edit = t.Callable[[Params, Declaration], Declaration]
Work = t.Callable[[Params, bool], Outcome]
Report = t.Callable[[Params, Outcome], dict[str, t.Any]]
R = t.TypeVar("R")

PROJECT: Params = {"project": {"type": "str", "default": "default"}}
ON_MISMATCH: Params = {"on_mismatch": {"type": "str", "choices": ["update", "recreate", "fail"], "default": "update"}}
WAIT: Params = {"wait": {"type": "float", "default": 120}}
STATE: Params = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}

# Options of networks of every driver.
NETWORK: Params = {
    "name": {"type": "str"},
    "ipam": {
        "type": "dict",
        "options": {
            "driver": {"type": "str", "choices": ["default", "none"]},
            "config": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "subnet": {"type": "str"},
                    "ip_range": {"type": "str"},
                    "gateway": {"type": "str"},
                    "aux_addresses": {"type": "dict"},
                },
            },
        },
    },
    "internal": {"type": "bool"},
    "enable_ipv4": {"type": "bool"},
    "enable_ipv6": {"type": "bool"},
    "mtu": {"type": "int"},
    "dns": {"type": "list", "elements": "str"},
    "driver_opts": {"type": "dict"},
    "labels": {"type": "dict"},
}
# Options of networks with a bridge, bridge and overlay: the host routes, translates and filters their packets.
BRIDGED_NETWORK: Params = {
    **NETWORK,
    "isolate": {"type": "str", "choices": ["strict", "open"]},
    "icc": {"type": "bool"},
    "masquerade": {"type": "bool"},
    "egress": {"type": "bool"},
    "ingress": {"type": "bool"},
    "trusted_host_interfaces": {"type": "list", "elements": "str"},
    "host_ipv4": {"type": "str"},
    "host_ipv6": {"type": "str"},
    "port_security": {"type": "bool"},
    "bridge_name": {"type": "str"},
    "default_publish_address": {"type": "str"},
    "services": {"type": "dict"},
}


class Arguments(t.NamedTuple):
    """The options of a module, and AnsibleModule's rules, such as mutually_exclusive."""

    options: Params
    rules: dict[str, t.Any]


def run_networks(drivers: t.Sequence[str], options: Params) -> None:
    """Run a module that manages the networks of some drivers, one network or a list of them.

    options are those of a network. A new network has the first driver unless the
    task sets another one.
    """
    arguments = one_or_many("networks", options, ("name",))

    def edit(params: Params, declaration: Declaration) -> Declaration:
        return edit_networks(drivers, objects(params, "networks", options), params, declaration)

    run_edit(arguments.options, edit, **arguments.rules)


def edit_networks(
    drivers: t.Sequence[str], specs: t.Iterable[Params], params: Params, declaration: Declaration
) -> Declaration:
    """Return the declaration with the networks of specs added, changed or removed, as state and purge request."""
    named = {spec["name"]: {key: value for key, value in spec.items() if key != "name"} for spec in specs}
    for name, spec in named.items():
        if params["state"] == "absent":
            declaration = networks.remove_network(declaration, name)
        else:
            declared = (declaration.get("networks") or {}).get(name) or {}
            declaration = networks.put_network(declaration, name, {**_driver(drivers, declared), **spec})
    if params["purge"]:
        return networks.purge_networks(declaration, named, drivers)
    return declaration


def run_edit(options: Params, edit: Edit, report: Report | None = None, **rules: t.Any) -> None:
    """Run a module that changes a part of its project's declaration.

    options are its own, in addition to project, state and on_mismatch. edit takes
    the task's arguments and the declaration, and returns the changed declaration.
    report returns more results of the task. rules are those of AnsibleModule, such
    as mutually_exclusive.
    """

    def work(params: Params, check: bool) -> Outcome:
        request = Request(
            project=params["project"],
            edit=lambda declaration: edit(params, declaration),
            on_mismatch=params["on_mismatch"],
            check=check,
            wait_s=params["wait"],
        )
        return converge(request)

    run_work({**PROJECT, **STATE, **ON_MISMATCH, **WAIT, **options}, work, report, **rules)


def run_work(options: Params, work: Work, report: Report | None = None, **rules: t.Any) -> None:
    """Run a module that converges: work takes the task's arguments and whether it runs in check mode."""
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, **rules)
    outcome = _or_fail(module, lambda: work(module.params, module.check_mode))
    for warning in outcome.warnings:
        module.warn(warning)
    result: dict[str, t.Any] = {"changed": outcome.changed, "operations": list(outcome.operations)}
    if module._diff:
        result["diff"] = {"before": outcome.before, "after": outcome.after}
    if report:
        result.update(report(module.params, outcome))
    module.exit_json(**result)


def run_inspect(options: Params, read: t.Callable[[Params], dict[str, t.Any]], **rules: t.Any) -> None:
    """Run a module that only reads."""
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, **rules)
    result = dict(_or_fail(module, lambda: read(module.params)))
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    module.exit_json(changed=False, **result)


def run_host_report(options: Params, read: t.Callable[[Params, bool], tuple[bool, dict[str, t.Any]]]) -> None:
    """Run a module that reads the host, and may create missing keys.

    read takes the task's arguments and whether it runs in check mode. It returns
    whether it changed (or would change) something, and the results of the task.
    """
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    changed, result = _or_fail(module, lambda: read(module.params, module.check_mode))
    module.exit_json(changed=changed, **result)


def given_options(value: t.Any) -> t.Any:
    """Return a task's arguments without the omitted options, at every depth.

    Ansible passes an omitted option as None. Empty lists and dictionaries were
    set by the user, and stay.
    """
    if isinstance(value, dict):
        return {key: given_options(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [given_options(inner) for inner in value]
    return value


def objects(params: Params, plural: str, options: t.Iterable[str], key: t.Sequence[str] = ("name",)) -> list[Params]:
    """Return the objects of a task: the entries of its list, or the one object of its own options.

    key are the options that identify an object. Raises DocklessError if two objects have the same key.
    """
    if params[plural] is None:
        return [given_options({option: params[option] for option in options})]
    seen: dict[tuple[str, ...], int] = {}
    for index, entry in enumerate(params[plural]):
        name = tuple(entry[option] or "" for option in key)
        first = seen.setdefault(name, index)
        if first != index:
            what = f"{'/'.join(filter(None, name))} is listed twice, first as {plural}[{first}]"
            raise DocklessError(what, "Remove one of the entries.", f"{plural}[{index}]")
    return [given_options(entry) for entry in params[plural]]


def one_or_many(plural: str, options: Params, key: t.Sequence[str]) -> Arguments:
    """Return the arguments of a module that takes one object, or a list of objects in the option plural.

    options are those of an object. key are the options that identify it, which are required.
    """
    entry = {name: dict(spec, required=True) if name in key else spec for name, spec in options.items()}
    many = {"type": "list", "elements": "dict", "options": entry}
    rules = {
        "mutually_exclusive": [(plural, option) for option in options],
        "required_one_of": [(key[0], plural)],
        "required_together": [tuple(key)] if len(key) > 1 else [],
        "required_if": [("purge", True, (plural,))],
    }
    return Arguments({**options, plural: many, "purge": {"type": "bool", "default": False}}, rules)


def _driver(drivers: t.Sequence[str], declared: Params) -> Params:
    """Return the driver of a network: the declared one if the module manages it, otherwise the first.

    A declaration leaves out bridge, the default.
    """
    if drivers[0] == "bridge":
        return {}
    before = declared.get("driver")
    return {"driver": before if before in drivers else drivers[0]}


def _or_fail(module: AnsibleModule, work: t.Callable[[], R]) -> R:
    """Return the result of work, or fail the task with the message of the error."""
    try:
        return work()
    except DocklessError as error:
        if isinstance(error.__cause__, ImportError):
            module.fail_json(msg=missing_required_lib("pyroute2"), exception=traceback.format_exc())
        module.fail_json(msg=str(error))
    except PermissionError as error:
        message = f"{error}. Only root can change networks. Set become: true on the task."
        module.fail_json(msg=message, exception=traceback.format_exc())
    except OSError as error:
        module.fail_json(msg=f"{reason_of(error)}. Run again.", exception=traceback.format_exc())
    raise AssertionError("fail_json returned")
