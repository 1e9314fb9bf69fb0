# SPDX-License-Identifier: GPL-3.0-or-later
"""Source ports after address translation: a sandbox does not choose them, so it cannot take a port of the host."""

from __future__ import annotations

import pytest

from support import traffic
from support.private_host import SYSTEM_PYTHON

PORTS = range(32768, 61000)
OWN_PORT = 5060
_SERVER = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
server = socket.socket(socket.AF_INET6, kind)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
server.bind(("::", 80))
if kind == socket.SOCK_STREAM: server.listen()
print("ready", flush=True)
while True:
    client = server.accept()[1] if kind == socket.SOCK_STREAM else server.recvfrom(99)[1]
    print(client[1], flush=True)
"""
_CLIENT = """
import socket, sys
protocol, address, port, own = sys.argv[1:]
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
client.bind(("::" if ":" in address else "0.0.0.0", int(own)))
client.settimeout(5)
client.connect((address, int(port)))
client.send(b"hello")
"""


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    "options", [{}, {"host_ipv4": "192.0.2.2", "host_ipv6": "2001:db8:1::2"}], ids=["link", "fixed"]
)
def test_translated_packets_get_a_random_source_port(private_host, protocol, options):
    """To another host, and by a published port of the own network (hairpin). Others keep their port."""
    private_host.apply(
        {
            "networks": {"front": traffic.network("172.20.0.0/24 fd00:20::/64", **options)},
            "sandboxes": {
                "client": {"networks": ["front"]},
                "web": {
                    "networks": {"front": {"ipv4_address": "172.20.0.11", "ipv6_address": "fd00:20::11"}},
                    "ports": [f"8080:80/{protocol}"],
                },
            },
        }
    )
    neighbour = private_host.neighbour()
    outside, inside = (
        place.popen([SYSTEM_PYTHON, "-c", _SERVER, protocol], netns)
        for place, netns in ((neighbour, None), (private_host, "web"))
    )
    assert outside.readline() == inside.readline() == "ready"

    def port_seen(server, address, port):
        argv = [SYSTEM_PYTHON, "-c", _CLIENT, protocol, address, str(port), str(OWN_PORT)]
        private_host.run(argv, netns="client")
        return int(server.readline())

    for host, other, web in (
        ("192.0.2.2", "192.0.2.3", "172.20.0.11"),
        ("2001:db8:1::2", "2001:db8:1::3", "fd00:20::11"),
    ):
        assert port_seen(outside, other, 80) in PORTS
        assert port_seen(inside, host, 8080) in PORTS
        assert port_seen(inside, web, 80) == OWN_PORT
