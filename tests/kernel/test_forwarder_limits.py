# SPDX-License-Identifier: GPL-3.0-or-later
"""One sandbox cannot take the places of others at the host's forwarder: by questions, or by connections."""

from __future__ import annotations

import contextlib
import json
import re

import pytest

from support import traffic
from support.private_host import SUPPORT, SYSTEM_PYTHON, PrivateHost

DOCUMENT = {
    "networks": {
        "four": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
        "other": {"ipam": {"config": [{"subnet": "172.21.0.0/24"}]}},
        "six": {"enable_ipv4": False, "ipam": {"config": [{"subnet": "fd00:22::/64"}]}},
    },
    "sandboxes": {
        # On two networks: it has one limit, not one for each of its addresses.
        "flood4": {"networks": ["four", "other"]},
        "calm4": {"networks": ["four"]},
        "flood6": {"networks": ["six"]},
        "calm6": {"networks": ["six"]},
    },
}
GATEWAYS = {"4": "172.20.0.1", "6": "fd00:22::1"}
QUESTIONS = 10
EVER = 1_000_000  # questions: for the control, which ends as soon as places are taken
PLACES = 256  # the forwarder's TCP connections
BURST = 20  # of a sandbox's new connections

# Ask a number of different questions, one after the other, until one is not answered within five seconds, or refused.
# Print how many were answered.
_ASK = """
import socket, struct, sys
sys.path.insert(0, sys.argv[1])
from dns_flood import question
answered = 0
for number in range(int(sys.argv[3])):
    stream = sys.argv[2] == "tcp"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as wire:
        wire.settimeout(5)
        text = question(f"q{number}.example.org")
        try:
            wire.connect(("127.0.0.11", 53))
            wire.sendall(struct.pack("!H", len(text)) + text if stream else text)
            answer = wire.recv(999)
            answer = wire.recv(999) if stream and len(answer) == 2 else answer[2:] if stream else answer
        except OSError:
            break
        if len(answer) < 8 or answer[7] != 1:
            break
        answered += 1
print(answered)
"""


@pytest.fixture(name="host", scope="module")
def _host():
    """Return a host whose only server is 127.0.0.53, where one answers. At the end nothing may be left."""
    with PrivateHost() as host:
        host.sh("echo 'nameserver 127.0.0.53' >/etc/resolv.conf")
        upstream = host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_upstream.py"), "127.0.0.53", "quiet"])
        assert upstream.readline() == "ready"
        host.apply(DOCUMENT)
        yield host
        host.teardown()
        host.assert_back_to(host.birth)


@contextlib.contextmanager
def flooded(host, sandbox, address, port, kind):
    """Let a sandbox flood a server during a with block, and return what it said first."""
    server = host.popen([SYSTEM_PYTHON, str(SUPPORT / "dns_flood.py"), address, str(port), kind], sandbox)
    try:
        yield server.readline()
    finally:
        server.stop()


@contextlib.contextmanager
def without_limits(host):
    """Take the limits out of the live table for a with block. At its end no place of the forwarder is taken."""
    kept = host.run(["nft", "list", "table", "inet", "dockless"]).stdout
    host.sh("nft flush chain inet dockless forwarder4; nft flush chain inet dockless forwarder6")
    try:
        yield
    finally:
        host.run(["nft", "-f", "-"], input=f"delete table inet dockless\n{kept}")
        renew(host)


def renew(host):
    """Start the forwarder again, without the questions and connections that it had."""
    host.sh(
        "for pid in $(pgrep -f [c]onf-file=/run/dockless/dns/resolvers/@host.conf); do "
        "kill -9 $pid 2>/dev/null || true; while kill -0 $pid 2>/dev/null; do sleep 0.01; done; done"
    )
    assert host.apply(DOCUMENT)["changed"]


def answered(host, sandbox, transport, count=QUESTIONS):
    """Return how many of a sandbox's questions are answered."""
    argv = [SYSTEM_PYTHON, "-c", _ASK, str(SUPPORT), transport, str(count)]
    return int(host.run(argv, netns=sandbox).stdout)


def dropped(host):
    """Return how many packets the limits dropped."""
    return traffic.counter(host, "forwarder_limits")


@pytest.mark.parametrize("family", ["4", "6"])
def test_questions_of_one_sandbox_take_no_answer_from_another(host, family):
    """Straight to the forwarder, and through the flooding sandbox's own resolver."""
    flood, calm, gateway = f"flood{family}", f"calm{family}", GATEWAYS[family]
    for address, port in ((gateway, 10053), ("127.0.0.11", 53)):
        with flooded(host, flood, address, port, "datagrams") as said:
            assert said == "ready" and answered(host, calm, "udp") == answered(host, calm, "tcp") == QUESTIONS, address
    assert dropped(host) > 0
    with without_limits(host), flooded(host, flood, gateway, 10053, "datagrams") as said:
        assert said == "ready" and answered(host, calm, "udp", EVER) < EVER


@pytest.mark.parametrize("family", ["4", "6"])
@pytest.mark.parametrize("kind", ["idle", "slow"])
def test_connections_of_one_sandbox_take_no_connection_from_another(host, family, kind):
    """The flooding one gets its burst; without the limit, it gets all places of the forwarder."""
    flood, calm, gateway = f"flood{family}", f"calm{family}", GATEWAYS[family]
    with flooded(host, flood, gateway, 10053, kind) as said:
        assert BURST <= int(said) < PLACES // 2, said
        assert answered(host, calm, "tcp") == answered(host, calm, "udp") == QUESTIONS
    assert dropped(host) > 0
    renew(host)
    with without_limits(host), flooded(host, flood, gateway, 10053, kind) as said:
        assert int(said) >= PLACES - 15 and answered(host, calm, "tcp") == 0, said


def test_only_sandboxes_that_use_the_forwarder_are_admitted(host):
    """Traffic is no drift. A missing element is, and it closes the forwarder for that sandbox."""
    with flooded(host, "flood4", GATEWAYS["4"], 10053, "datagrams") as said:
        assert said == "ready" and dropped(host) > 0 and not host.plan(DOCUMENT)["changed"]
    assert answered(host, "calm4", "udp", 1) == 1
    calm = host.sh("ip -json -4 address show dev eth0", netns="calm4")
    address = json.loads(calm)[0]["addr_info"][0]["local"]
    listed = host.sh("nft list set inet dockless forwarder_queries4")
    bridge = re.search(rf'{re.escape(address)} \. "([^"]+)"', listed)
    host.sh(f"nft 'delete element inet dockless forwarder_queries4 {{ {address} . {bridge.group(1)} }}'")
    assert answered(host, "calm4", "udp", 1) == 0
    assert host.apply(DOCUMENT)["changed"] and answered(host, "calm4", "udp", 1) == 1
