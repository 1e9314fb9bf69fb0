# SPDX-License-Identifier: GPL-3.0-or-later
"""A small server for a sandbox: shop_serve.py NAME tcp|udp PORT.

Over TCP it serves HTTP: / answers "NAME seen from ADDRESS". /ask/HOST/PORT requests the same from that host and returns
its answer, as a web server queries its database. Over UDP it returns each datagram with its name before it.
"""

from __future__ import annotations

import http.server
import socket
import socketserver
import sys
import urllib.request

NAME = sys.argv[1]


class Web(http.server.BaseHTTPRequestHandler):
    """Answers with this server's name and the client's address, or with the answer of another host."""

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
    """Returns a datagram with this server's name before it."""

    def handle(self) -> None:
        """Answer one datagram."""
        self.request[1].sendto(f"{NAME} got {self.request[0].decode()}".encode(), self.client_address)


class DualStackWeb(http.server.ThreadingHTTPServer):
    """Listens on both families."""

    address_family = socket.AF_INET6


class DualStackEcho(socketserver.UDPServer):
    """Listens on both families."""

    address_family = socket.AF_INET6


if __name__ == "__main__":
    port = int(sys.argv[3])
    server = DualStackWeb(("::", port), Web) if sys.argv[2] == "tcp" else DualStackEcho(("::", port), Echo)
    server.serve_forever()
