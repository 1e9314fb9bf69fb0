# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""systemd units that supervise the resolvers of sandboxes and of the host (systemd.service(5), systemd.exec(5))."""

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
# System calls that are not needed, among them those by which a resolver could affect others: all have the same user.
_DENIED = (
    "@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap"
    " kill tkill tgkill pidfd_open pidfd_send_signal process_vm_readv process_vm_writev"
)
_LIMITS = "MemoryMax=128M\nTasksMax=64\n"
# A process for each of its TCP connections (max-tcp-connections), of 0.3 MB with the kernel's part.
_FORWARDER_LIMITS = "MemoryMax=256M\nTasksMax=300\n"
DROP_IN = "/etc/dnsmasq.d/dockless.conf"  # of the host's own dnsmasq
SERVICE = "dnsmasq.service"  # the host's own dnsmasq, which reads the drop-in file only at its start


def unit_name(sandbox: str) -> str:
    """Return the name of a resolver's unit."""
    return HOST_UNITS[sandbox][len(_DIRECTORY) :] if sandbox in HOST_UNITS else f"dockless-dns@{sandbox}.service"


def sandbox_unit(facts: Facts) -> str:
    """Return the template unit of the sandboxes' resolvers. Its instances are named after the namespaces."""
    return _unit(
        facts,
        "Names of the network sandbox %i",
        "%i",
        condition=f"ConditionPathExists={NETNS_DIRECTORY}/%i\n",
        namespace=f"NetworkNamespacePath={NETNS_DIRECTORY}/%i\n",
    )


def host_unit(facts: Facts, name: str) -> str:
    """Return the unit of one of the host's resolvers: FORWARDER or HOST_NAMES."""
    return _unit(facts, _DESCRIPTIONS[name], name, _FORWARDER_LIMITS if name == FORWARDER else _LIMITS)


def _unit(
    facts: Facts, description: str, name: str, limits: str = _LIMITS, condition: str = "", namespace: str = ""
) -> str:
    """Return a unit. dnsmasq forks when its sockets are bound, so the unit is active when names are answered.

    dnsmasq needs two capabilities to change its user, and has none after that. It can then write no file, so options
    that need a mount namespace (DynamicUser and ProtectSystem among them) would only make the start three times as
    slow.
    """
    return f"""\
# dockless: resolvers
[Unit]
Description={description}
{condition}StartLimitIntervalSec=0

[Service]
Type=forking
PIDFile={PID_DIRECTORY}/{name}.pid
{namespace}ExecStart={facts.dnsmasq or "/usr/sbin/dnsmasq"} --conf-file={DNS_DIRECTORY}/resolvers/{name}.conf
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=100ms
{limits}CapabilityBoundingSet=CAP_SETUID CAP_SETGID
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
