# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports, proved from every place that a client can be in."""

from __future__ import annotations

import pytest

from support import traffic
from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES, SYSTEM_PYTHON
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
NEIGHBOUR4, NEIGHBOUR6 = NEIGHBOUR_ADDRESSES
SHOP = {
    "networks": {"front": network("172.20.0.0/24 fd00:20::/64"), "other": network("172.21.0.0/24 fd00:21::/64")},
    "sandboxes": {
        "web": {
            "networks": {"front": {"ipv4_address": "172.20.0.10", "ipv6_address": "fd00:20::10"}},
            "ports": ["8080:80", "5353:53/udp", "127.0.0.1:8443:443", "192.0.2.2:8444:443", "[2001:db8:1::2]:8445:443"],
        },
        "friend": {"networks": ["front"]},
        "stranger": {"networks": ["other"]},
    },
}


def served(host, document=None):
    """Apply the shop and serve in its sandbox web."""
    answer = host.apply(document or SHOP)
    host.serve_http("web", 80, "hello")
    host.serve_http("web", 443, "secret")
    host.serve_udp("web", 53, "datagram")
    return answer


def body(answer):
    """Return what was served, without the client."""
    return answer and answer.splitlines()[0]


def client(answer):
    """Return the client that the server saw."""
    return answer and answer.splitlines()[1]


BRIDGES = ["172.20.0.1", "172.21.0.1", "[fd00:20::1]", "[fd00:21::1]"]
HOST = [HOST4, f"[{HOST6}]"]
# Who asks, by which addresses of the host. An IPv6 loopback address is none of these: translation cannot serve it.
REACHES = {
    "host": ["127.0.0.1", "127.0.0.53", "localhost", *HOST, *BRIDGES],
    "neighbour": HOST,
    "itself": [*HOST, "172.20.0.1", "[fd00:20::1]"],
    "friend": [*HOST, "172.20.0.1", "[fd00:20::1]"],
    "stranger": [*HOST, *BRIDGES],
}


@pytest.mark.parametrize("on", [0, 1], ids=["bridge-nf off", "bridge-nf on"])
def test_published_port_is_reachable_by_every_host_address(private_host, on):
    """By every address, over TCP and UDP, whether bridges call iptables or not."""
    neighbour = private_host.neighbour()
    places = {
        "host": (private_host, None),
        "neighbour": (neighbour, None),
        "itself": (private_host, "web"),
        "friend": (private_host, "friend"),
        "stranger": (private_host, "stranger"),
    }
    with traffic.bridge_calls_iptables(private_host, on):
        served(private_host)
        for who, addresses in REACHES.items():
            place, netns = places[who]
            for address in addresses:
                answer = place.fetch(netns, f"http://{address}:8080/")
                assert body(answer) == "hello", f"{who} by {address} over TCP"
                if address != "localhost":
                    answer = place.ask_udp(netns, address.strip("[]"), 5353)
                    assert body(answer) == "datagram", f"{who} by {address} over UDP"
        assert private_host.fetch(None, f"http://{HOST4}:8081/") is None
        assert neighbour.ask_udp(None, HOST4, 5354) is None


@pytest.mark.smoke
def test_clients_address_is_kept(private_host):
    """The sandbox sees other hosts as they are; who asks by the host's address from here is seen as the gateway."""
    served(private_host)
    neighbour = private_host.neighbour()
    assert client(neighbour.fetch(None, f"http://{HOST4}:8080/")) == NEIGHBOUR4
    assert client(neighbour.fetch(None, f"http://[{HOST6}]:8080/")) == NEIGHBOUR6
    assert client(neighbour.ask_udp(None, HOST4, 5353)) == NEIGHBOUR4
    assert client(neighbour.ask_udp(None, HOST6, 5353)) == NEIGHBOUR6
    assert client(private_host.fetch("friend", f"http://{HOST4}:8080/")) == "172.20.0.1"
    assert client(private_host.fetch("stranger", f"http://{HOST4}:8080/")) == "172.20.0.1"
    assert client(private_host.fetch("friend", "http://172.20.0.10/")) == "172.20.0.2"


def test_port_on_one_host_address_answers_on_that_address_only(private_host):
    """Loopback, one IPv4 address, one IPv6 address."""
    served(private_host)
    neighbour = private_host.neighbour()
    published = {8443: "127.0.0.1", 8444: HOST4, 8445: f"[{HOST6}]"}
    for port, bound in published.items():
        for address in ("127.0.0.1", HOST4, f"[{HOST6}]", "172.20.0.1"):
            answer = body(private_host.fetch(None, f"http://{address}:{port}/"))
            assert answer == ("secret" if address == bound else None), f"port {port} by {address}"
    assert neighbour.fetch(None, f"http://{HOST4}:8443/", wait=1) is None
    assert body(neighbour.fetch(None, f"http://{HOST4}:8444/")) == "secret"
    assert body(neighbour.fetch(None, f"http://[{HOST6}]:8445/")) == "secret"
    assert private_host.fetch("stranger", "http://172.21.0.1:8443/", wait=1) is None
    assert body(private_host.fetch("stranger", f"http://{HOST4}:8444/")) == "secret"


def test_every_form_of_a_port_mapping(private_host):
    """Short and long forms. The reported ports are those that answer."""
    web = {
        "networks": ["front"],
        "ports": [
            "81:80",
            "8000-8002:9000-9002",
            "127.0.0.1:82:80/tcp",
            "0.0.0.0:83:80",
            "[::]:84:80",
            "[2001:db8:1::2]:85:80",
            {"target": 80, "published": "86", "host_ip": HOST4, "protocol": "tcp", "mode": "host"},
            {"target": 53, "published": 87, "protocol": "udp"},
            "88",
            "192.0.2.2::80",
        ],
    }
    answer = served(private_host, {"networks": {"front": SHOP["networks"]["front"]}, "sandboxes": {"web": web}})
    rows = {(row["host_ip"], row["host_port"], row["protocol"], row["target_port"]) for row in answer["ports"]}
    both = {("81", 80), ("8000", 9000), ("8001", 9001), ("8002", 9002)}
    expected = {(ip, int(port), "tcp", target) for port, target in both for ip in ("0.0.0.0", "::")}
    expected |= {
        ("127.0.0.1", 82, "tcp", 80),
        ("0.0.0.0", 83, "tcp", 80),
        ("::", 84, "tcp", 80),
        (HOST6, 85, "tcp", 80),
        (HOST4, 86, "tcp", 80),
        ("0.0.0.0", 87, "udp", 53),
        ("::", 87, "udp", 53),
    }
    chosen = rows - expected
    assert expected <= rows and {(row[0], row[2], row[3]) for row in chosen} == {
        ("0.0.0.0", "tcp", 88),
        ("::", "tcp", 88),
        (HOST4, "tcp", 80),
    }
    for port in (9000, 9001, 9002, 88):
        private_host.serve_http("web", port, f"port {port}")
    for ip, port, protocol, target in sorted(rows):
        address = {"0.0.0.0": HOST4, "::": HOST6}.get(ip, ip)
        url = f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"
        got = private_host.fetch(None, url) if protocol == "tcp" else private_host.ask_udp(None, address, port)
        assert body(got) == {80: "hello", 53: "datagram"}.get(target, f"port {target}"), (ip, port)
    other = {83: f"[{HOST6}]", 84: HOST4}  # an unspecified address is every one of its family alone
    assert [private_host.fetch(None, f"http://{address}:{port}/") for port, address in other.items()] == [None, None]


def test_sctp_is_published_as_tcp_is(private_host):
    """SCTP has its own port space; packets only where the kernel has SCTP."""
    ports = ["8080:80/sctp", "8080:80/tcp"]
    answer = private_host.apply(
        {"networks": SHOP["networks"], "sandboxes": {"web": {"networks": ["front"], "ports": ports}}}
    )
    assert sorted({row["protocol"] for row in answer["ports"]}) == ["sctp", "tcp"]
    assert "sctp . 8080 : 172.20.0.2 . 80" in private_host.sh("nft list map inet dockless published4")
    talk = (
        "import socket, sys, threading\nfrom _dockless.linux import netns\n"
        "def new(): return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)\n"
        "try: new().close()\nexcept OSError: print('none'); sys.exit()\n"
        "with netns.entered_named('web'): server = new(); server.bind(('', 80)); server.listen()\n"
        "client = new(); client.settimeout(3); client.connect(('192.0.2.2', 8080)); there = server.accept()[0]\n"
        "client.send(b'over sctp'); print(there.recv(99).decode())"
    )
    said = private_host.python(talk).stdout.strip()
    if said == "none":
        pytest.skip("this kernel has no SCTP; the mapping is in place, packets of it cannot be sent")
    assert said == "over sctp"


def host_ports(answer):
    """Return the host port of each (sandbox, target port)."""
    return {(row["sandbox"], row["target_port"]): row["host_port"] for row in answer["ports"]}


@pytest.fixture
def narrow(private_host):
    """Return a host that has eleven ephemeral ports, of which one is reserved."""
    with traffic.sysctls(
        private_host, {"ipv4/ip_local_port_range": "40000 40010", "ipv4/ip_local_reserved_ports": "40001"}
    ):
        yield private_host


def test_ephemeral_ports_are_chosen_once(narrow):
    """Kept over re-runs and when others come and go; same for both families; inside the kernel's range."""
    sandboxes = {name: {"networks": ["front"], "ports": ["80"]} for name in ("a", "b", "c")}
    document = {"networks": SHOP["networks"], "sandboxes": sandboxes}
    first = host_ports(narrow.apply(document))
    assert sorted(first.values()) == [40000, 40002, 40003]
    again = narrow.apply(document)
    assert host_ports(again) == first and not again["changed"]
    del sandboxes["a"]
    assert host_ports(narrow.apply(document)) == {key: port for key, port in first.items() if key[0] != "a"}
    sandboxes["0"] = {"networks": ["front"], "ports": ["80", "127.0.0.1::81"]}
    after = host_ports(narrow.apply(document))
    assert {key: after[key] for key in first if key[0] != "a"} == {
        key: port for key, port in first.items() if key[0] != "a"
    }
    assert not {after["0", 80], after["0", 81]} & {first["b", 80], first["c", 80], 40001}
    narrow.serve_http("c", 80, "c")
    assert body(narrow.neighbour().fetch(None, f"http://{HOST4}:{after['c', 80]}/")) == "c"


def test_ephemeral_ports_avoid_listeners_and_report_exhaustion(narrow):
    narrow.sh("echo 40000 40002 >/proc/sys/net/ipv4/ip_local_port_range")
    narrow.serve_http(None, 40000, "mine")
    web = {"networks": ["front"], "ports": ["80"]}
    document = {"networks": SHOP["networks"], "sandboxes": {"web": web}}
    assert host_ports(narrow.apply(document)) == {("web", 80): 40002}
    web["ports"].append("81")
    assert "no free host port is left in 40000-40002 for 81/tcp of sandbox web" in narrow.refusal(document)
    assert host_ports(narrow.plan({**document, "sandboxes": {"web": {**web, "ports": ["80"]}}})) == {("web", 80): 40002}


def test_publish_all_and_expose(private_host):
    """publish_all publishes what is exposed, once; without it expose publishes nothing."""
    web = {"networks": ["front"], "ports": ["8080:80"], "expose": ["80", "53/udp", 3000], "publish_all": True}
    document = {
        "networks": SHOP["networks"],
        "sandboxes": {"web": web, "quiet": {"networks": ["front"], "expose": [80]}},
    }
    answer = served(private_host, document)
    ports = host_ports(answer)
    assert set(ports) == {("web", 80), ("web", 53), ("web", 3000)} and ports["web", 80] == 8080
    assert body(private_host.ask_udp(None, HOST4, ports["web", 53])) == "datagram"
    assert not private_host.apply(document)["changed"]
    web["expose"] = []
    assert set(host_ports(private_host.apply(document))) == {("web", 80)}
    assert private_host.ask_udp(None, HOST4, ports["web", 53], wait=1) is None


def test_range_of_host_ports_gives_the_first_free(private_host):
    """8000-8002:80 takes the first that neither a mapping nor a process has, and keeps it."""
    private_host.serve_http(None, 8000, "mine")
    sandboxes = {
        "fixed": {"networks": ["front"], "ports": ["8001:80"]},
        "web": {"networks": ["front"], "ports": ["8000-8003:80"]},
    }
    document = {"networks": SHOP["networks"], "sandboxes": sandboxes}
    assert host_ports(served(private_host, document))["web", 80] == 8002
    assert body(private_host.fetch(None, f"http://{HOST4}:8002/")) == "hello"
    del sandboxes["fixed"]
    assert host_ports(private_host.apply(document)) == {("web", 80): 8002}
    sandboxes["more"] = {"networks": ["front"], "ports": ["8000-8001:80"]}
    assert host_ports(private_host.apply(document))["more", 80] == 8001
    sandboxes["most"] = {"networks": ["front"], "ports": ["8000-8002:80"]}
    assert "no free host port is left in 8000-8002 for 80/tcp of sandbox most" in private_host.refusal(document)


def test_default_publish_address(private_host):
    """Of the network, and of the host, where a port names none."""
    own = {"front": network("172.20.0.0/24", default_publish_address=HOST4), "other": network("172.21.0.0/24")}
    sandboxes = {
        "web": {"networks": ["front"], "ports": ["8080:80"]},
        "two": {"networks": ["other"], "ports": ["8081:80"]},
    }
    answer = private_host.apply({"networks": own, "sandboxes": sandboxes, "defaults": {"ip": "127.0.0.1"}})
    assert {(row["sandbox"], row["host_ip"]) for row in answer["ports"]} == {("web", HOST4), ("two", "127.0.0.1")}
    private_host.serve_http("web", 80, "web")
    private_host.serve_http("two", 80, "two")
    assert [
        body(private_host.fetch(None, f"http://{ip}:{port}/")) for ip in (HOST4, "127.0.0.1") for port in (8080, 8081)
    ] == ["web", None, None, "two"]


def test_replacing_sandbox_receives_the_datagrams(private_host):
    """A flow of a client that goes on reaches the new sandbox on the same host port."""
    document = {
        "networks": {"front": SHOP["networks"]["front"]},
        "sandboxes": {"one": {"networks": ["front"], "ports": ["5353:53/udp"]}},
    }
    private_host.apply(document)
    private_host.serve_udp("one", 53, "one")
    stream = (
        "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.2', 5353)); "
        "s.settimeout(0.2)\n"
        "end = time.monotonic() + 60; last = ''\n"
        "while time.monotonic() < end:\n"
        " try:\n  s.send(b'?'); now = s.recv(99).decode().split()[0]\n"
        "  if now != last: last = now; print(now, flush=True)\n"
        " except OSError: pass"
    )
    asking = private_host.neighbour().popen([SYSTEM_PYTHON, "-c", stream])
    assert asking.readline() == "one"
    document["sandboxes"] = {"two": document["sandboxes"]["one"]}
    private_host.apply(document)
    private_host.serve_udp("two", 53, "two")
    assert asking.readline() == "two"
    asking.stop()


def test_port_over_an_ipv4_network_and_an_ipv6_network(private_host):
    """An IPv4 network and an IPv6 network of one sandbox carry a port together; each family by its own."""
    networks = {"four": network("172.20.0.0/24"), "six": network("fd00:20::/64", enable_ipv4=False)}
    answer = served(
        private_host,
        {
            "networks": networks,
            "sandboxes": {"web": {"networks": ["four", "six"], "ports": ["8000:80"], "expose": [81]}},
        },
    )
    assert [(row["host_ip"], row["host_port"]) for row in answer["ports"]] == [("0.0.0.0", 8000), ("::", 8000)]
    neighbour = private_host.neighbour()
    assert client(neighbour.fetch(None, f"http://{HOST4}:8000/")) == NEIGHBOUR4
    assert client(neighbour.fetch(None, f"http://[{HOST6}]:8000/")) == NEIGHBOUR6


@pytest.mark.parametrize("on", [0, 1], ids=["bridge-nf off", "bridge-nf on"])
def test_reached_by_those_it_shares_another_network_with(private_host, on):
    """By way of the host's address, though the answer's straight way would be the other network."""
    both = {"front": {"gw_priority": 1, "ipv4_address": "172.20.0.10", "ipv6_address": "fd00:20::10"}, "other": None}
    sandboxes = {
        "web": {"networks": both, "ports": ["8080:80"]},
        "stranger": {"networks": ["other"]},
        "friend": {"networks": ["front"]},
    }
    served(private_host, {**SHOP, "sandboxes": sandboxes})
    with traffic.bridge_calls_iptables(private_host, on):
        for sandbox in ("friend", "stranger", "web"):
            for address in (HOST4, f"[{HOST6}]"):
                assert body(private_host.fetch(sandbox, f"http://{address}:8080/")) == "hello", (sandbox, address)
    assert client(private_host.neighbour().fetch(None, f"http://{HOST4}:8080/")) == NEIGHBOUR4


def test_port_of_another_host_is_not_intercepted(private_host):
    """What sandboxes and the host ask of another host's port arrives there, though the same port is published here."""
    document = {
        "networks": SHOP["networks"],
        "sandboxes": {"web": {"networks": ["front"], "ports": ["53:53/udp"]}, "friend": {"networks": ["front"]}},
    }
    private_host.apply(document)
    private_host.serve_udp("web", 53, "ours")
    neighbour = private_host.neighbour()
    neighbour.serve_udp(None, 53, "theirs")
    for address in NEIGHBOUR_ADDRESSES:
        assert (
            body(private_host.ask_udp("friend", address, 53))
            == body(private_host.ask_udp(None, address, 53))
            == "theirs"
        )
    for address in HOST_ADDRESSES:
        assert body(private_host.ask_udp("friend", address, 53)) == body(neighbour.ask_udp(None, address, 53)) == "ours"
