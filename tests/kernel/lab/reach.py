# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking: a packet or a connection for each question of the policy, and what came of it."""

from __future__ import annotations

import typing as t

from .policy import Question
from .stations import connected
from .topology import Lab, one_processor


def answers(lab: Lab, questions: t.Sequence[Question]) -> list[bool]:
    """Return for each question whether its packet arrived, or its connection came about."""
    by_source: dict[str, list[Question]] = {}
    for question in questions:
        by_source.setdefault(question.source, []).append(question)
    told: dict[Question, bool] = {}
    for batch in by_source.values():
        told.update(_of_batch(lab, batch))
    return [told[question] for question in questions]


@one_processor()
def _of_batch(lab: Lab, batch: t.Sequence[Question]) -> dict[Question, bool]:
    """Ask what one place asks, all at once."""
    lab.taken()
    sent, calls = {}, []
    for question in batch:
        station = lab[question.source]
        if question.protocol == "tcp":
            calls.append((question, station.connect(question.address, question.port)))
            lab.packets += 1
            continue
        token = lab.token()
        sent[question] = token
        if question.protocol == "udp":
            station.datagram(question.address, question.port, token)
        else:
            station.echo(question.address, token)
    lab.settle()
    open_ones = connected(
        [door for _question, door in calls],
        [number for number, (question, _door) in enumerate(calls) if question.expected],
    )
    lab.settle()
    taken = lab.taken()
    heard = {name: {each.token for each in list_ if each.how != "frame"} for name, list_ in taken.items()}
    told = {question: token in heard[question.target] for question, token in sent.items()}
    told.update(zip((question for question, _door in calls), open_ones))
    return told
