# SPDX-License-Identifier: GPL-3.0-or-later
"""The role prerequisites on a private host: what it sets, what it puts back, and what it finds missing."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml

from support.collection import ROOT
from support.playbooks import changes, own_limits, run_playbook

FILES = ROOT / "roles" / "prerequisites" / "files"
SYSCTL_FILE = "/etc/sysctl.d/60-dockless.conf"
FORWARD = {"net.ipv4.ip_forward": 1}
ADVERTISE = """
import socket, struct
index = socket.if_nametoindex("eth0")
door = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
door.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
"""


def settings(host, *options: str, state: str = "present", **spec: t.Any) -> dict[str, t.Any]:
    """Run the role's program and return what it says."""
    text = json.dumps({"state": state, "interfaces": [], "accept_ra": True, **spec})
    return json.loads(host.run(["/usr/bin/python3", str(FILES / "settings.py"), text, *options]).stdout)


def sysctl(host, path: str) -> str:
    """Return a live value."""
    return host.read("/proc/sys/" + path).strip()


@pytest.fixture
def book(tmp_path):
    """Return a play that runs the role."""
    path = tmp_path / "play.yml"
    path.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "roles": ["dockless.network.prerequisites"]}]),
        encoding="utf-8",
    )
    return path


def test_role_sets_and_puts_back(private_host, tmp_path, book):
    """The role: check mode changes nothing, a second run neither, and absent restores what was there."""
    private_host.sh("echo 0 > /proc/sys/net/ipv4/ip_forward")
    with own_limits(private_host):
        before = private_host.snapshot()
        assert changes(run_playbook(private_host, tmp_path, book, "--check")) == 1
        private_host.assert_back_to(before)

        assert changes(run_playbook(private_host, tmp_path, book)) == 1
        assert sysctl(private_host, "net/ipv4/ip_forward") == "1"
        assert int(sysctl(private_host, "fs/inotify/max_user_instances")) >= 2 * 512
        assert "net.ipv4.ip_forward = 1" in private_host.read(SYSCTL_FILE)
        assert "Unmanaged=yes" in private_host.read("/etc/systemd/network/05-dockless.network")
        assert changes(run_playbook(private_host, tmp_path, book)) == 0

        assert changes(run_playbook(private_host, tmp_path, book, "--extra-vars", "prerequisites_state=absent")) == 1
        private_host.assert_back_to(before)
        assert changes(run_playbook(private_host, tmp_path, book, "--extra-vars", "prerequisites_state=absent")) == 0
    private_host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")


def test_forwarding_restores_what_the_kernel_changed_along(private_host):
    """One link forwarded before, and all links' accept_redirects were on; both are so again."""
    private_host.sh("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/eth0/forwarding")
    before = private_host.snapshot()
    settings(private_host, exact=FORWARD)
    assert sysctl(private_host, "net/ipv4/conf/lo/forwarding") == "1"
    assert sysctl(private_host, "net/ipv4/conf/all/accept_redirects") == "0"
    settings(private_host, state="absent")
    private_host.assert_back_to(before)
    private_host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")


def test_advertised_default_route_survives_forwarding(private_host):
    """A default route from a router advertisement stays when IPv6 forwarding is turned on."""
    private_host.sh(
        "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding; ip -6 route del default; "
        "ip address add fe80::4/64 dev eth0 nodad"
    )
    neighbour = private_host.neighbour()
    for _attempt in range(20):  # an advertisement may come before the link is up
        neighbour.run(["/usr/bin/python3", "-c", ADVERTISE])
        if "proto ra" in private_host.sh("ip -6 route show default"):
            break
    assert "proto ra" in private_host.sh("ip -6 route show default")
    said = settings(private_host, exact={"net.ipv6.conf.all.forwarding": 1})
    changed = [line for line in said["lines"] if line.startswith("net/")]
    assert changed == ["net/ipv6/conf/eth0/accept_ra: 1 -> 2", "net/ipv6/conf/all/forwarding: 0 -> 1"]
    assert "proto ra" in private_host.sh("ip -6 route show default")
    settings(private_host, state="absent")
    assert sysctl(private_host, "net/ipv6/conf/eth0/accept_ra") == "1"
    private_host.sh(
        "ip -6 route flush proto ra; ip address del fe80::4/64 dev eth0; ip -6 route add default via 2001:db8:1::3; "
        "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"
    )


def test_others_are_left_alone(private_host):
    """A limit that is high enough is not touched, a value that somebody changed since is not put back, and both are
    told.
    """
    private_host.sh("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 300 > /proc/sys/net/ipv4/tcp_keepalive_time")
    first = settings(private_host, exact={"net.ipv4.tcp_keepalive_time": 100}, at_least={"net.ipv4.ip_default_ttl": 10})
    assert first["lines"] == ["net/ipv4/tcp_keepalive_time: 300 -> 100", f"{SYSCTL_FILE}: written"]
    private_host.sh("echo 200 > /proc/sys/net/ipv4/tcp_keepalive_time")
    last = settings(private_host, state="absent")
    assert sysctl(private_host, "net/ipv4/tcp_keepalive_time") == "200"
    assert last["warnings"] == [
        "net.ipv4.tcp_keepalive_time is 200, not 100 as this role set it. It is left unchanged."
    ]
    private_host.sh("echo 7200 > /proc/sys/net/ipv4/tcp_keepalive_time; echo 1 > /proc/sys/net/ipv4/ip_forward")


def test_limit_that_is_read_only_is_a_warning(private_host):
    """As in a container: the warning names the command for the machine, and everything else is set."""
    key, path = "fs.inotify.max_user_instances", "/proc/sys/fs/inotify"
    private_host.sh(
        f"mount --bind {path} {path}; mount -o remount,bind,ro {path}; echo 0 >/proc/sys/net/ipv4/ip_forward"
    )
    before = int(private_host.read(f"{path}/max_user_instances"))
    for options in (["--check"], []):
        done = settings(private_host, *options, exact=FORWARD, at_least={key: before + 1})
        assert [line for line in done["warnings"] if f"sysctl -w {key}={before + 1}" in line]
    assert sysctl(private_host, "net/ipv4/ip_forward") == "1"
    assert key not in private_host.read(SYSCTL_FILE)
    settings(private_host, state="absent")
    private_host.sh(f"umount {path}; echo 1 >/proc/sys/net/ipv4/ip_forward")


def test_later_file_is_named(private_host):
    """A file that would undo a setting at the next boot is named, and one that agrees is not."""
    private_host.sh(
        "echo 'net.ipv4.ip_forward=0' > /etc/sysctl.d/90-rival.conf; "
        "echo 'net/ipv4/ip_forward = 1' > /etc/sysctl.d/91-friend.conf"
    )
    warnings = settings(private_host, "--check", exact=FORWARD)["warnings"]
    private_host.sh("rm /etc/sysctl.d/90-rival.conf /etc/sysctl.d/91-friend.conf")
    assert len(warnings) == 1 and "/etc/sysctl.d/90-rival.conf sets net.ipv4.ip_forward to 0" in warnings[0]


def test_hostile_sysctl_name_is_refused(private_host):
    """A name cannot lead out of /proc/sys."""
    private_host.sh("echo old > /run/victim")
    text = json.dumps({"state": "present", "interfaces": [], "exact": {"../../run/victim": "new"}})
    done = private_host.run(["/usr/bin/python3", str(FILES / "settings.py"), text], check=False)
    assert done.returncode != 0 and "not the name of a sysctl" in done.stderr
    assert private_host.sh("cat /run/victim; rm /run/victim") == "old"


def test_preflight_finds_nothing_missing_and_leaves_nothing(private_host):
    """Every feature is tried in a namespace that ends with the program."""
    before = private_host.snapshot()
    found = json.loads(private_host.run(["/usr/bin/python3", str(FILES / "preflight.py")]).stdout)
    assert (found["programs"], found["features"]) == ([], [])
    private_host.assert_back_to(before)


def test_preflight_names_what_is_missing(private_host):
    """A program that is not there, a rule that the kernel refuses (as all do outside a NAT chain) and a part of
    netfilter that is missing are reported with the kernel's symbol.
    """
    private_host.sh("mkdir /run/bin; for program in ip nft; do ln -s $(command -v $program) /run/bin; done")
    code = f"""import json, sys
sys.path.insert(0, {str(FILES)!r})
import preflight
refused = preflight.CHAIN.format("filter hook input priority filter", "masquerade")
preflight.NFT_FEATURES += (("masquerading anywhere", "CONFIG_NO_KERNEL_HAS", refused),)
preflight.GET_CONNECTIONS = 250 << 8 | 1
print(json.dumps(preflight.main([])))"""
    found = json.loads(private_host.run(["env", "PATH=/run/bin", "/usr/bin/python3", "-B", "-c", code]).stdout)
    private_host.sh("rm -r /run/bin")
    assert found["programs"] == ["dnsmasq"]
    assert [(lack["feature"], lack["symbol"]) for lack in found["features"]] == [
        ("masquerading anywhere", "CONFIG_NO_KERNEL_HAS"),
        ("connections by netlink", "CONFIG_NF_CT_NETLINK"),
    ]


def test_role_refuses_a_kernel_without_a_feature(private_host, tmp_path, book):
    """The role fails before it changes anything, and names the kernel's symbol."""
    missing = json.loads(
        private_host.run(["/usr/bin/python3", str(FILES / "preflight.py"), "wireguard", "ipvlan"]).stdout
    )["features"]
    if not missing:
        pytest.skip("this kernel has WireGuard and IPVLAN, so there is nothing to miss")
    with pytest.raises(AssertionError, match=missing[0]["symbol"]):
        run_playbook(
            private_host,
            tmp_path,
            book,
            "--extra-vars",
            json.dumps({"prerequisites_features": ["wireguard", "ipvlan"]}),
        )
    private_host.assert_back_to(private_host.birth)
