# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions of the host's firewall, and the order in which elements come and go."""

from __future__ import annotations

import pytest

from _dockless.errors import DocklessError
from _dockless.firewall import descriptions, host_firewall
from _dockless.firewall.descriptions import NO_NAMES, Names
from _dockless.firewall.nft_text import frozen
from _dockless.firewall.port_rules import PORT_SETS
from _dockless.firewall.rules import CLOSING, SETS

EVERY_SET = [each.name for each in (*SETS, *PORT_SETS)]
WEB = ("published4", "tcp . 8080 : 10.1.0.2 . 80")
CLOSED = ("no_direct4", "10.1.0.0/24")
STATION = ("source_macs", '"vethweb" . 02:00:00:00:00:01 . ip')


def test_each_set_has_a_name_of_its_own_and_closing_sets_exist():
    assert len(EVERY_SET) == len(set(EVERY_SET))
    assert set(EVERY_SET) >= CLOSING


def test_a_change_touches_only_the_elements_that_differ():
    other = ("published4", "tcp . 81 : 10.1.0.2 . 81")
    script = host_firewall.change_script(frozenset([WEB, CLOSED]), frozenset([other, CLOSED]))
    assert script.splitlines() == [
        "delete element inet dockless published4 { tcp . 8080 : 10.1.0.2 . 80 }",
        "add element inet dockless published4 { tcp . 81 : 10.1.0.2 . 81 }",
    ]
    assert host_firewall.change_script(frozenset([WEB]), frozenset([WEB])) == ""


def test_what_closes_or_checks_comes_before_the_links_and_what_opens_after_them():
    wanted = frozenset([WEB, CLOSED, STATION])
    assert host_firewall.before_links(frozenset(), wanted) == {CLOSED, STATION}


def test_what_closes_stays_until_the_links_are_gone():
    actual, wanted = frozenset([WEB, CLOSED, STATION]), frozenset([("no_direct4", "10.2.0.0/24")])
    assert host_firewall.until_removal(wanted, actual) == wanted | {CLOSED}


@pytest.mark.parametrize(
    ("old", "new", "stays"),
    [
        (("no_direct4", "10.1.0.0/24"), ("no_direct4", "10.1.0.0/16"), False),
        (("no_direct6", "fd00:1::/64"), ("no_direct6", "fd00:1::/80"), False),
        (("no_direct4", "10.1.0.0/24"), ("no_direct4", "10.1.1.0/24"), True),
        (("restricted4", "0.0.0.0/0 . tcp . 80-90"), ("restricted4", "192.0.2.1 . tcp . 85"), False),
        (("restricted4", "0.0.0.0/0 . tcp . 80-90"), ("restricted4", "0.0.0.0/0 . udp . 85"), True),
        (("restricted4", "0.0.0.0/0 . tcp . 80-90"), ("restricted4", "0.0.0.0/0 . tcp . 91-95"), True),
        (("gateways4", "10.1.0.1"), ("gateways4", "10.2.0.1"), True),
    ],
)
def test_a_closing_element_gives_way_to_one_that_overlaps_it(old, new, stays):
    """The kernel refuses a set of intervals that overlap."""
    between = host_firewall.until_removal(frozenset([new]), frozenset([old]))
    assert between == (frozenset([old, new]) if stays else frozenset([new]))
    assert host_firewall.before_links(frozenset([old]), between) == between


def test_a_prefix_of_one_address_is_that_address():
    """The kernel gives back the address."""
    found = frozen({"allowed4": ["203.0.113.7/32 . 0.0.0.0/0 . tcp . 80"], "targets6": ["2001:db8::/32 . fd00::2/128"]})
    assert found == {("allowed4", "203.0.113.7 . 0.0.0.0/0 . tcp . 80"), ("targets6", "2001:db8::/32 . fd00::2")}


@pytest.mark.parametrize("text", ['"a" } flush ruleset', '"a"; drop', '"a"\n', "$x", '"a" # '])
def test_an_element_is_never_more_than_an_element(text):
    with pytest.raises(DocklessError, match="contains more than an element"):
        host_firewall.load_script(frozenset([("any_source", text)]))


def test_every_set_has_a_sentence():
    assert set(descriptions._SENTENCES) >= set(EVERY_SET)


@pytest.mark.parametrize(
    ("element", "sentence"),
    [
        (WEB, "publish 8080/tcp on all addresses → web:80"),
        (("published6", "tcp . 8080 : fd00:1::9 . 80"), "publish 8080/tcp on all addresses → [fd00:1::9]:80"),
        (("ranges4_on", "192.0.2.2 . udp . 50-59 : 10.1.0.2"), "publish 50-59/udp on 192.0.2.2 → web:50-59"),
        (("targets4", "10.0.0.0/8 . 10.1.0.2 . tcp . 80"), "allow 10.0.0.0/8 to web:80/tcp at its own address"),
        (("allowed4", "10.0.0.0/8 . 0.0.0.0/0 . tcp . 80"), "allow 10.0.0.0/8 to port 80/tcp on all addresses"),
        (("same_bridge", '"br-1" . "br-1"'), "let sandboxes of network backend reach each other"),
        (STATION, "let web on network backend send with MAC address 02:00:00:00:00:01"),
        (("egress", '"br-2"'), 'let sandboxes of link "br-2" connect to the outside'),
    ],
)
def test_an_element_is_described_in_the_words_of_the_document(element, sentence):
    names = Names({"10.1.0.2": "web"}, {"br-1": "backend"}, {"vethweb": ("web", "backend")})
    assert descriptions.describe([element], names) == [sentence]
    assert descriptions.describe([element], NO_NAMES)


def test_elements_of_both_ip_versions_have_one_sentence():
    names = Names({"10.1.0.2": "web", "fd00:1::2": "web"}, {}, {})
    assert len(descriptions.describe([WEB, ("published6", "tcp . 8080 : fd00:1::2 . 80")], names)) == 1
