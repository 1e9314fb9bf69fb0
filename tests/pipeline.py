# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure half of a run in one call: documents -> resolved host -> objects of the kernel."""
from __future__ import annotations

import typing as t

from _dockless import facts, kernel, model, realize, resolve, routing, ruleset
from documents import UNDERLAY, host_of

Document = t.Mapping[str, t.Any]
FACTS = facts.Facts(nameservers=("192.0.2.53",), uplink="eth0", underlay=UNDERLAY)


def resolved(document: t.Optional[Document] = None, known: facts.Facts = FACTS, leases: t.Optional[Document] = None,
             defaults: t.Optional[Document] = None, **projects: Document) -> model.Host:
    """Return the host with every blank filled in. leases are by project."""
    return resolve.resolve(host_of(document, defaults=defaults, **projects), leases or {}, known)


def leases_of(host: model.Host) -> t.Dict[str, t.Any]:
    """Return what a run would remember of every project, the host's own things under ""."""
    return {project.name: resolve.leases_of(project) for project in host.projects}


def states(host: model.Host, known: facts.Facts = FACTS) -> realize.States:
    """Return the objects by project, with a made-up namespace for each sandbox that attaches to one."""
    attached = tuple((s.name, 4_026_531_000 + number, f"/proc/{number}/ns/net")
                     for number, s in enumerate((s for p in host.projects for s in p.sandboxes if s.attach), 100))
    return realize.realize(host, known._replace(attached=attached))


def state(host: model.Host, known: facts.Facts = FACTS) -> kernel.State:
    """Return the objects of all projects together."""
    return {key: thing for part in states(host, known).values() for key, thing in part.items()}


def table(host: model.Host) -> str:
    """Return the host's firewall as nft text."""
    return ruleset.table(host, routing.networks_of(host))


def of_kind(found: kernel.State, kind: t.Type[t.Any]) -> t.List[t.Any]:
    """Return the objects of one class, in order of key."""
    return [thing for key, thing in sorted(found.items()) if isinstance(thing, kind)]
