# SPDX-License-Identifier: GPL-3.0-or-later
"""Small real servers for tests: python3 servers.py http|udp PORT BODY. Prints "ready" once it listens.

Every answer is BODY, and the address of the client as the server sees it, on two lines.
"""

from __future__ import annotations

import http.server
import ipaddress
import os
import socket
import socketserver
import sys


def _any_address() -> tuple[int, str]:
    if os.path.exists("/proc/net/if_inet6"):
        return socket.AF_INET6, "::"
    return socket.AF_INET, "0.0.0.0"


def _seen(client: str) -> str:
    address = ipaddress.ip_address(client.split("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def http_server(port: int, body: str) -> None:
    """Serve body on TCP port, on every address of both families."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # pylint: disable=invalid-name
            text = f"{body}\n{_seen(self.client_address[0])}\n".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        address_family, _address = _any_address()
        request_queue_size = 128
        server_bind = (
            socketserver.TCPServer.server_bind
        )  # HTTPServer's asks a name server for this host's name, behind a wall in vain

    server = Server((_any_address()[1], port), Answer)
    print("ready", flush=True)
    server.serve_forever()


def udp_server(port: int, body: str) -> None:
    """Answer every datagram on port with body."""
    family, address = _any_address()
    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        print("ready", flush=True)
        while True:
            _question, client = server.recvfrom(65535)
            server.sendto(f"{body}\n{_seen(client[0])}\n".encode(), client)


if __name__ == "__main__":
    {"http": http_server, "udp": udp_server}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
