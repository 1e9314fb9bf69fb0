# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The commands of the engine without Ansible: show, plan and apply."""

from __future__ import annotations

import argparse
import json
import sys
import typing as t

from .engine.converge import converge
from .engine.request import Request
from .errors import DocklessError

# The JSON object that a command prints.
Answer = dict[str, t.Any]


def run(arguments: t.Sequence[str], content: bytes, question: str) -> int:
    """Run one command and return its exit status.

    content is what standard input held, question the digest by which an answer is cached.
    """
    options = _options().parse_intermixed_args(arguments)
    options.content, options.question = content, question
    try:
        answer = _COMMANDS[options.command](options)
    except DocklessError as error:
        if options.json:
            sys.stdout.write(json.dumps({"failed": True, "msg": str(error)}) + "\n")
        else:
            sys.stderr.write(f"dockless: {error}\n")
        return 1
    sys.stdout.write((json.dumps(answer) if options.json else _text(answer)) + "\n")
    return 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dockless", description="Docker-style networks on a plain Linux host.")
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument(
        "file",
        nargs="?",
        help="a project's document in JSON, - for standard input; without it, everything in /etc/dockless",
    )
    parser.add_argument("--project", help="the project that FILE declares, or that show is about")
    parser.add_argument("--absent", action="store_true", help="remove the project")
    parser.add_argument(
        "--boot", action="store_true", help="use last good copies of broken documents; leave out what is not there yet"
    )
    parser.add_argument("--on-mismatch", choices=("update", "recreate", "fail"), default="update")
    parser.add_argument("--diff", action="store_true", help="add before and after")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    return parser


def _apply(options: argparse.Namespace) -> Answer:
    return _converge(options, check=False)


def _plan(options: argparse.Namespace) -> Answer:
    return _converge(options, check=True)


def _converge(options: argparse.Namespace, check: bool) -> Answer:
    document = _document(options.file, options.content) if options.file else {}
    project = options.project or document.pop("project", None) or ("default" if options.file else None)
    document.pop("project", None)
    defaults = document.pop("defaults", None)
    request = Request(
        project,
        (lambda before: {**before, **document}) if options.file else dict,
        defaults,
        options.absent,
        check=check,
        on_mismatch=options.on_mismatch,
        boot=options.boot,
        question="" if check or options.diff else options.question,
    )
    outcome = converge(request)
    answer: Answer = {
        "changed": outcome.changed,
        "operations": outcome.operations,
        "warnings": list(outcome.warnings),
        "endpoints": outcome.endpoints,
        "ports": outcome.ports,
    }
    if options.diff:
        answer["diff"] = {"before": outcome.before, "after": outcome.after}
    return answer


def _show(options: argparse.Namespace) -> Answer:
    from .engine import info  # only this command pays for it

    return info.read_info(options.project)


def _document(path: str, standard_input: bytes) -> Answer:
    try:
        if path == "-":
            document = json.loads(standard_input)
        else:
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
    except (OSError, ValueError) as error:
        raise DocklessError(f"document {path} cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise DocklessError(f"document {path} is not an object", "Write an object with networks and sandboxes.")
    return document


def _text(answer: Answer) -> str:
    if "operations" not in answer:
        return json.dumps(answer, indent=2)
    lines = [*answer["operations"], *(f"warning: {w}" for w in answer["warnings"])]
    if "diff" in answer:
        lines += ["--- before", answer["diff"]["before"], "+++ after", answer["diff"]["after"]]
    return "\n".join(lines or ["nothing to change"])


_COMMANDS: dict[str, t.Callable[[argparse.Namespace], Answer]] = {
    "show": _show,
    "plan": _plan,
    "apply": _apply,
}
