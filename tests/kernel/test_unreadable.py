# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel refuses a question in the middle of a run: what could not be read is unknown, and nothing is lost.

DOCKLESS_TEST_EVERY_STEP=1 lets every call fail with every error, which takes long; without it a sample.
"""

from __future__ import annotations

import json
import os
import re

import pytest

from support.invariants import QUIET, changed, full
from support.private_host import PYTHON, PrivateHost
from support.snapshot import difference

EVERY = bool(os.environ.get("DOCKLESS_TEST_EVERY_STEP"))
ERRORS = {
    "recvfrom": ("ENOBUFS", "ENOMEM", "EINTR", "EAGAIN", "EIO"),
    "sendto": ("ENOBUFS", "ENOMEM", "EPERM"),
    "socket": ("EMFILE", "ENFILE", "ENOMEM", "EPERM"),
    "setns": ("ENOMEM", "EPERM", "EIO"),
}
CLOSED = changed(QUIET, sandboxes__web__ports=[])
RUNS = {"unchanged": QUIET, "update": CLOSED}
CACHE = "/run/dockless/unchanged"  # written by each run that applies the same again
PLACES = 2  # of each call in each run, without DOCKLESS_TEST_EVERY_STEP
COOKIES = (
    "for name in $(ls /run/netns); do ip netns exec $name python3 -c 'import socket; "
    "print(socket.socket().getsockopt(socket.SOL_SOCKET, 71, 8).hex())'; done"
)


class Patient:
    """A private host with sandboxes, lent to one failing run after the other."""

    def __init__(self) -> None:
        self.host = PrivateHost()
        self.host.apply(QUIET)
        self.cookies = self.host.sh(COOKIES)
        self.before = full(self.host)

    def apply(self, document: dict, *options: str):
        """Run the engine under strace with these options."""
        command = [PYTHON, "-m", "_dockless.cli", "apply", "--project", "shop", "--json", "--diff", "-"]
        return self.host.run(
            ["strace", "-f", "-qq", "-o", "/run/trace", *options, *command], input=json.dumps(document), check=False
        )

    def count(self, document: dict, call: str) -> int:
        """Return how often a run makes a call, and bring the host back."""
        assert self.apply(document, "-e", f"trace={call}").returncode == 0
        found = len(re.findall(rf"\b{call}\(", self.host.read("/run/trace")))
        self.host.apply(QUIET)
        return found

    def check(self, document: dict, done, what: str) -> None:
        """Fail if a sandbox was lost, or if the run said what is not so."""
        assert "Traceback" not in done.stdout + done.stderr, (what, done.stderr)
        answer = json.loads(done.stdout)
        assert self.host.sh(COOKIES) == self.cookies, (what, answer)
        if done.returncode:
            is_said_to_be_same = "is as it was before" in answer["msg"] or "othing was changed" in answer["msg"]
            if is_said_to_be_same:
                lines = [line for line in difference(self.before, full(self.host)) if CACHE not in line]
                assert not lines, (what, answer["msg"], lines)
            else:
                assert "rollback failed" in answer["msg"] or "Run again" in answer["msg"], (what, answer)
        if self.host.apply(document)["changed"] or document is not QUIET:
            self.host.apply(QUIET)
        assert self.host.apply(QUIET)["changed"] is False
        assert self.host.sh(COOKIES) == self.cookies, what

    def close(self) -> None:
        """Take everything away."""
        with self.host as host:
            host.sh("rm -f /run/trace")
            host.teardown()
            host.assert_back_to(host.birth)


@pytest.fixture(scope="module")
def patient():
    """Lend one private host to all failing runs."""
    found = Patient()
    yield found
    found.close()


@pytest.mark.parametrize("call", ERRORS)
@pytest.mark.parametrize("run", RUNS)
def test_no_sandbox_is_lost_when_a_call_fails(patient, run, call):
    """The run ends well or says what it could not read. The next run has nothing to repair but what was asked for."""
    document = RUNS[run]
    count = patient.count(document, call)
    assert count > PLACES
    spacing = 1 if EVERY else max(1, count // PLACES)
    for place, number in enumerate(range(1, count + 1, spacing)):
        errors = ERRORS[call] if EVERY else (ERRORS[call][place % len(ERRORS[call])],)
        for error in errors:
            done = patient.apply(document, "-e", f"inject={call}:error={error}:when={number}")
            patient.check(document, done, f"{call} number {number} of {count} failed with {error}")


@pytest.mark.parametrize("error", ["EMFILE", "ENOMEM", "EACCES", "EIO"])
def test_namespace_that_cannot_be_opened_is_named(patient, error):
    """The run stops before it touches anything, and says what it could not read, and why."""
    done = patient.apply(QUIET, "-P", "/run/netns/cli", "-e", f"inject=openat:error={error}:when=1")
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and "network namespace cli cannot be read" in answer["msg"] and error in answer["msg"]
    patient.check(QUIET, done, error)
