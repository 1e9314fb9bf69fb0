# SPDX-License-Identifier: GPL-3.0-or-later
"""From documents to a checked host in one call, as a run does it before it looks at the kernel."""
from __future__ import annotations

import ipaddress
import typing as t

from _dockless import checks, facts, model, parse

Document = t.Mapping[str, t.Any]
UNDERLAY = tuple(facts.Underlay(ipaddress.ip_address(address), "eth0", 1500) for address in ("203.0.113.1", "2001:db8::1"))


def host_of(document: t.Optional[Document] = None, project: str = "shop", defaults: t.Optional[Document] = None,
            listeners: t.Iterable[facts.Listener] = (), kept: t.Iterable[t.Tuple[str, str, int]] = (), **projects: Document) -> model.Host:
    """Return the host that a document, or several by project, describe. Raises DocklessError as a run would."""
    documents = {**projects, **({project: document} if document is not None else {})}
    parsed = tuple(parse.parse_project(name, one) for name, one in documents.items())
    host = checks.resolve_externals(model.Host(parsed, parse.parse_defaults(defaults)))
    checks.check_host(host, facts.Facts(listeners=tuple(listeners), uplink="eth0", underlay=UNDERLAY), frozenset(kept))
    return host
