# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the role boot that need no systemd: what it installs, whom it orders after the networks, whom it
refuses.

That a host has its networks again after a reboot is molecule's to prove, on a host that systemd runs.
"""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml

from support.collection import ROOT
from support.playbooks import run_playbook

FILES = ROOT / "roles" / "boot" / "files"
ENGINE = "/usr/local/lib/dockless/dockless"
UNITS = "/etc/systemd/system"


def install(host, files: dict[str, str | None], check: bool = False) -> list[str]:
    """Run the role's program and return a line for each change."""
    spec = {"files": files, "modes": {}, "owned": [ENGINE, "/usr/local/lib/dockless"], "check": check, "python": ""}
    done = host.run(["/usr/bin/python3", str(FILES / "install.py")], input=json.dumps(spec))
    return json.loads(done.stdout)["lines"]


def test_install_writes_once_and_takes_back(private_host):
    """A file that an earlier version had goes, a second run changes nothing, and absent leaves nothing."""
    paths = [f"{ENGINE}/below/one.py", f"{ENGINE}/two.py"]
    wanted = dict.fromkeys(paths, "pass\n")
    assert install(private_host, wanted, check=True) == [f"{path}: written" for path in paths]
    assert private_host.sh("ls -d /usr/local/lib/dockless 2>/dev/null || echo none") == "none"
    assert install(private_host, wanted) == [f"{path}: written" for path in paths]
    assert install(private_host, wanted) == []
    assert install(private_host, {paths[0]: "pass\n"}) == [f"{paths[1]}: removed"]
    assert install(private_host, {paths[0]: None}) == [f"{paths[0]}: removed"]
    assert private_host.sh("ls -d /usr/local/lib/dockless 2>/dev/null || echo none") == "none"


def sources_of_the_role(host, directory) -> list[pathlib.Path]:
    """Return the files that the role installs, as Ansible evaluates its list."""
    role = ROOT / "roles" / "boot"
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"role_path": str(role)},
            "vars_files": [str(role / "vars" / "main.yml")],
            "tasks": [
                {
                    "ansible.builtin.copy": {
                        "content": "{{ __boot_sources | join('\n') }}",
                        "dest": str(directory / "sources"),
                        "mode": "0600",
                    }
                }
            ],
        }
    ]
    book = directory / "sources.yml"
    book.write_text(yaml.safe_dump(play), encoding="utf-8")
    run_playbook(host, directory, book)
    return [pathlib.Path(line) for line in (directory / "sources").read_text(encoding="utf-8").splitlines()]


def test_engine_runs_under_the_name_it_is_installed_by(private_host, tmp_path):
    """The package has relative imports only, so it runs where the role puts it, without Ansible's loader.

    The role's list once had the files of no package: ansible-core releases read a backslash in it differently.
    """
    engine = ROOT / "plugins" / "module_utils" / "_dockless"
    listed = sources_of_the_role(private_host, tmp_path)
    assert set(listed) == set(engine.rglob("*.py")) - {engine / "ansible_module.py"}
    sources = {f"{ENGINE}/{path.relative_to(engine)}": path.read_text(encoding="utf-8") for path in listed}
    install(private_host, sources)
    said = private_host.run(
        [
            "env",
            "PYTHONPATH=/usr/local/lib/dockless",
            "PYTHONDONTWRITEBYTECODE=1",
            "/usr/bin/python3",
            "-m",
            "dockless.cli",
            "apply",
            "--boot",
        ]
    )
    install(private_host, dict.fromkeys(sources))
    assert "nothing to change" in said.stdout + said.stderr


def test_generator_orders_services_that_name_a_sandbox(private_host):
    """Such a service starts after the networks, named in its unit or in a drop-in.

    The resolvers and all others are left alone.
    """
    lines = "[Service]\nNetworkNamespacePath=/run/netns/web\nExecStart=/bin/true\n"
    units = {
        "app.service": lines,
        "dockless-dns@.service": lines,
        "other.service": "[Service]\nExecStart=/bin/true\n",
        "late.service.d/net.conf": lines,
        "foreign.service": lines.replace("/run/netns/web", "/proc/1/ns/net"),
    }
    private_host.sh(f"mkdir -p {UNITS}/late.service.d /run/generated")
    for name, text in units.items():
        private_host.run(["tee", f"{UNITS}/{name}"], input=text)
    private_host.run(["sh", str(FILES / "generator.sh"), "/run/generated", "/run/generated", "/run/generated"])
    found = private_host.sh("cd /run/generated; find . -type f | sort; cat app.service.d/50-dockless.conf")
    private_host.sh(
        f"rm -r /run/generated {UNITS}/late.service.d; cd {UNITS}; "
        "rm app.service other.service foreign.service dockless-dns@.service"
    )
    assert found.splitlines() == [
        "./app.service.d/50-dockless.conf",
        "./late.service.d/50-dockless.conf",
        "[Unit]",
        "Wants=dockless.service",
        "After=dockless.service",
    ]


def test_generator_gives_services_the_files_of_their_sandbox(private_host):
    """What ip netns exec does for a command.

    The last namespace that is named counts, and an unmanaged one gets nothing.
    """
    private_host.apply({"networks": {"front": {}}, "sandboxes": {"one": {"networks": ["front"]}}})
    private_host.sh("mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.9 >/etc/netns/vpn/resolv.conf")
    named = {"app.service": "one", "many@.service": "%i", "vpn.service": "vpn", "gone.service": "gone"}
    for name, netns in named.items():
        private_host.run(
            ["tee", f"{UNITS}/{name}"],
            input=f"[Service]\nNetworkNamespacePath=/run/netns/{netns}\nExecStart=/bin/true\n",
        )
    private_host.sh(
        f"mkdir -p {UNITS}/vpn.service.d /run/generated; cp {UNITS}/app.service {UNITS}/moved.service; "
        f"mkdir {UNITS}/moved.service.d; "
        f"echo NetworkNamespacePath=/run/netns/vpn >{UNITS}/moved.service.d/net.conf"
    )
    private_host.run(["sh", str(FILES / "generator.sh"), "/run/generated", "", ""])
    found = {
        name: private_host.read(f"/run/generated/{name}.d/50-dockless.conf").splitlines()[3:]
        for name in (*named, "moved.service")
    }
    private_host.sh(
        f"rm -r /run/generated /etc/netns/vpn; cd {UNITS}; "
        f"rm -r moved.service moved.service.d vpn.service.d {' '.join(named)}"
    )
    private_host.teardown()
    assert {name: bool(lines) for name, lines in found.items()} == {
        "app.service": True,
        "many@.service": True,
        "vpn.service": False,
        "gone.service": False,
        "moved.service": False,
    }
    assert found["app.service"] == [
        "[Service]",
        *(
            f"BindReadOnlyPaths=-/etc/netns/one/{file}:/etc/{file}"
            for file in ("resolv.conf", "hosts", "hostname", "nsswitch.conf")
        ),
        "InaccessiblePaths=-/run/systemd/resolve/io.systemd.Resolve -/run/nscd",
    ]
    assert found["many@.service"][1] == "BindReadOnlyPaths=-/etc/netns/%i/resolv.conf:/etc/resolv.conf"


def test_generator_has_firewalls_followed(private_host):
    """What flushes our table when it starts.

    And Docker, which makes its chain after the networks are there, where coexist names it.
    """
    private_host.sh("mkdir -p /run/generated/asked /run/generated/unasked")
    private_host.apply(
        {
            "networks": {"front": {"dns_enabled": False}},
            "sandboxes": {"one": {"networks": ["front"]}},
            "defaults": {"coexist": ["docker"]},
        }
    )
    private_host.run(["sh", str(FILES / "generator.sh"), "/run/generated/asked", "", ""])
    private_host.teardown()
    private_host.run(["sh", str(FILES / "generator.sh"), "/run/generated/unasked", "", ""])
    found = private_host.sh("cd /run/generated; find . -type l | sort; rm -r /run/generated")
    assert found.splitlines() == [
        f"./{case}/{unit}.service.wants/dockless-after@{unit}.service"
        for case, units in (("asked", ("docker", "firewalld", "nftables")), ("unasked", ("firewalld", "nftables")))
        for unit in units
    ]


def test_host_without_systemd_is_refused(private_host, tmp_path):
    """Nothing is installed, and the error says what to do instead."""
    book = tmp_path / "play.yml"
    book.write_text(
        yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "roles": ["dockless.network.boot"]}]),
        encoding="utf-8",
    )
    with pytest.raises(AssertionError, match=r"not run by systemd.*_dockless\.cli apply --boot"):
        run_playbook(private_host, tmp_path, book)
    private_host.assert_back_to(private_host.birth)
