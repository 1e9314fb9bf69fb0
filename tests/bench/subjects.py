# SPDX-License-Identifier: GPL-3.0-or-later
"""The subjects that are measured: each builds the same endpoints in a private host of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
import typing as t

import engine
import limits

from support.private_host import HOST_ADDRESSES, Failed, PrivateHost

HERE = pathlib.Path(__file__).resolve().parent
VENV = engine.ROOT / ".cache" / "venv" / "bin"
TIMEOUT_S = 1800
OURS, ANSIBLE, IP_BATCH, NETAVARK, CNI = "dockless", "ansible-playbook", "ip-batch", "netavark", "cni"
_PEERS = {IP_BATCH: "ip_batch.sh", NETAVARK: "netavark.sh", CNI: "cni.sh"}
_NEEDS = {  # program: Debian package
    OURS: {"ip": "iproute2", "nft": "nftables"},
    ANSIBLE: {str(VENV / "ansible-playbook"): "", "nft": "nftables"},
    IP_BATCH: {"ip": "iproute2", "nft": "nftables"},
    NETAVARK: {"/usr/lib/podman/netavark": "netavark", "iptables": "iptables"},
    CNI: {
        "/usr/lib/cni/bridge": "containernetworking-plugins",
        "/usr/lib/cni/portmap": "containernetworking-plugins",
        "iptables": "iptables",
    },
}
_NEEDS_FOR_NAMES = {
    OURS: {"dnsmasq": "dnsmasq-base", "dig": "bind9-dnsutils"},
    NETAVARK: {"/usr/lib/podman/aardvark-dns": "aardvark-dns", "dig": "bind9-dnsutils"},
}

Measurement = dict[str, t.Any]  # of measure.py


class Wrong(Exception):
    """A subject failed or did not build what it was asked to; the text says how."""


class Case(t.NamedTuple):
    """One thing to measure: who, how many endpoints, and whether names are served."""

    subject: str
    size: int
    names: bool = False


def missing(subject: str, names: bool) -> list[str]:
    """Return a phrase for each program that a subject needs and this machine lacks."""
    needed = {**_NEEDS[subject], **(_NEEDS_FOR_NAMES.get(subject, {}) if names else {})}
    return [
        f"{program} (Debian package {package})" if package else f"{program} (make it by: make bench)"
        for program, package in needed.items()
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    ]


def measure(case: Case) -> dict[str, Measurement]:
    """Build the case in a private host, check it, and return what each phase took. Raises Wrong."""
    room = (
        limits.room_for_resolvers(case.size + 1)
        if case.names and case.subject in (OURS, ANSIBLE)
        else contextlib.nullcontext()
    )
    try:
        with room, PrivateHost() as host:
            if case.subject == OURS:
                return _measure_ours(host, case)
            return {"cold": _measure_playbook(host, case) if case.subject == ANSIBLE else _measure_peer(host, case)}
    except Failed as error:
        raise Wrong(" ".join(str(error).split())[-600:]) from error


def _measure_peer(host: PrivateHost, case: Case) -> Measurement:
    script = str(HERE / "peers" / _PEERS[case.subject])
    cold, _answer = _run(host, [script, str(case.size)], environment={"NAMES": str(case.names).lower()})
    _check(host, case)
    return cold


def _measure_ours(host: PrivateHost, case: Case) -> dict[str, Measurement]:
    declared = engine.document(case.size, case.names)
    larger = engine.with_one_more(declared)
    phases = {}
    phases["cold"], cold = _converge(host, declared)
    _expect(cold["changed"], "the first run says that it changed nothing")
    _check(host, case)
    phases["no-op"], second = _converge(host, declared)
    _expect(not second["changed"], f"the second run changed: {second['operations'][:3]}")
    phases["one change"], _third = _converge(host, larger)
    _check(host, case._replace(size=case.size + 1))
    phases["teardown"], _fourth = _converge(host, {}, "--absent")
    left = host.sh("ip -o link show type veth | grep -cv eth0 || true") + host.sh("ls -A /run/netns")
    _expect(left == "0", f"the teardown left links or namespaces: {left[:200]}")
    return phases


def _measure_playbook(host: PrivateHost, case: Case) -> Measurement:
    declared = engine.document(case.size, case.names)
    variables = "/run/declared.json"
    host.run(["tee", variables], input=json.dumps({f"declared_{key}": value for key, value in declared.items()}))
    environment = {
        "ANSIBLE_CONFIG": str(engine.ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": "/run/ansible",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCAL_TEMP": "/run/ansible/local",
        "ANSIBLE_REMOTE_TEMP": "/run/ansible/remote",
        "ANSIBLE_COLLECTIONS_PATH": str(engine.ROOT / ".cache" / "tree"),
        "PYTHONPATH": "",
    }
    argv = [
        str(VENV / "ansible-playbook"),
        "--inventory",
        "localhost,",
        "--extra-vars",
        f"@{variables}",
        str(HERE / "playbook.yml"),
    ]
    cold, recap = _run(host, argv, environment=environment)
    _expect("changed=1" in recap, f"ansible-playbook says {recap[-300:]}")
    _check(host, case)
    return cold


def _converge(host: PrivateHost, declared: dict[str, t.Any], *options: str) -> tuple[Measurement, dict[str, t.Any]]:
    taken, answer = _run(
        host,
        [engine.PYTHON, "-m", "_dockless.cli", *engine.arguments(*options)],
        engine.text(declared),
        engine.environment(),
    )
    return taken, json.loads(answer)


def _run(
    host: PrivateHost,
    argv: list[str],
    text: str = "",
    environment: dict[str, str] | None = None,
) -> tuple[Measurement, str]:
    done = host.run(
        [engine.PYTHON, str(HERE / "measure.py"), *argv],
        input=text,
        timeout=TIMEOUT_S,
        env={"PYTHONDONTWRITEBYTECODE": "", **(environment or {})},
    )
    return json.loads(done.stderr.strip().splitlines()[-1]), done.stdout


def _check(host: PrivateHost, case: Case) -> None:
    """Raise Wrong unless all links are there, the last sandbox answers a ping, its port and, with names, its name."""
    last = f"p{case.size}"
    ports = int(host.sh("find /sys/class/net/*/brport -maxdepth 0 | wc -l"))
    _expect(ports == case.size, f"{ports} links are on bridges where there should be {case.size}")
    address = re.search(
        r"inet ([0-9.]+)/", host.run(["ip", "-netns", last, "-4", "-o", "address", "show", "eth0"]).stdout
    )
    if address is None:
        raise Wrong(f"{last} has no address")
    _expect(host.ping(None, address[1], wait=10), f"{last} does not answer a ping")
    server = host.serve_http(last, 80, "here")
    answer = host.neighbour().fetch(None, f"http://{HOST_ADDRESSES[0]}:{engine.FIRST_PORT + case.size}/", wait=5)
    server.stop()
    _expect((answer or "").startswith("here"), f"the published port of {last} does not answer")
    if case.names:
        _check_names(host, case, address[1])


def _check_names(host: PrivateHost, case: Case, address: str) -> None:
    server = "127.0.0.11" if case.subject in (OURS, ANSIBLE) else "10.60.0.1"
    domain = ".dns.podman" if case.subject == NETAVARK else ""
    asking = [f"p{number}" for number in range(1, case.size + 1)] if case.subject == OURS else ["p1", f"p{case.size}"]
    for sandbox in asking:
        answer = host.run(
            ["dig", "+short", "+time=2", "+tries=2", f"@{server}", f"p{case.size}{domain}"], netns=sandbox, check=False
        ).stdout
        _expect(address in answer.split(), f"the resolver of {sandbox} answers {answer!r} for p{case.size}")


def _expect(true: t.Any, otherwise: str) -> None:
    if not true:
        raise Wrong(otherwise)
