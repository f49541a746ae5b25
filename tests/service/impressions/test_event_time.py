"""Windows that end by the event time of topics, and labels that wait there for their impressions.

The journal's clock is two days ahead of all that comes, as it is where a backlog is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nonzero import Batch, LogisticRegression
from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of
from nonzero_service.impressions.rules import WAIT_MS, Negatives, Rules
from nonzero_service.impressions.states import ImpressionState
from nonzero_service.impressions.tailing import TailedImpressions
from nonzero_service.journal.errors import BodyError
from nonzero_service.writer.challenger_origin import OwnPolicy
from nonzero_service.writer.impression_rows import READERS
from nonzero_service.writer.origins import Origin, Run
from nonzero_service.writer.preparing import Prepared
from nonzero_service.writer.rejoiner import Rejoiner
from nonzero_service.writer.source_rows import source_in
from nonzero_service.writer.work import EndWindows, Impress, LabelImpressions, Rows, StreamState
from service.impressions.journalled import JournalledImpressions, impress

NOW = 1_700_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
BEGAN = NOW - 2 * DAY
RULES = {kind: Rules(HOUR, DAY, negatives=kind) for kind in ("at_once", "window", "at_end")}
POLICIES: list[Negatives] = ["at_once", "window", "at_end"]


class Topics(JournalledImpressions):
    """Impressions and labels as they are read from topics."""

    offset = 0

    def origin(self, watermark_ms: int | None) -> Origin:
        self.offset += 1
        run = Run("t", "id", 0, self.offset - 1, self.offset, 0, 1, 0, 1)
        return Origin((run,), watermark_ms)

    def shown(self, *ids: str, at_ms: int, reached_ms: int | None = None) -> Impress:
        made = impress(rows_of(ids), np.full(len(ids), 0.25, np.float32), at_ms)
        return made._replace(origin=self.origin(reached_ms))

    def clicked(
        self, *ids: str, at_ms: int, reached_ms: int | None = None, labels: Sequence[int] | None = None
    ) -> LabelImpressions:
        times = np.full(len(ids), at_ms, np.int64)
        return LabelImpressions(ids, labels or [1] * len(ids), StreamState(), self.origin(reached_ms), times)

    def read(self, *works: Rows) -> list[Prepared]:
        return self.do(*works, now_ms=NOW)

    def end_windows(self) -> None:
        while not self.do(EndWindows(StreamState()), now_ms=NOW)[0].idle:
            pass

    def state(self, name: str) -> ImpressionState:
        hashes = hashes_of(Ids.of([name]), np.arange(1))
        return ImpressionState(self.store.segments.states(self.store.segments.find(hashes))[0])


def rows_of(ids: Sequence[str]) -> Batch:
    n = len(ids)
    return Batch(np.arange(n + 1), np.arange(n), None, None, None, None, list(ids))


@pytest.fixture(params=POLICIES)
def topics(request: pytest.FixtureRequest, tmp_path: Path) -> Topics:
    return Topics(tmp_path / "model", RULES[request.param], watermark_ms=0)


def test_a_backlog_is_not_late(topics: Topics) -> None:
    """By the journal's clock its windows ended two days ago; by its own they are open until they end."""
    topics.read(topics.shown("a", "b", at_ms=BEGAN, reached_ms=BEGAN))
    topics.end_windows()
    assert topics.store.pending == 2
    topics.read(topics.clicked("a", at_ms=BEGAN + HOUR - 1, reached_ms=BEGAN + HOUR - 1))
    topics.end_windows()
    topics.read(topics.shown("c", at_ms=BEGAN + HOUR, reached_ms=BEGAN + HOUR))
    topics.end_windows()
    assert [topics.state(name) for name in "ab"] == [ImpressionState.CLICKED, ImpressionState.EXPIRED]
    assert topics.store.counts["joined"] == 1
    assert topics.store.pending == 1


def test_a_click_is_too_late_by_its_own_time(topics: Topics) -> None:
    topics.read(topics.shown("a", "b", at_ms=BEGAN, reached_ms=BEGAN + DAY))
    topics.end_windows()
    late = BEGAN + HOUR + DAY
    topics.read(topics.clicked("a", at_ms=late, reached_ms=late), topics.clicked("b", at_ms=late + 1))
    assert topics.store.counts["corrected"] == 1
    assert topics.store.counts["gone"] == 1


def test_impressions_of_the_past_are_not_taken_back_nor_those_ahead_of_the_watermark(topics: Topics) -> None:
    topics.read(topics.shown("a", at_ms=BEGAN, reached_ms=BEGAN), topics.shown("b", at_ms=BEGAN + HOUR))
    before = topics.store.segments[0].times.tolist()
    topics.store.reached(BEGAN, NOW)
    assert topics.store.segments[0].times.tolist() == before == [BEGAN, BEGAN + HOUR]


def test_impressions_far_apart_have_rows_of_their_own(topics: Topics) -> None:
    """A row has one time: a group of a backlog may hold hours."""
    step = HOUR // 64
    topics.read(*[topics.shown(str(k), at_ms=BEGAN + k * step // 2) for k in range(8)])
    times = topics.store.segments[0].times
    assert (np.diff(times) <= 2 * step).all()
    assert times.size > 2
    restarted = times.tolist()
    topics.restart()
    assert topics.store.segments[0].times.tolist() == restarted


def test_what_is_predicted_over_http_beside_a_backlog_waits_for_the_watermark(topics: Topics) -> None:
    topics.read(topics.shown("a", at_ms=BEGAN, reached_ms=BEGAN))
    topics.read(impress(rows_of(["http"]), np.ones(1, np.float32), NOW))
    topics.read(topics.shown("b", at_ms=BEGAN + 1, reached_ms=NOW - 1))
    topics.end_windows()
    assert topics.state("http") in (ImpressionState.PENDING, ImpressionState.LEARNED)


def test_the_clock_is_where_it_was_after_a_start(topics: Topics) -> None:
    topics.read(topics.shown("a", "b", at_ms=BEGAN, reached_ms=BEGAN + HOUR - 1))
    topics.restart()
    assert topics.store.watermark_ms == BEGAN + HOUR - 1
    topics.end_windows()
    assert topics.store.pending == 2
    topics.read(topics.clicked("a", at_ms=BEGAN + 5, reached_ms=BEGAN + HOUR))
    topics.end_windows()
    assert [topics.state(name) for name in "ab"] == [ImpressionState.CLICKED, ImpressionState.EXPIRED]


def test_a_journals_clock_that_was_set_back_sets_event_time_back(topics: Topics) -> None:
    topics.read(topics.shown("a", at_ms=BEGAN, reached_ms=NOW))
    topics.do(EndWindows(StreamState()), now_ms=BEGAN)
    assert topics.store.pending == 1


def test_who_reads_no_topics_any_more_goes_by_the_journals_clock(topics: Topics) -> None:
    topics.read(topics.shown("a", at_ms=BEGAN, reached_ms=BEGAN), topics.clicked("x", at_ms=BEGAN))
    topics.watermark_ms = None
    topics.restart()
    assert topics.store.watermark_ms is None
    assert not len(topics.store.waiting_labels)
    assert topics.store.counts["unknown"] == 1
    topics.end_windows()
    assert topics.store.pending == 0


def test_a_click_that_came_first_is_joined_in_the_group_of_its_impression(topics: Topics) -> None:
    topics.read(topics.clicked("a", "x", at_ms=BEGAN + 9, reached_ms=BEGAN))
    assert topics.store.counts["waited"] == 2
    assert topics.store.counts["unknown"] == 0
    position = topics.journal.position
    topics.read(topics.shown("a", "b", at_ms=BEGAN, reached_ms=BEGAN + 9))
    new = [row.kind for row in topics.journal.read(position + 1)]
    assert new[-1] == "source"
    assert {"joined", "label"} & set(new)
    assert topics.state("a") in (ImpressionState.CLICKED, ImpressionState.ONE_WAITS)
    assert topics.store.counts["joined_after_waiting"] == topics.store.counts["joined"] == 1
    assert len(topics.store.waiting_labels) == 1


def test_a_click_for_what_is_predicted_over_http_waits_too(topics: Topics) -> None:
    topics.read(topics.clicked("a", at_ms=NOW, reached_ms=NOW))
    topics.read(impress(rows_of(["a"]), np.ones(1, np.float32), NOW))
    assert topics.store.counts["joined"] == 1


def test_labels_over_http_do_not_wait(topics: Topics) -> None:
    met = topics.label(["a"], [1], NOW)
    assert met.verdicts == ["unknown"]
    topics.read(topics.shown("a", at_ms=NOW, reached_ms=NOW))
    assert topics.store.counts["early"] == 1
    assert topics.store.counts["joined"] == 0


def test_labels_that_wait_are_joined_once_and_the_first_of_an_id_counts(topics: Topics) -> None:
    topics.read(topics.clicked("a", "a", at_ms=BEGAN), topics.clicked("a", at_ms=BEGAN, labels=[0]))
    topics.read(topics.shown("a", at_ms=BEGAN))
    topics.read(topics.clicked("a", at_ms=BEGAN), topics.shown("a", at_ms=BEGAN))
    counts = topics.store.counts
    assert (counts["joined"], counts["duplicate"], counts["conflicting"]) == (1, 2, 1)


def test_a_restart_finds_the_labels_that_wait(topics: Topics) -> None:
    topics.read(topics.clicked("a", "b", at_ms=BEGAN, reached_ms=BEGAN))
    topics.read(topics.shown("a", at_ms=BEGAN, reached_ms=BEGAN), topics.clicked("c", at_ms=BEGAN))
    topics.restart()
    assert len(topics.store.waiting_labels) == 2
    topics.read(topics.shown("b", "c", "a", at_ms=BEGAN))
    assert topics.store.counts["joined"] == 2
    topics.restart()
    assert not len(topics.store.waiting_labels)


def test_the_same_group_may_hold_a_click_and_then_its_impression(topics: Topics) -> None:
    topics.read(topics.clicked("a", at_ms=BEGAN), topics.shown("a", at_ms=BEGAN))
    assert topics.store.counts["joined"] == 1
    topics.restart()
    assert not len(topics.store.waiting_labels)


def test_labels_that_waited_too_long_are_unknown(topics: Topics) -> None:
    topics.read(topics.clicked("a", at_ms=BEGAN, reached_ms=BEGAN))
    topics.read(topics.shown("x", at_ms=BEGAN, reached_ms=BEGAN + WAIT_MS + 1))
    assert topics.store.counts["unknown"] == topics.store.counts["waited_in_vain"] == 1
    topics.restart()
    topics.read(topics.shown("a", at_ms=BEGAN, reached_ms=BEGAN + WAIT_MS + 2))
    assert topics.store.counts["joined"] == 0


def test_rows_stay_that_tell_of_labels_that_wait(topics: Topics) -> None:
    topics.read(topics.clicked("a", at_ms=BEGAN, reached_ms=BEGAN))
    told = topics.journal.position
    topics.read(topics.shown("b", at_ms=BEGAN, reached_ms=BEGAN))
    assert topics.store.needed_from() == told
    topics.read(topics.shown("a", at_ms=BEGAN))
    needed = topics.store.needed_from()
    assert needed is not None
    assert needed > told


def test_a_group_that_the_journal_refuses_leaves_all_as_it_was(topics: Topics) -> None:
    topics.read(topics.clicked("a", "b", at_ms=BEGAN, reached_ms=BEGAN))
    for work in (
        topics.shown("a", "c", at_ms=BEGAN, reached_ms=BEGAN + DAY),
        topics.clicked("z", at_ms=BEGAN),
    ):
        topics.prepare(work, NOW)
    topics.store.undo()
    assert topics.store.watermark_ms == BEGAN
    assert len(topics.store.waiting_labels) == 2
    assert topics.store.segments.next_number == 0
    topics.read(topics.shown("a", at_ms=BEGAN))
    assert topics.store.counts["joined"] == 1


def test_who_follows_knows_the_same(topics: Topics) -> None:
    topics.read(topics.clicked("a", "b", at_ms=BEGAN, reached_ms=BEGAN))
    topics.read(topics.shown("a", "c", at_ms=BEGAN, reached_ms=BEGAN + 5), topics.clicked("d", at_ms=BEGAN))

    def fail(error: BodyError) -> None:
        raise error

    follower = JournalledImpressions(topics.directory.parent / "empty", topics.rules, watermark_ms=0)
    tailed = TailedImpressions(follower.store, READERS, fail)
    for row in topics.journal.read():
        tailed.follow(row)
    assert follower.store.watermark_ms == BEGAN + 5
    assert list(follower.store.waiting_labels) == list(topics.store.waiting_labels)
    assert follower.store.needed_from() == topics.store.needed_from()
    assert follower.store.pending == topics.store.pending


def test_the_row_says_which_labels_wait(topics: Topics) -> None:
    topics.read(topics.clicked("a", at_ms=BEGAN, reached_ms=BEGAN, labels=[0]))
    (row,) = topics.journal.read()
    assert source_in(row).waiting == (("a", 0, BEGAN),)
    assert b'"waiting":[["a",0,%d]]' % BEGAN in row.body


def test_a_challenger_with_a_policy_of_its_own_goes_by_event_time(tmp_path: Path) -> None:
    """The rows were written days after all windows had ended by the journal's clock."""
    topics = Topics(tmp_path / "model", RULES["at_once"], watermark_ms=0)
    topics.read(topics.shown("a", "b", at_ms=BEGAN, reached_ms=BEGAN))
    topics.read(topics.shown("c", at_ms=BEGAN + HOUR, reached_ms=BEGAN + HOUR))
    learned: list[int] = []

    def teach(batch: Batch, _: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        learned.append(len(batch))
        return np.zeros(len(batch), np.float32)

    challenger, model = Rejoiner(OwnPolicy("window", HOUR, DAY), topics.journal), LogisticRegression(bits=4)
    for row in topics.journal.read():
        challenger.follow(model, row, teach)
    assert learned == [2]
    assert challenger.store.pending == 1
