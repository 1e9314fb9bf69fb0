# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server for a sandbox: serve.py NAME PORT [PIDFILE].

It answers every GET with "NAME seen from ADDRESS". With a PID file it goes to the background as soon as it listens, so
that the caller need not wait or poll.
"""

from __future__ import annotations

import http.server
import os
import pathlib
import socket
import sys


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with this server's name and the client's address."""

    def do_GET(self) -> None:
        """Answer every path in the same way."""
        body = f"{sys.argv[1]} seen from {self.client_address[0].replace('::ffff:', '')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DualStack(http.server.ThreadingHTTPServer):
    """Listens on both families."""

    address_family = socket.AF_INET6


def daemonize(pidfile: pathlib.Path) -> None:
    """Continue in the background, without the caller's terminal and pipes."""
    child = os.fork()
    if child:
        pidfile.write_text(f"{child}\n", encoding="ascii")
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)


if __name__ == "__main__":
    with DualStack(("::", int(sys.argv[2])), Page) as server:
        if len(sys.argv) > 3:
            daemonize(pathlib.Path(sys.argv[3]))
        server.serve_forever()
