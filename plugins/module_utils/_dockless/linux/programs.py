# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that starts programs.

Each runs without a shell, in a fixed environment, from a fixed list of directories and with a time limit. A program
runs in the network namespace of the thread that calls run(). Arguments appear in error messages and in the process
list, so a secret is passed on standard input or in a file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t

from ..errors import DocklessError

# Not the caller's PATH: that of an Ansible task often lacks sbin.
DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
ENVIRONMENT = {"PATH": ":".join(DIRECTORIES), "LC_ALL": "C"}
TIMEOUT_S = 60.0
_KILL_TIMEOUT_S = 5.0
_REASON_LENGTH = 2000  # characters of a program's output that an error message shows
_COMMAND_LENGTH = 300


class Remedies(t.NamedTuple):
    """Remedies for the failures of a program: it is not installed, it does not end, it reports an error."""

    missing: str = ""
    hangs: str = ""
    fails: str = ""


NO_REMEDIES = Remedies()


class Output(t.NamedTuple):
    """How a program ended: exit status (negative: the signal that killed it) and what it wrote, decoded as UTF-8."""

    status: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """Return why the program failed: its error output, or its output, or its exit status."""
        text = self.stderr.strip() or self.stdout.strip()
        return text[:_REASON_LENGTH] if text else f"exit status {self.status}"


def find_program(name: str) -> str:
    """Return the path of a program, "" if it is not installed."""
    for directory in DIRECTORIES:
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK):
            return path
    return ""


def run(
    argv: t.Sequence[str],
    *,
    stdin: str = "",
    timeout_s: float = TIMEOUT_S,
    check: bool = True,
    secret: bool = False,
    capture: bool = True,
    environment: t.Mapping[str, str] | None = None,
    remedies: Remedies = NO_REMEDIES,
) -> Output:
    """Run a program to its end and return its output.

    check: raise DocklessError for an exit status other than 0.
    secret: keep the program's output out of error messages, because it may repeat a secret that it read.
    capture: False discards the output. Required for a program that becomes a daemon, which would hold a pipe open.
    environment: variables beside ENVIRONMENT.

    Raises DocklessError if the program is not installed, cannot be started or does not end within timeout_s.
    """
    path = argv[0] if "/" in argv[0] else find_program(argv[0])
    if not path:
        raise DocklessError(f"the program {argv[0]} is not installed", remedies.missing)
    pipe = subprocess.PIPE if capture else subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # pylint: disable=consider-using-with  # its exit would wait without limit
            argv,
            executable=path,
            stdin=subprocess.PIPE,
            stdout=pipe,
            stderr=pipe,
            env={**ENVIRONMENT, **(environment or {})},
            cwd="/",
            start_new_session=capture,  # what it starts is killed with it, and does not hold its pipes
        )
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise DocklessError(f"the program {path} cannot be started: {reason}", remedies.missing) from None
    try:
        stdout, stderr = process.communicate(stdin.encode(), timeout_s)
    except subprocess.TimeoutExpired:
        raise DocklessError(f"{_command(argv)} did not end within {timeout_s:g} s", remedies.hangs) from None
    finally:
        if process.returncode is None:
            _kill(process, capture)
    output = Output(process.returncode, _decoded(stdout), _decoded(stderr))
    if check:
        _refuse_failure(argv, output, secret, remedies)
    return output


def _kill(process: subprocess.Popen[bytes], is_group: bool) -> None:
    """Kill a program and what it has started. One that the kernel does not let end is not waited for."""
    with contextlib.suppress(ProcessLookupError):
        if is_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_TIMEOUT_S)


def _refuse_failure(argv: t.Sequence[str], output: Output, secret: bool, remedies: Remedies) -> None:
    if output.status:
        reason = f"exit status {output.status}" if secret else output.reason
        raise DocklessError(f"{_command(argv)} failed: {reason}", remedies.fails)


def _command(argv: t.Sequence[str]) -> str:
    """Return a command for people, shortened: a call for many units or peers has many arguments."""
    text = " ".join([os.path.basename(argv[0]), *argv[1:]])
    return text if len(text) <= _COMMAND_LENGTH else text[:_COMMAND_LENGTH] + " …"


def _decoded(data: bytes | None) -> str:
    return data.decode("utf-8", "replace") if data else ""
