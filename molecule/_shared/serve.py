# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server for a sandbox: serve.py NAME PORT [PIDFILE].

It answers every GET with "NAME seen from ADDRESS". With a file for its process id it goes to the background as soon as
it listens, so that whoever started it need not wait or ask.
"""

from __future__ import annotations

import http.server
import os
import pathlib
import socket
import sys


class Caller(http.server.BaseHTTPRequestHandler):
    """Answer with our name and the caller's address."""

    def do_GET(self) -> None:
        """Serve every path alike."""
        body = f"{sys.argv[1]} seen from {self.client_address[0].replace('::ffff:', '')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DualStack(http.server.ThreadingHTTPServer):
    """Listen on both families."""

    address_family = socket.AF_INET6


def leave(pidfile: pathlib.Path) -> None:
    """Go on in the background, with no terminal and no pipe of the caller's."""
    child = os.fork()
    if child:
        pidfile.write_text(f"{child}\n", encoding="ascii")
        os._exit(0)
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)


if __name__ == "__main__":
    with DualStack(("::", int(sys.argv[2])), Caller) as server:
        if len(sys.argv) > 3:
            leave(pathlib.Path(sys.argv[3]))
        server.serve_forever()
