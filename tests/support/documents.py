# SPDX-License-Identifier: GPL-3.0-or-later
"""From documents to a checked host in one call, as a run does it before it looks at the kernel."""

from __future__ import annotations

import ipaddress
import typing as t

from _dockless.document.defaults import parse_defaults
from _dockless.document.project import parse_project
from _dockless.model import external_networks
from _dockless.model.facts import Facts, Listener, UnderlayAddress, VxlanDevice
from _dockless.model.host import Host
from _dockless.validate.host import check_host

Document = t.Mapping[str, t.Any]
UNDERLAY = tuple(
    UnderlayAddress(ipaddress.ip_address(address), "eth0", 1500) for address in ("203.0.113.1", "2001:db8::1")
)


def host_of(
    document: Document | None = None,
    project: str = "shop",
    defaults: Document | None = None,
    listeners: t.Iterable[Listener] = (),
    vxlan_devices: t.Iterable[VxlanDevice] = (),
    kept: t.Iterable[tuple[str, str, int]] = (),
    **projects: Document,
) -> Host:
    """Return the host that a document, or several by project, describe. Raises DocklessError as a run would."""
    documents = {**projects, **({project: document} if document is not None else {})}
    parsed = tuple(parse_project(name, one) for name, one in documents.items())
    host = external_networks.resolve_externals(Host(parsed, parse_defaults(defaults)))
    facts = Facts(listeners=tuple(listeners), uplink="eth0", underlay=UNDERLAY, vxlan_devices=tuple(vxlan_devices))
    check_host(host, facts, frozenset(kept))
    return host
