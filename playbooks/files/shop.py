# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of the quickstart's shop: a web server, a simulated database, and a client.

Usage: shop.py start | stop      start or stop all three, and print the changes
       shop.py web | db | client run as one of them

Each process runs in its sandbox: as a transient systemd unit if systemd runs the host, otherwise as a background
process with a PID file in DIRECTORY. In both cases it reports by sd_notify(3) that it is ready.
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
# A process could reach the host's name services through these sockets, in place of the sandbox's resolv.conf.
HIDDEN = "-/run/systemd/resolve/io.systemd.Resolve -/run/nscd"


def notify_ready() -> None:
    """Report to the parent that this process serves (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            connection.send(b"READY=1")


class Row(socketserver.StreamRequestHandler):
    """Answers every connection with one line, as a database answers with a row."""

    served = 0

    def handle(self) -> None:
        """Count the row and send it."""
        Row.served += 1
        self.wfile.write(f"42 lamps in stock (row {Row.served})\n".encode())


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with a page that contains a row of the database."""

    def do_GET(self) -> None:
        """Query the database by its name, and send the page."""
        with socket.create_connection(("database", DATABASE_PORT), timeout=5) as connection:
            row = connection.makefile().readline().strip()
        body = f"Welcome to the shop! The database says: {row}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: t.Any) -> None:
        """Do not log."""


class DatabaseServer(socketserver.ThreadingTCPServer):
    """Serves rows."""

    allow_reuse_address = True
    daemon_threads = True


def database() -> None:
    """Run the database."""
    with DatabaseServer(("", DATABASE_PORT), Row) as server:
        notify_ready()
        server.serve_forever()


def web() -> None:
    """Run the web server."""
    with http.server.ThreadingHTTPServer(("", 80), Page) as server:
        notify_ready()
        server.serve_forever()


def client() -> None:
    """Run the client: fetch the page by the web server's alias, and write it to a file."""
    notify_ready()
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
    """Return the PID of a running process, 0 if it does not run."""
    if has_systemd():
        done = subprocess.run(
            ["systemctl", "show", "--value", "-p", "MainPID", unit_of(role)],
            capture_output=True,
            text=True,
            check=False,
        )
        return int(done.stdout.strip() or 0)
    try:
        with open(f"{DIRECTORY}/{role}.pid", encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except (OSError, ValueError):
        return 0
    # The kernel reuses PIDs.
    is_shop = role.encode() in words and any(word.endswith(b"shop.py") for word in words)
    return pid if is_shop else 0


def runs_in_sandbox(role: str) -> bool:
    """Return whether the process runs in the present sandbox. A rebuilt sandbox is another namespace."""
    pid = pid_of(role)
    with contextlib.suppress(OSError):
        return bool(pid) and os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/run/netns/" + SANDBOXES[role]).st_ino
    return False


def stop(role: str) -> bool:
    """Stop a process and wait until it has ended. Return whether it ran."""
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
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, open(f"{DIRECTORY}/{role}.log", "wb") as log:
        notify.bind(address)
        notify.settimeout(START_TIMEOUT)
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
            notify.recv(64)
        except socket.timeout:
            raise SystemExit(f"shop.py: {role} does not start. Read {log.name}.") from None
        finally:
            os.unlink(address)


def main(word: str) -> None:
    """Run the subcommand."""
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
