# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox attached to a process: the process is replaced, or leaves the document.

A second name follows; nothing of ours stays behind.
"""

from __future__ import annotations

import pytest

from support.invariants import assert_same, full, hooked, steps


@pytest.fixture
def start(private_host):
    """Return a function that starts a process in a namespace of its own and returns its pid as the private host sees
    it.
    """

    def process():
        return int(private_host.popen(["unshare", "--net", "sh", "-c", "echo $$; exec sleep 600"]).readline())

    return process


def attached(pid=None, **more):
    """Return a document with a sandbox and another that shares its stack."""
    web = {"networks": ["front"], **({"attach": {"pid": pid}} if pid else {}), **more}
    return {
        "networks": {"front": {"ipam": {"config": [{"subnet": "10.231.9.0/24"}]}}},
        "sandboxes": {"web": web, "probe": {"network_mode": "container:web"}},
    }


def inside(private_host, pid):
    """Return the links besides lo, and our tables, of a process's namespace."""
    return (
        private_host.sh(f"nsenter -t {pid} -n ip -o link | grep -vc ' lo:' || true"),
        private_host.sh(f"nsenter -t {pid} -n nft list tables"),
    )


def test_the_process_is_replaced_while_the_old_one_lives(private_host, start):
    """The pair and the table move to the new process, and the second name with them.

    The old one is left as it was found.
    """
    old, new = start(), start()
    private_host.apply(attached(old))
    assert inside(private_host, old) == ("1", "table inet dockless") and inside(private_host, new) == ("0", "")
    private_host.apply(attached(new))
    assert inside(private_host, new) == ("1", "table inet dockless") and inside(private_host, old) == ("0", "")
    assert "10.231.9.2/24" in private_host.sh("ip -n probe -o -4 address show dev eth0")
    assert not private_host.apply(attached(new))["changed"]


@pytest.mark.smoke
def test_an_attached_sandbox_leaves_nothing_in_the_process(private_host, start):
    pid = start()
    private_host.apply(attached(pid))
    private_host.sh(f"ip netns attach theirs {pid}")
    private_host.apply({}, absent=True)
    assert inside(private_host, pid) == ("0", "")
    assert private_host.sh("ls /run/netns") == "theirs"
    private_host.sh("ip netns delete theirs")


def test_sandbox_becomes_attached_and_back(private_host, start):
    """Only with on_mismatch: recreate; the name that shares it follows both times."""
    pid = start()
    private_host.apply(attached())
    assert "namespace web cannot be changed in place" in private_host.refusal(attached(pid))
    for document, links in ((attached(pid), "1"), (attached(), "0")):
        private_host.apply(document, on_mismatch="recreate")
        assert inside(private_host, pid)[0] == links
        assert "10.231.9.2/24" in private_host.sh("ip -n probe -o -4 address show dev eth0")
        assert not private_host.plan(document)["changed"]


def test_a_failure_goes_back_to_the_process_before(private_host, start):
    """The new process has an eth0 of its own, which nobody could see before: the old one has everything back."""
    old, new = start(), start()
    private_host.sh(f"nsenter -t {new} -n ip link add eth0 type veth peer name other")
    private_host.apply(attached(old))
    assert "File exists" in private_host.refusal(attached(new))
    assert inside(private_host, old) == ("1", "table inet dockless") and inside(private_host, new) == ("2", "")
    assert not private_host.apply(attached(old))["changed"]


SWAPS = {
    "the host's own": "ln -sfn /proc/1/ns/net /run/theirs",
    "another sandbox's": "ln -sfn /run/netns/other /run/theirs",
    "a new one": "ip netns add fresh; ln -sfn /run/netns/fresh /run/theirs",
    "a file": "rm /run/theirs; touch /run/theirs",
    "a FIFO": "rm /run/theirs; mkfifo /run/theirs",
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
def test_what_is_at_the_path_is_swapped_during_the_run(private_host, start, swap):
    """Nothing but the namespace that the run decided about gets the sandbox's name, an address or a mark."""
    pid = start()
    private_host.apply({"sandboxes": {"other": {"network_mode": "none"}}}, project="other")
    private_host.sh(f"ln -s /proc/{pid}/ns/net /run/theirs")
    document = attached()
    document["sandboxes"]["web"]["attach"] = {"path": "/run/theirs"}
    passed = steps(hooked(private_host, "count", 0, document)["events"])
    private_host.apply({}, absent=True)
    before = full(private_host)
    number = next(number for number, event in enumerate(passed) if "create namespace web" in event)
    told = hooked(private_host, f"sh:{swap}", number, document)
    assert told.get("failed") and "The host is as it was before" in told["msg"], told
    private_host.sh("ip netns delete fresh 2>/dev/null || true; rm /run/theirs")
    assert_same(before, private_host)
    assert private_host.sh("ls /run/netns") == "other" and private_host.sh("ip link show dev lo").count("alias") == 0
