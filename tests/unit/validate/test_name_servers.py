# SPDX-License-Identifier: GPL-3.0-or-later
"""The warning about a host without name servers."""

from __future__ import annotations

import pytest

from _dockless.model.facts import Facts
from _dockless.validate import name_servers
from support.pipeline import resolved

NONE = Facts(resolv_conf="/etc/resolv.conf")
GONE = NONE._replace(resolv_conf="", resolv_conf_exists=False, resolv_conf_fault="does not exist")
SANDBOXES = {"web": {"networks": ["front"]}, "db": {"networks": ["front"]}}


def warnings(facts, project=None, **web):
    """Return the warnings for two sandboxes, of which web has more options."""
    document = {"networks": {"front": {}}, "sandboxes": {"web": {"networks": ["front"], **web}}}
    return name_servers.warnings(resolved(document, known=facts), facts, project)


def test_one_warning_names_the_file_and_the_remedy():
    for facts in (NONE, GONE):
        document = {"networks": {"front": {}}, "sandboxes": SANDBOXES}
        (warning,) = name_servers.warnings(resolved(document, known=facts), facts, None)
        assert warning.startswith(f"/etc/resolv.conf {facts.resolv_conf_fault}") and "a name server" in warning


@pytest.mark.parametrize(
    "facts, options",
    [
        (NONE._replace(nameservers=("192.0.2.53",)), {}),
        (NONE, {"dns": ["192.0.2.53"]}),
        (NONE, {"forward": "none"}),
        (GONE, {"network_mode": "host", "networks": None}),
    ],
)
def test_no_warning_where_nobody_needs_a_server_of_the_host(facts, options):
    assert warnings(facts, **options) == []


def test_another_project_gets_no_warning():
    assert warnings(NONE, "other") == []
