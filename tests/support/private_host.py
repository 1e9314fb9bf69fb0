# SPDX-License-Identifier: GPL-3.0-or-later
"""Private hosts: throw-away hosts made of namespaces, for tests with real links, rules and packets.

Such a host has its own network, mounts, processes and hostname, an empty /run, and an /etc, /var/lib
and /usr/local of its own over the machine's. Nothing in it can touch the machine or send a packet off it, and all of it
ends with the process that made it.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import typing as t

from support.snapshot import Snapshot, difference

SUPPORT = pathlib.Path(__file__).resolve().parent
ENGINE = SUPPORT.parent.parent / "plugins" / "module_utils"
SYSTEM_PYTHON = "/usr/bin/python3"
PYTHON = os.environ.get("DOCKLESS_TEST_PYTHON", SYSTEM_PYTHON)  # runs the engine
TIMEOUT = 60  # seconds; a command that takes longer hangs
HOST_ADDRESSES = ("192.0.2.2", "2001:db8:1::2")  # of the private host's eth0
NEIGHBOUR_ADDRESSES = ("192.0.2.3", "2001:db8:1::3")  # of the neighbour's eth0
FAR_ADDRESSES = ("198.51.100.1", "2001:db8:2::1")  # elsewhere, behind the neighbour
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "PYTHONPATH": str(ENGINE),
    "PYTHONPYCACHEPREFIX": str(
        SUPPORT.parent.parent / ".cache" / "bytecode"
    ),  # compiled once: the engine is started thousands of times
}

Result = dict[str, t.Any]


class Failed(AssertionError):
    """A command inside a host ended with a status other than 0."""


class Server:
    """A process that runs in a host until it is stopped."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        """Return its process id as this machine sees it; 0 before it runs or after its end."""
        return child_of(self.process.pid)

    def readline(self) -> str:
        """Return its next line of output, waiting for it; empty at the end."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def stop(self) -> None:
        """End it, by its process id."""
        if self.process.poll() is None:
            os.kill(self.pid or self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                os.kill(self.pid or self.process.pid, signal.SIGKILL)
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Place:
    """A network stack where commands can be run: a private host or its neighbour.

    Wherever netns is asked for, None is the place's own and a name is one under its /run/netns.
    """

    def __init__(self, enter: list[str]) -> None:
        self._enter = enter
        self._servers: list[Server] = []

    def run(
        self,
        argv: t.Sequence[str],
        check: bool = True,
        input: str | None = None,  # pylint: disable=redefined-builtin
        netns: str | None = None,
        timeout: float = TIMEOUT,
        env: t.Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended, output as text.

        Raises Failed when check is set and it did not end with 0.
        """
        done = subprocess.run(
            self.command(argv, netns),
            input=input if input is not None else "",
            text=True,
            timeout=timeout,
            capture_output=True,
            check=False,
            env={**_ENVIRONMENT, **(env or {})},
        )
        if check and done.returncode:
            raise Failed(f"{' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def sh(self, text: str, netns: str | None = None) -> str:
        """Run lines of shell that must all succeed and return what they say."""
        return self.run(["/bin/bash", "-euo", "pipefail", "-c", text], netns=netns).stdout.strip()

    def python(
        self,
        code: str,
        *args: str,
        netns: str | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python code with the engine importable as _dockless."""
        return self.run([PYTHON, "-c", code, *args], netns=netns, check=check)

    def popen(self, argv: t.Sequence[str], netns: str | None = None) -> Server:
        """Start a process; it is ended with the host, if not before."""
        process = subprocess.Popen(
            self.command(argv, netns),
            stdin=subprocess.DEVNULL,  # pylint: disable=consider-using-with
            stdout=subprocess.PIPE,
            text=True,
            env=_ENVIRONMENT,
        )
        server = Server(process)
        self._servers.append(server)
        return server

    def serve_http(self, netns: str | None, port: int, body: str) -> Server:
        """Start a web server on every address; return when it listens.

        It answers body, and in a second line the client's address.
        """
        return self._serve("http", netns, port, body)

    def serve_udp(self, netns: str | None, port: int, body: str) -> Server:
        """Start a server that answers each datagram as serve_http does."""
        return self._serve("udp", netns, port, body)

    def fetch(self, netns: str | None, url: str, wait: float = 3) -> str | None:
        """Return what a web server answers, or None when nothing answers within wait seconds."""
        done = self.run(
            ["curl", "--silent", "--fail", "--globoff", "--noproxy", "*", "--max-time", str(wait), url],
            netns=netns,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None

    def ask_udp(self, netns: str | None, address: str, port: int, wait: float = 2) -> str | None:
        """Return what a server answers to a datagram, or None when nothing answers within wait seconds."""
        code = (
            "import socket, sys\n"
            "host, port, wait = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])\n"
            "s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.settimeout(wait); s.connect((host, port)); s.send(b'?'); print(s.recv(65535).decode(), end='')"
        )
        done = self.run([SYSTEM_PYTHON, "-c", code, address, str(port), str(wait)], netns=netns, check=False)
        return done.stdout if done.returncode == 0 else None

    def ping(self, netns: str | None, address: str, wait: float = 2) -> bool:
        """Tell whether address answers within wait seconds; returns at the first answer."""
        argv = ["ping", "-n", "-q", "-c", "1", "-i", "0.2", "-w", str(max(1, round(wait))), address]
        return self.run(argv, netns=netns, check=False).returncode == 0

    def lookup(self, netns: str | None, name: str) -> list[str]:
        """Return the addresses that a program there gets for a name (hosts file, then DNS), sorted.

        None if it has none.
        """
        done = self.run(["getent", "ahosts", name], netns=netns, check=False)
        return sorted({line.split()[0] for line in done.stdout.splitlines()})

    def read(self, path: str) -> str:
        """Return the text of a file as seen inside."""
        return self.run(["cat", "--", path]).stdout

    def stop_servers(self) -> None:
        """End everything that popen and serve started."""
        while self._servers:
            self._servers.pop().stop()

    def _serve(self, kind: str, netns: str | None, port: int, body: str) -> Server:
        server = self.popen([SYSTEM_PYTHON, str(SUPPORT / "servers.py"), kind, str(port), body], netns)
        if server.readline() != "ready":
            raise Failed(f"the {kind} server on port {port} of {netns or 'the host'} does not start")
        return server

    def command(self, argv: t.Sequence[str], netns: str | None = None) -> list[str]:
        """Return the command of this machine that runs one there."""
        return [*self._enter, "--", *(["ip", "netns", "exec", netns] if netns else []), *argv]


class PrivateHost(Place):
    """A host of its own; see the module's text. Use it as a context manager."""

    def __init__(self) -> None:
        self._unshare = subprocess.Popen(  # pylint: disable=consider-using-with
            [
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "/bin/bash",
                str(SUPPORT / "private_init.sh"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_ENVIRONMENT,
        )
        assert self._unshare.stdout
        ready, _space, neighbour = self._unshare.stdout.readline().partition(" ")
        if ready != "ready":
            raise Failed("the private host does not start")
        self.pid = child_of(self._unshare.pid)
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--uts"]
        super().__init__([*enter, "--net"])
        self.neighbour_namespace = f"/proc/{self.pid}/root/proc/{int(neighbour)}/ns/net"
        self._neighbour = Place([*enter, f"--net={self.neighbour_namespace}"])
        self._projects: set[str] = set()
        self.birth = self.snapshot()

    def __enter__(self) -> PrivateHost:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop_servers()
        self._neighbour.stop_servers()
        assert self._unshare.stdin and self._unshare.stdout
        self._unshare.stdin.close()  # its first process ends at that, and everything in it
        self._unshare.wait(timeout=TIMEOUT)
        self._unshare.stdout.close()

    def neighbour(self) -> Place:
        """Return the other host on eth0's link, which is also the way to FAR_ADDRESSES."""
        return self._neighbour

    def namespace(self, netns: str | None = None) -> str:
        """Return the path, as this machine sees it, of the host's own network namespace or of one under its
        /run/netns.
        """
        return f"/proc/{self.pid}/root/run/netns/{netns}" if netns else f"/proc/{self.pid}/ns/net"

    def apply(self, document: t.Mapping[str, t.Any], project: str = "shop", **options: t.Any) -> Result:
        """Make the host have what the document declares and return the result. Raises Failed with its message.

        Options are those of the command line: on_mismatch="recreate", diff=True, absent=True.
        """
        self._projects.add(project)
        return self.dockless("apply", "--project", project, "--json", "-", *_as_options(options), document=document)

    def plan(self, document: t.Mapping[str, t.Any], project: str = "shop", **options: t.Any) -> Result:
        """Return what apply would do."""
        return self.dockless("plan", "--project", project, "--json", "-", *_as_options(options), document=document)

    def refusal(self, document: t.Mapping[str, t.Any], project: str = "shop", **options: t.Any) -> str:
        """Return the message with which apply refuses the document. Raises Failed when it does not."""
        done = self._engine(["apply", "--project", project, "--json", "-", *_as_options(options)], document)
        if done.returncode != 1:
            self._projects.add(project)
            raise Failed(f"apply ended with {done.returncode} where it should refuse\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)["msg"]

    def dockless(self, *argv: str, document: t.Mapping[str, t.Any] | None = None) -> Result:
        """Run the engine's command line (give it --json) and return its answer."""
        done = self._engine(argv, document)
        if done.returncode:
            raise Failed(f"dockless {' '.join(argv)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def teardown(self) -> None:
        """Take away every project, whoever made it, and every server."""
        self.stop_servers()
        self._neighbour.stop_servers()
        documents = self.sh("ls /etc/dockless/projects 2>/dev/null || true").split()
        for project in sorted(self._projects | {name[: -len(".json")] for name in documents if name.endswith(".json")}):
            self.apply({}, project=project, absent=True)
        self._projects.clear()

    def snapshot(self) -> Snapshot:
        """Return what the host is like now."""
        return json.loads(self.run([SYSTEM_PYTHON, str(SUPPORT / "snapshot.py")]).stdout)

    def assert_back_to(self, before: Snapshot) -> None:
        """Fail, with a line for each difference, unless the host is as it was."""
        lines = difference(before, self.snapshot())
        assert not lines, "the host is not as it was:\n" + "\n".join(lines)

    def _engine(
        self, argv: t.Sequence[str], document: t.Mapping[str, t.Any] | None
    ) -> subprocess.CompletedProcess[str]:
        text = None if document is None else json.dumps(document)
        return self.run([PYTHON, "-m", "_dockless.cli", *argv], input=text, check=False)


def _as_options(options: t.Mapping[str, t.Any]) -> list[str]:
    """Return options of the command line: True is a bare flag, anything else a value."""
    words: list[str] = []
    for key, value in options.items():
        words += [f"--{key.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return words


def child_of(pid: int) -> int:
    """Return the first child of a process, 0 if it has none."""
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return 0
    return int(children[0]) if children else 0
