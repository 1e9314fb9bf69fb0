# SPDX-License-Identifier: GPL-3.0-or-later
"""Real traffic between sandboxes of a fleet, seen from one host: traffic.py reads what to expect as JSON on stdin.

    {"here": ["a"],                                             the sandboxes of this host
     "sandboxes": {"a": {"red": ["10.60.0.2", "fd60::2"]}, …},  those of the whole fleet: addresses by network
     "aliases": {"bob": "b"},                                   further names
     "outside": "http://outside.test:8000", "seen_as": "10.99.0.11"}

Each sandbox here asks every other one. On a common network it must have names, pings and answers from a server on port 80
(serve.py), which must see the asker's own address; without a common network, none of it. Prints how many questions went
as they should; ends with 1 and a sentence for each that did not.
"""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
import typing as t

Check = tuple[str, list[str], t.Callable[["subprocess.CompletedProcess[str]"], bool]]
NOT_REACHED = (7, 28)  # curl's: refused, timed out


def inside(sandbox: str, *argv: str) -> list[str]:
    """Return the command that runs argv in a sandbox of this host."""
    return ["ip", "netns", "exec", sandbox, *argv]


def fetch(sandbox: str, host: str) -> list[str]:
    """Return the command that asks the web server of a host, given by name or address."""
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


def says(text: str) -> t.Callable[[subprocess.CompletedProcess[str]], bool]:
    """Return the judgement that a command succeeded and printed this text."""
    return lambda done: done.returncode == 0 and done.stdout.strip() == text


def open_way(
    one: str, other: str, network: str, ours: list[str], theirs: list[str], names: list[str]
) -> t.Iterator[Check]:
    """Yield what one must get from another on a common network, where each has these addresses."""
    for name in [other, f"{other}.{network}", *names]:
        yield (
            f"{one} finds {name}",
            inside(one, "getent", "ahosts", name),
            lambda done: {line.split()[0] for line in done.stdout.splitlines()} == set(theirs),
        )
        yield (
            f"{one} asks the server {name}",
            fetch(one, name),
            lambda done: done.stdout in {f"{other} seen from {address}" for address in ours},
        )
    for mine, address in zip(ours, theirs):
        yield (
            f"{one} pings {other} at {address}",
            inside(one, "ping", "-c", "1", "-W", "2", address),
            lambda done: done.returncode == 0,
        )
        yield f"{one} asks {other}'s server at {address}", fetch(one, address), says(f"{other} seen from {mine}")


def closed_way(one: str, other: str, theirs: list[str], names: list[str]) -> t.Iterator[Check]:
    """Yield what one must not get from another without a common network."""
    for name in [other, *names]:
        yield f"{one} must not find {name}", inside(one, "getent", "ahosts", name), lambda done: done.returncode == 2
    for address in theirs:
        yield (
            f"{one} must not reach {other}'s server at {address}",
            fetch(one, address),
            lambda done: done.returncode in NOT_REACHED,
        )


def checks(expected: t.Mapping[str, t.Any]) -> t.Iterator[Check]:
    """Yield every question that a sandbox of this host is to ask."""
    sandboxes: t.Mapping[str, t.Mapping[str, list[str]]] = expected["sandboxes"]
    for one in expected["here"]:
        for other in sorted(sandboxes):
            names = [alias for alias, owner in expected.get("aliases", {}).items() if owner == other]
            common = sorted(set(sandboxes[one]) & set(sandboxes[other])) if other != one else []
            for network in common:
                yield from open_way(one, other, network, sandboxes[one][network], sandboxes[other][network], names)
            if not common and other != one:
                yield from closed_way(
                    one, other, [address for addresses in sandboxes[other].values() for address in addresses], names
                )
        if expected.get("outside"):
            yield (
                f"{one} is seen outside as its host",
                inside(one, "curl", "-sS", "--connect-timeout", "2", expected["outside"]),
                says(expected["seen_as"]),
            )


def ask(check: Check) -> str:
    """Run one check; return an empty text, or a sentence with what came instead."""
    title, argv, judge = check
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return (
        ""
        if judge(done)
        else f"{title}: {' '.join(argv)} ended with {done.returncode}: {(done.stdout + done.stderr).strip()}"
    )


def main() -> int:
    """Ask everything and return the exit status."""
    asked = list(checks(json.load(sys.stdin)))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        wrong = [sentence for sentence in pool.map(ask, asked) if sentence]
    print("\n".join(wrong) if wrong else f"{len(asked)} as expected")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
