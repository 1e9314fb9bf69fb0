# SPDX-License-Identifier: GPL-3.0-or-later
"""Check real traffic from the sandboxes of one host. The expectations come as JSON on standard input:

    {"here": ["a"],                                             the sandboxes of this host
     "sandboxes": {"a": {"red": ["10.60.0.2", "fd60::2"]}, …},  those of the fleet: addresses by network
     "aliases": {"bob": "b"},                                   further names
     "outside": "http://outside.test:8000", "seen_as": "10.99.0.11"}

Each sandbox of this host tries to reach every other one. On a common network names must resolve, pings must be
answered, and a server on port 80 (serve.py) must answer and see the client's own address. Without a common network none
of this may work. Prints the number of checks, or a line for each failed one with exit status 1.
"""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
import typing as t

Check = tuple[str, list[str], t.Callable[["subprocess.CompletedProcess[str]"], bool]]
NOT_REACHED = (7, 28)  # exit statuses of curl: connection refused, timed out


def inside(sandbox: str, *argv: str) -> list[str]:
    """Return the command that runs argv in a sandbox of this host."""
    return ["ip", "netns", "exec", sandbox, *argv]


def fetch(sandbox: str, host: str) -> list[str]:
    """Return the command that requests the page of a host, given by name or address."""
    return inside(
        sandbox,
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--connect-timeout",
        "2",
        f"http://{f'[{host}]' if ':' in host else host}/",
    )


def prints(text: str) -> t.Callable[[subprocess.CompletedProcess[str]], bool]:
    """Return the test that a command succeeded and printed this text."""
    return lambda done: done.returncode == 0 and done.stdout.strip() == text


def succeeds(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether a command succeeded."""
    return done.returncode == 0


def does_not_resolve(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether getent reports that a name does not exist."""
    return done.returncode == 2


def is_not_reached(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether curl could not connect."""
    return done.returncode in NOT_REACHED


def reachable(
    client: str, server: str, network: str, client_addresses: list[str], server_addresses: list[str], names: list[str]
) -> t.Iterator[Check]:
    """Yield the checks of two sandboxes on a common network. names are further names of the server."""
    answers = {f"{server} seen from {address}" for address in client_addresses}
    for name in [server, f"{server}.{network}", *names]:
        yield (
            f"{client} resolves {name}",
            inside(client, "getent", "ahosts", name),
            lambda done: {line.split()[0] for line in done.stdout.splitlines()} == set(server_addresses),
        )
        yield f"{client} requests http://{name}", fetch(client, name), lambda done: done.stdout in answers
    for client_address, address in zip(client_addresses, server_addresses):
        yield f"{client} pings {server} at {address}", inside(client, "ping", "-c", "1", "-W", "2", address), succeeds
        expected = prints(f"{server} seen from {client_address}")
        yield f"{client} requests the page of {server} at {address}", fetch(client, address), expected


def unreachable(client: str, server: str, addresses: list[str], names: list[str]) -> t.Iterator[Check]:
    """Yield the checks of two sandboxes without a common network."""
    for name in [server, *names]:
        yield f"{client} must not resolve {name}", inside(client, "getent", "ahosts", name), does_not_resolve
    for address in addresses:
        yield f"{client} must not reach {server} at {address}", fetch(client, address), is_not_reached


def checks(expected: t.Mapping[str, t.Any]) -> t.Iterator[Check]:
    """Yield all checks of the sandboxes of this host."""
    sandboxes: t.Mapping[str, t.Mapping[str, list[str]]] = expected["sandboxes"]
    for client in expected["here"]:
        for server in sorted(sandboxes):
            if server != client:
                names = [alias for alias, owner in expected.get("aliases", {}).items() if owner == server]
                yield from pair_checks(sandboxes, client, server, names)
        if expected.get("outside"):
            yield (
                f"the source address of {client} is its host's",
                inside(client, "curl", "-sS", "--connect-timeout", "2", expected["outside"]),
                prints(expected["seen_as"]),
            )


def pair_checks(
    sandboxes: t.Mapping[str, t.Mapping[str, list[str]]], client: str, server: str, names: list[str]
) -> t.Iterator[Check]:
    """Yield the checks from one sandbox to another."""
    common = sorted(set(sandboxes[client]) & set(sandboxes[server]))
    for network in common:
        yield from reachable(client, server, network, sandboxes[client][network], sandboxes[server][network], names)
    if not common:
        addresses = [address for addresses in sandboxes[server].values() for address in addresses]
        yield from unreachable(client, server, addresses, names)


def run(check: Check) -> str:
    """Run one check. Return "", or a line that describes the failure."""
    title, argv, is_expected = check
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if is_expected(done):
        return ""
    return f"{title}: {' '.join(argv)} ended with {done.returncode}: {(done.stdout + done.stderr).strip()}"


def main() -> int:
    """Run all checks and return the exit status."""
    found = list(checks(json.load(sys.stdin)))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        failures = [line for line in pool.map(run, found) if line]
    print("\n".join(failures) if failures else f"{len(found)} as expected")
    return 1 if failures or not found else 0


if __name__ == "__main__":
    sys.exit(main())
