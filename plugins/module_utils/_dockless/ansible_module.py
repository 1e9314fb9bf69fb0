# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The one door to Ansible: a task's arguments in, what came of them out.

A module is its documentation and one call of run_edit, run_work, run_told or
run_inspect. Nothing else here imports Ansible, so that the engine runs without it.
"""

from __future__ import annotations

import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from .engine.converge import Outcome, Request, converge
from .errors import DocklessError

Params = dict[str, t.Any]
Declaration = dict[str, t.Any]
Edit = t.Callable[[Params, Declaration], Declaration]
Work = t.Callable[[Params, bool], Outcome]
Report = t.Callable[[Params, Outcome], dict[str, t.Any]]
R = t.TypeVar("R")

PROJECT = {"project": {"type": "str", "default": "default"}}
ON_MISMATCH = {"on_mismatch": {"type": "str", "choices": ["update", "recreate", "fail"], "default": "update"}}
STATE = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}


def run_edit(options: Params, edit: Edit, report: Report | None = None, **rules: t.Any) -> None:
    """Run a module that changes a part of its project's declaration.

    options are its own, beside project, state and on_mismatch. edit takes the
    task's arguments and the declaration and returns the declaration changed.
    report adds to what the module returns. rules are AnsibleModule's.
    """

    def work(params: Params, check: bool) -> Outcome:
        request = Request(
            project=params["project"],
            edit=lambda declaration: edit(params, declaration),
            on_mismatch=params["on_mismatch"],
            check=check,
        )
        return converge(request)

    run_work({**PROJECT, **STATE, **ON_MISMATCH, **options}, work, report, **rules)


def run_work(options: Params, work: Work, report: Report | None = None, **rules: t.Any) -> None:
    """Run a module whose work takes the arguments and whether to change nothing, and returns an Outcome."""
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, **rules)
    outcome = _done(module, lambda: work(module.params, module.check_mode))
    for warning in outcome.warnings:
        module.warn(warning)
    result: dict[str, t.Any] = {"changed": outcome.changed, "operations": list(outcome.operations)}
    if module._diff:
        result["diff"] = {"before": outcome.before, "after": outcome.after}
    if report:
        result.update(report(module.params, outcome))
    module.exit_json(**result)


def run_inspect(options: Params, read: t.Callable[[Params], dict[str, t.Any]], **rules: t.Any) -> None:
    """Run a module that reads and changes nothing."""
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, **rules)
    found = dict(_done(module, lambda: read(module.params)))
    for warning in found.pop("warnings", ()):
        module.warn(warning)
    module.exit_json(changed=False, **found)


def run_host_report(options: Params, read: t.Callable[[Params, bool], tuple[bool, dict[str, t.Any]]]) -> None:
    """Run a module that reads, and may make what is missing: read takes the arguments and whether to change nothing.

    It returns whether something changed, or would, and what to return.
    """
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    changed, found = _done(module, lambda: read(module.params, module.check_mode))
    module.exit_json(changed=changed, **found)


def given_options(value: t.Any) -> t.Any:
    """Return a task's arguments without the options that it leaves out, at every depth.

    Ansible hands an option that was not given over as None; an empty list or
    dictionary was given, and stays.
    """
    if isinstance(value, dict):
        return {key: given_options(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [given_options(inner) for inner in value]
    return value


def objects(params: Params, plural: str, options: t.Iterable[str], key: t.Sequence[str] = ("name",)) -> list[Params]:
    """Return the objects a task is about: those in its list, or the one that it describes itself.

    key are the options that name an object. Raises DocklessError where two have the same.
    """
    if params[plural] is None:
        return [given_options({option: params[option] for option in options})]
    seen: dict[tuple[str, ...], int] = {}
    for index, entry in enumerate(params[plural]):
        name = tuple(entry[option] or "" for option in key)
        first = seen.setdefault(name, index)
        if first != index:
            what = f"{'/'.join(filter(None, name))} is there twice, the first time as {plural}[{first}]"
            raise DocklessError(what, "Leave one of them out.", f"{plural}[{index}]")
    return [given_options(entry) for entry in params[plural]]


class Arguments(t.NamedTuple):
    """What a module accepts: its options, and AnsibleModule's rules on which go together."""

    options: Params
    rules: dict[str, t.Any]


def one_or_many(plural: str, options: Params, key: t.Sequence[str]) -> Arguments:
    """Return the arguments of a module that takes one object, or a list of them called plural.

    options are those of an object, key the ones that name it and that it cannot do without.
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


def _done(module: AnsibleModule, work: t.Callable[[], R]) -> R:
    """Return what work returns; a refusal becomes the task's message."""
    try:
        return work()
    except DocklessError as error:
        if isinstance(error.__cause__, ImportError):
            module.fail_json(msg=missing_required_lib("pyroute2"), exception=traceback.format_exc())
        module.fail_json(msg=str(error))
    except PermissionError as error:
        module.fail_json(
            msg=f"{error}. Networks are made by root: run the task with become: true.", exception=traceback.format_exc()
        )
    raise AssertionError("fail_json returned")
