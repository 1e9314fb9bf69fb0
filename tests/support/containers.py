# SPDX-License-Identifier: GPL-3.0-or-later
"""A private host that runs containers: an image of a few programs, and one cgroup that holds whatever engines make
of cgroups.
"""

from __future__ import annotations

import os
import types
import typing as t

from support.private_host import Failed, PrivateHost

IMAGE = "/run/image"
_DOCKERD = [
    "dockerd",
    "--iptables=false",
    "--ip6tables=false",
    "--bridge=none",
    "--storage-driver=vfs",
    "--data-root=/run/docker/data",
    "--exec-root=/run/docker/exec",
    "--pidfile=/run/docker.pid",
    "--host=unix:///run/docker.sock",
]
_MAKE_IMAGE = """
mkdir -p {image}/etc {image}/proc {image}/sys {image}/dev {image}/run {image}/tmp {image}/usr/bin
programs='/bin/bash /usr/bin/getent /usr/bin/sleep'
libraries=$(ldd $programs | grep -o "/[^ ]*[.]so[^ ]*" | sort -u)
libraries="$libraries $(ldconfig -p | grep -oE "/.*libnss_(dns|files)[.]so[^ ]*")"
cp --parents $programs $libraries {image}
echo ID=none >{image}/etc/os-release
"""


class Containers:
    """Use it as a context manager; host is the private host."""

    def __init__(self) -> None:
        self.host = PrivateHost()
        self.cgroup = f"/sys/fs/cgroup/dockless-test-{os.getpid()}"
        self.host.sh(f"mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir {self.cgroup}")
        self.host.sh(_MAKE_IMAGE.format(image=IMAGE))

    def __enter__(self) -> Containers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.host.stop_servers()
        self.host.sh(
            f"cat $(find {self.cgroup} -name cgroup.procs) | xargs -r kill -KILL; "
            f"until find {self.cgroup} -depth -type d -exec rmdir {{}} + 2>/dev/null; do sleep 0.1; done"
        )
        self.host.__exit__(kind, error, trace)

    def inside(self, argv: t.Sequence[str]) -> list[str]:
        """Return the command that runs argv below our cgroup, which it takes for the topmost."""
        return [
            "bash",
            "-euc",
            'echo $$ >"$0/cgroup.procs"; exec unshare --cgroup --mount bash -euc "$@"',
            self.cgroup,
            "umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/init; "
            'echo $$ >/sys/fs/cgroup/init/cgroup.procs; exec "$@"',
            "-",
            *argv,
        ]

    def docker(self) -> None:
        """Start Docker, with the image as "image" in it; return when it answers."""
        daemon = self.host.popen(self.inside(["bash", "-c", 'exec "$@" 2>&1', "-", *_DOCKERD]))
        for line in iter(daemon.readline, ""):
            if "API listen on" in line:
                break
        else:
            raise Failed("dockerd ended")
        self.host.sh(f"tar -C {IMAGE} -c . | docker import - image")
