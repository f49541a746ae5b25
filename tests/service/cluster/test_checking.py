"""The checker of histories finds each kind of what cannot be, and nothing in what can."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from checking import Final, Operation, Violation, check, read_history, write_history

WEIGHTS = {client: 1 + client / 8 for client in range(4)}


def update(
    key: str, start: float, end: float, sequence: int | None, examples: int = 2, **more: Any
) -> Operation:
    """One that is acknowledged, or not where there is no sequence."""
    replayed = more.pop("replayed", 0)
    answer = {} if sequence is None else {"accepted": examples, "replayed": replayed, "sequence": sequence}
    given: dict[str, Any] = {"client": int(key[0]), "node": "a", "status": 200 if answer else None} | more
    return Operation(key=key, kind="update", start=start, end=end, answer=answer, examples=examples, **given)


def told(kind: Any, key: str, start: float, end: float, status: int | None = 200, **more: Any) -> Operation:
    given: dict[str, Any] = {"client": 0, "node": "b", "answer": {}} | more
    return Operation(key=key, kind=kind, start=start, end=end, status=status, **given)


def label(key: str, start: float, sequence: int) -> Operation:
    return told("label", key, start, start + 1, answer={"accepted": 1, "sequence": sequence})


def read(sequence: int, asked: int | None = None) -> Operation:
    return told("predict", "", 20, 21, asked=asked, answer={"sequence": sequence})


def leader(node: str, term: int) -> Operation:
    return told("leader", "", 20, 21, answer={"node": node, "term": term})


def finals(sequence: int, weight: float = 0) -> list[Final]:
    return [Final(node, sequence, sequence, weight) for node in "abc"]


GOOD = [
    update("0-0", 0, 1, 2),
    update("1-0", 0.5, 2, 4),  # at the same time as the one before
    update("0-1", 2, 3, None),  # there, but nobody was told
    update("0-1", 3, 4, 6, replayed=2),
    told("predict", "", 5, 6, asked=6, answer={"sequence": 6}),
    told("predict", "p", 5, 6, answer={"sequence": 4}),  # of a follower that lags
    told("label", "p", 7, 8, None),
    told("label", "p", 9, 10, 409),
    update("1-1", 11, 12, 9),
    told("leader", "", 0, 1, answer={"node": "a", "term": 1}),
    told("leader", "", 12, 13, answer={"node": "b", "term": 2}),
]
"""Nine examples: eight of updates and that of a label."""


def test_nothing_is_found_in_what_can_be() -> None:
    weight = 2 * (WEIGHTS[0] + WEIGHTS[1]) * 2 + WEIGHTS[0]
    assert check(GOOD, finals(9, weight), weights=WEIGHTS) == []


def test_an_update_without_an_answer_may_be_there_or_not() -> None:
    unknown = [*GOOD, update("2-0", 13, 14, None, examples=3)]
    assert check(unknown, finals(9)) == []
    assert check(unknown, finals(12)) == []
    assert [one.fault for one in check(unknown, finals(13))] == ["twice"] * 3


Change = Callable[[list[Operation]], list[Operation]]


def with_one(*more: Operation) -> Change:
    return lambda history: [*history, *more]


def without(key: str) -> Change:
    return lambda history: [one for one in history if one.key != key]


@pytest.mark.parametrize(
    ("fault", "said", "change", "sequence"),
    [
        ("broken", "500", with_one(update("3-0", 20, 21, None, status=500)), 9),
        ("broken", "Traceback", with_one(told("predict", "", 20, 21, 503, problem="Traceback")), 9),
        ("broken", "3 examples", with_one(replace(update("3-0", 20, 21, 11), examples=3)), 11),
        ("lost", "9 examples were acknowledged", with_one(), 7),
        ("lost", "10 were seen", with_one(read(10)), 9),
        ("lost", "its label is not", with_one(told("label", "p", 20, 21, 404)), 9),
        ("twice", "9 examples were acknowledged", with_one(), 11),
        ("twice", "learned from 2 times", with_one(update("0-0", 20, 21, 11)), 11),
        ("twice", "accepted 2 times", with_one(label("q", 20, 10), label("q", 22, 10)), 10),
        ("otherwise", "0-0 is answered", with_one(update("0-0", 20, 21, 3, replayed=2)), 9),
        ("overlap", "2-0 owns the sequences 9 to 10; so do 1-1", with_one(update("2-0", 11, 21, 10)), 11),
        ("hole", "3 sequences are nobody's, such as 10 to 11", with_one(update("2-0", 20, 21, 13)), 13),
        ("hole", "3 sequences are nobody's, such as 5 to 7", without("0-1"), 9),
        ("back", "2-0 stands behind sequence 6", with_one(update("2-0", 13, 14, 8)), 11),
        ("back", "label q stands behind sequence 8", with_one(label("q", 20, 8)), 10),
        ("stale", "asked for 9, and answered with 8", with_one(read(8, asked=9)), 9),
        ("two writers", "of term 2: b and c", with_one(leader("c", 2)), 9),
    ],
)
def test_each_fault_is_found(fault: str, said: str, change: Change, sequence: int) -> None:
    found = check(change(GOOD), finals(sequence))
    assert any(one.fault == fault and said in one.what for one in found), found


def test_nodes_that_disagree_are_found() -> None:
    apart = [Final("a", 9, 9, 0), Final("b", 9, 9, 0.5)]
    assert [one.fault for one in check(GOOD, apart)] == ["apart"]
    assert {one.fault for one in check(GOOD, [Final("a", 9, 8, 0)])} == {"apart"}


def test_what_one_client_lost_and_another_gained_is_found() -> None:
    """The totals are right, and only the weights of the clients tell."""
    weight = 2 * (WEIGHTS[0] + WEIGHTS[1]) * 2 + WEIGHTS[0] - 2 * WEIGHTS[0] + 2 * WEIGHTS[1]
    found = check(GOOD, finals(9, weight), weights=WEIGHTS)
    assert {one.fault for one in found} == {"twice"}
    assert len(found) == 3


def test_predictions_that_teach_own_sequences() -> None:
    history = [
        update("0-0", 0, 1, 2),
        told("predict", "p", 2, 3, answer={"sequence": 2}),
        update("0-1", 4, 5, 5),
        told("predict", "q", 6, 7, None),
    ]
    assert check(history, finals(5), impressions_teach=True) == []
    assert check(history, finals(6), impressions_teach=True) == []
    assert {one.fault for one in check(history, finals(7), impressions_teach=True)} == {"twice"}
    assert {one.fault for one in check(history, finals(5))} == {"hole", "twice"}


def test_a_label_that_comes_before_the_turn_of_its_prediction_is_all_that_it_teaches() -> None:
    history = [
        update("0-0", 0, 1, 2),
        told("predict", "p", 2, 3, answer={"sequence": 2}),
        told("label", "p", 4, 5, answer={"accepted": 1, "sequence": 2}),
    ]
    for sequence in (3, 4):
        assert check(history, finals(sequence), impressions_teach=True) == []
    for sequence, fault in ((2, "lost"), (5, "twice")):
        assert {one.fault for one in check(history, finals(sequence), impressions_teach=True)} == {fault}


def simulated(seed: int, updates: int = 400) -> tuple[list[Operation], list[int]]:
    """Clients of a service that learns each request at one moment between its start and its end.

    Returns the history, and the moments' order, as places in it.
    """
    chance = random.Random(seed)
    clocks = dict.fromkeys(WEIGHTS, 0.0)
    sent: list[tuple[float, Operation]] = []
    for n in range(updates):
        client = chance.choice(list(clocks))
        start = clocks[client] + chance.random()
        end = clocks[client] = start + 4 * chance.random()
        one = update(f"{client}-{n}", start, end, 0, examples=chance.randrange(1, 4))
        sent.append((chance.uniform(start, end), one))
    sequence, history = 0, []
    for _, one in sorted(sent, key=lambda pair: pair[0]):
        sequence += one.examples
        history.append(replace(one, answer=one.answer | {"sequence": sequence}))
    return history, [one.sequence for one in history]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_that_can_be_is_none(seed: int) -> None:
    history, sequences = simulated(seed)
    weight = sum(one.examples * WEIGHTS[one.client] for one in history)
    assert check(history, finals(sequences[-1], weight), weights=WEIGHTS) == []


def faults_in(found: list[Violation]) -> set[str]:
    return {one.fault for one in found}


@pytest.mark.parametrize("seed", range(10))
def test_a_failover_that_loses_what_was_acknowledged_is_found(seed: int) -> None:
    """The last updates before a moment are gone, and others take their sequences."""
    history, sequences = simulated(seed)
    at = len(history) // 2
    gone = sequences[at] - sequences[at - 3]
    after = [replace(one, answer=one.answer | {"sequence": one.sequence - gone}) for one in history[at + 1 :]]
    found = check([*history[: at + 1], *after], finals(sequences[-1] - gone))
    assert {"overlap", "lost"} <= faults_in(found)


def test_a_history_is_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    write_history(path, GOOD[:3])
    write_history(path, GOOD[3:])
    assert read_history(path) == GOOD
