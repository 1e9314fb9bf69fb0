# SPDX-License-Identifier: GPL-3.0-or-later
"""Services over whole runs: connections counted by where they arrive, from the client that they come from."""

from __future__ import annotations

import collections
import copy
import json

import pytest

from support import private_fleet
from support.private_host import PYTHON, SYSTEM_PYTHON

VIP, VIP6 = "10.60.0.250", "fd00:60::250"
_SERVE = """
import selectors, socket, sys
name, port = sys.argv[1].encode(), int(sys.argv[2])
waiting = selectors.DefaultSelector()
listener = socket.create_server(("::", port), family=socket.AF_INET6, backlog=512, dualstack_ipv6=True)
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.bind(("::", port))
for one in (listener, datagrams):
    waiting.register(one, selectors.EVENT_READ)
print("ready", flush=True)
def told(peer):
    return name + b" " + peer[0].replace("::ffff:", "").encode() + b"\\n"
while True:
    for key, events in waiting.select():
        one = key.fileobj
        if one is listener:
            new, peer = one.accept()
            waiting.register(new, selectors.EVENT_READ)
            new.sendall(told(peer))
        elif one is datagrams:
            data, peer = one.recvfrom(2048)
            one.sendto(told(peer), peer)
        else:
            data = one.recv(2048)
            if data:
                one.sendall(name + b" " + data)
            else:
                waiting.unregister(one)
                one.close()
"""
_ASK = """
import json, socket, sys
kind, address, port, times, source = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
answers, datagrams = [], []
for number in range(times):
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
        if kind == "udp":
            datagrams.append(s.dup())  # open to the end: a port that chance gives again is no new connection
        s.settimeout(4)
        if source:
            s.bind((source, 0))
        try:
            s.connect((address, port))
            if kind == "udp":
                s.send(b"?")
            answers.append(s.recv(2048).decode().strip())
        except OSError as error:
            answers.append(type(error).__name__)
print(json.dumps(answers))
"""
# One connection that is kept and talked through, and new ones beside it, until the file is there; every answer is told.
_TRAFFIC = """
import os, socket, sys
address, port, stop = sys.argv[1], int(sys.argv[2]), sys.argv[3]
kept = socket.create_connection((address, port), timeout=5)
print("kept", kept.recv(2048).decode().split()[0], flush=True)
count = lost = 0
while not os.path.exists(stop):
    count += 1
    try:
        with socket.create_connection((address, port), timeout=5) as new:
            assert new.recv(2048)
    except (OSError, AssertionError) as error:
        lost += 1
        print("lost", repr(error), file=sys.stderr)
    if count % 20 == 0:
        print("tick", count, flush=True)
kept.sendall(b"still")
print(kept.recv(2048).decode(), count, lost, flush=True)
"""


def shop(service=None, **more):
    """Return a project with three sandboxes behind a service, and two clients."""
    spec = {"vip": [VIP, VIP6], "ports": [80, "53:80/udp", "8080:80"], **(service or {})}
    return {
        "networks": {
            "front": {
                "ipam": {"config": [{"subnet": "10.60.0.0/24"}, {"subnet": "fd00:60::/64"}]},
                "services": {"web": spec},
            }
        },
        "sandboxes": {
            **{name: {"networks": {"front": {"aliases": ["web"]}}} for name in ("web1", "web2", "web3")},
            "cli": {"networks": ["front"]},
            "cli2": {"networks": ["front"]},
            **more,
        },
    }


def serve(host, *names):
    """Start a server in each sandbox."""
    for name in names:
        assert host.popen([SYSTEM_PYTHON, "-c", _SERVE, name, "80"], netns=name).readline() == "ready"


def ask(host, client, address, port, times=1, kind="tcp", source=""):
    """Return the answers to connections of their own, one after the other."""
    return json.loads(
        host.run([SYSTEM_PYTHON, "-c", _ASK, kind, address, str(port), str(times), source], netns=client).stdout
    )


def counts(answers):
    """Return how many connections each sandbox had."""
    return dict(collections.Counter(answer.split()[0] for answer in answers))


def addresses(result, sandbox):
    """Return the addresses that a run gave to a sandbox."""
    return next([a.partition("/")[0] for a in e["addresses"]] for e in result["endpoints"] if e["sandbox"] == sandbox)


def first_answers(host, client, name, behind):
    """Return which address stands first in how many of three hundred answers, each of which has all of them."""
    lines = host.sh(f"for n in $(seq 300); do echo {name} A; done | dig +short @127.0.0.11 -f -", netns=client).split()
    assert len(lines) == 300 * behind
    return dict(collections.Counter(lines[::behind]))


def services(host):
    """Return the services of the network as network_info reports them."""
    done = host.python(
        "import json\nfrom _dockless.engine.info import read_info\n"
        "print(json.dumps(read_info()['networks'][0]['services']))"
    )
    return json.loads(done.stdout)


def test_connections_are_shared_evenly_and_come_from_the_client(private_host):
    """TCP, UDP and another port, IPv4 and IPv6: exact thirds. The table is what a second run wants."""
    result = private_host.apply(shop())
    assert private_host.apply(shop())["changed"] is False
    serve(private_host, "web1", "web2", "web3")
    own = addresses(result, "cli")
    for vip, client in zip((VIP, VIP6), own):
        for port, kind in ((80, "tcp"), (53, "udp"), (8080, "tcp")):
            answers = ask(private_host, "cli", vip, port, 300 if (vip, port) == (VIP, 80) else 30, kind)
            each = len(answers) // 3
            assert counts(answers) == {"web1": each, "web2": each, "web3": each}, (vip, port)
            assert {answer.split()[1] for answer in answers} == {client}
    assert private_host.ping("cli", VIP) and private_host.ping("cli", VIP6)


def test_names_of_a_service_and_of_what_is_behind_it(private_host):
    """The name has the virtual addresses alone; those behind it are tasks.NAME.

    Each address has a reverse name of its own.
    """
    result = private_host.apply(shop())
    behind = sorted(a for name in ("web1", "web2", "web3") for a in addresses(result, name))
    for name in ("web", "web.front"):
        assert private_host.lookup("cli", name) == sorted([VIP, VIP6])
    for name in ("tasks.web", "tasks.web.front"):
        assert private_host.lookup("cli", name) == behind
    for address, name in ((VIP, "web.front"), (addresses(result, "web2")[0], "web2.front")):
        assert private_host.sh(f"dig +short -x {address} @127.0.0.11", netns="cli") == name + "."
    assert private_host.lookup("cli", "web2") == sorted(addresses(result, "web2"))
    assert services(private_host)["web"]["vip"] == [VIP, VIP6]


def test_weights_and_drain_with_an_open_connection(private_host):
    """Two of three to the heavier one. A drained sandbox keeps what it has and gets nothing new."""
    private_host.apply(shop({"sandboxes": {"web1": {"weight": 4}, "web2": {"weight": 2}}}))
    serve(private_host, "web1", "web2", "web3")
    assert counts(ask(private_host, "cli", VIP, 80, 60)) == {"web1": 40, "web2": 20}
    private_host.apply(shop({"sandboxes": ["web3"]}))
    held = private_host.popen([SYSTEM_PYTHON, "-c", _TRAFFIC, VIP, "80", "/run/stop"], netns="cli")
    assert held.readline() == "kept web3" and held.readline() == "tick 20"
    result = private_host.apply(shop({"sandboxes": {"web3": {"drain": True}, "web1": {}}}))
    assert [line for line in result["operations"] if "nft table" not in line] == [
        "update file /run/dockless/dns/networks/shop.front/shop@46 (content differs)",
        "record project shop",
    ]
    assert counts(ask(private_host, "cli", VIP, 80, 20)) == {"web1": 20}
    private_host.run(["touch", "/run/stop"])
    lines = [held.readline()]
    while lines[-1].startswith("tick"):
        lines.append(held.readline())
    assert lines[-1].startswith("web3 still ") and lines[-1].endswith(" 0")
    behind = services(private_host)["web"]["sandboxes"]
    assert {name: (one["weight"], one["drain"]) for name, one in behind.items()} == {
        "web1": (1, False),
        "web3": (1, True),
    }


def test_a_sticky_service_sends_a_client_to_one_sandbox(private_host):
    """By address, over both ports; when another leaves, it stays; when its own leaves, it moves on."""
    private_host.apply(shop({"sticky": True}))
    serve(private_host, "web1", "web2", "web3")
    ((first, number),) = counts(ask(private_host, "cli", VIP, 80, 30) + ask(private_host, "cli", VIP, 8080, 30)).items()
    assert number == 60
    others = [name for name in ("web1", "web2", "web3") if name != first]
    private_host.apply(shop({"sticky": True, "sandboxes": [first, others[0]]}))
    assert counts(ask(private_host, "cli", VIP, 80, 10)) == {first: 10}
    private_host.apply(shop({"sticky": True, "sandboxes": others}))
    ((second, number),) = counts(ask(private_host, "cli", VIP, 80, 10)).items()
    assert second in others and number == 10


def test_clients_with_many_addresses_are_spread_by_them(private_host):
    """Sixty addresses of one sandbox stand for sixty clients: all are used, none has more than three in five."""
    document = shop({"sticky": True})
    for network in document["networks"].values():
        network["port_security"] = False  # or none but the addresses that were given could be used
    private_host.apply(document)
    serve(private_host, "web1", "web2", "web3")
    private_host.sh("for n in $(seq 100 159); do ip address add 10.60.0.$n/32 dev eth0; done", netns="cli")
    found = counts(
        answer for n in range(100, 160) for answer in ask(private_host, "cli", VIP, 80, source=f"10.60.0.{n}")
    )
    assert set(found) == {"web1", "web2", "web3"} and max(found.values()) <= 36, found


@pytest.mark.smoke
def test_a_client_that_is_behind_the_service_itself(private_host):
    """Its own part of the connections stays inside, with its own address."""
    result = private_host.apply(shop())
    serve(private_host, "web1", "web2", "web3")
    answers = ask(private_host, "web1", VIP, 80, 30)
    assert counts(answers) == {"web1": 10, "web2": 10, "web3": 10}
    assert {answer.split()[1] for answer in answers} == {addresses(result, "web1")[0]}


@pytest.mark.parametrize("sandboxes", [[], {"web1": {"drain": True}}], ids=["empty", "drained"])
def test_a_service_with_nobody_behind_it_refuses_at_once(private_host, sandboxes):
    """A reset, or for datagrams no permission to send, rather than a search for a neighbour.

    So does a port that is not served.
    """
    private_host.apply(shop({"sandboxes": sandboxes}))
    serve(private_host, "web1", "web2", "web3")
    for vip in (VIP, VIP6):
        assert ask(private_host, "cli", vip, 80, 2) == ["ConnectionRefusedError"] * 2
        assert ask(private_host, "cli", vip, 53, 2, "udp") == ["PermissionError"] * 2
        assert not private_host.ping("cli", vip, wait=1)
    private_host.apply(shop())
    assert ask(private_host, "cli", VIP, 81) == ask(private_host, "cli", VIP6, 81) == ["ConnectionRefusedError"]
    assert counts(ask(private_host, "cli", VIP, 80, 3)) == {"web1": 1, "web2": 1, "web3": 1}
    private_host.sh(
        "nft delete chain inet dockless unserved", netns="cli"
    )  # without it the kernel looks for the address
    assert ask(private_host, "cli", VIP, 81) in (["OSError"], ["TimeoutError"])
    assert private_host.apply(shop())["changed"] is True and private_host.apply(shop())["changed"] is False


def test_changes_under_traffic_lose_no_connection(private_host):
    """Sandboxes come behind a service and leave it while connections are made through it, one of them kept all
    along.
    """
    few, all_three = shop({"sandboxes": ["web1"]}), shop()
    private_host.apply(few)
    serve(private_host, "web1", "web2", "web3")
    client = private_host.popen([SYSTEM_PYTHON, "-c", _TRAFFIC, VIP, "80", "/run/stop"], netns="cli")
    assert client.readline() == "kept web1" and client.readline() == "tick 20"
    for document in (all_three, few, all_three, shop({"sandboxes": ["web2", "web3"]})):
        assert private_host.apply(document)["changed"] is True
    private_host.run(["touch", "/run/stop"])
    line = client.readline()
    while line.startswith("tick"):
        line = client.readline()
    name, word, number, lost = line.split()
    assert (name, word, lost) == ("web1", "still", "0") and int(number) > 50


def test_a_mutated_table_is_noticed_by_the_counts_and_repaired(private_host):
    """The even distribution is that of our rule: with another map the counts differ, and a run puts it back."""
    private_host.apply(shop())
    serve(private_host, "web1", "web2", "web3")
    text = private_host.sh("nft -s list table inet dockless", netns="cli")
    assert text.count("numgen inc mod 3") == 4
    chain = next(line.split()[1] for line in text.splitlines() if line.strip().startswith("chain to_web_"))
    address = addresses(private_host.apply(shop()), "web2")[0]
    private_host.run(
        ["nft", "-f", "-"],
        netns="cli",
        input="".join(
            f"flush chain inet dockless {one}\nadd rule inet dockless {one} dnat ip to {address}\n" for one in (chain,)
        ),
    )
    first = counts(ask(private_host, "cli", VIP, 80, 30)), counts(ask(private_host, "cli", VIP, 8080, 30))
    assert {"web2": 30} in first
    assert [line for line in private_host.apply(shop())["operations"] if "cli" in line] == [
        "update nft table inet dockless in cli (content differs)"
    ]
    assert counts(ask(private_host, "cli", VIP, 80, 30)) == {"web1": 10, "web2": 10, "web3": 10}


def _tables_asked_for(host, document):
    """Apply and return how many tables the run itself read, not the processes of nft that it starts."""
    host.run(["tee", "/run/document"], input=json.dumps(document))
    host.sh(
        f"strace -D -f -qq -s 200 -e trace=execve,sendto -o /run/calls {PYTHON} -m _dockless.cli apply --project shop "
        "/run/document >/run/said"
    )
    calls = host.read("/run/calls")
    host.sh("rm /run/document /run/calls /run/said")
    assert 'nft", "-f"' in calls, "the control: the run loads tables"
    of_nft = {line.split()[0] for line in calls.splitlines() if 'nft", "-f"' in line}
    # NFT_MSG_GETRULE: strace does not know the protocol of a socket in another namespace.
    asked = [line for line in calls.splitlines() if "NFT_MSG_GETRULE" in line or "nlmsg_type=0xa07 " in line]
    return len([line for line in asked if line.split()[0] not in of_nft])


def test_a_change_asks_for_no_table_that_is_as_we_loaded_it(private_host):
    """A hundred clients of a thousand services would be asked for a hundred large tables, only to replace them all."""
    changed = shop(service={"ports": ["81"]})
    for document in (changed, shop()):  # after these, the fingerprint of each table is known
        private_host.apply(document)
    assert _tables_asked_for(private_host, changed) == 0
    private_host.sh("nft add chain inet dockless another", netns="cli")  # the control
    assert _tables_asked_for(private_host, shop()) == 1
    assert not private_host.apply(shop())["changed"]


def test_an_address_is_chosen_kept_and_given_to_nobody_else(private_host):
    """From the top end of the subnet, without ports for any port, and without names as well; gone with the service."""
    document = {
        "networks": {
            "tiny": {
                "dns_enabled": False,
                "ipam": {"config": [{"subnet": "10.61.0.0/29"}]},
                "services": {"web": {"sandboxes": ["b1"]}},
            }
        },
        "sandboxes": {"b1": {"networks": ["tiny"]}, "c1": {"networks": ["tiny"]}},
    }
    private_host.apply(document)
    assert services(private_host)["web"]["vip"] == ["10.61.0.6"]
    serve(private_host, "b1")
    assert counts(ask(private_host, "c1", "10.61.0.6", 80, 3)) == {"b1": 3} and ask(
        private_host, "c1", "10.61.0.6", 81
    ) == ["ConnectionRefusedError"]
    assert private_host.run(["pgrep", "dnsmasq"], check=False).stdout == ""
    more = copy.deepcopy(document)
    more["sandboxes"].update({name: {"networks": ["tiny"]} for name in ("d1", "d2")})
    private_host.apply(more)
    more["sandboxes"]["d3"] = {"networks": ["tiny"]}
    assert "no free address left" in private_host.refusal(more)
    del document["networks"]["tiny"]["services"]
    private_host.apply(document)
    assert private_host.run(["nft", "list", "tables"], netns="c1").stdout == ""


def test_names_alone_share_by_the_order_of_answers(private_host):
    """Mode dnsrr, and an alias of several sandboxes: every address in each answer, each as often first."""
    document = shop(
        {"mode": "dnsrr", "vip": None, "ports": None, "sandboxes": {"web1": {}, "web2": {}, "web3": {"drain": True}}}
    )
    for name in ("web1", "web2", "web3"):
        document["sandboxes"][name]["networks"]["front"]["aliases"].append("other")
    result = private_host.apply(document)
    assert first_answers(private_host, "cli", "web", 2) == {
        addresses(result, name)[0]: 150 for name in ("web1", "web2")
    }
    assert first_answers(private_host, "cli", "other", 3) == {
        addresses(result, name)[0]: 100 for name in ("web1", "web2", "web3")
    }
    assert "numgen" not in private_host.sh("nft list table inet dockless", netns="cli")


def test_a_sandbox_of_another_project_uses_the_service_and_is_behind_it(private_host):
    """A service is its network's: whoever is on it is a client, and may be behind it by its alias."""
    private_host.apply(shop())
    blog = {
        "networks": {"front": {"external": True, "name": "shop/front"}},
        "sandboxes": {"wp": {"networks": {"front": {"aliases": ["web"]}}}},
    }
    private_host.apply(blog, project="blog")
    serve(private_host, "web1", "web2", "web3", "wp")
    assert counts(ask(private_host, "wp", VIP, 80, 40)) == dict.fromkeys(("web1", "web2", "web3", "wp"), 10)
    private_host.apply(shop())
    assert counts(ask(private_host, "cli", VIP, 80, 40)) == dict.fromkeys(("web1", "web2", "web3", "wp"), 10)


def over_hosts(number, mode, service, internal=False, hosts=(1, 2, 3)):
    """Return the document of one of some hosts: cli1, cli2 and cli3, and web1 to web3 behind a service."""

    def address(host, last):
        return f"10.62.{host}.{last}"

    peers = {
        f"host{other}": {
            "vtep": private_fleet.address(other),
            "sandboxes": {
                f"web{other}": {"addresses": [address(other, 2)], "aliases": ["web"]},
                f"cli{other}": {"addresses": [address(other, 3)]},
            },
            **({"subnets": [f"10.62.{other}.0/24"]} if mode == "routed" else {}),
        }
        for other in hosts
        if other != number
    }
    subnet = {"subnet": "10.62.0.0/16", "ip_range": f"10.62.{number}.0/24"}
    return {
        "networks": {
            "wide": {
                "driver": "overlay",
                "mode": mode,
                "vni": 400,
                "vtep": private_fleet.address(number),
                "peers": peers,
                "internal": internal,
                "ipam": {"config": [subnet]},
                "services": {"web": service},
            }
        },
        "sandboxes": {
            name: {"networks": {"wide": {"ipv4_address": address(number, last), "aliases": aliases}}}
            for name, last, aliases in ((f"web{number}", 2, ["web"]), (f"cli{number}", 3, []))
        },
    }


@pytest.mark.parametrize(
    "mode, internal", [("l2", False), ("routed", False), ("routed", True)], ids=["l2", "routed", "routed, internal"]
)
def test_a_service_over_hosts(fleet, mode, internal):
    """One of each three connections to each host, from every host, by the client's own address.

    Drained elsewhere as well.
    """
    service = {"vip": "10.62.255.10", "ports": [80]}
    for number, host in enumerate(fleet.hosts, 1):
        host.apply(over_hosts(number, mode, service, internal))
        serve(host, f"web{number}")
    for number, host in enumerate(fleet.hosts, 1):
        answers = ask(host, f"cli{number}", "10.62.255.10", 80, 30)
        assert counts(answers) == {"web1": 10, "web2": 10, "web3": 10}
        assert {answer.split()[1] for answer in answers} == {f"10.62.{number}.3"}
        assert host.lookup(f"cli{number}", "web") == ["10.62.255.10"]
        assert host.lookup(f"cli{number}", "tasks.web") == ["10.62.1.2", "10.62.2.2", "10.62.3.2"]
    first = fleet.hosts[0]
    first.apply(
        over_hosts(
            1, mode, {**service, "sandboxes": {"web1": {}, "web2": {"drain": True}, "web3": {"weight": 2}}}, internal
        )
    )
    assert counts(ask(first, "cli1", "10.62.255.10", 80, 30)) == {"web1": 10, "web3": 20}


def test_a_host_chooses_from_what_is_its_own(fleet):
    """Two hosts that choose for themselves never choose one address, and names alone are shared out over hosts as
    well.
    """
    for number, host in enumerate(fleet.hosts[:2], 1):
        host.apply(over_hosts(number, "l2", {}, hosts=(1, 2)))
        serve(host, f"web{number}")
    for number, host in enumerate(fleet.hosts[:2], 1):
        assert services(host)["web"]["vip"] == [f"10.62.{number}.255"]
        assert counts(ask(host, f"cli{number}", f"10.62.{number}.255", 80, 4)) == {"web1": 2, "web2": 2}
    first = fleet.hosts[0]
    first.apply(over_hosts(1, "l2", {"mode": "dnsrr"}))
    assert first_answers(first, "cli1", "web", 3) == {f"10.62.{number}.2": 100 for number in (1, 2, 3)}
