# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateway modes, egress and ingress, trusted interfaces and source ranges: who reaches what, from a neighbour with a
route and from other networks.
"""

from __future__ import annotations

import json
from concurrent import futures

import pytest

from support.private_host import HOST_ADDRESSES, NEIGHBOUR_ADDRESSES
from support.traffic import network

HOST4, HOST6 = HOST_ADDRESSES
NEIGHBOUR4, NEIGHBOUR6 = NEIGHBOUR_ADDRESSES
WEB, FRIEND = ("172.30.10.11", "fd00:10::11"), ("172.30.10.12", "fd00:10::12")
STRANGER = ("172.30.20.11", "fd00:20::11")


def document(mode="nat", ports=("8080:80", "5000:5000/udp"), **options):
    """Return two networks: one of a mode, with web, which publishes, and friend; another, with a sandbox outside."""
    modes = {"gateway_mode_ipv4": mode, "gateway_mode_ipv6": mode}
    web = {"networks": {"front": {"ipv4_address": WEB[0], "ipv6_address": WEB[1]}}, "ports": list(ports)}
    return {
        "networks": {
            "front": network("172.30.10.0/24 fd00:10::/64", **{**modes, **options}),
            "other": network("172.30.20.0/24 fd00:20::/64"),
        },
        "sandboxes": {
            "web": web,
            "friend": {"networks": {"front": {"ipv4_address": FRIEND[0], "ipv6_address": FRIEND[1]}}},
            "stranger": {"networks": {"other": {"ipv4_address": STRANGER[0], "ipv6_address": STRANGER[1]}}},
        },
    }


def served(host, **options):
    """Apply the document, serve in web, and give the neighbour routes to its network by this host."""
    answer = host.apply(document(**options))
    host.serve_http("web", 80, "published")
    host.serve_http("web", 81, "unpublished")
    host.serve_udp("web", 5000, "datagram")
    host.neighbour().sh(f"ip route replace 172.30.10.0/24 via {HOST4}; ip route replace fd00:10::/64 via {HOST6}")
    return answer


def reached(place, netns, address, host_address, expected):
    """Return what answers at a sandbox's own address, and the host's port.

    What should not answer is waited for one second.
    """
    shown, host_shown = (f"[{one}]" if ":" in one else one for one in (address, host_address))
    probes = {
        "ping": lambda wait: place.ping(netns, address, wait=wait),
        "published": lambda wait: place.fetch(netns, f"http://{shown}/", wait=wait) is not None,
        "published udp": lambda wait: place.ask_udp(netns, address, 5000, wait=wait) is not None,
        "unpublished": lambda wait: place.fetch(netns, f"http://{shown}:81/", wait=wait) is not None,
        "host port": lambda wait: place.fetch(netns, f"http://{host_shown}:8080/", wait=wait) is not None,
    }
    with futures.ThreadPoolExecutor(len(probes)) as pool:
        answers = {what: pool.submit(probe, 5 if expected[what] else 1) for what, probe in probes.items()}
    return {what: answer.result() for what, answer in answers.items()}


# ping of its address, published ports there, unpublished ones there, the host's port: Docker's table
TABLE = {
    "nat": (False, False, False, True),
    "nat-unprotected": (True, True, True, True),
    "routed": (True, True, False, False),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", TABLE)
def test_reachability_of_each_gateway_mode(private_host, mode, version):
    """By a neighbour with a route and from another network alike; the network's own sandboxes reach all."""
    served(private_host, mode=mode)
    six = version == 6
    ping, published, unpublished, host_port = TABLE[mode]
    expected = {
        "ping": ping,
        "published": published,
        "published udp": published,
        "unpublished": unpublished,
        "host port": host_port,
    }
    own = {**dict.fromkeys(expected, True), "host port": host_port}
    host_address = (HOST4, HOST6)[six]
    seen = {
        "neighbour": reached(private_host.neighbour(), None, WEB[six], host_address, expected),
        "stranger": reached(private_host, "stranger", WEB[six], host_address, expected),
        "friend": reached(private_host, "friend", WEB[six], host_address, own),
    }
    assert seen == {"neighbour": expected, "stranger": expected, "friend": own}


@pytest.mark.parametrize("version", [4, 6])
def test_routed_network_cannot_reach_nat_networks(private_host, version):
    """The other way: from the routed network to a nat one, ping and ports fail; outwards it keeps its own address."""
    served(private_host, mode="routed")
    private_host.serve_http("stranger", 80, "hello")
    private_host.neighbour().serve_http(None, 80, "outside")
    six = version == 6
    shown = STRANGER[0] if not six else f"[{STRANGER[1]}]"
    assert not private_host.ping("web", STRANGER[six], wait=1)
    assert private_host.fetch("web", f"http://{shown}/", wait=1) is None
    assert private_host.fetch(None, f"http://{shown}/") is not None
    outside = NEIGHBOUR4 if not six else f"[{NEIGHBOUR6}]"
    assert private_host.fetch("web", f"http://{outside}/").splitlines() == ["outside", WEB[six]]


@pytest.mark.smoke
def test_routed_family_has_no_host_port(private_host):
    """IPv4 by translation, IPv6 routed: rows, exposures and packets agree."""
    answer = served(private_host, mode="nat", gateway_mode_ipv6="routed")
    rows = [
        (row["host_ip"], row["host_port"], row["target_port"]) for row in answer["ports"] if row["protocol"] == "tcp"
    ]
    assert rows == [("0.0.0.0", 8080, 80), ("", 0, 80)]
    neighbour = private_host.neighbour()
    assert neighbour.fetch(None, f"http://{HOST4}:8080/") and neighbour.fetch(None, f"http://[{WEB[1]}]/")
    assert (
        neighbour.fetch(None, f"http://[{HOST6}]:8080/", wait=1) is None
        and neighbour.fetch(None, f"http://{WEB[0]}/", wait=1) is None
    )


@pytest.mark.parametrize("version", [4, 6])
def test_trusted_interface_reaches_published_ports_directly(private_host, version):
    """Published ports and nothing else, by the trusted link alone; allow_direct_routing opens them by every link."""
    served(private_host, trusted_host_interfaces=["eth0"])
    six = version == 6
    neighbour, address, host_address = private_host.neighbour(), WEB[six], (HOST4, HOST6)[six]
    expected = {"ping": False, "published": True, "published udp": True, "unpublished": False, "host port": True}
    closed = {**dict.fromkeys(expected, False), "host port": True}
    assert reached(neighbour, None, address, host_address, expected) == expected
    assert reached(private_host, "stranger", address, host_address, closed) == closed
    private_host.apply(
        document(trusted_host_interfaces=["eth0"], masquerade=False)
    )  # which leaves the guard out, and the other rules in place
    assert reached(neighbour, None, address, host_address, expected) == expected
    assert reached(private_host, "stranger", address, host_address, closed) == closed
    private_host.apply(document())
    assert reached(neighbour, None, address, host_address, closed) == closed
    private_host.apply({**document(), "defaults": {"allow_direct_routing": True}})
    assert reached(neighbour, None, address, host_address, expected) == expected
    assert reached(private_host, "stranger", address, host_address, expected) == expected
    private_host.apply({**document(), "defaults": {}})


@pytest.mark.parametrize("version", [4, 6])
def test_isolated_network_reaches_only_itself(private_host, version):
    """No address on the bridge, no default route.

    An internal one reaches the bridge's address, an isolated one nothing.
    """
    six = version == 6
    canary = private_host.serve_http(None, 9998, "canary")
    for mode in ("nat", "isolated"):
        private_host.apply(document(mode, ports=(), internal=True))
        links = json.loads(private_host.run(["ip", "-json", "address", "show", "type", "bridge"]).stdout)
        front = next(row for row in links if row["ifname"] == bridge_of(private_host, "front"))
        addresses = [found["local"] for found in front["addr_info"]]
        assert bool(addresses) is (mode == "nat")
        assert private_host.ping("web", FRIEND[six])
        gateway = ("172.30.10.1", "fd00:10::1")[six]
        assert private_host.ping("web", gateway) is (mode == "nat")
        mac = front["address"]
        # a process with all rights gives itself the way: by the bridge's MAC to every address of the host
        private_host.sh(
            f"ip neighbour replace 172.30.10.1 lladdr {mac} dev eth0; "
            "ip route replace default via 172.30.10.1 dev eth0; "
            f"ip neighbour replace fd00:10::1 lladdr {mac} dev eth0; "
            "ip -6 route replace default via fd00:10::1 dev eth0",
            netns="web",
        )
        assert private_host.fetch("web", f"http://{(HOST4, f'[{HOST6}]')[six]}:9998/", wait=1) is None
        assert private_host.fetch("stranger", f"http://{(HOST4, f'[{HOST6}]')[six]}:9998/")
        private_host.sh(
            "ip route delete default; ip -6 route delete default; ip neighbour delete 172.30.10.1 dev eth0; "
            "ip neighbour delete fd00:10::1 dev eth0",
            netns="web",
        )
    canary.stop()


def bridge_of(host, name):
    """Return the bridge of a network of the project."""
    rows = host.dockless("show", "--project", "shop", "--json")["networks"]
    return next(row["bridge_name"] for row in rows if row["name"] == name)


@pytest.mark.parametrize("version", [4, 6])
def test_ways_out_and_in_are_separate(private_host, version):
    """egress: false keeps ports open and lets nothing out; ingress: false the other way round; internal is both."""
    six = version == 6
    neighbour = private_host.neighbour()
    neighbour.serve_http(None, 80, "outside")
    outside = NEIGHBOUR4 if not six else f"[{NEIGHBOUR6}]"
    host_shown = HOST4 if not six else f"[{HOST6}]"
    for options, ports, out in (
        ({"egress": False}, True, False),
        ({"ingress": False}, False, True),
        ({"internal": True, "ingress": True}, True, False),
    ):
        private_host.apply(document(ports=["8080:80"] if ports else [], **options))
        server = private_host.serve_http("web", 80, "hello")
        assert (neighbour.fetch(None, f"http://{host_shown}:8080/", wait=1) is not None) is ports, options
        assert (private_host.fetch("web", f"http://{outside}/", wait=1) is not None) is out, options
        assert private_host.ping("web", FRIEND[six])
        server.stop()
    message = private_host.refusal(document(ingress=False))
    assert "ports of sandbox web cannot be published" in message and "ingress" in message


def test_host_ipv4_and_host_ipv6_set_the_source_address(private_host):
    """host_ipv4 and host_ipv6 replace the uplink's address. Ports keep working."""
    private_host.sh(
        "ip address add 192.0.2.77/24 dev eth0; ip address add 2001:db8:1::77/64 dev eth0 nodad preferred_lft 0"
    )
    assert private_host.apply(document(host_ipv4="192.0.2.77", host_ipv6="2001:db8:1::77"))["warnings"] == []
    neighbour = private_host.neighbour()
    neighbour.serve_http(None, 80, "outside")
    private_host.serve_http("web", 80, "hello")
    for address, own, leaving in (
        (NEIGHBOUR4, HOST4, "192.0.2.77"),
        (f"[{NEIGHBOUR6}]", f"[{HOST6}]", "2001:db8:1::77"),
    ):
        assert private_host.fetch("web", f"http://{address}/").splitlines()[1] == leaving
        assert private_host.fetch("stranger", f"http://{address}/").splitlines()[1] == own.strip("[]")
        assert neighbour.fetch(None, f"http://{own}:8080/")
    private_host.sh("ip address delete 192.0.2.77/24 dev eth0; ip address delete 2001:db8:1::77/64 dev eth0")
    warnings = private_host.apply(document(host_ipv4="192.0.2.77"))["warnings"]
    assert (
        len(warnings) == 1
        and "network front have the source address 192.0.2.77, but this host has no such address" in warnings[0]
    )


def test_a_port_is_open_to_those_that_are_named(private_host):
    """source_ranges: by address before translation, of both families; this host itself always may."""
    private_host.apply(
        document(
            ports=[
                {"target": 80, "published": 8080, "source_ranges": [NEIGHBOUR4, "2001:db8:1::/64"]},
                {"target": 80, "published": 8081, "source_ranges": ["198.51.100.0/24"]},
                "8082:80",
            ]
        )
    )
    private_host.serve_http("web", 80, "hello")
    neighbour = private_host.neighbour()
    assert neighbour.fetch(None, f"http://{HOST4}:8080/") and neighbour.fetch(None, f"http://[{HOST6}]:8080/")
    for address in (HOST4, f"[{HOST6}]"):
        assert neighbour.fetch(None, f"http://{address}:8081/", wait=1) is None
        assert neighbour.fetch(None, f"http://{address}:8082/") and private_host.fetch(None, f"http://{address}:8081/")
        assert private_host.fetch("stranger", f"http://{address}:8080/", wait=1) is None
        assert private_host.fetch("stranger", f"http://{address}:8082/")
    assert (
        "198.51.100.1"
        in private_host.neighbour()
        .run(["curl", "-s", "--max-time", "3", "--interface", "198.51.100.1", f"http://{HOST4}:8081/"])
        .stdout
    )


@pytest.mark.parametrize("how", [{"mode": "routed"}, {"trusted_host_interfaces": ["eth0"]}], ids=["routed", "trusted"])
def test_source_ranges_apply_to_a_sandboxs_own_address(private_host, how):
    """source_ranges: no way around it by a route, in either family; ranges within each other are one.

    For the named it answers, as another port does.
    """
    for guests, expected in ((["192.0.2.0/24", "192.0.0.0/16", "2001:db8:1::/64"], True), (["198.51.100.0/24"], False)):
        served(private_host, ports=[{"target": 80, "published": 8080, "source_ranges": guests}, "81:81"], **how)
        for address in (WEB[0], f"[{WEB[1]}]"):
            place = private_host.neighbour()
            assert (place.fetch(None, f"http://{address}/", wait=1) is not None) == expected, (guests, address)
            assert place.fetch(None, f"http://{address}:81/") and private_host.fetch(None, f"http://{address}/")
        private_host.stop_servers()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_port_range_is_one_set_element(private_host, protocol):
    """A range that keeps its numbers, one that is shifted, on all addresses and on one; its neighbours stay closed."""
    suffix = f"/{protocol}"
    private_host.apply(
        document(
            ports=[
                "7000-7999:7000-7999" + suffix,
                "8000-8002:9000-9002" + suffix,
                "192.0.2.2:6000-6010:6000-6010" + suffix,
            ]
        )
    )
    serve = private_host.serve_http if protocol == "tcp" else private_host.serve_udp
    for port in (7000, 7500, 7999, 9000, 9002, 6000, 6010):
        serve("web", port, str(port))
    neighbour = private_host.neighbour()

    def ask(port, address=HOST4):
        shown = f"[{address}]" if ":" in address else address
        answer = (
            neighbour.fetch(None, f"http://{shown}:{port}/")
            if protocol == "tcp"
            else neighbour.ask_udp(None, address, port)
        )
        return answer and answer.splitlines()[0]

    assert [ask(port) for port in (7000, 7500, 7999, 8000, 8002, 6000, 6010)] == [
        "7000",
        "7500",
        "7999",
        "9000",
        "9002",
        "6000",
        "6010",
    ]
    assert [ask(port, HOST6) for port in (7000, 7999, 8002, 6000)] == ["7000", "7999", "9002", None]
    assert [ask(port) for port in (6999, 8003, 9000, 6011)] == [None] * 4
    text = private_host.sh("nft list map inet dockless ranges4; nft list map inet dockless published4")
    assert f"{protocol} . 7000-7999 : 172.30.10.11" in text and "7500" not in text


def test_enabling_forwarding_does_not_make_the_host_a_router(private_host):
    """What others send through this host is dropped if it was no router before, and passes if it was, or if that is
    asked for.
    """
    private_host.sh(
        "ip netns add beyond; ip link add up2 type veth peer name up2 netns beyond; "
        "ip address add 203.0.113.2/24 dev up2; ip link set up2 up"
    )
    private_host.sh(
        "ip link set lo up; ip address add 203.0.113.9/24 dev up2; ip link set up2 up; "
        "ip route add default via 203.0.113.2",
        netns="beyond",
    )
    neighbour = private_host.neighbour()
    neighbour.sh(f"ip route replace 203.0.113.0/24 via {HOST4}")
    private_host.apply(document())
    assert neighbour.ping(None, "203.0.113.9")
    private_host.sh(
        'mkdir -p /var/lib/dockless; echo \'{"sysctls": {"net.ipv4.ip_forward": {"before": "0", "along": {}, '
        '"set": "1"}}}\' '
        ">/var/lib/dockless/prerequisites.json"
    )
    assert private_host.apply(document())["changed"]
    assert not neighbour.ping(None, "203.0.113.9", wait=1)
    private_host.serve_http("web", 80, "hello")
    assert neighbour.fetch(None, f"http://{HOST4}:8080/") and private_host.ping("web", "203.0.113.9")
    private_host.apply({**document(), "defaults": {"ip_forward_no_drop": True}})
    assert neighbour.ping(None, "203.0.113.9")
    private_host.apply({**document(), "defaults": {}})
    assert not neighbour.ping(None, "203.0.113.9", wait=1)
    private_host.sh(
        "nft delete table inet dockless-transit; rm -r /var/lib/dockless; ip link delete up2; ip netns delete beyond"
    )
    neighbour.sh("ip route delete 203.0.113.0/24")


def test_port_on_a_missing_host_address_is_a_warning(private_host):
    """It may come later; one that is there, and loopback, bring no warning."""
    answer = private_host.apply(
        document(ports=["198.51.100.77:8080:80", f"{HOST4}:8081:80", "127.0.0.1:8082:80", "172.30.10.1:8083:80"])
    )
    told = [line for line in answer["warnings"] if "this host has no such address" in line]
    assert len(told) == 1 and "Ports of sandbox web are published on 198.51.100.77" in told[0]
