"""Whether what clients saw of a service can be: by what they sent and were told, and by nothing else.

Nothing here knows how the service works. It learns from each example once, in one order, and an answer says
how many examples it had learned from by then (its ``sequence``). So an acknowledged update owns the range of
sequences that ends with its answer's. By these, by orders in time and by totals the checker finds what cannot
be.

A history is a file of JSON lines, one :class:`Operation` each, in any order.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

__all__ = ["Final", "Operation", "Violation", "check", "read_history", "write_history"]

Kind = Literal["update", "predict", "label", "leader"]

Fault = Literal[
    "broken", "lost", "twice", "otherwise", "overlap", "hole", "back", "stale", "two writers", "apart"
]
"""What a violation is of:

===========  ===================================================================================
broken       an answer that no client should get: a status that is not told of, a traceback
lost         something was acknowledged, or seen, and is not there
twice        something was learned from more than once
otherwise    a repeated request was answered otherwise than the first time
overlap      two updates own the same sequence
hole         nobody owns a sequence that somebody must
back         what began after an answer came before it in the order
stale        a node answered with an older model than was asked for
two writers  two nodes wrote in one term
apart        nodes disagree in the end
===========  ===================================================================================
"""

STATUSES: Mapping[Kind, frozenset[int]] = {
    "update": frozenset({200, 409, 503, 507}),
    "predict": frozenset({200, 503, 507}),
    "label": frozenset({200, 404, 409, 503, 507}),
    "leader": frozenset({200, 503}),
}
"""What may be answered. A key in flight is 409, and so is a label that is known."""


@dataclass(frozen=True)
class Operation:
    """What a client asked of a node, and what came of it."""

    client: int
    node: str
    kind: Kind
    key: str
    """Of an update its idempotency key; of a prediction and a label the id; or empty."""
    start: float
    """When it was sent, in seconds of a clock that all clients have."""
    end: float
    """When it was answered, or given up."""
    status: int | None
    """None: there was no answer, and nobody knows what came of it."""
    answer: dict[str, Any] = field(default_factory=dict)
    """The JSON of the answer."""
    problem: str = ""
    """What is wrong with the form of the answer."""
    examples: int = 0
    """How many an update holds."""
    asked: int | None = None
    """The least sequence that was asked for."""

    @property
    def is_answered(self) -> bool:
        return self.status == 200

    @property
    def sequence(self) -> int:
        return int(self.answer["sequence"])

    @property
    def learned(self) -> int:
        """How many examples an answer says were learned from."""
        return int(self.answer["accepted"])


class Final(NamedTuple):
    """What a node says in the end."""

    node: str
    sequence: int
    examples: int
    weight: float


class Violation(NamedTuple):
    """What cannot be."""

    fault: Fault
    what: str


def write_history(path: Path, operations: Iterable[Operation]) -> None:
    """Add operations to a file."""
    with path.open("a") as file:
        file.writelines(f"{json.dumps(asdict(operation))}\n" for operation in operations)


def read_history(path: Path) -> list[Operation]:
    """Read them again."""
    with path.open() as file:
        return [Operation(**json.loads(line)) for line in file]


def check(
    operations: Iterable[Operation],
    finals: Sequence[Final],
    *,
    weights: Mapping[int, float] | None = None,
    impressions_teach: bool = False,
) -> list[Violation]:
    """Return all that cannot be; nothing where the history is one of a service as it should be.

    Parameters
    ----------
    operations
        The history.
    finals
        What each node said when all was quiet, and all had caught up.
    weights
        The importance weight of each example of a client, where each client has one of its own that float64
        adds up exactly. So a total tells of each client: what one lost another cannot make up for.
    impressions_teach
        Whether a prediction with an id is an example that is learned from, besides its label. Not each is:
        some wait for their turn, and where the label comes before it, there is one example and no second.
    """
    history = History(sorted(operations, key=lambda operation: operation.start), impressions_teach)
    return [
        *history.broken(),
        *history.repeats(),
        *history.labels(),
        *history.ranges(),
        *history.order(),
        *history.stale(),
        *history.terms(),
        *history.totals(finals, weights),
    ]


class Update(NamedTuple):
    """An acknowledged update."""

    key: str
    client: int
    start: float
    """When it was first sent."""
    end: float
    """When it was first acknowledged."""
    first: int
    """The sequence before it."""
    last: int
    """The sequence after it."""


class History:
    """What happened.

    Parameters
    ----------
    operations
        In the order in which they began.
    impressions_teach
        See :func:`check`.
    """

    def __init__(self, operations: Sequence[Operation], impressions_teach: bool) -> None:
        self.operations = operations
        self._impressions_teach = impressions_teach
        self._by_key: dict[Kind, dict[str, list[Operation]]] = defaultdict(lambda: defaultdict(list))
        for operation in operations:
            self._by_key[operation.kind][operation.key].append(operation)
        self.updates: list[Update] = []
        """Those that were acknowledged."""
        self.unknown: dict[str, Operation] = {}
        """Those that were never, by their keys."""
        for key, tries in self._by_key["update"].items():
            answers = [one for one in tries if one.is_answered]
            if answers:
                first = min(answers, key=lambda one: one.end)
                last = first.sequence
                self.updates.append(
                    Update(key, first.client, tries[0].start, first.end, last - first.learned, last)
                )
            else:
                self.unknown[key] = tries[0]

    def broken(self) -> Iterator[Violation]:
        """Find answers that nobody should get."""
        for one in self.operations:
            if one.status is not None and one.status not in STATUSES[one.kind]:
                yield Violation("broken", f"{one.kind} {one.key} is answered {one.status}: {one.answer}")
            elif one.problem:
                yield Violation("broken", f"{one.kind} {one.key}, {one.status}: {one.problem}")
            elif one.kind == "update" and one.is_answered and one.learned != one.examples:
                yield Violation("broken", f"{one.key} has {one.examples} examples: {one.answer}")

    def repeats(self) -> Iterator[Violation]:
        """Find updates that were sent again, and answered otherwise or learned from anew."""
        for key, tries in self._by_key["update"].items():
            answers = [one for one in tries if one.is_answered]
            said = {json.dumps(_but_for_replayed(one.answer), sort_keys=True) for one in answers}
            if len(said) > 1:
                yield Violation("otherwise", f"{key} is answered {' and '.join(sorted(said))}")
            anew = [
                one.answer for one in answers if one.learned and one.answer.get("replayed", 0) < one.learned
            ]
            if len(anew) > 1:
                yield Violation("twice", f"{key} is learned from {len(anew)} times: {anew}")

    def labels(self) -> Iterator[Violation]:
        """Find labels that taught twice, and predictions that were acknowledged and are not known."""
        predicted = {
            key: min(one.end for one in tries if one.is_answered)
            for key, tries in self._by_key["predict"].items()
            if key and any(one.is_answered for one in tries)
        }
        for key, tries in self._by_key["label"].items():
            taught = [one for one in tries if one.is_answered and one.learned]
            if len(taught) > 1:
                yield Violation("twice", f"the label of {key} is accepted {len(taught)} times")
            lost = [one for one in tries if one.status == 404 and predicted.get(key, one.start) < one.start]
            if lost:
                yield Violation(
                    "lost", f"the prediction {key} was answered, and its label is not: {lost[0].answer}"
                )

    def ranges(self) -> Iterator[Violation]:
        """Find sequences that two updates own, and such as nobody does."""
        owned = sorted((one for one in self.updates if one.last > one.first), key=lambda one: one.last)
        holes, before = 0, 0
        largest = (0, "")
        for one in owned:
            if one.first < before:
                others = " and ".join(
                    other.key for other in owned if other is not one and _overlap(one, other)
                )
                yield Violation(
                    "overlap", f"{one.key} owns the sequences {one.first + 1} to {one.last}; so do {others}"
                )
            else:
                holes += one.first - before
                largest = max(largest, (one.first - before, f"{before + 1} to {one.first}"))
            before = max(before, one.last)
        may_be = len(self._known_labels()) + self._may_be()
        if holes > may_be:
            yield Violation(
                "hole",
                f"{holes} sequences are nobody's, such as {largest[1]}; {may_be} may be of labels, "
                "predictions and updates without an answer",
            )

    def order(self) -> Iterator[Violation]:
        """Find what began after an answer was there, and yet came before it in the order."""
        # (when, a sequence that was there by then, by what), and (when, the sequence before it, what)
        seen = [(update.end, update.last, update.key) for update in self.updates]
        begun = [(update.start, update.first, update.key) for update in self.updates]
        for one in self.operations:
            if one.is_answered and one.kind in ("predict", "label"):
                seen.append((one.end, one.sequence, f"{one.kind} {one.key} of {one.node}"))
            if one.is_answered and one.kind == "label":
                begun.append((one.start, one.sequence, f"label {one.key}"))
        seen.sort()
        most, which, j = 0, "", 0
        for start, first, what in sorted(begun):
            while j < len(seen) and seen[j][0] < start:
                if seen[j][1] > most:
                    most, which = seen[j][1:]
                j += 1
            if first < most:
                yield Violation(
                    "back",
                    f"{what} stands behind sequence {first}, and began after {most} was seen ({which})",
                )

    def stale(self) -> Iterator[Violation]:
        """Find answers that are of an older model than was asked for."""
        for one in self.operations:
            if one.is_answered and one.asked is not None and one.sequence < one.asked:
                yield Violation(
                    "stale", f"{one.node} was asked for {one.asked}, and answered with {one.sequence}"
                )

    def terms(self) -> Iterator[Violation]:
        """Find two writers of one term."""
        writers: dict[int, set[str]] = defaultdict(set)
        for one in self.operations:
            if one.kind == "leader" and one.is_answered:
                writers[one.answer["term"]].add(one.answer["node"])
        for term, nodes in sorted(writers.items()):
            if len(nodes) > 1:
                yield Violation("two writers", f"of term {term}: {' and '.join(sorted(nodes))}")

    def totals(self, finals: Sequence[Final], weights: Mapping[int, float] | None) -> Iterator[Violation]:
        """Find that there is less in the end than was acknowledged, or more than was sent."""
        for one, other in pairwise(finals):
            if one[1:] != other[1:]:
                yield Violation("apart", f"{one} and {other}")
        known = sum(one.last - one.first for one in self.updates) + len(self._known_labels())
        may_be = self._may_be()
        seen = max(
            (one.sequence for one in self.operations if one.is_answered and "sequence" in one.answer),
            default=0,
        )
        for final in finals:
            if final.sequence < max(known, seen):
                yield Violation(
                    "lost",
                    f"{known} examples were acknowledged, {seen} were seen, and {final.node} has "
                    f"{final.sequence}",
                )
            if final.sequence > known + may_be:
                yield Violation(
                    "twice",
                    f"{known} examples were acknowledged and {may_be} may be there, and {final.node} has "
                    f"{final.sequence}",
                )
            if final.examples != final.sequence:
                yield Violation("apart", f"{final} counts in two ways")
        if weights is not None and not may_be:
            yield from self._weighed(finals, weights)

    def _weighed(self, finals: Sequence[Final], weights: Mapping[int, float]) -> Iterator[Violation]:
        weight = sum((one.last - one.first) * weights[one.client] for one in self.updates)
        weight += sum(weights[tries[0].client] for tries in self._known_labels())
        for final in finals:
            if final.weight != weight:
                fault: Fault = "lost" if final.weight < weight else "twice"
                what = f"examples of weight {weight} were acknowledged, and {final.node} has {final.weight}"
                yield Violation(fault, what)

    def _known_labels(self) -> list[list[Operation]]:
        """Return the tries of each label that taught."""
        return [
            tries
            for tries in self._by_key["label"].values()
            if any((one.is_answered and one.learned) or one.status == 409 for one in tries)
        ]

    def _may_be(self) -> int:
        """Return how many examples there may be beside those that are known."""
        perhaps = sum(one.examples for one in self.unknown.values())
        perhaps += len(self._by_key["label"]) - len(self._known_labels())
        if self._impressions_teach:
            perhaps += sum(bool(key) for key in self._by_key["predict"])
        return perhaps


def _but_for_replayed(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all answers to a key have alike."""
    return {name: value for name, value in answer.items() if name != "replayed"}


def _overlap(one: Update, other: Update) -> bool:
    return one.first < other.last and other.first < one.last
