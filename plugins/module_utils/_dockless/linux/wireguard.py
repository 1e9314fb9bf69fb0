# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE: part of dockless.network only; no guarantees to anybody else.
"""The only file that runs wg(8) and wireguard-go, and the only one that reads and writes private keys.

A private key goes from its file to wg's standard input and nowhere else: no argument, message or returned value of a
public function holds one, and no command is used that prints one. Everything happens in the network namespace of the
calling thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import typing as t

from ..errors import DocklessError
from ..names import ETC_DIRECTORY, TUNNEL_SLOTS
from . import programs, safe_directories, systemd
from .programs import Remedies

_KEY_DIRECTORY = ("wireguard",)
_SOCKETS = "/var/run/wireguard"  # where wireguard-go listens for wg
_GO_ENVIRONMENT = {"LOG_LEVEL": "error"}  # of wireguard-go
_TIMEOUT_S = 10.0
_KEY = re.compile(r"[A-Za-z0-9+/]{43}=\Z")
_REMEDIES = Remedies(
    "Install wireguard-tools (the role dockless.network.prerequisites does for encrypted networks).",
    "Check whether it hangs, then run again.",
    "Check whether another program uses the same UDP port or interface name.",
)


class DevicePeer(t.NamedTuple):
    """A peer of a WireGuard link: its endpoint ("" until it sends first) and the addresses that it may send from."""

    public_key: str
    endpoint: str
    allowed: tuple[str, ...]


class Device(t.NamedTuple):
    """A WireGuard link as the kernel reports it, without any secret."""

    public_key: str
    listen_port: int
    peers: tuple[DevicePeer, ...]


# ---- keys --------------------------------------------------------------------


def create_key(slot: str, fresh: bool = False) -> str:
    """Generate the private key of a tunnel unless there is one, and return its public key.

    fresh replaces an existing key.
    """
    with safe_directories.opened(ETC_DIRECTORY, _KEY_DIRECTORY, 0o700) as fd:
        os.fchmod(fd, 0o700)
        if fresh or safe_directories.read(fd, slot, _path(slot)) is None:
            private = _wg(["genkey"], secret=True)
            safe_directories.replace(fd, slot, private.encode("ascii"), 0o600, os.fsync)
    key = public_key(slot)
    if key is None:
        raise DocklessError(
            f"{_path(slot)} was removed immediately after dockless wrote it",
            "Find the program that removes it, then run again.",
        )
    return key


def public_key(slot: str) -> str | None:
    """Return the public key of a tunnel's private key, None if there is none.

    Raises DocklessError for a damaged file.
    """
    private = _private_key(slot)
    if private is None:
        return None
    if not _KEY.match(private):
        raise DocklessError(
            f"{_path(slot)} holds no WireGuard key",
            "Remove it. dockless then generates a new key, which the other hosts must receive.",
        )
    return _wg(["pubkey"], private + "\n", secret=True).strip()


def public_keys() -> dict[str, str]:
    """Return the public key of each tunnel that has a private key, by slot."""
    keys = {slot: public_key(slot) for slot in slots_with_key()}
    return {slot: key for slot, key in keys.items() if key is not None}


def slots_with_key() -> list[str]:
    """Return the slots of the tunnels that have a private key on this host."""
    try:
        with safe_directories.opened(ETC_DIRECTORY, _KEY_DIRECTORY) as fd:
            return [name for name in sorted(os.listdir(fd)) if name in TUNNEL_SLOTS]
    except FileNotFoundError:
        return []


def forget_key(slot: str) -> None:
    """Remove a private key if there is one, and with the last key also the directory."""
    with contextlib.suppress(FileNotFoundError):
        with safe_directories.opened(ETC_DIRECTORY, _KEY_DIRECTORY) as fd:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(slot, dir_fd=fd)
            os.fsync(fd)
            empty = not os.listdir(fd)
        if empty:
            with safe_directories.opened(ETC_DIRECTORY) as fd:
                os.rmdir(_KEY_DIRECTORY[0], dir_fd=fd)


def _private_key(slot: str) -> str | None:
    try:
        with safe_directories.opened(ETC_DIRECTORY, _KEY_DIRECTORY) as fd:
            found = safe_directories.read(fd, slot, _path(slot))
    except FileNotFoundError:
        return None
    return None if found is None else found[0].decode("ascii", "replace").strip()


def _path(slot: str) -> str:
    return "/".join((ETC_DIRECTORY, *_KEY_DIRECTORY, slot))


# ---- links -------------------------------------------------------------------


def spawn(link: str) -> None:
    """Create a link that wireguard-go serves, for kernels without WireGuard.

    It ends with its link. Raises DocklessError.
    """
    path = programs.find_program("wireguard-go")
    if not path:
        raise DocklessError(
            "this kernel has no WireGuard, and wireguard-go is not installed",
            "Load the module wireguard, or install wireguard-go.",
        )
    if systemd.is_running():
        systemd.start_daemon(f"dockless-{link}", [path, link], _GO_ENVIRONMENT)
        return
    programs.run([path, link], timeout_s=_TIMEOUT_S, capture=False, environment=_GO_ENVIRONMENT, remedies=_REMEDIES)


def set_identity(link: str, slot: str, listen_port: int) -> None:
    """Set a link's private key and UDP port. Raises DocklessError."""
    private = _private_key(slot)
    if private is None:
        raise DocklessError(f"there is no private key {_path(slot)}", "Run again: dockless generates a new one.")
    text = f"[Interface]\nListenPort = {listen_port}\nPrivateKey = {private}\n"
    _wg(["addconf", link, "/dev/stdin"], text, secret=True)


def put_peers(link: str, peers: t.Iterable[DevicePeer]) -> None:
    """Add or change these peers of a link. Other peers and all sessions stay as they are."""
    parts = []
    for peer in peers:
        endpoint = f"Endpoint = {peer.endpoint}\n" if peer.endpoint else ""
        parts.append(f"[Peer]\nPublicKey = {peer.public_key}\nAllowedIPs = {', '.join(peer.allowed)}\n{endpoint}")
    if parts:
        _wg(["addconf", link, "/dev/stdin"], "".join(parts))


def remove_peers(link: str, public_keys: t.Iterable[str]) -> None:
    """Remove peers of a link."""
    words = [word for key in public_keys for word in ("peer", key, "remove")]
    if words:
        _wg(["set", link, *words])


def show(link: str) -> Device | None:
    """Return the present settings of a link, None if wg cannot read it. Raises DocklessError if wg is not installed."""
    try:
        # Four calls, because "wg show LINK dump" prints the private key as well.
        own, port, endpoints, allowed = (
            _wg(["show", link, field]) for field in ("public-key", "listen-port", "endpoints", "allowed-ips")
        )
    except DocklessError:
        if not programs.find_program("wg"):
            raise
        return None
    return parse(own, port, endpoints, allowed)


def parse(own: str, port: str, endpoints: str, allowed: str) -> Device:
    """Return a link from what "wg show" prints of its public key, port, endpoints and allowed addresses."""
    endpoint_of = _rows(endpoints)
    peers = tuple(
        DevicePeer(key, _unless_none(endpoint_of.get(key, "")), tuple(sorted(_unless_none(addresses).split())))
        for key, addresses in sorted(_rows(allowed).items())
    )
    return Device(_unless_none(own.strip()), int(port), peers)


@contextlib.contextmanager
def followed_to_its_end(link: str) -> t.Iterator[None]:
    """Wait at the end of the block, in which the link is deleted, until a wireguard-go that served it has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(_TIMEOUT_S)
        try:
            control.connect(f"{_SOCKETS}/{link}.sock")
            is_connected = True
        except OSError:
            is_connected = False
        yield
        if is_connected:
            with contextlib.suppress(OSError):
                while control.recv(4096):  # wireguard-go closes the connection when it ends
                    pass


def _rows(text: str) -> dict[str, str]:
    return {key: value for key, _tab, value in (line.partition("\t") for line in text.splitlines())}


def _unless_none(value: str) -> str:
    return "" if value == "(none)" else value


def _wg(arguments: t.Sequence[str], stdin: str = "", secret: bool = False) -> str:
    """Run wg and return its output. secret keeps that out of error messages. Raises DocklessError."""
    output = programs.run(["wg", *arguments], stdin=stdin, timeout_s=_TIMEOUT_S, secret=secret, remedies=_REMEDIES)
    return output.stdout
