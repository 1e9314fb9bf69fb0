# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server outside the hosts: its answer is the address that it was called from."""

from __future__ import annotations

import http.server
import sys


class Caller(http.server.BaseHTTPRequestHandler):
    """Answer every GET with the caller's address, so that a test sees who a sandbox appears to be."""

    def do_GET(self) -> None:
        """Send the peer address of this connection as text."""
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Caller).serve_forever()
