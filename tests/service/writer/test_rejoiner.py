"""A late-label policy of a challenger's own, held against a model that has that policy and gets the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nonzero import AdaGrad, Batch, LogisticRegression, SnapshotError
from nonzero.statistics.comparison import Comparison
from nonzero_service.impressions import rules
from nonzero_service.impressions.array_text import text_of
from nonzero_service.impressions.joined import References, decode_joined
from nonzero_service.impressions.rows import decode_row
from nonzero_service.impressions.rules import Negatives, Rules
from nonzero_service.impressions.states import ImpressionState, is_one_of
from nonzero_service.impressions.unpacking import Part, unpacked
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError
from nonzero_service.journal.sqlite.journal import SqliteJournal
from nonzero_service.models.challenger_files import rejoiner_of
from nonzero_service.writer import fold
from nonzero_service.writer import rejoiner as rejoining
from nonzero_service.writer.challenger_origin import ChallengerOrigin, OwnPolicy
from nonzero_service.writer.entries import clock_entry, held_examples, joined_entry, resume_entry, trip_entry
from nonzero_service.writer.kept_joining import JOINING_NOTE
from nonzero_service.writer.pairing import ComparedSince, Pairing
from nonzero_service.writer.rejoiner import Rejoiner
from nonzero_service.writer.sequences import BEFORE, REACHED, sequence_of
from service.impressions.journalled import JournalledImpressions, impress

START = 2_000_000_000_000
ATTRIBUTION, CORRECTION = 60_000, 240_000


class Stream:
    """A stream of predictions, labels and updates, to be sent to models of several policies."""

    def __init__(self, seed: int, size: int, start: int = START, prefix: str = "i") -> None:
        rng = np.random.default_rng(seed)
        self.steps: list[tuple[int, Any, Any]] = []
        now, made = start, 0
        for _ in range(size):
            now += int(rng.integers(100, 9_000))
            what = rng.choice(["predict", "predict", "label", "label", "update", "plain"])
            names = [f"{prefix}{j}" for j in rng.integers(max(made - 90, 0), max(made, 1), 6)]
            if what == "predict":
                n = int(rng.integers(1, 20))
                batch = features(rng, n, [f"{prefix}{j}" for j in range(made, made + n)])
                self.steps.append((now, batch, rng.random(n).astype(np.float32)))
                made += n
            elif what == "label":
                names = list(dict.fromkeys(names))
                self.steps.append((now, names, (rng.random(len(names)) < 0.6).astype(int).tolist()))
            else:  # an update, some of whose examples are labels of impressions
                ids = [name if what == "update" and k % 2 else None for k, name in enumerate(names)]
                batch = features(rng, len(names), ids)
                object.__setattr__(batch, "labels", (rng.random(len(names)) < 0.4).astype(np.float32))
                self.steps.append((now, batch, None))

    def send(self, directory: Path, policy: Negatives, rate: float = 1.0) -> JournalledImpressions:
        """Send it to a model of some policy, whose windows end as soon as the clock says so."""
        model = JournalledImpressions(directory, Rules(ATTRIBUTION, CORRECTION, rate, policy))
        model.journal.clock.now_ms = lambda: model.now_ms  # type: ignore[method-assign]
        self.go_on(model)
        return model

    def go_on(self, model: JournalledImpressions) -> None:
        for now, what, more in self.steps:
            model.now_ms = now
            model.end_all(now)
            if isinstance(what, list):
                model.label(what, more, now)
            elif more is None:
                model.update(what, now)
            else:
                model.do(impress(what, more, now), now_ms=now)


def features(rng: np.random.Generator, n: int, ids: list[Any]) -> Batch:
    indices = rng.integers(0, 2**31, 3 * n).astype(np.uint32)
    fields = np.tile(np.array([1, 2, 3], np.uint16), n)
    return Batch(3 * np.arange(n + 1), indices, None, None, None, fields, ids)


def new_model() -> LogisticRegression:
    model = LogisticRegression(10, AdaGrad(0.2))
    model.notes[BEFORE] = model.notes[REACHED] = 0
    return model


class Champion:
    """Its rows, and what it predicted for each."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.rows = list(journal.read())
        model = LogisticRegression(9)
        self.predicted: list[list[NDArray[np.float32]]] = []
        for row in self.rows:
            found: list[NDArray[np.float32]] = []
            fold.apply(model, row, journal.read, lambda _, p, found=found: found.append(p))  # type: ignore[misc]
            self.predicted.append(found)

    def each(self, start: int = 0) -> Iterator[tuple[JournalRow, Iterator[NDArray[np.float32]]]]:
        for row, found in zip(self.rows[start:], self.predicted[start:], strict=True):
            yield row, iter(found)


def folded(journal: SqliteJournal) -> LogisticRegression:
    """Return what a model's own rows make of it."""
    model = LogisticRegression(10, AdaGrad(0.2))
    for row in journal.read():
        fold.apply(model, row, journal.read)
    return model


WINDOW = OwnPolicy("window", ATTRIBUTION, CORRECTION)
ENDED = (ImpressionState.EXPIRED, ImpressionState.CLICKED, ImpressionState.NEGATIVE)
SINCE = ComparedSince(20, 0, START)


def follow(journal: SqliteJournal) -> LogisticRegression:
    """Return what a challenger makes of its champion's rows."""
    model, rejoiner = new_model(), Rejoiner(WINDOW, journal)
    for row in journal.read():
        rejoiner.follow(model, row, model.learn_checked)
        assert sequence_of(model) == row.next_sequence
    return model


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("policy", "rate"), [("at_once", 1.0), ("at_end", 1.0), ("at_once", 0.3)])
def test_it_learns_what_a_model_of_that_policy_learns_of_the_same(
    memory_path: Path, policy: Negatives, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "COLD", 0)
    stream = Stream(1, 150)
    champion = stream.send(memory_path / "champion", policy, rate)
    other = stream.send(memory_path / "other", "window", rate)
    bodies = [decode_joined(row.body) for row in champion.journal.read() if row.kind == "joined"]
    assert any((one.numbers < 0).any() and (one.numbers >= 0).any() for _, one in bodies), "mixed ones"
    model, expected = follow(champion.journal), folded(other.journal)
    assert expected.examples > 300
    assert model.examples == expected.examples
    assert model.digest() == expected.digest()
    assert model.digest() != folded(champion.journal).digest()


def test_it_goes_on_from_any_snapshot_to_the_bit(memory_path: Path) -> None:
    champion = Champion(Stream(2, 80).send(memory_path / "champion", "at_once").journal)
    model, rejoiner = new_model(), Rejoiner(WINDOW, champion.journal)
    pairing: Pairing | None = Pairing(SINCE, ["site"])
    found = []
    for row, ours in champion.each():
        found.append(json.dumps(rejoiner.notes))
        pairing = rejoiner.follow(model, row, model.learn_checked, pairing, ours)
    assert pairing is not None
    assert pairing.whole.examples > 100
    for start in range(SINCE.position, len(champion.rows), 17):
        again, other = new_model(), Rejoiner(WINDOW, champion.journal)
        begun: Pairing | None = Pairing(SINCE, ["site"])
        for row, ours in champion.each():
            if row.position == champion.rows[start].position:
                notes = json.loads(json.dumps(other.notes))
                assert json.dumps(notes) == found[start]
                other = Rejoiner(WINDOW, champion.journal)
                other.restore(notes)
            begun = other.follow(again, row, again.learn_checked, begun, ours)
        assert again.digest() == model.digest()
        assert begun is not None
        assert begun.kept() == pairing.kept()


def test_impressions_are_compared_by_what_was_answered_and_would_have_been(memory_path: Path) -> None:
    stream = Stream(3, 100)
    champion = Champion(stream.send(memory_path / "champion", "at_once").journal)
    other = stream.send(memory_path / "other", "window").journal
    model, rejoiner = new_model(), Rejoiner(WINDOW, champion.journal)
    pairing: Pairing | None = Pairing(ComparedSince(0, 0, START))
    foreseen: list[float] = []
    plain = Comparison()
    for row, ours in champion.each():
        if row.kind == "impression":
            said = decode_row(row.body)
            sizes = said.stops - said.starts
            foreseen += model.predict(
                unpacked([Part(said.words, said.starts, sizes, said.usual)]).batch
            ).tolist()
        before = [] if row.kind not in ("batch", "joined") else list(ours)
        pairing = rejoiner.follow(model, row, model.learn_checked, pairing, iter(before) if before else ours)
        if row.kind == "batch":
            batch = decode_batch(row.body)
            plain.add(batch.labels, batch.weights, before[0], before[0])
    answered = np.concatenate([more for _, what, more in stream.steps if isinstance(more, np.ndarray)])
    expected = Comparison()
    for row in other.read():
        if row.kind == "joined":
            batch, references = decode_joined(row.body)
            ended = is_one_of(references.states, ENDED)
            numbers = references.numbers[ended & (references.numbers >= 0)]
            rows = np.flatnonzero(ended & (references.numbers >= 0))
            theirs = np.array(foreseen, np.float32)[numbers]
            expected.add(batch.labels[rows], batch.weights[rows], answered[numbers], theirs)
    assert pairing is not None
    bodies = [decode_joined(row.body) for row in champion.rows if row.kind == "joined"]
    mixed = sum(len(batch) - len(references.known) for batch, references in bodies)
    assert pairing.whole.examples == expected.examples + plain.examples + mixed
    alone: Pairing | None = Pairing(ComparedSince(0, 0, START))
    again, rejoiner = new_model(), Rejoiner(WINDOW, champion.journal)
    for row, _ in champion.each():  # the same without what was no impression: nobody says what was predicted
        kept = alone
        alone = rejoiner.follow(again, row, again.learn_checked, alone)
        alone = kept if alone is None else alone
    assert alone is not None
    assert alone.whole.examples == expected.examples
    assert alone.whole.log_losses == pytest.approx(expected.log_losses, rel=1e-12)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("discard", [False, True])
def test_what_comes_in_a_pause_has_its_turn_when_that_ends(memory_path: Path, discard: bool) -> None:
    stream = Stream(4, 90)
    whole = stream.steps
    kept: dict[Negatives, JournalledImpressions] = {}
    for policy in ("at_once", "window"):
        stream.steps = whole[:40]
        model = kept[policy] = stream.send(memory_path / policy, policy)
        model.pause.since = model.journal.append([trip_entry({})])
        stream.steps = whole[40:70]
        stream.go_on(model)
        model.now_ms = whole[69][0]
        model.end_all(model.now_ms)
        resume(model, discard=discard)
        stream.steps = whole[70:]
        stream.go_on(model)
    found, expected = follow(kept["at_once"].journal), folded(kept["window"].journal)
    assert "held" in kept["at_once"].kinds()
    assert found.examples == expected.examples
    assert found.digest() == expected.digest()


def resume(model: JournalledImpressions, *, discard: bool) -> None:
    """End a pause of a model."""
    since = model.pause.since
    assert since is not None
    held = sum(len(batch) for batch, _ in held_examples(model.journal.read, since))
    model.journal.append([resume_entry(since, discard=discard, examples=held)])
    model.pause.since = None
    model.store.resume(discard=discard)


@pytest.mark.parametrize("discard", [False, True])
def test_who_begins_in_a_pause_learns_all_that_came_in_it(
    memory_path: Path, discard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejoining, "GAP_MS", 60_000)
    model = Stream(10, 30).send(memory_path / "champion", "at_once")
    other = JournalledImpressions(memory_path / "other", Rules(ATTRIBUTION, CORRECTION, negatives="window"))
    other.journal.clock.now_ms = lambda: other.now_ms  # type: ignore[method-assign]
    stream = Stream(11, 90, model.now_ms + 1000, "j")
    other.now_ms = model.now_ms
    for one in (model, other):
        one.pause.since = one.journal.append([trip_entry({})])
    since, whole = model.pause.since, stream.steps
    begun = 0
    for steps in (whole[:20], whole[20:40]):
        begun, stream.steps = model.journal.position, steps
        for one in (model, other):
            stream.go_on(one)
    for one in (model, other):
        one.end_all(one.now_ms)
        resume(one, discard=discard)
        stream.steps = whole[40:]
        stream.go_on(one)
    rows = list(model.journal.read())
    settings = LogisticRegression(10, AdaGrad(0.2)).settings
    origin = ChallengerOrigin(
        "m", "1", "nothing", begun, rows[begun - 1].next_sequence, since, settings, WINDOW
    )
    found = origin.new_model()
    rejoiner = rejoiner_of(origin, model.journal, None)
    for row in rows[begun:]:
        assert rejoiner is not None
        rejoiner.follow(found, row, found.learn_checked)
        if row.position == begun + 2:  # as a start does while the pause lasts
            found.notes |= rejoiner.notes | {"held_since": since}
            rejoiner = rejoiner_of(origin, model.journal, found)
    expected = folded(other.journal)
    assert found.examples == expected.examples > 100
    assert found.digest() == expected.digest()


def test_a_clock_that_is_set_back_takes_windows_with_it(memory_path: Path) -> None:
    """What was predicted by a clock that was ahead is learned from no later than what comes after it."""
    model = Stream(5, 30).send(memory_path / "champion", "at_once")
    made, ahead = model.store.segments.next_number, 10**9
    stream = Stream(6, 1)
    stream.steps = [
        (START + ahead, features(np.random.default_rng(1), 3, ["x", "y", "z"]), np.ones(3, np.float32))
    ]
    stream.go_on(model)
    model.journal.append([clock_entry(START + ahead, model.now_ms - ahead)])
    model.now_ms -= ahead
    model.store.not_after(model.now_ms, ahead)
    plain = [Batch([0, 1], [n], labels=[0]) for n in range(30)]
    stream.steps = [(model.now_ms + 5_000 * n, batch, None) for n, batch in enumerate(plain, 1)]
    stream.go_on(model)
    assert model.store.segments.next_number == made + 3
    assert follow(model.journal).examples >= made + 3 + len(plain)


def test_labels_after_a_silence_find_their_windows_open(memory_path: Path) -> None:
    model = JournalledImpressions(memory_path / "m", Rules(ATTRIBUTION, CORRECTION, negatives="at_once"))
    model.journal.clock.now_ms = lambda: model.now_ms  # type: ignore[method-assign]
    rng = np.random.default_rng(2)
    slots = rng.integers(0, 2**16, 8)  # given directly, of a larger table than the challenger's
    batch = Batch([0, 2, 4, 6, 8], slots, None, None, None, None, ["a", "b", "c", "d"])
    answered = np.full(4, 0.5, np.float32)
    model.do(impress(batch, answered, START), now_ms=START)
    later = START + 5 * ATTRIBUTION // 2
    model.label(["a"], [1], later)
    assert follow(model.journal).examples == 0, "the window ends no sooner than labels had time to come"
    model.update(Batch([0, 1], [1], labels=[0]), later + ATTRIBUTION)
    found = follow(model.journal)
    assert found.examples == 5
    assert found.clicks == 1


def test_rows_of_earlier_releases_that_do_not_tell_are_refused(memory_path: Path) -> None:
    stream = Stream(1, 40)
    journal = stream.send(memory_path / "champion", "at_once").journal
    batch = features(np.random.default_rng(1), 3, [None] * 3)
    object.__setattr__(batch, "labels", np.zeros(3, np.float32))
    one = References(np.zeros(1, np.int64), np.zeros(1, np.uint64), np.zeros(1, np.uint8))
    journal.append([joined_entry(batch, one)])
    with pytest.raises(BodyError, match="earlier release"):
        follow(journal)


@pytest.mark.parametrize(
    "change",
    [{"states": "AAAA"}, {"states": "?"}, {"foreseen": text_of(np.zeros(1, np.float32))}, {"until": "x"}],
)
def test_notes_that_are_damaged_are_refused(memory_path: Path, change: dict[str, Any]) -> None:
    journal = Stream(1, 30).send(memory_path / "champion", "at_once").journal
    model, rejoiner = new_model(), Rejoiner(WINDOW, journal)
    for row in journal.read():
        rejoiner.follow(model, row, model.learn_checked)
    notes = rejoiner.notes
    Rejoiner(WINDOW, journal).restore(notes)
    with pytest.raises(SnapshotError, match="impressions"):
        Rejoiner(WINDOW, journal).restore({JOINING_NOTE: notes[JOINING_NOTE] | change})
