# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of podman, docker and systemd-nspawn in a sandbox: with the options that README names, names are those
of the sandbox.

`make runtimes` brings the programs and runs this; without them it is left out, as nothing else needs them.
"""

from __future__ import annotations

import shutil

import pytest

from support import containers
from support.containers import IMAGE

DOCUMENT = {
    "networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
    "sandboxes": {"web": {"networks": {"front": {"ipv4_address": "172.20.0.10"}}}, "cli": {"networks": ["front"]}},
}
MOUNTS = [("/etc/netns/cli/resolv.conf", "/etc/resolv.conf"), ("/etc/netns/cli/hosts", "/etc/hosts")]
LOOKUP = "getent ahostsv4 web; getent hosts cli; getent hosts nobody || echo $?"
KNOWN = ["172.20.0.10", "cli", "2"]
_PODMAN = [
    "podman",
    "--root=/run/podman/root",
    "--runroot=/run/podman/run",
    "--storage-driver=vfs",
    "--cgroup-manager=cgroupfs",
    "--events-backend=file",
    "run",
    "--rm",
    "--cgroups=disabled",
    "--network=ns:/run/netns/cli",
]
_NSPAWN = [
    "systemd-nspawn",
    "--quiet",
    "--register=no",
    "--keep-unit",
    f"--directory={IMAGE}",
    "--pipe",
    "--network-namespace-path=/run/netns/cli",
]


def needs(*programs):
    """Leave a test out where a program is missing."""
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(
        bool(missing),
        reason=f"{', '.join(missing)} not installed; `make runtimes` installs what these tests need and runs them",
    )


def answers(said):
    """Return the address of web, our own name and the answer to an unknown one, from what LOOKUP says."""
    lines = [line.split() for line in said.splitlines()]
    return [lines[0][0], lines[-2][-1], lines[-1][0]]


@pytest.fixture(name="runtimes", scope="module")
def _runtimes():
    """Return a private host with two sandboxes, where containers can be run."""
    with containers.Containers() as made:
        made.host.apply(DOCUMENT)
        yield made


def podman(runtimes, *options, command=LOOKUP):
    """Return what a shell in a container says."""
    return runtimes.host.run(
        runtimes.inside([*_PODMAN, *options, "--rootfs", IMAGE, "/bin/bash", "-c", command]), timeout=30
    ).stdout


@needs("podman", "crun")
@pytest.mark.parametrize(
    "options",
    [
        ["--dns=127.0.0.11", "--dns-option=ndots:0", "--hostname=cli"],
        ["--hostname=cli", *(f"--volume={there}:{here}:ro" for there, here in MOUNTS)],
    ],
    ids=["dns", "files"],
)
def test_podman_in_a_sandbox(runtimes, options):
    """podman takes 127.0.0.11 for a server of the host's that is out of reach, unless --dns names it."""
    assert answers(podman(runtimes, *options)) == KNOWN


@needs("podman", "crun")
def test_podman_without_dns_option_asks_other_servers(runtimes):
    """Why README names those options: without them this version writes servers of its own choice."""
    text = podman(runtimes, command='echo "$(</etc/resolv.conf)"')
    assert "nameserver" in text and "127.0.0.11" not in text


@needs("systemd-nspawn")
def test_nspawn_in_a_sandbox(runtimes):
    """systemd-nspawn(1) copies the host's resolv.conf unless an option says otherwise."""
    options = ["--resolv-conf=off", "--hostname=cli", *(f"--bind-ro={there}:{here}" for there, here in MOUNTS)]
    below = [
        "bash",
        "-euc",
        'mkdir "$0"; echo $$ >"$0/cgroup.procs"; exec "$@"',
        runtimes.cgroup + "/nspawn",
    ]  # it reckons from process 1's cgroup
    said = runtimes.host.run([*below, *_NSPAWN, *options, "/bin/bash", "-c", LOOKUP]).stdout
    assert answers(said) == KNOWN


@needs("dockerd", "docker", "runc")
def test_docker_container_that_networks_are_attached_to(runtimes):
    """docker can't be given a namespace: a container without a network is attached, and given its resolver by an
    option.
    """
    runtimes.docker()
    host = runtimes.host
    host.sh(
        "docker run --detach --network=none --dns=127.0.0.11 --dns-opt=ndots:0 --name=cli2 image /usr/bin/sleep 600"
    )
    host.apply(
        {
            **DOCUMENT,
            "sandboxes": {**DOCUMENT["sandboxes"], "cli2": {"networks": ["front"], "attach": {"docker": "cli2"}}},
        }
    )
    said = host.run(["docker", "exec", "cli2", "/bin/bash", "-c", LOOKUP.replace("cli", "cli2")]).stdout
    host.apply(DOCUMENT)
    host.sh("docker rm --force cli2")
    assert answers(said) == ["172.20.0.10", "cli2", "2"]
