# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server outside the hosts. It answers with the client's address."""

from __future__ import annotations

import http.server
import sys


class ClientAddress(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the client's address, so that a test knows the source address of a sandbox."""

    def do_GET(self) -> None:
        """Send the peer address of this connection as text."""
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), ClientAddress).serve_forever()
