"""What a promotion to another late-label policy makes of impressions, held against a model of that policy."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nonzero import AdaGrad, LogisticRegression
from nonzero_service.impressions import rules
from nonzero_service.impressions.array_text import array_of, text_of
from nonzero_service.impressions.joined import decode_joined
from nonzero_service.impressions.rules import Negatives, Rules
from nonzero_service.impressions.states import TAUGHT, ImpressionState, is_one_of
from nonzero_service.impressions.taking_over import PASSED_BY, WAITING_AGAIN, TakenOver, take_over, taken_over
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import BodyError
from nonzero_service.models.challenger_files import fold_challenger, follow_row, rejoiner_of
from nonzero_service.writer import fold
from nonzero_service.writer import rejoiner as rejoining
from nonzero_service.writer.challenger_origin import ChallengerOrigin, OwnPolicy
from nonzero_service.writer.entries import promotion_entry, promotion_of
from nonzero_service.writer.promotion import Promotion
from nonzero_service.writer.rejoiner import Rejoiner
from nonzero_service.writer.sequences import sequence_of
from service.impressions.journalled import JournalledImpressions
from service.writer.test_rejoiner import ATTRIBUTION, CORRECTION, WINDOW, Stream
from service.writer.test_rejoiner import folded as folded_alone

SETTINGS = LogisticRegression(10, AdaGrad(0.2)).settings
ONCE = (ImpressionState.CLICKED, ImpressionState.NEGATIVE, ImpressionState.EXPIRED)


def follow(model: JournalledImpressions, after: int) -> tuple[ChallengerOrigin, Rejoiner]:
    """Let a challenger follow the rows after a position, up to the journal's end."""
    rows = list(model.journal.read())
    before = sum(row.count for row in rows[:after])
    origin = ChallengerOrigin("tried", "1", "nothing", after, before, None, SETTINGS, WINDOW)
    challenger, rejoiner = origin.new_model(), Rejoiner(WINDOW, model.journal)
    for row in rows[after:]:
        rejoiner.follow(challenger, row, challenger.learn_checked)
    return origin, rejoiner


def promote(model: JournalledImpressions, after: int = 0, policy: OwnPolicy | None = WINDOW) -> int:
    """Promote a challenger that has followed from a position on; return where its row stands.

    `policy` is that with which it was made: it may have come to another later.
    """
    origin, rejoiner = follow(model, after)
    origin = msgspec.structs.replace(origin, policy=policy)
    taken = taken_over(model.store, rejoiner.store, model.now_ms)
    position = model.journal.append([promotion_entry(Promotion("b", origin, {}, taken))])
    take_over(model.store, taken)
    return position


def folded(model: JournalledImpressions) -> LogisticRegression:
    """Return what a journal that holds a promotion makes of its model."""

    def find(promotion: Promotion, row: JournalRow, _: LogisticRegression) -> LogisticRegression:
        return fold_challenger(model.directory / "none", promotion.origin, model.journal, row.position - 1)

    found = LogisticRegression(9)
    for row in model.journal.read():
        found = fold.apply(found, row, model.journal.read, promoted=find)
        assert sequence_of(found) == row.next_sequence
    return found


def check_restart(model: JournalledImpressions) -> None:
    """Make the index of the rows again: all is as it was, as far as it is of use."""
    store = model.store
    numbers = np.arange(store.segments[0].first, store.segments.next_number)
    live = store.segments.next_number, store.rules, store.segments.states(numbers).tolist()
    model.restart()
    assert not any(len(one.batch) for one in model.end_all(model.now_ms))
    store = model.store
    assert (store.segments.next_number, store.rules, store.segments.states(numbers).tolist()) == live


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("policy", "rate", "at"),
    [("at_once", 1.0, 5), ("at_once", 1.0, 110), ("at_once", 0.3, 60), ("at_end", 1.0, 60)],
)
def test_it_goes_on_as_a_model_that_always_had_the_policy(
    memory_path: Path, policy: Negatives, rate: float, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "COLD", 0)
    monkeypatch.setattr(rejoining, "GAP_MS", 60_000)  # windows end as soon as the clock says so
    stream = Stream(at, 150)
    whole, stream.steps = stream.steps, stream.steps[:at]
    other = stream.send(memory_path / "other", "window", rate)
    model = stream.send(memory_path / "promoted", policy, rate)
    promote(model)
    assert model.store.rules.negatives == "window"
    for one in (other, model):  # another share of negatives from here on
        one.store.rules = dataclasses.replace(one.store.rules, negative_rate=min(2 * rate, 1.0))
        # The files are of before the row.
        one.rules = dataclasses.replace(one.rules, negative_rate=min(2 * rate, 1.0))
    for steps in (whole[at : at + 20], whole[at + 20 :]):
        stream.steps = steps
        stream.go_on(other)
        stream.go_on(model)
        check_restart(model)
    found, expected = folded(model), folded_alone(other.journal)
    assert found.examples == expected.examples > 200
    assert found.digest() == expected.digest()
    numbers = np.arange(model.store.segments[0].first, model.store.segments.next_number)
    assert (model.store.segments.states(numbers) == other.store.segments.states(numbers)).all()


def test_impressions_from_before_it_began_wait_or_are_passed_by(memory_path: Path) -> None:
    stream = Stream(33, 120)
    whole = stream.steps
    stream.steps = whole[:60]
    model = stream.send(memory_path / "promoted", "at_once")
    began, first = model.journal.position, model.store.segments.next_number
    stream.steps = whole[60:64]  # no longer than a window
    stream.go_on(model)
    numbers = np.arange(first)
    before = model.store.segments.states(numbers)
    ended = int(model.store.segments.made_until(model.now_ms - ATTRIBUTION))
    assert 0 < ended < first
    position = promote(model, began)
    after = model.store.segments.states(numbers)
    assert (after == np.where(numbers < ended, PASSED_BY[before], WAITING_AGAIN[before])).all()
    assert is_one_of(before[:ended], TAUGHT).any()
    assert set(before[ended:]) >= {ImpressionState.CLICKED, ImpressionState.LEARNED}
    assert (after[:ended] == ImpressionState.PASSED).any()
    verdicts = model.label([f"i{j}" for j in range(ended)], [1] * ended, model.now_ms).verdicts
    assert {v for v, state in zip(verdicts, after, strict=False) if state == ImpressionState.PASSED} == {
        "gone"
    }
    stream.steps = whole[64:]
    stream.go_on(model)
    model.end_all(model.now_ms + ATTRIBUTION)
    learned: Counter[int] = Counter()
    for row in model.journal.read(position + 1):
        if row.kind == "joined":
            references = decode_joined(row.body)[1]
            learned.update(references.numbers[is_one_of(references.states, ONCE)].tolist())
        assert row.kind != "impression" or not row.count
    learned.pop(-1, None)
    assert set(learned) >= set(range(ended, first)), "those that waited are learned"
    assert min(learned) == ended, "and no others"
    assert set(learned.values()) == {1}
    check_restart(model)
    folded(model)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("policy", "at"), [("at_once", 60), ("at_end", 110)])
def test_who_learned_when_its_champion_did_goes_on_by_its_new_policy(
    memory_path: Path, policy: Negatives, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes what a model becomes that changes its policy there: what it learned at once is learned."""
    monkeypatch.setattr(rejoining, "GAP_MS", 60_000)
    stream = Stream(at + 1, 150)
    whole, stream.steps = stream.steps, stream.steps[:at]
    model = stream.send(memory_path / "promoted", policy)
    other = stream.send(memory_path / "other", policy)
    position = promote(model, policy=None)
    store = other.store
    states = store.segments.states(np.arange(store.segments.next_number))
    store.segments.set(
        np.flatnonzero(states == ImpressionState.LEARNED), np.full(999, ImpressionState.EXPIRED)
    )
    store.rules = dataclasses.replace(store.rules, negatives="window")
    stream.steps = whole[at:]
    stream.go_on(model)
    stream.go_on(other)
    origin = ChallengerOrigin("tried", "2", "nothing", 0, 0, None, SETTINGS)
    found, rejoiner = origin.new_model(), None
    for row in model.journal.read():
        rejoiner = follow_row(found, row, model.journal, rejoiner)
        assert sequence_of(found) == row.next_sequence
        if row.position == position + 20:  # as a start does
            assert rejoiner is not None
            found.notes |= rejoiner.notes
            rejoiner = rejoiner_of(origin, model.journal, found)
        assert (rejoiner is not None) == (row.position >= position)
    assert rejoiner is not None
    assert rejoiner.after is not None
    assert rejoiner.after[0] == position
    expected = folded_alone(other.journal)
    assert found.examples == expected.examples
    assert found.digest() == expected.digest()


def test_a_challenger_that_has_seen_no_impression_has_all_of_them_wait(memory_path: Path) -> None:
    stream = Stream(8, 40)
    model = stream.send(memory_path / "promoted", "at_once")
    promote(model, model.journal.position)
    states = model.store.segments.states(np.arange(model.store.segments.next_number))
    assert model.store.windows.ended < model.store.segments.next_number
    assert (states[model.store.windows.ended :] != ImpressionState.LEARNED).all()
    assert (states[model.store.windows.ended :] != ImpressionState.PASSED).all()
    assert (states[: model.store.windows.ended] != ImpressionState.PENDING).all()


def test_damaged_ones_stay_so(memory_path: Path) -> None:
    model = Stream(9, 30).send(memory_path / "m", "at_once")
    model.store.segments.set(np.array([3]), np.array([ImpressionState.DAMAGED], np.uint8))
    promote(model)
    assert model.store.segments.states(np.array([3])) == [ImpressionState.DAMAGED]


def test_none_at_all(memory_path: Path) -> None:
    model = JournalledImpressions(memory_path / "m", Rules(ATTRIBUTION, CORRECTION))
    promote(model)
    assert model.store.rules.negatives == "window"
    assert model.store.windows.ended == 0


def test_rows_of_version_1_are_read(memory_path: Path) -> None:
    origin = ChallengerOrigin("tried", "1", "nothing", 0, 0, None, SETTINGS)
    entry = promotion_entry(Promotion("b", origin, {}))
    assert entry.version == 1
    body = msgspec.json.decode(entry.body)
    del body["impressions"]
    model = Stream(9, 30).send(memory_path / "m", "at_once")
    position = model.journal.append([dataclasses.replace(entry, body=msgspec.json.encode(body))])
    assert promotion_of(next(model.journal.read(position))).impressions is None
    check_restart(model)


@pytest.mark.parametrize("text", ["?", "AAAA", "eJw="])
def test_a_row_that_does_not_tell_is_refused(memory_path: Path, text: str) -> None:
    model = Stream(9, 30).send(memory_path / "m", "at_once")
    with pytest.raises(BodyError, match="impressions"):
        take_over(model.store, TakenOver("window", 1, 1, 0, 0, 0, 1.0, text))
    assert array_of(text_of(np.arange(3)), np.int64).tolist() == [0, 1, 2]
