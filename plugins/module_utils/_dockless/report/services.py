# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""Services of a network as network_info returns them."""

from __future__ import annotations

from ..model.network import Service, ServicePort
from ..model.services import NetworkServices, ServiceBackend
from .rows import Row


def service_rows(found: NetworkServices | None) -> dict[str, Row]:
    """Return the services of a network by name, each with its backends. None is a network without services."""
    services = found.services if found is not None else ()
    return {service.name: _service(service, backends) for service, backends in services}


def _service(service: Service, backends: tuple[ServiceBackend, ...]) -> Row:
    return {
        "mode": service.mode,
        "vip": [str(address) for address in service.vips],
        "sticky": service.sticky,
        "ports": [_port(port) for port in service.ports],
        "sandboxes": {
            backend.sandbox: {
                "project": backend.project,
                "addresses": list(backend.addresses),
                "weight": backend.weight,
                "drain": backend.drain,
            }
            for backend in backends
        },
    }


def _port(port: ServicePort) -> str:
    """Return a port as a declaration writes it: PORT/PROTOCOL, or PORT:TARGET/PROTOCOL."""
    ports = str(port.port) if port.port == port.target else f"{port.port}:{port.target}"
    return f"{ports}/{port.protocol}"
