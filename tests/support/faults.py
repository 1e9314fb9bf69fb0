# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a private host: python3 faults.py WHAT NUMBER [--project P] [--absent] [--on-mismatch M] < document.

Converges with something happening on the way. An event is a step that is about to pass the engine's
hook, a document that is about to be written, renamed or removed, or one netlink message that the kernel has just
acknowledged (each goes out on its own here, so that every state between two messages occurs). WHAT at event NUMBER:
count (nothing, report how many there are), raise (a failure), kill (SIGKILL to this process), or at step NUMBER: wait
(say so, then wait for a line), sh:TEXT (run a line of shell). The answer is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import typing as t

from _dockless.engine import converge, document_files
from _dockless.engine.request import Request
from _dockless.errors import DocklessError
from _dockless.linux.netlink import Refusal, Socket
from _dockless.state.plan import Step


class Fault(DocklessError):
    """The failure that a test asks for."""


class Events:
    """Counts what happens, and makes it happen."""

    def __init__(self, what: str, number: int) -> None:
        self.what, self.number = what, number
        self.seen: list[str] = []
        self._single = Socket.flight

    def hook(self, step: Step) -> None:
        """Take note of a step."""
        self.happened(f"before {step.action} {step.subject}")

    def flight(self, sock: Socket, messages: t.Sequence[bytearray]) -> list[Refusal]:
        """Send a flight one by one."""
        refusals = []
        for place, message in enumerate(messages):
            refusals += [refusal._replace(place=place) for refusal in self._single(sock, [message])]
            self.happened("a message sent")
        return refusals

    def document(self, action: str, call: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        """Return a function that takes note of a document before it does what call does."""

        def wrapper(name: str, *more: t.Any) -> t.Any:
            self.happened(f"before {action} of document {name}")
            return call(name, *more)

        return wrapper

    def happened(self, event: str) -> None:
        """Do what is asked for if this is the event."""
        self.seen.append(event)
        if len(self.seen) - 1 != self.number or self.what == "count":
            return
        if self.what == "raise":
            raise Fault(f"a fault at event {self.number}, {event}")
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "wait":
            print("waiting", flush=True)
            sys.stdin.readline()
        if self.what.startswith("sh:"):
            subprocess.run(["/bin/bash", "-euc", self.what[3:]], check=True)


def main() -> dict[str, t.Any]:
    """Do the run and return what to print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("number", type=int)
    parser.add_argument("--project", default="shop")
    parser.add_argument("--absent", action="store_true")
    parser.add_argument("--on-mismatch", default="update")
    options = parser.parse_args()
    document = json.loads(sys.stdin.readline() if options.what == "wait" else sys.stdin.read())
    events = Events(options.what, options.number)
    if options.what in ("count", "raise", "kill"):

        def flight(sock: Socket, messages: t.Sequence[bytearray]) -> list[Refusal]:
            return events.flight(sock, messages)

        Socket.flight = flight  # type: ignore[method-assign]
        for action in ("write", "rename", "remove"):
            setattr(document_files, action, events.document(action, getattr(document_files, action)))
    request = Request(
        options.project,
        lambda before: {**before, **document},
        remove_project=options.absent,
        on_mismatch=options.on_mismatch,
    )
    try:
        outcome = converge.converge(request, events.hook)
    except DocklessError as error:
        return {"failed": type(error).__name__, "msg": str(error), "events": events.seen}
    return {"changed": outcome.changed, "operations": outcome.operations, "events": events.seen}


if __name__ == "__main__":
    print(json.dumps(main()))
