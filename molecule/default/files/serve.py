# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server for a sandbox: shop_serve.py NAME tcp|udp PORT.

Over TCP it speaks HTTP: / answers "NAME seen from ADDRESS"; /ask/HOST/PORT asks that host the same and hands its
answer on, as a web server asks its database. Over UDP it sends each datagram back behind its name.
"""

from __future__ import annotations

import http.server
import socket
import socketserver
import sys
import urllib.request

NAME = sys.argv[1]


class Web(http.server.BaseHTTPRequestHandler):
    """Answer with our name and the caller's address, or with another host's answer."""

    def do_GET(self) -> None:
        """Serve / and /ask/HOST/PORT."""
        parts = self.path.strip("/").split("/")
        status, body = 200, f"{NAME} seen from {self.client_address[0].replace('::ffff:', '')}"
        if parts[0] == "ask":
            try:
                with urllib.request.urlopen(f"http://{parts[1]}:{parts[2]}/", timeout=3) as answer:
                    body = f"{NAME} heard: {answer.read().decode()}"
            except OSError as error:
                status, body = 502, f"{NAME} heard nothing: {error}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


class Echo(socketserver.BaseRequestHandler):
    """Send a datagram back behind our name."""

    def handle(self) -> None:
        """Answer one datagram."""
        self.request[1].sendto(f"{NAME} got {self.request[0].decode()}".encode(), self.client_address)


class DualStackWeb(http.server.ThreadingHTTPServer):
    """Listen on both families."""

    address_family = socket.AF_INET6


class DualStackEcho(socketserver.UDPServer):
    """Listen on both families."""

    address_family = socket.AF_INET6


if __name__ == "__main__":
    port = int(sys.argv[3])
    server = DualStackWeb(("::", port), Web) if sys.argv[2] == "tcp" else DualStackEcho(("::", port), Echo)
    server.serve_forever()
