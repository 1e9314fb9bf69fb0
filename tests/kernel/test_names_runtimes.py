# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers of podman, docker and systemd-nspawn in a sandbox: with the options that README names, names are those of the sandbox.

`make runtimes` brings the programs and runs this; without them it is left out, as nothing else needs them.
"""
from __future__ import annotations

import os
import shutil
import typing as t

import hosts
import pytest

DOCUMENT = {"networks": {"front": {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}}},
            "sandboxes": {"web": {"networks": {"front": {"ipv4_address": "172.20.0.10"}}}, "cli": {"networks": ["front"]}}}
IMAGE = "/run/image"
MOUNTS = [("/etc/netns/cli/resolv.conf", "/etc/resolv.conf"), ("/etc/netns/cli/hosts", "/etc/hosts")]
LOOKUP = "getent ahostsv4 web; getent hosts cli; getent hosts nobody || echo $?"
KNOWN = ["172.20.0.10", "cli", "2"]
_PODMAN = ["podman", "--root=/run/podman/root", "--runroot=/run/podman/run", "--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file", "run", "--rm",
           "--cgroups=disabled", "--network=ns:/run/netns/cli"]
_NSPAWN = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--directory={IMAGE}", "--pipe", "--network-namespace-path=/run/netns/cli"]
_DOCKERD = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", "--data-root=/run/docker/data", "--exec-root=/run/docker/exec",
            "--pidfile=/run/docker.pid", "--host=unix:///run/docker.sock"]
_MAKE_IMAGE = """
mkdir -p {image}/etc {image}/proc {image}/sys {image}/dev {image}/run {image}/tmp {image}/usr/bin
programs='/bin/bash /usr/bin/getent /usr/bin/sleep'
cp --parents $programs $(ldd $programs | grep -o "/[^ ]*[.]so[^ ]*" | sort -u) $(ldconfig -p | grep -oE "/.*libnss_(dns|files)[.]so[^ ]*") {image}
echo ID=none >{image}/etc/os-release
"""


def needs(*programs):
    """Leave a test out where a program is missing."""
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed; `make runtimes` installs what these tests need and runs them")


def answers(said: str) -> t.List[str]:
    """Return the address of web, our own name and the answer to an unknown one, from what LOOKUP says."""
    lines = [line.split() for line in said.splitlines()]
    return [lines[0][0], lines[-2][-1], lines[-1][0]]


class Runtimes:
    """A private host with two sandboxes, an image, and a cgroup that holds what its containers make of cgroups."""

    def __init__(self, host: hosts.PrivateHost) -> None:
        self.host = host
        self.cgroup = f"/sys/fs/cgroup/dockless-test-{os.getpid()}"
        host.sh(f"mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir {self.cgroup}")
        host.sh(_MAKE_IMAGE.format(image=IMAGE))
        host.apply(DOCUMENT)

    def inside(self, argv: t.Sequence[str]) -> t.List[str]:
        """Return the command that runs argv below our cgroup, which it takes for the topmost."""
        return ["bash", "-euc", 'echo $$ >"$0/cgroup.procs"; exec unshare --cgroup --mount bash -euc "$@"', self.cgroup,
                "umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/init; echo $$ >/sys/fs/cgroup/init/cgroup.procs; exec \"$@\"", "-", *argv]

    def say(self, argv: t.Sequence[str]) -> str:
        """Return what a command there says."""
        return self.host.run(self.inside(argv), timeout=30).stdout


@pytest.fixture(name="runtimes", scope="module")
def _runtimes():
    with hosts.PrivateHost() as host:
        made = Runtimes(host)
        yield made
        host.stop_servers()
        host.sh(f"find {made.cgroup} -depth -type d -exec rmdir {{}} +")


@needs("podman", "crun")
@pytest.mark.parametrize("options", [["--dns=127.0.0.11", "--dns-option=ndots:0", "--hostname=cli"],
                                     ["--hostname=cli", *(f"--volume={there}:{here}:ro" for there, here in MOUNTS)]], ids=["dns", "files"])
def test_podman_in_a_sandbox(runtimes, options):
    """podman takes 127.0.0.11 for a server of the host's that is out of reach, unless it is told."""
    assert answers(runtimes.say([*_PODMAN, *options, "--rootfs", IMAGE, "/bin/bash", "-c", LOOKUP])) == KNOWN


@needs("podman", "crun")
def test_podman_that_is_not_told_asks_others(runtimes):
    """Why README names those options: without them this version writes servers of its own choice."""
    text = runtimes.say([*_PODMAN, "--rootfs", IMAGE, "/bin/bash", "-c", "echo \"$(</etc/resolv.conf)\""])
    assert "nameserver" in text and "127.0.0.11" not in text


@needs("systemd-nspawn")
def test_nspawn_in_a_sandbox(runtimes):
    """systemd-nspawn(1) copies the host's resolv.conf unless it is told not to."""
    options = ["--resolv-conf=off", "--hostname=cli", *(f"--bind-ro={there}:{here}" for there, here in MOUNTS)]
    below = ["bash", "-euc", 'mkdir "$0"; echo $$ >"$0/cgroup.procs"; exec "$@"', runtimes.cgroup + "/nspawn"]  # it reckons from process 1's cgroup
    said = runtimes.host.run([*below, *_NSPAWN, *options, "/bin/bash", "-c", LOOKUP]).stdout
    assert answers(said) == KNOWN


@needs("dockerd", "docker", "runc")
def test_docker_container_that_networks_are_attached_to(runtimes):
    """docker can't be given a namespace: a container without a network is attached, and told whom to ask."""
    daemon = runtimes.host.popen(runtimes.inside(["bash", "-c", 'exec "$@" 2>&1', "-", *_DOCKERD]))
    while "API listen on" not in daemon.readline():
        assert daemon.pid, "dockerd ended"
    host = runtimes.host
    host.sh(f"tar -C {IMAGE} -c . | docker import - image; docker run --detach --network=none --dns=127.0.0.11 --dns-opt=ndots:0 --name=cli2 image /usr/bin/sleep 600")
    host.apply({**DOCUMENT, "sandboxes": {**DOCUMENT["sandboxes"], "cli2": {"networks": ["front"], "attach": {"docker": "cli2"}}}})
    said = host.run(["docker", "exec", "cli2", "/bin/bash", "-c", LOOKUP.replace("cli", "cli2")]).stdout
    host.apply(DOCUMENT)
    host.sh("docker rm --force cli2")
    assert answers(said) == ["172.20.0.10", "cli2", "2"]
