# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs wg(8) and wireguard-go, and the only one that touches private keys.

A private key goes from its file to wg's standard input and nowhere else: wg is never asked to show one, and no argument,
message or returned value holds one. Everything happens in the calling thread's namespace.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import typing as t

from ..errors import DocklessError
from ..names import ETC_DIRECTORY, TUNNEL_SLOTS
from . import safe_directories
from .programs import program

_BELOW = ("wireguard",)
_SOCKETS = "/var/run/wireguard"  # where wireguard-go listens for wg
_UNITS = "/run/systemd/system"
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin",
    "LC_ALL": "C",
    "LOG_LEVEL": "error",
}
_TIMEOUT = 10.0  # seconds; a wireguard-go that hangs answers never
_KEY = re.compile(r"[A-Za-z0-9+/]{43}=\Z")
_INSTALL = "Install wireguard-tools (the role dockless.network.prerequisites does for encrypted networks)."


class DevicePeer(t.NamedTuple):
    """Another host's end: where it is reached ("" until it speaks first), and the addresses that only it may send from."""

    public_key: str
    endpoint: str
    allowed: tuple[str, ...]


class Device(t.NamedTuple):
    """What a running link says of itself, without any secret."""

    public_key: str
    listen_port: int
    peers: tuple[DevicePeer, ...]


# ---- keys --------------------------------------------------------------------


def create_key(slot: str, fresh: bool = False) -> str:
    """Make the private key of a tunnel on this host, unless there is one and no fresh one is asked for; return its public key."""
    with safe_directories.opened(ETC_DIRECTORY, _BELOW, 0o700) as fd:
        os.fchmod(fd, 0o700)
        if fresh or safe_directories.read(fd, slot, _path(slot)) is None:
            safe_directories.replace(fd, slot, _run(["wg", "genkey"], b"", secret=True), 0o600, os.fsync)
    found = public_key(slot)
    if found is None:
        raise DocklessError(
            f"{_path(slot)} vanished as soon as it was made", "Look for what removes it, then run again."
        )
    return found


def public_key(slot: str) -> str | None:
    """Return the public key of a tunnel's private one, None if there is none. Raises DocklessError where it is damaged."""
    private = _private(slot)
    if private is None:
        return None
    if not _KEY.match(private.decode("ascii", "replace").strip()):
        raise DocklessError(
            f"{_path(slot)} holds no WireGuard key",
            "Remove it: a new one is made, which the other hosts have to be told of.",
        )
    return _run(["wg", "pubkey"], private, secret=True).decode("ascii").strip()


def public_keys() -> dict[str, str]:
    """Return the public key of each tunnel that has a private one."""
    found = {slot: public_key(slot) for slot in slots_with_key()}
    return {slot: key for slot, key in found.items() if key is not None}


def slots_with_key() -> list[str]:
    """Return the tunnels that have a private key on this host."""
    try:
        with safe_directories.opened(ETC_DIRECTORY, _BELOW) as fd:
            return [name for name in sorted(os.listdir(fd)) if name in TUNNEL_SLOTS]
    except FileNotFoundError:
        return []


def forget_key(slot: str) -> None:
    """Remove a private key, and the directory of keys with the last one; none is fine."""
    with contextlib.suppress(FileNotFoundError):
        with safe_directories.opened(ETC_DIRECTORY, _BELOW) as fd:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(slot, dir_fd=fd)
            os.fsync(fd)
            empty = not os.listdir(fd)
        if empty:
            with safe_directories.opened(ETC_DIRECTORY) as fd:
                os.rmdir(_BELOW[0], dir_fd=fd)


def _private(slot: str) -> bytes | None:
    try:
        with safe_directories.opened(ETC_DIRECTORY, _BELOW) as fd:
            found = safe_directories.read(fd, slot, _path(slot))
    except FileNotFoundError:
        return None
    return None if found is None else found[0]


def _path(slot: str) -> str:
    return "/".join((ETC_DIRECTORY, *_BELOW, slot))


# ---- links -------------------------------------------------------------------


def spawn(link: str) -> None:
    """Make a link that wireguard-go serves: for kernels without WireGuard. It ends when the link is deleted. Raises DocklessError."""
    path = program("wireguard-go")
    if not path:
        raise DocklessError(
            "this kernel has no WireGuard, and wireguard-go is not installed",
            "Load the module wireguard, or install wireguard-go.",
        )
    if os.path.isdir(_UNITS):  # a service of its own: it outlives the session or unit that this run is part of
        argv = [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit=dockless-{link}",
            "--property=Type=forking",
            "--setenv=LOG_LEVEL=error",
            path,
            link,
        ]
    else:
        argv = [path, link]
    _run(argv, b"", quiet=True)  # what makes itself a daemon keeps its output: a pipe would never end


def set_identity(link: str, slot: str, listen_port: int) -> None:
    """Give a link its private key and its UDP port. Raises DocklessError."""
    private = _private(slot)
    if private is None:
        raise DocklessError(f"there is no private key {_path(slot)}", "Run again: a new one is made.")
    text = b"[Interface]\nListenPort = %d\nPrivateKey = %s\n" % (listen_port, private.strip())
    _run(["wg", "addconf", link, "/dev/stdin"], text, secret=True)


def put_peers(link: str, peers: t.Iterable[DevicePeer]) -> None:
    """Add peers to a link or change them; others stay as they are, sessions too."""
    parts = []
    for peer in peers:
        endpoint = f"Endpoint = {peer.endpoint}\n" if peer.endpoint else ""
        parts.append(f"[Peer]\nPublicKey = {peer.public_key}\nAllowedIPs = {', '.join(peer.allowed)}\n{endpoint}")
    if parts:
        _run(["wg", "addconf", link, "/dev/stdin"], "".join(parts).encode("ascii"))


def remove_peers(link: str, public: t.Iterable[str]) -> None:
    """Take peers off a link."""
    words = [word for key in public for word in ("peer", key, "remove")]
    if words:
        _run(["wg", "set", link, *words], b"")


def show(link: str) -> Device | None:
    """Return what a link says of itself, None if nobody answers for it."""
    try:
        # Four questions, because the one that answers all shows the private key as well.
        own, port, endpoints, allowed = (
            _run(["wg", "show", link, what], b"").decode("ascii")
            for what in ("public-key", "listen-port", "endpoints", "allowed-ips")
        )
    except DocklessError:
        if not program("wg"):
            raise
        return None
    return parse(own, port, endpoints, allowed)


def parse(own: str, port: str, endpoints: str, allowed: str) -> Device:
    """Return a link from the four texts that wg shows."""

    def rows(text: str) -> dict[str, str]:
        return {key: value for key, tab, value in (line.partition("\t") for line in text.splitlines())}

    reached = rows(endpoints)
    peers = tuple(
        DevicePeer(
            key,
            "" if reached.get(key, "(none)") == "(none)" else reached[key],
            tuple(sorted(value.split())) if value != "(none)" else (),
        )
        for key, value in sorted(rows(allowed).items())
    )
    return Device("" if own.strip() == "(none)" else own.strip(), int(port), peers)


@contextlib.contextmanager
def followed_to_its_end(link: str) -> t.Iterator[None]:
    """Wait, after the link is deleted within the block, until a wireguard-go that served it has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(_TIMEOUT)
        try:
            door.connect(f"{_SOCKETS}/{link}.sock")
            served = True
        except OSError:
            served = False
        yield
        if served:
            with contextlib.suppress(OSError):
                while door.recv(4096):  # it hangs up when it ends
                    pass


def _run(argv: t.Sequence[str], content: bytes, secret: bool = False, quiet: bool = False) -> bytes:
    """Run a program and return its output. Raises DocklessError, without a word of the program's where those may hold a secret."""
    path = program(argv[0]) if "/" not in argv[0] else argv[0]
    if not path:
        raise DocklessError(f"{argv[0]} is not installed, and encrypted networks need it", _INSTALL)
    end = subprocess.DEVNULL if quiet else subprocess.PIPE
    try:
        done = subprocess.run(
            [path, *argv[1:]], input=content, stdout=end, stderr=end, env=_ENVIRONMENT, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = (
            "it does not answer"
            if isinstance(error, subprocess.TimeoutExpired)
            else os.strerror(t.cast(OSError, error).errno or 0)
        )
        raise DocklessError(f"{argv[0]} cannot be run: {reason}", "Run again.") from None
    if done.returncode:
        words = "" if secret or quiet else ": " + " ".join(done.stderr.decode("utf-8", "replace").split())
        raise DocklessError(
            f"{os.path.basename(argv[0])} {' '.join(argv[1:3])} failed with status {done.returncode}{words}",
            "Look for another program that uses the same UDP port or interface name.",
        )
    return done.stdout or b""
