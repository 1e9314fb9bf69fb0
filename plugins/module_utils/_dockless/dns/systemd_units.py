# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The name servers of the host itself, and the systemd units that supervise those and the sandboxes' (systemd.exec(5))."""

from __future__ import annotations

from ..model.facts import Facts
from ..names import DNS_DIRECTORY, FORWARDER, HOST_NAMES, NETNS_DIRECTORY
from .dnsmasq_config import PID_DIRECTORY

_DIRECTORY = "/run/systemd/system/"
SANDBOX_UNIT = _DIRECTORY + "dockless-dns@.service"
HOST_UNITS = {FORWARDER: _DIRECTORY + "dockless-forwarder.service", HOST_NAMES: _DIRECTORY + "dockless-names.service"}
PATHS = (SANDBOX_UNIT, *HOST_UNITS.values())
_DESCRIPTIONS = {
    FORWARDER: "Names from outside for network sandboxes",
    HOST_NAMES: "Names of network sandboxes for the host",
}
# What a resolver could do to its fellows, which have the same user.
_DENIED = (
    "@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap kill tkill tgkill pidfd_open pidfd_send_signal "
    "process_vm_readv process_vm_writev"
)


def unit_name(sandbox: str) -> str:
    """Return the unit of one resolver."""
    return HOST_UNITS[sandbox][len(_DIRECTORY) :] if sandbox in HOST_UNITS else f"dockless-dns@{sandbox}.service"


def sandbox_unit(facts: Facts) -> str:
    """Return the unit of every sandbox's resolver; its instance is the namespace's name."""
    return _unit(
        facts,
        "Names of the network sandbox %i",
        f"ConditionPathExists={NETNS_DIRECTORY}/%i\n",
        f"NetworkNamespacePath={NETNS_DIRECTORY}/%i\n",
        "%i",
    )


def _unit(facts: Facts, description: str, condition: str, place: str, name: str | None) -> str:
    """dnsmasq forks only when its sockets are bound, so the unit is up when names are answered.

    It needs two capabilities, to drop root by itself, and has none after that. Then it can write to no file: options that need a
    mount namespace (DynamicUser and ProtectSystem among them) would add nothing but three times the start's cost.
    """
    return f"""\
# dockless: resolvers
[Unit]
Description={description}
{condition}StartLimitIntervalSec=0

[Service]
Type=forking
PIDFile={PID_DIRECTORY}/{name}.pid
{place}ExecStart={facts.dnsmasq or "/usr/sbin/dnsmasq"} --conf-file={DNS_DIRECTORY}/resolvers/{name}.conf
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=100ms
MemoryMax=128M
TasksMax=64
CapabilityBoundingSet=CAP_SETUID CAP_SETGID
NoNewPrivileges=yes
SystemCallFilter=~{_DENIED}
SystemCallErrorNumber=EPERM
SystemCallArchitectures=native
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
MemoryDenyWriteExecute=yes
LockPersonality=yes
"""


DROP_IN = "/etc/dnsmasq.d/dockless.conf"

SERVICE = "dnsmasq.service"  # reads that at its start only
