"""Verifying what is kept of a challenger: its champion's rows are folded into it anew; nothing is changed."""

from __future__ import annotations

from nonzero import LogisticRegression
from nonzero_service.journal.sqlite.reader import JournalReader
from nonzero_service.models.challenger_files import follow_row, rejoiner_of
from nonzero_service.models.checked import Checked, ExpectedFold, Told, whole_snapshots
from nonzero_service.models.promotions import promotions_in
from nonzero_service.writer.challenger_origin import ChallengerOrigin
from nonzero_service.writer.rejoiner import Rejoiner


def verify_challenger(checked: Checked, origin: ChallengerOrigin, told: Told) -> None:
    """Read every snapshot of a challenger, and hold the fold against each.

    Parameters
    ----------
    checked
        Takes what is found.
    origin
        How it began.
    told
        Told how far it is.
    """
    with JournalReader(checked.directory.parent / origin.champion) as reader:
        whole: dict[int, ExpectedFold] = {}
        model, start = origin.new_model(), origin.position + 1
        rejoiner = rejoiner_of(origin, reader, None)
        begun = reader.base.position < start
        for snapshot, loaded in whole_snapshots(reader, checked, told):
            if begun:
                whole[snapshot.position] = ExpectedFold.of(snapshot, loaded)
            else:
                model, start, begun = loaded, snapshot.position + 1, True
                rejoiner = rejoiner_of(origin, reader, loaded)
        checked.folded_from = start - 1
        gone = promotions_in(reader).get(origin.id)  # a kill came before its directory was moved
        end = reader.tip.position if gone is None else gone[0] - 1
        if start <= end:
            _fold(reader, (model, rejoiner), start, end, whole, checked, told)
        checked.digest = model.digest()


def _fold(
    reader: JournalReader,
    challenger: tuple[LogisticRegression, Rejoiner | None],
    start: int,
    end: int,
    whole: dict[int, ExpectedFold],
    checked: Checked,
    told: Told,
) -> None:
    model, rejoiner = challenger
    for row in reader.read(start):
        rejoiner = follow_row(model, row, reader, rejoiner)
        told("folding", row.position - start + 1, end - start + 1)
        if row.position in whole:
            checked.hold_against(model, row.position, whole[row.position], "its champion's rows")
        if row.position >= end:
            return
