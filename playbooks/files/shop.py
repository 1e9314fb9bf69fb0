# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the quickstart's shop: a web server, a stand-in for a database, and a client.

Usage: shop.py start | stop      start or stop all three, and print what was done
       shop.py web | db | client be one of them

Each runs in its sandbox: as a transient systemd unit where systemd runs the
host, else as a background process with its number in DIRECTORY. A process tells
that it is ready as sd_notify(3) has it, in both cases.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import typing as t

DIRECTORY = "/run/dockless-quickstart"
SANDBOXES = {"db": "shop-db", "web": "shop-web", "client": "shop-client"}  # in the order of starting
DATABASE_PORT = 5432
START_TIMEOUT = 20.0  # seconds
CLIENT_PERIOD = 10.0  # seconds
# Services see the host's name services through these sockets, past the sandbox's own resolv.conf.
HIDDEN = "-/run/systemd/resolve/io.systemd.Resolve -/run/nscd"


def tell_ready() -> None:
    """Tell the one who started us that we serve (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            door.connect("\0" + address[1:] if address.startswith("@") else address)
            door.send(b"READY=1")


class Row(socketserver.StreamRequestHandler):
    """Answers every connection with one line, as a database would with a row."""

    served = 0

    def handle(self) -> None:
        """Count and answer."""
        Row.served += 1
        self.wfile.write(f"42 lamps in stock (row {Row.served})\n".encode())


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with a page that has a row of the database in it."""

    def do_GET(self) -> None:
        """Ask the database by its name, and answer."""
        with socket.create_connection(("database", DATABASE_PORT), timeout=5) as door:
            row = door.makefile().readline().strip()
        body = f"Welcome to the shop! The database says: {row}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: t.Any) -> None:
        """Say nothing."""


class DatabaseServer(socketserver.ThreadingTCPServer):
    """Serves rows."""

    allow_reuse_address = True
    daemon_threads = True


def database() -> None:
    """Be the database."""
    with DatabaseServer(("", DATABASE_PORT), Row) as server:
        tell_ready()
        server.serve_forever()


def web() -> None:
    """Be the web server."""
    with http.server.ThreadingHTTPServer(("", 80), Page) as server:
        tell_ready()
        server.serve_forever()


def client() -> None:
    """Be the client: fetch the page by the web server's alias, and keep what it said."""
    tell_ready()
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("www", timeout=5)
            connection.request("GET", "/")
            text = connection.getresponse().read()
            with open(f"{DIRECTORY}/client.last", "wb") as file:
                file.write(text)
        threading.Event().wait(CLIENT_PERIOD)


def has_systemd() -> bool:
    """Return whether systemd runs this host (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def unit_of(role: str) -> str:
    """Return the name of a process's unit."""
    return f"dockless-quickstart-{role}.service"


def pid_of(role: str) -> int:
    """Return the number of a running process, 0 if it does not run."""
    if has_systemd():
        told = subprocess.run(
            ["systemctl", "show", "--value", "-p", "MainPID", unit_of(role)],
            capture_output=True,
            text=True,
            check=False,
        )
        return int(told.stdout.strip() or 0)
    try:
        with open(f"{DIRECTORY}/{role}.pid", encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, ValueError):
        return 0
    # The kernel reuses process numbers.
    is_ours = role.encode() in words and any(word.endswith(b"shop.py") for word in words)
    return pid if is_ours else 0


def runs_in_sandbox(role: str) -> bool:
    """Return whether the process runs, and in the sandbox of today: a rebuilt one is another namespace."""
    pid = pid_of(role)
    with contextlib.suppress(OSError):
        return bool(pid) and os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/run/netns/" + SANDBOXES[role]).st_ino
    return False


def stop(role: str) -> bool:
    """End a process, wait until it is gone, and return whether there was one."""
    pid = pid_of(role)
    if has_systemd():
        subprocess.run(["systemctl", "stop", unit_of(role)], capture_output=True, check=False)
        subprocess.run(["systemctl", "reset-failed", unit_of(role)], capture_output=True, check=False)
    elif pid:
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        select.select([descriptor], [], [], START_TIMEOUT)
        os.close(descriptor)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{DIRECTORY}/{role}.pid")
    return bool(pid)


def start(role: str) -> None:
    """Start a process in its sandbox, and wait until it serves."""
    command = [sys.executable, os.path.abspath(__file__), role]
    sandbox = SANDBOXES[role]
    if has_systemd():
        properties = {
            "Type": "notify",
            "NotifyAccess": "main",
            "TimeoutStartSec": str(START_TIMEOUT),
            "InaccessiblePaths": HIDDEN,
            "NetworkNamespacePath": "/run/netns/" + sandbox,
            "BindReadOnlyPaths": f"/etc/netns/{sandbox}/resolv.conf:/etc/resolv.conf",
        }
        options = [f"--property={key}={value}" for key, value in properties.items()]
        subprocess.run(["systemd-run", "--quiet", "--collect", "--unit", unit_of(role), *options, *command], check=True)
        return
    address = f"{DIRECTORY}/{role}.notify"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door, open(f"{DIRECTORY}/{role}.log", "wb") as log:
        door.bind(address)
        door.settimeout(START_TIMEOUT)
        process = subprocess.Popen(
            ["ip", "netns", "exec", sandbox, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={**os.environ, "NOTIFY_SOCKET": address},
        )
        with open(f"{DIRECTORY}/{role}.pid", "w", encoding="ascii") as file:
            file.write(f"{process.pid}\n")
        try:
            door.recv(64)
        except socket.timeout:
            raise SystemExit(f"shop.py: {role} does not start; see {log.name}") from None
        finally:
            os.unlink(address)


def main(word: str) -> None:
    """Do what the word says."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    parts = {"web": web, "db": database, "client": client}
    if word in parts:
        parts[word]()
    elif word == "stop":
        print("\n".join(f"stopped {role}" for role in reversed(list(SANDBOXES)) if stop(role)))
    elif word == "start":
        for role in SANDBOXES:
            if not runs_in_sandbox(role):
                stop(role)
                start(role)
                print(f"started {role} in {SANDBOXES[role]}")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
