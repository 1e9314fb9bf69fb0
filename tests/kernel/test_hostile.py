# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile text from an inventory: refused with the option's path, and neither the kernel nor a file hears of it."""

from __future__ import annotations

import json

import pytest

from support.private_host import PYTHON
from support.traffic import network

FRONT = {"front": network("172.20.0.0/24")}
NAMES = [
    "",
    ".",
    "..",
    "../x",
    "../../etc/cron.d/x",
    "a/b",
    "/abs",
    "-rf",
    "a\nb",
    "a\0b",
    'a"b',
    "a'b",
    "a b",
    "$(id)",
    "`id`",
    "a;b",
    "{{ x }}",
    "x" * 256,
    "x" * 64,
    "\u0430dmin",
    "caf\u00e9",
    "a\u202eb",
    "%s",
    "\x1b[31m",
]
INTERFACES = [
    "all",
    "default",
    "lo",
    "a.b",
    "../all",
    "x" * 16,
    "a b",
    "a\nb",
    "e/th",
    "",
    "eth0;reboot",
    "eth:0",
    "%d",
]
BY_NAME = {
    "project": lambda name: ({}, {"project": name}),
    "network": lambda name: ({"networks": {name: {}}}, {}),
    "sandbox": lambda name: ({"networks": FRONT, "sandboxes": {name: {"networks": ["front"]}}}, {}),
    "netns": lambda name: ({"networks": FRONT, "sandboxes": {"web": {"networks": ["front"], "netns": name}}}, {}),
    "namespace of a pair": lambda name: ({"veth_pairs": {"one": {"netns": name, "peer": {"name": "two"}}}}, {}),
}
BY_INTERFACE = {
    "bridge_name": lambda name: {"networks": {"front": {"bridge_name": name}}},
    "interface_name": lambda name: {
        "networks": FRONT,
        "sandboxes": {"web": {"networks": {"front": {"interface_name": name}}}},
    },
    "prefix": lambda name: {
        "networks": {"front": {"driver_opts": {"com.docker.network.container_iface_prefix": name}}}
    },
    "end of a pair": lambda name: {"veth_pairs": {"one": {"name": name, "peer": {"name": "two"}}}},
    "peer of a pair": lambda name: {"veth_pairs": {"one": {"peer": {"name": name}}}},
    "master of a pair": lambda name: {"veth_pairs": {"one": {"peer": {"name": "two", "master": name}}}},
}
TEXTS = ['"; flush ruleset; #', "x }\ntable inet evil {", "$(touch /run/owned)", "a\nb", "'; touch /run/owned; '"]
BY_TEXT = {
    "alias": lambda text: {"networks": FRONT, "sandboxes": {"web": {"networks": {"front": {"aliases": [text]}}}}},
    "hostname": lambda text: {"networks": FRONT, "sandboxes": {"web": {"networks": ["front"], "hostname": text}}},
    "extra host": lambda text: {
        "networks": FRONT,
        "sandboxes": {"web": {"networks": ["front"], "extra_hosts": {text: "192.0.2.9"}}},
    },
    "dns_search": lambda text: {"networks": FRONT, "sandboxes": {"web": {"networks": ["front"], "dns_search": [text]}}},
    "sysctl": lambda text: {
        "networks": FRONT,
        "sandboxes": {"web": {"networks": ["front"], "sysctls": {f"net.ipv4.{text}": "1"}}},
    },
    "subnet": lambda text: {"networks": {"front": network(text.replace(" ", "_"))}},
    "port": lambda text: {"networks": FRONT, "sandboxes": {"web": {"networks": ["front"], "ports": [text]}}},
}
# One process asks for all of them, and is watched: what it opens to write, makes, links, mounts and sends.
ASK = """
import json, sys
from _dockless.engine import converge, request
from _dockless.errors import DocklessError
for kind, document, project in json.load(sys.stdin):
    try:
        converge.converge(request.Request(project, lambda before: document))
        print("accepted", kind)
    except DocklessError as error:
        text = str(error)
        print("refused" if text.isprintable() and len(text) < 1000 else "unprintable", kind)
"""
CALLS = (
    "mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,rename,renameat,renameat2,unlink,unlinkat,"
    "mount,umount2,unshare,setns,execve"
)


def cases():
    """Return (kind, document, project) of everything that must be refused; a network called host is, too."""
    found = []
    for kind, make in BY_NAME.items():
        for name in NAMES:
            document, options = make(name)
            if name or kind != "namespace of a pair":  # there it means the host's own
                found.append((f"{kind} {name!r}", document, options.get("project", "shop")))
    found += [(f"{kind} {name!r}", make(name), "shop") for kind, make in BY_INTERFACE.items() for name in INTERFACES]
    found += [(f"{kind} {text!r}", make(text), "shop") for kind, make in BY_TEXT.items() for text in TEXTS]
    return found


QUIETLY = {"PYTHONDONTWRITEBYTECODE": "1"}  # so that every file that is written is the engine's


def test_hostile_names_have_no_effect(private_host):
    """Refused one and all, with no file written, no namespace entered, no program run and no message sent."""
    asked = cases()
    watched = (
        ["strace", "-f", "-qq", "-o", "/run/trace", "-e", f"trace={CALLS},openat,sendmsg,sendto"]
        if has_strace(private_host)
        else []
    )
    monitor = private_host.popen(["ip", "monitor", "link", "address", "route"])
    done = private_host.run([*watched, PYTHON, "-c", ASK], input=json.dumps(asked), timeout=300, env=QUIETLY)
    assert [line for line in done.stdout.splitlines() if not line.startswith("refused ")] == []
    assert len(done.stdout.splitlines()) == len(asked) > 200
    if watched:
        assert [line for line in private_host.read("/run/trace").splitlines() if is_effect(line)] == []
    private_host.sh("ip link add canary type bridge && ip link del canary")
    assert "canary" in monitor.readline()  # and nothing before it
    monitor.stop()
    private_host.assert_back_to(private_host.birth)
    assert private_host.run(["ls", "/run/owned"], check=False).returncode
    good = [("good", {"networks": FRONT, "sandboxes": {"web": {"networks": ["front"]}}}, "shop")]
    assert (
        private_host.run([*watched, PYTHON, "-c", ASK], input=json.dumps(good), env=QUIETLY).stdout == "accepted good\n"
    )
    if watched:  # what is watched for is seen where it happens
        seen = "\n".join(line for line in private_host.read("/run/trace").splitlines() if is_effect(line))
        assert all(word in seen for word in ("execve(", "mount(", "RTM_NEWLINK", "O_CREAT", "rename", "unshare("))


def has_strace(host):
    """Tell whether strace is there."""
    return host.run(["sh", "-c", "command -v strace"], check=False).returncode == 0


def is_effect(line):
    """Tell whether a line of strace is about a change: its own start, the lock and dumps of the kernel's tables are
    none.
    """
    call = line.split(None, 1)[1]
    if (
        call.startswith(('execve("' + PYTHON, "+++", "---"))
        or "= -1 " in call
        or "/run/dockless" in call
        or '"lock", O_RDWR' in call
    ):
        return False
    if call.startswith("openat("):
        return any(flag in call for flag in ("O_WRONLY", "O_RDWR", "O_CREAT")) and "/dev/null" not in call
    if call.startswith(("sendmsg(", "sendto(")):
        return any(f"RTM_{verb}" in call for verb in ("NEW", "DEL", "SET")) or "nlmsg_type=NFT" in call
    return True


@pytest.mark.smoke
@pytest.mark.parametrize("kind, name", [("bridge_name", "all"), ("interface_name", "default"), ("end of a pair", "lo")])
def test_reserved_interface_names_are_refused(private_host, kind, name):
    """They mean more than one link under /proc/sys."""
    told = private_host.refusal(BY_INTERFACE[kind](name))
    assert told.endswith(f"the interface name {name} is reserved. Choose another name.")
    private_host.assert_back_to(private_host.birth)


def test_labels_may_say_anything(private_host):
    """What is only stored and shown is accepted on one line, and reaches neither the firewall nor a program."""
    labels = {f"k{i}": text for i, text in enumerate(TEXTS) if "\n" not in text}
    document = {
        "networks": {"front": network("172.20.0.0/24", labels=labels)},
        "sandboxes": {"web": {"networks": ["front"], "labels": labels}},
    }
    private_host.run(["nft", "add", "table", "inet", "theirs"])
    private_host.apply(document)
    assert private_host.sh("nft list tables").splitlines() == [
        "table inet theirs",
        "table inet dockless",
        "table bridge dockless",
    ]
    shown = private_host.dockless("show", "--project", "shop", "--json")
    assert shown["networks"][0]["labels"] == labels and not private_host.apply(document)["changed"]
    private_host.run(["nft", "delete", "table", "inet", "theirs"])
    assert private_host.run(["ls", "/run/owned"], check=False).returncode


@pytest.mark.parametrize(
    ("name", "alias", "group"),
    [("\x1b[31mX", "", "25707"), ("", "dockless shop/web\nnothing to change\x1b[0m", "")],
    ids=["name of a link", "alias of lo"],
)
def test_root_in_a_sandbox_cannot_write_to_the_operators_terminal(private_host, name, alias, group):
    private_host.apply({"networks": FRONT, "sandboxes": {"web": {"networks": ["front"]}}})
    if name:
        private_host.run(["ip", "link", "add", name, "type", "bridge"], netns="web")
        private_host.run(["ip", "link", "set", name, "group", group], netns="web")
    else:
        private_host.run(["ip", "link", "set", "lo", "alias", alias], netns="web")
    for options in ((), ("--diff",)):
        done = private_host.run([PYTHON, "-m", "_dockless.cli", "plan", *options], check=False)
        text = done.stdout + done.stderr
        assert "\\x1b[" in text, text
        assert [line for line in text.splitlines() if not line.isprintable()] == []
        assert "nothing to change" not in text.splitlines()
