# SPDX-License-Identifier: GPL-3.0-or-later
"""From the document to the model: what the keys mean, and what is said by leaving them out."""

from __future__ import annotations

import copy
from ipaddress import ip_address, ip_network

import pytest

from _dockless.document import defaults
from _dockless.document.project import parse_project
from _dockless.errors import DocklessError
from _dockless.model.external_networks import resolve_externals
from _dockless.model.host import Defaults, Host, VethEnd
from _dockless.model.network import DnsRecord, Network, SubnetRequest
from _dockless.model.sandbox import MODE_CONTAINER, MODE_HOST, MODE_NETWORKS, MODE_NONE, Attach, Endpoint, LegacyLink
from support.documents import host_of


def network(spec, name="frontend"):
    """Return one network of a project."""
    return parse_project("shop", {"networks": {name: spec}}).networks[0]


def sandbox(spec, **rest):
    """Return one sandbox of a project."""
    return parse_project("shop", {"sandboxes": {"web": spec}, **rest}).sandboxes[0]


def test_the_document_of_the_readme_is_read_whole():
    project = parse_project(
        "shop",
        {
            "networks": {
                "frontend": {"driver": "bridge", "ipam": {"config": [{"subnet": "172.20.0.0/16"}]}},
                "backend": {"driver": "bridge", "internal": True, "enable_ipv6": True},
            },
            "sandboxes": {
                "web": {
                    "networks": {"frontend": {"aliases": ["www"]}, "backend": {}},
                    "ports": ["8080:80", "127.0.0.1:8443:443/tcp", "5353:53/udp"],
                },
                "db": {"networks": ["backend"], "dns_search": ["shop.internal"]},
                "agent": {"network_mode": "host"},
                "lab": {"network_mode": "none"},
                "probe": {"network_mode": "container:web"},
            },
        },
    )
    assert [n.key for n in project.networks] == [("shop", "frontend"), ("shop", "backend")]
    web, db, agent, lab, probe = project.sandboxes
    assert [(e.network, e.aliases) for e in web.endpoints] == [
        (("shop", "frontend"), ("www",)),
        (("shop", "backend"), ()),
    ]
    assert [(p.host_ip and str(p.host_ip), p.host_port, p.target_port, p.protocol) for p in web.ports] == [
        (None, 8080, 80, "tcp"),
        ("127.0.0.1", 8443, 443, "tcp"),
        (None, 5353, 53, "udp"),
    ]
    assert (db.dns_search, db.netns) == (("shop.internal",), "db")
    assert (agent.mode, agent.netns, lab.mode, lab.netns) == (MODE_HOST, "", MODE_NONE, "lab")
    assert (probe.mode, probe.partner, probe.endpoints) == (MODE_CONTAINER, "web", ())
    assert project.warnings == ()


def test_network_without_options():
    assert network(None) == network({}) == Network("shop", "frontend", path="networks.frontend")


@pytest.mark.parametrize(
    ("spec", "left_open"),
    [
        ({}, {"enable_ipv6", "icc", "masquerade", "mtu"}),
        ({"icc": False, "masquerade": False, "mtu": 1400, "enable_ipv6": False}, set()),
        ({"icc": None, "mtu": 1400}, {"enable_ipv6", "icc", "masquerade"}),
        ({"driver_opts": {"com.docker.network.bridge.enable_icc": True}}, {"enable_ipv6", "masquerade", "mtu"}),
        ({"ipam": {"config": [{"subnet": "fd00::/64"}]}}, {"icc", "masquerade", "mtu"}),
        ({"ipam": {"driver": "none"}}, {"icc", "masquerade", "mtu"}),
    ],
)
def test_options_without_a_value_are_left_to_the_hosts_defaults(spec, left_open):
    assert network(spec).left_open == left_open


def test_null_means_not_given_and_empty_means_empty():
    """A sandbox without networks joins the default one; one with an empty list is on none."""
    assert sandbox({"networks": None}).endpoints == sandbox(None).endpoints
    assert sandbox(None).endpoints[0].network == ("shop", "default")
    for empty in ([], {}):
        alone = sandbox({"networks": empty})
        assert (alone.mode, alone.endpoints) == (MODE_NETWORKS, ())


def test_default_network_exists_when_a_sandbox_is_on_it():
    assert [n.name for n in parse_project("shop", {"sandboxes": {"web": None}}).networks] == ["default"]
    assert parse_project("shop", {"sandboxes": {"web": {"networks": []}}}).networks == ()
    declared = parse_project("shop", {"networks": {"default": {"internal": "yes"}}, "sandboxes": {"web": None}})
    assert [(n.name, n.internal) for n in declared.networks] == [("default", True)]


def test_bridge_is_the_hosts_default_bridge_in_either_way():
    assert sandbox({"network_mode": "bridge"}).endpoints[0].network == ("", "bridge")
    assert sandbox({"networks": ["bridge"]}).endpoints[0].network == ("", "bridge")


def test_subnets_gateways_ranges_and_reserved_addresses():
    """What was given is what there is."""
    found = network(
        {
            "ipam": {
                "config": [
                    {
                        "subnet": "172.28.0.0/16",
                        "ip_range": "172.28.5.0/24",
                        "gateway": "172.28.5.254",
                        "aux_addresses": {"a": "172.28.1.5"},
                    },
                    {"subnet": "fd00:28::/64"},
                ]
            }
        }
    )
    assert found.subnet_requests == (
        SubnetRequest(
            ip_network("172.28.0.0/16"),
            16,
            4,
            ip_address("172.28.5.254"),
            ip_network("172.28.5.0/24"),
            (("a", ip_address("172.28.1.5")),),
        ),
        SubnetRequest(ip_network("fd00:28::/64"), 64, 6),
    )
    assert found.enable_ipv6 is True


@pytest.mark.parametrize(("subnet", "expected"), [("0.0.0.0/24", (None, 24, 4)), ("::/64", (None, 64, 6))])
def test_a_subnet_may_be_a_size_alone(subnet, expected):
    found = network({"ipam": {"config": [{"subnet": subnet}]}}).subnet_requests[0]
    assert (found.network, found.prefix_length, found.version) == expected


def test_ipam_none_has_no_addresses_and_no_names():
    found = network({"ipam": {"driver": "none"}})
    assert (found.enable_ipv4, found.enable_ipv6, found.dns_enabled) == (False, False, False)
    assert found.subnet_requests == () and "enable_ipv6" not in found.left_open


def test_two_addresses_are_enough_without_a_gateway():
    options = {"com.docker.network.bridge.inhibit_ipv4": True}
    host_of(
        {
            "networks": {
                "p2p": {"internal": True, "driver_opts": options, "ipam": {"config": [{"subnet": "10.0.0.0/31"}]}}
            },
            "sandboxes": {
                "a": {"networks": {"p2p": {"ipv4_address": "10.0.0.0"}}},
                "b": {"networks": {"p2p": {"ipv4_address": "10.0.0.1"}}},
            },
        }
    )


def test_docker_driver_options_are_understood():
    prefix = "com.docker.network."
    found = network(
        {
            "driver_opts": {
                prefix + "bridge.name": "br-shop",
                prefix + "bridge.enable_ip_masquerade": "false",
                prefix + "bridge.enable_icc": False,
                prefix + "bridge.inhibit_ipv4": "true",
                prefix + "bridge.host_binding_ipv4": "192.0.2.1",
                prefix + "driver.mtu": "1400",
                prefix + "container_iface_prefix": "net",
                prefix + "bridge.gateway_mode_ipv4": "nat",
            }
        }
    )
    assert (found.bridge_name, found.masquerade, found.icc, found.inhibit_ipv4) == ("br-shop", False, False, True)
    assert (str(found.publish_address), found.mtu, found.iface_prefix) == ("192.0.2.1", 1400, "net")


@pytest.mark.parametrize(
    "spec, ways",
    [
        ({}, (True, True, False)),
        ({"internal": True}, (False, False, True)),
        ({"internal": True, "egress": True}, (True, False, False)),
        ({"internal": True, "ingress": True}, (False, True, False)),
        ({"egress": False}, (False, True, False)),
        ({"ingress": False}, (True, False, False)),
        ({"egress": False, "ingress": False}, (False, False, True)),
        ({"internal": True, "egress": True, "ingress": True}, (True, True, False)),
        ({"internal": False, "egress": False}, (False, True, False)),
    ],
)
def test_internal_is_both_ways_at_once(spec, ways):
    """A way's own name wins; a network with neither is internal, however it was said."""
    found = network(spec)
    assert (found.egress, found.ingress, found.internal) == ways


GATEWAY = {
    "gateway_mode_ipv4": "routed",
    "gateway_mode_ipv6": "nat-unprotected",
    "trusted_host_interfaces": ["eth0", "eth1.60"],
    "host_ipv4": "192.0.2.9",
    "host_ipv6": "2001:db8::9",
}


def test_how_a_network_is_joined_to_the_rest_has_two_forms():
    """Docker's names, with colons between interfaces, mean what ours do.

    Port security is our own, and on unless it is said.
    """
    prefix = "com.docker.network."
    names = {"host_ipv4": prefix + "host_ipv4", "host_ipv6": prefix + "host_ipv6"}
    options = {
        names.get(key, f"{prefix}bridge.{key}"): value if isinstance(value, str) else ":".join(value)
        for key, value in GATEWAY.items()
    }
    found = network(GATEWAY)
    assert found == network({"driver_opts": options}) == network({**GATEWAY, "driver_opts": options})
    assert found == network({**GATEWAY, "trusted_host_interfaces": "eth0:eth1.60"})
    assert (found.trusted, str(found.host_ipv4), str(found.host_ipv6), found.port_security) == (
        ("eth0", "eth1.60"),
        "192.0.2.9",
        "2001:db8::9",
        True,
    )
    assert network({"port_security": False}).port_security is False


def test_network_without_a_gateway_option():
    found = network({})
    assert (found.gateway_mode_ipv4, found.gateway_mode_ipv6, found.trusted, found.host_ipv4, found.port_security) == (
        "nat",
        "nat",
        (),
        None,
        True,
    )


@pytest.mark.parametrize("labels", [{"b": 1, "a": True, "c": None}, ["b=1", "a=true", "c"]])
def test_labels_have_two_forms(labels):
    assert network({"labels": labels}).labels == (("a", "true"), ("b", "1"), ("c", ""))


@pytest.mark.parametrize("word", ["yes", "True", "on", "1", 1, True])
def test_ansible_text_for_a_boolean(word):
    assert network({"internal": word}).internal is True


def test_an_endpoint_with_everything():
    spec = {
        "aliases": ["www"],
        "ipv4_address": "10.1.0.5",
        "ipv6_address": "fd00:1::5",
        "link_local_ips": ["169.254.1.1", "fe80::9"],
        "mac_address": "02-42-AC-11-00-42",
        "priority": "5",
        "links": ["db:database"],
        "driver_opts": {
            "com.docker.network.endpoint.ifname": "front0",
            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.forwarding=1,net.ipv6.conf.ifname.accept_ra=2",
        },
    }
    found = sandbox({"networks": {"frontend": spec}}).endpoints[0]
    assert found == Endpoint(
        "shop",
        "web",
        ("shop", "frontend"),
        ip_address("10.1.0.5"),
        ip_address("fd00:1::5"),
        (ip_address("169.254.1.1"), ip_address("fe80::9")),
        "02:42:ac:11:00:42",
        ("www",),
        (LegacyLink("db", "database"),),
        0,
        "front0",
        (("net/ipv4/conf/IFNAME/forwarding", "1"), ("net/ipv6/conf/IFNAME/accept_ra", "2")),
        priority=5,
        path="sandboxes.web.networks.frontend",
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"priority": 9}, 0), ({"priority": 9, "gw_priority": 1}, 1), ({"priority": 9, "gw_priority": -1}, -1)],
)
def test_gw_priority_alone_decides_the_gateway(options, expected):
    assert sandbox({"networks": {"a": options}}).endpoints[0].gw_priority == expected


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        ({"b": {}, "a": {"gw_priority": -1}, "c": {"gw_priority": 1}}, "a"),
        (["b", "a"], "a"),
        ({"a": {"gw_priority": 1}, "b": {"priority": 1000}, "c": {"priority": 999}}, "b"),
        ({"a": {"priority": -1}, "b": {}}, "b"),
    ],
)
def test_a_sandboxs_mac_is_on_the_network_with_the_highest_priority_alone(networks, expected):
    """Compose: of several with one priority, that with the first name. gw_priority does not move it."""
    mac = "02:00:00:00:00:01"
    endpoints = sandbox({"mac_address": mac, "networks": networks}).endpoints
    assert {e.network[1]: e.mac_address for e in endpoints if e.mac_address} == {expected: mac}


@pytest.mark.parametrize(
    ("networks", "macs", "warns"),
    [
        ({"a": {"mac_address": "02:00:00:00:00:02"}}, ["02:00:00:00:00:02"], True),
        ({"a": {"mac_address": "02:00:00:00:00:01"}}, ["02:00:00:00:00:01"], False),
        ({"a": {}, "b": {"mac_address": "02:00:00:00:00:02"}}, ["02:00:00:00:00:01", "02:00:00:00:00:02"], False),
    ],
)
def test_an_endpoint_keeps_its_own_mac(networks, macs, warns):
    project = parse_project("p", {"sandboxes": {"s": {"mac_address": "02:00:00:00:00:01", "networks": networks}}})
    assert [e.mac_address for e in project.sandboxes[0].endpoints] == macs
    assert project.warnings == (
        (
            "sandboxes.s.mac_address: 02:00:00:00:00:01 has no effect, because sandboxes.s.networks.a sets "
            "02:00:00:00:00:02.",
        )
        if warns
        else ()
    )


def test_links_are_seen_on_each_network():
    found = sandbox({"links": ["db", "cache:redis"], "networks": {"a": {}, "b": {"links": ["db:other"]}}})
    assert found.endpoints[0].links == (LegacyLink("db", "db"), LegacyLink("cache", "redis"))
    assert found.endpoints[1].links == found.endpoints[0].links + (LegacyLink("db", "other"),)


def test_names_of_a_sandbox():
    found = sandbox(
        {
            "hostname": "web",
            "domainname": "shop.internal",
            "dns": "192.0.2.53",
            "dns_search": ".",
            "dns_opt": ["ndots:2"],
            "extra_hosts": ["a.example:10.0.0.1", "b=host-gateway", "c:fd00::1", "d=[fd00::2]"],
            "forward": "none",
            "records": [
                {"name": "mail", "value": "10.0.0.2"},
                {"name": "_sip._tcp", "type": "srv", "value": "0 5 5060 sip."},
            ],
        }
    )
    assert (found.hostname, found.domainname, found.dns, found.dns_search) == (
        "web",
        "shop.internal",
        (ip_address("192.0.2.53"),),
        (".",),
    )
    assert found.extra_hosts == (("a.example", "10.0.0.1"), ("b", "host-gateway"), ("c", "fd00::1"), ("d", "fd00::2"))
    assert found.records == (DnsRecord("mail", "A", "10.0.0.2"), DnsRecord("_sip._tcp", "SRV", "0 5 5060 sip"))


def test_a_ptr_record_may_be_named_by_its_address():
    found = network({"records": [{"name": "10.0.0.5", "type": "PTR", "value": "printer"}]}).records
    assert found == (DnsRecord("5.0.0.10.in-addr.arpa", "PTR", "printer"),)


def test_a_txt_record_is_one_string_of_at_most_255_bytes():
    """RFC 1035, 3.3.14."""
    for text in ("x" * 255, "é" * 127):
        assert network({"records": [{"name": "a", "type": "TXT", "value": text}]}).records[0].value == text
    for text in ("x" * 256, "é" * 128):
        with pytest.raises(DocklessError, match="longer than 255 bytes"):
            network({"records": [{"name": "a", "type": "TXT", "value": text}]})


def test_extra_hosts_as_a_dictionary_may_have_several_addresses():
    assert sandbox({"extra_hosts": {"a": ["10.0.0.1", "fd00::1"], "b": "10.0.0.2"}}).extra_hosts == (
        ("a", "10.0.0.1"),
        ("a", "fd00::1"),
        ("b", "10.0.0.2"),
    )


@pytest.mark.parametrize("key", ["net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"])
def test_sysctls_have_the_two_forms_of_sysctl(key):
    assert sandbox({"sysctls": {key: 1}}).sysctls == (("net/ipv4/conf/eth0.100/forwarding", "1"),)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("pid", "4711", "4711"),
        ("path", "/run/netns/blue", "/run/netns/blue"),
        ("unit", "web", "web.service"),
        ("docker", "c1", "c1"),
    ],
)
def test_attach_in_one_way(kind, value, expected):
    assert sandbox({"attach": {kind: value, "podman": None}}).attach == Attach(kind, expected)


def test_published_ports_of_the_hosts_stack_are_discarded_with_a_warning():
    project = parse_project(
        "shop", {"sandboxes": {"agent": {"network_mode": "host", "ports": ["80:80"], "dns": ["192.0.2.53"]}}}
    )
    assert project.sandboxes[0].ports == ()
    assert project.warnings == (
        "sandboxes.agent: published ports are discarded, because agent uses the host's network stack.",
        "sandboxes.agent: dns has no effect, because agent uses the host's network stack.",
    )


def test_options_that_are_empty_contradict_no_mode():
    assert sandbox({"network_mode": "none", "ports": [], "links": [], "networks": {}}).mode == MODE_NONE


def test_veth_pairs():
    (pair,) = parse_project(
        "lab",
        {
            "veth_pairs": {
                "left/eth0": {
                    "addresses": ["10.0.0.1/24", "FD00::1/64"],
                    "mtu": "1400",
                    "routes": [{"destination": "10.2.0.0/16", "via": "10.0.0.2"}, "default via fd00::2"],
                    "peer": {"name": "eth0", "netns": "right", "up": "no"},
                }
            }
        },
    ).veth_pairs
    assert pair.end == VethEnd(
        "eth0", "left", "", ("10.0.0.1/24", "fd00::1/64"), (("10.2.0.0/16", "10.0.0.2"), ("::/0", "fd00::2")), "", 1400
    )
    assert pair.peer == VethEnd("eth0", "right", up=False)


def test_defaults_are_those_of_docker():
    assert defaults.parse_defaults(None) == defaults.parse_defaults({}) == Defaults()
    found = defaults.parse_defaults(
        {
            "bip": "10.9.0.1/24",
            "fixed_cidr": "10.9.0.128/25",
            "ip": "127.0.0.1",
            "icc": "no",
            "mtu": "1400",
            "default_address_pools": [{"base": "175.30.0.0/16", "size": 16}],
        }
    )
    assert found.bip == (ip_address("10.9.0.1"), 24)
    assert (str(found.fixed_cidr), str(found.ip), found.icc, found.mtu) == ("10.9.0.128/25", "127.0.0.1", False, 1400)
    assert found.default_address_pools == ((ip_network("175.30.0.0/16"), 16),)


def test_the_document_is_left_as_it_was():
    document = {
        "networks": {"a": {"driver_opts": {"com.docker.network.driver.mtu": 1400}}},
        "sandboxes": {"web": {"network_mode": "host", "ports": ["80"]}, "db": {"networks": ["a"]}},
    }
    before = copy.deepcopy(document)
    parse_project("shop", document)
    assert document == before


@pytest.mark.parametrize(
    "hostile",
    [
        "..",
        ".",
        "",
        "/abs",
        "a/b",
        "a\0b",
        "a" * 256,
        "\u0430dmin",
        "-rf",
        "a\nb",
        "a b",
        "a;b",
        "$(id)",
        "a\u202eb",
        "%s",
        "a\u00a0b",
    ],
)
def test_hostile_names_get_nowhere(hostile):
    """Names that would escape a path or a line, wherever a name may stand."""
    places = [
        {"networks": {hostile: {}}},
        {"sandboxes": {hostile: {}}},
        {"sandboxes": {"a": {"netns": hostile}}},
        {"sandboxes": {"a": {"networks": [hostile]}}},
        {"sandboxes": {"a": {"network_mode": "container:" + hostile}}},
        {"sandboxes": {"a": {"links": [hostile + ":x"]}}},
        {"networks": {"a": {"bridge_name": hostile}}},
        {"sandboxes": {"a": {"networks": {"b": {"interface_name": hostile}}}}},
        {"sandboxes": {"a": {"networks": {"b": {"aliases": [hostile]}}}}},
        {"networks": {"a": {"external": True, "name": hostile + "/" + hostile}}},
        {"veth_pairs": {"a": {"netns": hostile, "peer": {"name": "b"}}}},
        {"sandboxes": {"a": {"hostname": hostile}}},
        {"sandboxes": {"a": {"extra_hosts": {hostile: "10.0.0.1"}}}},
        {"sandboxes": {"a": {"attach": {"unit": hostile + "\n"}}}},
        {"sandboxes": {"a": {"attach": {"docker": hostile}}}},
    ]
    for document in places:
        with pytest.raises(DocklessError) as refusal:
            parse_project("shop", document)
        assert str(refusal.value).isprintable(), document
    with pytest.raises(DocklessError):
        parse_project(hostile, {})


def test_ipam_options_have_no_effect():
    with_options = network({"ipam": {"options": {"foo": "bar"}, "config": [{"subnet": "10.0.0.0/24"}]}})
    assert with_options == network({"ipam": {"config": [{"subnet": "10.0.0.0/24"}]}})


@pytest.mark.parametrize("entry", [{"external": True, "name": "{}"}, {"external": {"name": "{}"}}])
@pytest.mark.parametrize(("name", "mode"), [("host", MODE_HOST), ("none", MODE_NONE)])
@pytest.mark.parametrize("joined", [["net"], {"net": None}, {"net": {}}])
def test_an_external_network_that_is_predefined_is_a_mode(entry, name, mode, joined):
    """Compose files declare Docker's own networks in this way."""
    external = {key: {"name": name} if isinstance(value, dict) else value for key, value in entry.items()}
    external = {**external, **({"name": name} if "name" in entry else {})}
    document = {"networks": {"net": external}, "sandboxes": {"web": {"networks": joined}, "db": None}}
    project = parse_project("shop", document)
    assert [(s.mode, len(s.endpoints)) for s in project.sandboxes] == [(mode, 0), (MODE_NETWORKS, 1)]
    assert [network.name for network in project.networks] == ["default"]


def test_the_default_network_may_be_a_predefined_one():
    default = {"networks": {"default": {"external": True, "name": "host"}}, "sandboxes": {"web": None}}
    project = parse_project("shop", default)
    assert (project.sandboxes[0].mode, project.networks) == (MODE_HOST, ())


@pytest.mark.parametrize("external", [{"external": True, "name": "lan-of-shop"}, {"external": {"name": "lan-of-shop"}}])
def test_an_own_networks_name_is_a_reference_for_others(external):
    """Compose's name: what docker network ls would call it. Its key in the project stays."""
    shop = parse_project("shop", {"networks": {"lan": {"name": "lan-of-shop"}, "more": {"name": "more"}}})
    other = parse_project("other", {"networks": {"front": external}, "sandboxes": {"web": {"networks": ["front"]}}})
    host = resolve_externals(Host((shop, other)))
    assert [endpoint.network for endpoint in host.endpoints()] == [("shop", "lan")]
