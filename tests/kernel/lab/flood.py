# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks without a pause while a host changes: what the finished state stops must never arrive, at no moment."""

from __future__ import annotations

import threading
import typing as t

from _dockless.firewall.rules import COUNTERS

from . import places
from .claims import Attack
from .topology import Lab

_LISTEN_EVERY = 100  # attacks


class Flood:
    """Sends each attack in turn, from a thread, for the length of a with block. Nobody else may use the lab then."""

    def __init__(self, lab: Lab, attacks: t.Sequence[Attack]) -> None:
        self._lab, self._attacks = lab, attacks
        self._by_token: dict[bytes, Attack] = {}
        self._is_over = threading.Event()
        self._round = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="flood")
        self._error: BaseException | None = None
        self.rounds = self.packets = 0
        self.leaks: dict[tuple[Attack, str], int] = {}  # how many packets of an attack arrived at a station

    def __enter__(self) -> Flood:
        self._thread.start()
        self.wait()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        self._thread.join()
        if self._error:
            raise self._error

    def wait(self, rounds: int = 2) -> None:
        """Return when each attack was sent as many times from now on."""
        with self._round:
            end = self.rounds + rounds + 1  # the present round began before
            self._round.wait_for(lambda: self.rounds >= end or self._error)

    def _run(self) -> None:
        try:
            while not self._is_over.is_set():
                self._send_each()
                with self._round:
                    self.rounds += 1
                    self._round.notify_all()
        except BaseException as error:  # told by the thread that waits
            with self._round:
                self._error = error
                self._round.notify_all()

    def _send_each(self) -> None:
        for number, attack in enumerate(self._attacks):
            token = self._lab.token()
            self._by_token[token] = attack
            attack.send(self._lab, token)
            self.packets += 1
            if number % _LISTEN_EVERY == 0:
                self._listen()
        self._listen()

    def _listen(self) -> None:
        for name, station in self._lab.stations.items():
            station.listen()
            for heard in station.heard:
                attack = self._by_token.get(heard.token)
                if attack is not None and self._is_leak(attack, name):
                    self.leaks[attack, name] = self.leaks.get((attack, name), 0) + 1
            station.heard = []

    @staticmethod
    def _is_leak(attack: Attack, station: str) -> bool:
        if station == attack.origin or station in attack.seen_by:
            return False
        if station == "nbr" and attack.origin in places.TUNNELS:  # it is the other end, and gets the host's refusals
            return False
        # A frame to a bridge that is not up yet is flooded to neighbours, whom a rule for the host does not concern.
        network = places.NETWORK_OF.get(station)
        if network and network == places.NETWORK_OF.get(attack.origin) and attack.counter in COUNTERS:
            return False
        # While a port is not published, the host refuses the packet itself, and its ICMP error quotes it.
        if station == "nbr" and attack.counter == "source_ranges":
            return False
        # The address of a sandbox is one of the world while its network is not there.
        return not (station == "nbr" and attack.victim != "nbr" and places.leads_out(attack.origin))
