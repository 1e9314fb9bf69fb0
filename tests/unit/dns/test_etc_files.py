# SPDX-License-Identifier: GPL-3.0-or-later
"""nsswitch.conf(5) of a sandbox: which sources of names are left, and that everything else stays."""

from __future__ import annotations

import pytest

from _dockless.dns import etc_files
from _dockless.model.facts import Facts
from _dockless.model.sandbox import Sandbox
from support import pipeline  # pylint: disable=unused-import  # noqa: F401  # brings the engine

WEB = Sandbox("shop", "web")
CASES = {
    "Fedora": ("hosts:      files myhostname resolve [!UNAVAIL=return] dns", "hosts: files myhostname dns"),
    "Arch": ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", "hosts: files myhostname dns"),
    "Debian's desktop": ("hosts:          files mdns4_minimal [NOTFOUND=return] dns", "hosts: files dns"),
    "action of one that stays": (
        "hosts: files [SUCCESS=continue UNAVAIL=return] dns winbind",
        "hosts: files [SUCCESS=continue UNAVAIL=return] dns",
    ),
    "no DNS": ("hosts: files resolve", "hosts: files dns"),
    "files only": ("hosts: files", "hosts: files dns"),
    "a comment behind": ("  hosts:dns resolve[!UNAVAIL=return]files # resolve", "hosts: dns files"),
    "several lines": (
        "passwd: files\nhosts: resolve\nhosts_x: resolve\n#hosts: resolve",
        "passwd: files\nhosts: dns\nhosts_x: resolve\n#hosts: resolve",
    ),
}
PLAIN = [
    "",
    "hosts: files dns",
    "hosts:\tdns [!UNAVAIL=return] files  # plain",
    "passwd: files systemd\n",
    "# hosts: resolve\nhosts: files myhostname dns\n",
]


@pytest.mark.parametrize("before, after", CASES.values(), ids=CASES)
def test_sources_that_ask_the_hosts_daemons_go(before, after):
    """Those that work inside stay in their order, with their actions."""
    text = etc_files.nsswitch_conf(WEB, Facts(nsswitch=before))
    assert text == f"# dockless: sandbox shop/web\n{after}\n"
    assert etc_files.nsswitch_conf(WEB, Facts(nsswitch=text)) == ""


@pytest.mark.parametrize("text", PLAIN)
def test_a_host_whose_sources_work_inside_needs_no_file(text):
    """As most servers have it."""
    assert etc_files.nsswitch_conf(WEB, Facts(nsswitch=text)) == ""
