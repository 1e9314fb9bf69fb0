# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The commands of the engine without Ansible: show, plan and apply."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import typing as t

from .engine.converge import converge
from .engine.request import WAIT_S, Request
from .errors import DocklessError, reason_of

# The JSON object that a command prints.
Answer = dict[str, t.Any]


def run(arguments: t.Sequence[str], content: bytes | Exception, question: str) -> int:
    """Run one command and return its exit status.

    content is that of FILE, or why it could not be read; question is the digest by which an answer is cached.
    """
    options = _options().parse_intermixed_args(arguments)
    options.content, options.question = content, question
    try:
        answer = _COMMANDS[options.command](options)
        _write((json.dumps(answer) if options.json else _text(answer, options.boot)) + "\n")
        return 0
    except DocklessError as error:
        return _fail(options, str(error))
    except PermissionError as error:
        return _fail(options, f"{reason_of(error)}. Only root can read and change networks.")
    except OSError as error:
        return _fail(options, f"{reason_of(error)}. Run again.")


def _fail(options: argparse.Namespace, message: str) -> int:
    if options.json:
        with contextlib.suppress(OSError):  # standard output is a file on a full disk
            _write(json.dumps({"failed": True, "msg": message}) + "\n")
            return 1
    sys.stderr.write(f"dockless: {message}\n")
    return 1


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()  # an error belongs to this run, not to the end of the interpreter


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dockless", description="Docker-style networks on a plain Linux host.", allow_abbrev=False
    )
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
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"how long to wait for another run to end (default: {WAIT_S:g})",
    )
    parser.add_argument("--diff", action="store_true", help="add before and after")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)  # argparse reports a ValueError
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


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
        wait_s=options.wait,
    )
    outcome = converge(request)
    answer: Answer = {
        "changed": outcome.changed,
        "operations": outcome.operations,
        "warnings": list(outcome.warnings),
        "problems": list(outcome.problems),
        "endpoints": outcome.endpoints,
        "ports": outcome.ports,
    }
    if options.diff:
        answer["diff"] = {"before": outcome.before, "after": outcome.after}
    return answer


def _show(options: argparse.Namespace) -> Answer:
    from .engine import info  # only this command pays for it

    return info.read_info(options.project, wait_s=options.wait)


def _document(path: str, content: bytes | Exception) -> Answer:
    try:
        if isinstance(content, Exception):
            raise content
        document = json.loads(content)
    except RecursionError:
        raise DocklessError(f"document {path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise DocklessError(f"document {path} cannot be read: {reason_of(error)}") from None
    if not isinstance(document, dict):
        raise DocklessError(f"document {path} is not an object", "Write an object with networks and sandboxes.")
    return document


def _text(answer: Answer, boot: bool) -> str:
    if "operations" not in answer:
        return json.dumps(answer, indent=2)
    lines = [*answer["operations"], *(_warning(text, text in answer["problems"], boot) for text in answer["warnings"])]
    if "diff" in answer:
        lines += ["--- before", answer["diff"]["before"], "+++ after", answer["diff"]["after"]]
    return "\n".join(lines or ["nothing to change"])


def _warning(text: str, is_problem: bool, boot: bool) -> str:
    """Return a line for a warning. In a unit, it begins with its priority in the journal: sd-daemon(3)."""
    priority = ("<3>" if is_problem else "<4>") if boot and "INVOCATION_ID" in os.environ else ""
    return f"{priority}warning: {text}"


_COMMANDS: dict[str, t.Callable[[argparse.Namespace], Answer]] = {
    "show": _show,
    "plan": _plan,
    "apply": _apply,
}
