# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered datagrams of flows that must not notice what else changes, and which of them are missing."""

from __future__ import annotations

import itertools
import socket
import time
import typing as t

from . import places, wire
from .places import HOST, OUTSIDE, address, host_port
from .stations import entered
from .topology import Lab

_SOON = 0.5  # seconds after which the next burst goes out; what comes later still counts as arrived
_PATIENCE = 10.0


class Stream(t.NamedTuple):
    """A flow from a place to a sandbox's or the node's UDP port."""

    origin: str
    address: str
    port: int
    target: str


def of(version: int) -> list[Stream]:
    """Return flows within a network, between networks, in and out, by their own addresses and by published ports."""
    six = version == 6
    return [
        Stream("c1", address("c2", version), 80, "c2"),
        Stream("r1", address("r2", version), 80, "r2"),
        Stream("c4", address("c5", version), 80, "c5"),
        Stream("l1", address("l2", version), 80, "l2"),
        Stream("p1", address("p2", version), 80, "p2"),
        Stream("c3", address("r1", version), 80, "r1"),
        Stream("c1", OUTSIDE["nbr"][six], 80, "nbr"),
        Stream("r1", OUTSIDE["far"][six], 80, "far"),
        Stream("c1", places.gateway("c1", version), 80, "node"),
        Stream("node", address("c1", version), 80, "c1"),
        Stream("nbr", address("u1", version), 80, "u1"),
        Stream("far", address("r2", version), 80, "r2"),
        Stream("nbr", HOST[six], host_port("c3"), "c3"),
        Stream("c3", HOST[six], host_port("c1"), "c1"),
        Stream("node", HOST[six], host_port("c3"), "c3"),
    ]


class Traffic:
    """Sends bursts of each stream, from one socket for all of them and from a new one for each burst."""

    def __init__(self, lab: Lab, streams: t.Sequence[Stream]) -> None:
        self._lab, self._streams = lab, streams
        self._numbers = itertools.count()
        self._missing: dict[bytes, Stream] = {}
        self._lasting = [self._socket(stream) for stream in streams]
        self.sent = 0

    def close(self) -> None:
        """Close its sockets."""
        for found in self._lasting:
            found.close()

    def burst(self, count: int) -> None:
        """Send datagrams of each stream, and return when they have arrived, or soon after."""
        for stream, lasting in zip(self._streams, self._lasting):
            with self._socket(stream) as new:
                for sender in (lasting, new):
                    self._send(stream, sender, count)
        self._collect(_SOON)

    def lost(self) -> dict[Stream, int]:
        """Return how many datagrams have not arrived at all, by stream."""
        self._collect(_PATIENCE)
        counts: dict[Stream, int] = {}
        for stream in self._missing.values():
            counts[stream] = counts.get(stream, 0) + 1
        return counts

    def _socket(self, stream: Stream) -> socket.socket:
        with entered(self._lab[stream.origin].namespace):
            return socket.socket(wire.family(stream.address), socket.SOCK_DGRAM)

    def _send(self, stream: Stream, sender: socket.socket, count: int) -> None:
        for _number in range(count):
            text = b"ST%d" % next(self._numbers)
            self._missing[text] = stream
            self.sent += 1
            try:
                sender.sendto(text, (stream.address, stream.port))
            except OSError:
                continue  # lost: it stays among the missing

    def _collect(self, patience: float) -> None:
        end = time.monotonic() + patience
        targets = {stream.target for stream in self._streams}
        while self._missing and time.monotonic() < end:
            for target in targets:
                for text in self._lab[target].received(80):
                    self._missing.pop(text, None)
