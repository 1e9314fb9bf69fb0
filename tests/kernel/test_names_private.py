# SPDX-License-Identifier: GPL-3.0-or-later
"""Records are for sandboxes and root: other users of the host read neither values nor names of them."""

from __future__ import annotations

import json

from support.dns_questions import dig, until

OTHER_USER = "setpriv --reuid 12345 --regid 12345 --clear-groups"
PLACES = "/etc/dockless /etc/netns /etc/dnsmasq.d /run /var/lib/dockless"


def document(address, value="VALUE-OF-A-RECORD"):
    """Return a sandbox with records of its own and of its network."""
    text = {"type": "TXT", "value": value}
    host = {"name": "name-of-a-record.example", "type": "A", "value": address}
    network = {"ipam": {"config": [{"subnet": "172.20.0.0/24"}]}, "records": [{"name": "t1.example", **text}, host]}
    return {
        "networks": {"front": network},
        "sandboxes": {"web": {"networks": ["front"], "records": [{"name": "t2.example", **text}]}},
    }


def found(host, user=""):
    """Return the files in which a user finds a record."""
    return host.sh(f"{user} grep -rlsE 'VALUE-OF-A-RECORD|name-of-a-record' {PLACES} || true").splitlines()


def test_other_users_read_no_records(private_host):
    """Root finds them; the resolver, which runs as a user of its own, reads them again when they change."""
    private_host.apply(document("10.1.2.3"))
    assert {path.split("/")[2] for path in found(private_host)} == {"dockless"} and len(found(private_host)) > 3
    assert found(private_host, OTHER_USER) == []
    assert private_host.sh(f"{OTHER_USER} ls /run/dockless") and private_host.sh(
        f"{OTHER_USER} ls /run/dockless/dns 2>&1 || true"
    ).endswith("Permission denied")
    user = private_host.sh("ps -o user= -p $(cat /run/dockless/dns/pids/web.pid)")
    assert user == "dnsmasq"
    for name in ("t1.example", "t2.example"):
        assert dig(private_host, "web", name, "TXT") == ("NOERROR", ['"VALUE-OF-A-RECORD"'])
    private_host.apply(document("10.1.2.4"))
    changed = ("NOERROR", ["10.1.2.4"])
    assert until(lambda: dig(private_host, "web", "name-of-a-record.example"), changed) == changed
    assert not private_host.apply(document("10.1.2.4"))["changed"]


def test_a_run_closes_files_of_an_earlier_version(private_host):
    """Its configurations and directory were open. Names are answered all the time by the same process."""
    private_host.apply(document("10.1.2.3"))
    pid = private_host.sh("cat /run/dockless/dns/pids/web.pid")
    private_host.sh("chmod 755 /run/dockless/dns; chmod 644 /run/dockless/dns/resolvers/web.conf")
    assert found(private_host, OTHER_USER)
    done = private_host.apply(document("10.1.2.3"), diff=True)
    assert len(done["operations"]) == 1 and found(private_host, OTHER_USER) == [], json.dumps(done)
    assert private_host.sh("cat /run/dockless/dns/pids/web.pid") == pid
