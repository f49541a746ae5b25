"""Rows that say where others came from: read as they were written, noted by the fold, or refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nonzero import LogisticRegression
from nonzero.model.notes import SOURCES_NOTE
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.errors import BodyError
from nonzero_service.writer.fold import apply, follow, take_over_notes
from nonzero_service.writer.origins import (
    Origin,
    PartitionRead,
    Position,
    Run,
    Skip,
    newest_partitions_of,
    partitions_of,
    positions_of,
    watermark_of,
)
from nonzero_service.writer.source_rows import (
    SourceBody,
    noted_after,
    source_entry,
    source_in,
    source_of,
)
from service.writer.test_origins import ID, OTHER, new_model, run


def row(source: SourceBody | bytes, position: int = 7, sequence: int = 0) -> JournalRow:
    body = source if isinstance(source, bytes) else source_entry(source).body
    return JournalRow(position, sequence, 0, "source", 1, 0, b"", body, b"")


# -- what a row says -----------------------------------------------------------------------------------


def test_runs_that_follow_each_other_become_one() -> None:
    source = source_of(
        [Origin((run(0, 5), run(5, 8, epoch=4)), 20), Origin((run(8, 8, epoch=-1),)), Origin((), 10)]
    )
    assert source == SourceBody((Run("clicks", ID, 0, 0, 8, 4, 8, 0, 8),), 20)


def test_runs_stay_apart_where_another_partition_or_a_gap_is_between() -> None:
    apart = (run(0, 5), run(0, 2, 1), run(5, 6), run(9, 10), run(10, 11, topic_id=OTHER))
    assert source_of(Origin((one,)) for one in apart).runs == apart


def test_a_row_is_read_as_it_was_written() -> None:
    source = SourceBody((run(0, 5), run(0, 2, 1)), 20, (Skip(ID, 2, 3, 9, "retention"),))
    assert source_in(row(source)) == source
    assert source_entry(source).count == 0
    assert msgspec.json.decode(source_entry(SourceBody((run(0, 2),))).body) == {
        "runs": [["clicks", ID, 0, 0, 2, 3, 2, 0, 2]]
    }


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{", "Input data was truncated"),
        (b'{"runs": [["clicks", "i", 0, 0, 2, 3, 2, 0]]}', "Expected `array` of at least length 9"),
        (b'{"runs": [["clicks", "i", -1, 0, 2, 3, 2, 0, 2]]}', "Expected `int` >= 0"),
        (b'{"runs": [["clicks", "i", 0, 0, 2, 3, 3, 0, 2]]}', "are not those of the offsets 0 to 2"),
        (b'{"runs": [["clicks", "i", 0, 0, 2, 3, 1, 2, 2]]}', "are not those of the offsets 0 to 2"),
        (b'{"skipped": [["i", 0, 4, 4, "x"]]}', "nothing is from 4 to 4"),
        (b'{"runs": [["\xff", "i", 0, 0, 2, 3, 2, 0, 2]]}', "Invalid UTF-8|decode byte"),
    ],
)
def test_a_row_that_says_something_else_is_named(body: bytes, fault: str) -> None:
    with pytest.raises(BodyError, match=rf"position 7 does not say where rows came from: .*({fault})"):
        apply(new_model(), row(body))


# -- what is noted -------------------------------------------------------------------------------------


def test_the_fold_notes_how_far_each_partition_was_read() -> None:
    model = new_model()
    apply(model, row(SourceBody((run(4, 9), run(0, 2, 10), run(0, 3, 2)), 50)))
    before = model.notes[SOURCES_NOTE]
    apply(model, row(SourceBody((run(9, 12, epoch=-1), run(2, 2, 10, epoch=6)), 40)))
    assert before == {
        "topics": {
            ID: {
                "topic": "clicks",
                "partitions": {"0": [9, 3, 5, 0, 5], "10": [2, 3, 2, 0, 2], "2": [3, 3, 3, 0, 3]},
            }
        },
        "newest": {"clicks": ID},
        "watermark_ms": 50,
    }  # it is never changed
    assert positions_of(model.notes) == {
        (ID, 0): Position(12, 3),
        (ID, 10): Position(2, 6),
        (ID, 2): Position(3, 3),
    }
    assert watermark_of(model.notes) == 50  # it never goes back
    assert [one.partition for one in partitions_of(model.notes)] == [0, 2, 10]
    assert partitions_of(model.notes)[0] == PartitionRead("clicks", ID, 0, 12, 3, 8, 0, 8)
    assert positions_of({}) == {}
    assert watermark_of({}) is None


def test_a_topic_that_is_made_anew_begins_anew() -> None:
    noted = noted_after(noted_after(None, SourceBody((run(0, 9),))), SourceBody((run(0, 2, topic_id=OTHER),)))
    assert positions_of({SOURCES_NOTE: noted}) == {(ID, 0): Position(9, 3), (OTHER, 0): Position(2, 3)}


@pytest.mark.parametrize(("before", "now"), [(ID, OTHER), (OTHER, ID)])
def test_a_stored_model_knows_which_topic_of_a_name_is_the_newest(
    before: str, now: str, tmp_path: Path
) -> None:
    """Whichever id comes first when they are sorted, as what is stored is."""
    model = new_model()
    apply(model, row(SourceBody((run(0, 9, topic_id=before), run(0, 5, 1, topic_id=before)))))
    apply(model, row(SourceBody((run(0, 2, topic_id=now),))))
    model.save(tmp_path / "model")
    for one in (model, LogisticRegression.load(tmp_path / "model")):
        assert newest_partitions_of(one.notes) == [PartitionRead("clicks", now, 0, 2, 3, 2, 0, 2)]
        assert len(partitions_of(one.notes)) == 3


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (
            SourceBody((run(11, 12),)),
            r"'clicks' \(id 4wb.*\), partition 0: the offsets 9 to 11 are missing, before 11 to 12",
        ),
        (SourceBody((run(8, 12),)), r"partition 0: 8 to 12 were read, and what is before 9 was read already"),
        (SourceBody((run(9, 11), run(12, 13))), r"the offsets 11 to 12 are missing"),
        (SourceBody((run(12, 13),), None, (Skip(ID, 0, 9, 11, "x"),)), r"the offsets 11 to 12 are missing"),
        (SourceBody((), None, (Skip(ID, 0, 8, 11, "x"),)), r"8 to 11 are skipped, and it was read up to 9"),
        (
            SourceBody((), None, (Skip(ID, 5, 8, 11, "x"),)),
            r"8 to 11 are skipped, and it was read up to None",
        ),
        (SourceBody((run(9, 11),), None, (Skip(OTHER, 0, 9, 11, "x"),)), r"it was read up to None"),
    ],
)
def test_a_hole_or_an_overlap_is_named(source: SourceBody, fault: str) -> None:
    model = new_model()
    apply(model, row(SourceBody((run(0, 9),))))
    before = model.notes[SOURCES_NOTE]
    with pytest.raises(BodyError, match=f"position 7 does not follow the rows before it: .*{fault}"):
        apply(model, row(source))
    assert model.notes[SOURCES_NOTE] == before


def test_what_a_row_skips_is_passed_over() -> None:
    lost = (Skip(ID, 0, 9, 20, "retention"), Skip(ID, 0, 20, 30, "retention"), Skip(ID, 1, 2, 6, "retention"))
    noted = noted_after(None, SourceBody((run(0, 9), run(0, 2, 1))))
    noted = noted_after(noted, SourceBody((run(30, 31),), None, lost))
    assert positions_of({SOURCES_NOTE: noted}) == {(ID, 0): Position(31, 3), (ID, 1): Position(6, 3)}


def test_challengers_pass_over_it_and_take_it_over_when_they_are_promoted() -> None:
    champion, challenger = new_model(), new_model()
    apply(champion, row(SourceBody((run(0, 9),))))
    follow(challenger, row(SourceBody((run(0, 9),))))
    assert SOURCES_NOTE not in challenger.notes
    take_over_notes(challenger, champion)
    assert positions_of(challenger.notes) == {(ID, 0): Position(9, 3)}
