# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstreams that would send a question round and round."""

from __future__ import annotations

import ipaddress

import pytest

# pylint: disable=wrong-import-position
from _dockless.errors import DocklessError
from _dockless.model.host import Defaults, Host, Project
from _dockless.model.macvlan import Macvlan
from _dockless.model.network import Network, Subnet
from _dockless.model.sandbox import Endpoint, Sandbox
from _dockless.validate import dns


def addresses(*texts):
    """Return IP addresses of texts."""
    return tuple(map(ipaddress.ip_address, texts))


def subnet(text):
    """Return a subnet whose gateway is its first address."""
    network = ipaddress.ip_network(text)
    return Subnet(network, network.version, gateway=network[1])


FRONT = Network("shop", "front", subnets=(subnet("172.20.0.0/16"), subnet("fd00:20::/64")))
BRIDGE = Network("", "bridge", dns_enabled=False, subnets=(subnet("172.17.0.0/16"),))
MACVLAN = FRONT._replace(name="lan", macvlan=Macvlan(parent="eth0"))
WEB = Sandbox(
    "shop",
    "web",
    path="sandboxes.web",
    endpoints=(Endpoint("shop", "web", ("shop", "front"), addresses=("172.20.0.2/16", "fd00:20::2/64")),),
)


def judge(sandbox=WEB, network=FRONT, defaults=Defaults()):
    """Raise what is refused of one project."""
    dns.refuse_loops(Host((Project("shop", (network,), (sandbox,)), Project("", (BRIDGE,))), defaults))


@pytest.mark.parametrize(
    "address, reason",
    [
        ("127.0.0.11", "the sandbox's own resolver"),
        ("172.20.0.1", "the gateway of network front"),
        ("fd00:20::1", "the gateway of network front"),
        ("172.17.0.1", "the gateway of network bridge"),
        ("0.0.0.0", "not the address of a host"),
        ("::", "not the address of a host"),
        ("224.0.0.251", "not the address of a host"),
    ],
)
def test_upstream_loop_is_refused(address, reason):
    """Wherever it is said, with the option's path."""
    for option, given in (
        ("sandboxes.web.dns", {"sandbox": WEB._replace(dns=addresses("192.0.2.1", address))}),
        ("networks.front.dns", {"network": FRONT._replace(path="networks.front", dns=addresses(address))}),
        ("defaults.dns", {"defaults": Defaults(dns=addresses(address))}),
    ):
        with pytest.raises(DocklessError, match=rf"{option}\[\d\]: .*{reason}"):
            judge(**given)


@pytest.mark.parametrize("address", ["172.20.0.2", "fd00:20::2"])
def test_upstream_that_is_the_sandbox_itself_is_refused(address):
    """Another sandbox of the network may be."""
    with pytest.raises(DocklessError, match=r"sandboxes\.web\.dns\[0\]: .*an address of its own"):
        judge(WEB._replace(dns=addresses(address)))
    judge(WEB._replace(dns=addresses("172.20.0.9", "fd00:20::9")), FRONT._replace(dns=addresses(address)))


def test_gateways_that_the_host_does_not_have_may_serve():
    """A macvlan network's gateway is a router, which is a name server as a rule.

    So is one whose address the host leaves out.
    """
    judge(network=MACVLAN._replace(dns=addresses("172.20.0.1")), sandbox=WEB._replace(endpoints=()))
    judge(WEB._replace(dns=addresses("172.20.0.1")), FRONT._replace(inhibit_ipv4=True))
