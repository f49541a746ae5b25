"""What is kept of a challenger beside its champion's journal: how it began, its snapshots, what is compared.

Its directory holds ``model.json`` with a :class:`~nonzero_service.writer.challenger_origin.ChallengerOrigin`,
snapshots, and ``comparison.json``, which says since when it is compared. It has no journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero import Batch, LogisticRegression, SnapshotError
from nonzero_service.history.events import event_for_challenger
from nonzero_service.history.history import History
from nonzero_service.history.retelling import retold
from nonzero_service.journal.chain import JournalRow
from nonzero_service.journal.files import write_durably
from nonzero_service.journal.reader import JournalRows
from nonzero_service.journal.snapshots import SnapshotFolder, snapshots_in
from nonzero_service.models.model_config import ModelConfig, config_of
from nonzero_service.models.snapshot_files import check_snapshot, newest_readable, say_damaged
from nonzero_service.writer import fold
from nonzero_service.writer.challenger_origin import ChallengerOrigin
from nonzero_service.writer.changed_policy import rejoiner_after
from nonzero_service.writer.kept_joining import JOINING_NOTE, KeptJoining
from nonzero_service.writer.pairing import PAIRING_NOTE, ComparedSince, Pairing
from nonzero_service.writer.rejoiner import Rejoiner

COMPARISON: Final = "comparison.json"


class ChallengerPlace(NamedTuple):
    """A challenger on disk."""

    name: str
    path: Path
    config: ModelConfig

    @property
    def origin(self) -> ChallengerOrigin:
        """How it began."""
        if self.config.origin is None:
            raise SnapshotError(f"{self.path} is no challenger's directory; move it away")
        return self.config.origin


@dataclass
class StoredChallenger:
    """A challenger, as far as it was brought."""

    place: ChallengerPlace
    model: LogisticRegression
    snapshots: SnapshotFolder
    position: int
    """The last position that it has learned from."""
    held_since: int | None
    history: History
    """What it was like; it is told of what is read again."""
    pairing: Pairing | None
    """What is compared up to there; None where the comparison has not begun."""
    fields: Sequence[str] = ()
    """By which it is compared too."""
    failure: Exception | None = None
    """Why it learns no more."""
    rejoiner: Rejoiner | None = None
    """What folds, where it has a late-label policy of its own."""

    @property
    def paired_from(self) -> int | None:
        """The last position up to which its champion's predictions are not needed; None: they are not."""
        if self.pairing is None or self.failure is not None:
            return None
        return max(self.position, self.pairing.since.position)

    def follow(
        self,
        row: JournalRow,
        reader: JournalRows,
        champion: Sequence[tuple[Batch, NDArray[np.float32]]] | None,
    ) -> None:
        """Apply a row; what goes wrong is its own.

        Parameters
        ----------
        row, reader
            A row of its champion's journal.
        champion
            What its champion learned of that row, and predicted; None where that is not known.
        """
        if self.failure is not None or row.position <= self.position:
            return

        def apply() -> LogisticRegression:
            self._learn(row, reader, champion)
            return self.model

        # By a late-label policy of its own any row may end windows.
        learns = row.count > 0 or self.rejoiner is not None
        try:
            retold(self.history, self.model, row, apply, learns=learns)
        except Exception as error:  # noqa: BLE001 - whatever it is, its champion is served
            self.failure = error
            return
        self.position = row.position
        if row.kind == "promotion" and self.pairing is not None:  # its champion is another from here on
            since = ComparedSince(row.position, row.next_sequence, row.time_ms)
            if since.position > self.pairing.since.position:
                self.pairing = begin_comparison(self.place.path, since, self.fields)
        if row.kind == "trip":
            self.held_since = row.position
        elif row.kind == "resume":
            self.held_since = None

    def _learn(
        self,
        row: JournalRow,
        reader: JournalRows,
        champion: Sequence[tuple[Batch, NDArray[np.float32]]] | None,
    ) -> None:
        """Learn from a row, and compare what both predicted."""
        if self.rejoiner is not None:
            known = None if champion is None else (predicted for _, predicted in champion)
            self.pairing = self.rejoiner.follow(
                self.model, row, self.model.learn_checked, self.pairing, known
            )
            return
        theirs: list[NDArray[np.float32]] = []
        fold.follow(self.model, row, reader.read, lambda _, predicted: theirs.append(predicted))
        self.rejoiner = rejoiner_after(self.model, row, reader)
        if self.pairing is None or row.position <= self.pairing.since.position:
            return
        if champion is None:
            self.pairing = None if theirs else self.pairing
            return
        for (batch, answered), predicted in zip(champion, theirs, strict=True):
            self.pairing.add(batch, answered, predicted)


class ChallengersFound(NamedTuple):
    """The challengers among the models of a data directory."""

    names: frozenset[str]
    of: dict[str, list[ChallengerPlace]]
    """By whom they follow."""


def challengers_among(models: Mapping[str, Path]) -> ChallengersFound:
    """Find the challengers among the directories of models.

    Raises
    ------
    SnapshotError
        Where one follows a model that is not there, or is none.
    """
    places = [ChallengerPlace(name, path, config_of(path)) for name, path in models.items()]
    found = [place for place in places if place.config.origin is not None]
    names = frozenset(place.name for place in found)
    of: dict[str, list[ChallengerPlace]] = {}
    for place in found:
        champion = place.origin.champion
        if champion not in models or champion in names:
            raise SnapshotError(
                f"{place.path} is of a challenger that follows {champion!r}, and there is no such model: "
                "restore that from a backup, or move this directory away"
            )
        of.setdefault(champion, []).append(place)
    return ChallengersFound(names, of)


def begin_comparison(path: Path, since: ComparedSince, fields: Sequence[str]) -> Pairing:
    """Note durably where the comparison of a challenger begins; return the comparison."""
    write_durably(path / COMPARISON, msgspec.json.encode(since))
    return Pairing(since, fields)


def compared_since(path: Path) -> ComparedSince | None:
    """Read where the comparison of a challenger begins; None where it has not, or is to begin anew."""
    try:
        return msgspec.json.decode((path / COMPARISON).read_bytes(), type=ComparedSince)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # its champion is served all the same
        structlog.get_logger("challengers").warning(
            "this does not say where a comparison begins, and it begins anew",
            path=str(path / COMPARISON),
            reason=str(error),
        )
        return None


def load_challenger(
    place: ChallengerPlace, reader: JournalRows, fields: Sequence[str], *, recalibrating: bool
) -> StoredChallenger:
    """Bring a challenger to where its newest snapshot has it, or to its beginning.

    Parameters
    ----------
    place
        Where it is kept.
    reader
        Its champion's journal.
    fields
        By which it is compared too.
    recalibrating
        Whether it answers by its map: with a late-label policy of its own it is compared by that.
    """
    snapshots, origin = SnapshotFolder(place.path / "snapshots"), place.origin
    snapshots.tidy()
    history = History(place.path / "history", place.name, event_for_challenger)
    since = compared_since(place.path)
    held = snapshots.newest(LogisticRegression.load, say_damaged)
    if held is None:
        made = StoredChallenger(
            place,
            origin.new_model(),
            snapshots,
            origin.position,
            origin.held_since,
            history,
            None,
            fields,
        )
    else:
        snapshot, model = held
        made = StoredChallenger(
            place, model, snapshots, snapshot.position, model.notes.get("held_since"), history, None, fields
        )
        kept = model.notes.pop(PAIRING_NOTE, None)
        if kept is not None:
            made.pairing = Pairing.of(kept, fields)
            if made.pairing.since != since:  # another comparison was begun after it
                made.pairing = None
    made.model.recalibrating = recalibrating
    try:
        if held is not None:
            check_snapshot(reader, *held)
        made.rejoiner = rejoiner_of(origin, reader, None if held is None else made.model)
        reader.digest_at(made.position)  # the rows after it are there
    except Exception as error:  # noqa: BLE001 - its champion is served all the same
        made.failure = error
    if made.pairing is None and since is not None and made.position <= since.position:
        made.pairing = Pairing(since, fields)
    return made


def rejoiner_of(
    origin: ChallengerOrigin, reader: JournalRows, model: LogisticRegression | None
) -> Rejoiner | None:
    """Return what folds a challenger with a late-label policy of its own; None for one without.

    Parameters
    ----------
    origin
        How it began.
    reader
        Its champion's journal.
    model
        As a snapshot has it, of which the notes on impressions are taken; None at its beginning.

    Raises
    ------
    SnapshotError, StorageError
        Where its impressions cannot be brought to where they were.
    """
    if model is None:
        if origin.policy is None:
            return None
        return Rejoiner(origin.policy, reader, origin.held_since, origin.position)
    noted = model.notes.get(JOINING_NOTE)
    policy = origin.policy or (None if noted is None else KeptJoining.of(noted).policy)
    if policy is None:
        return None
    made = Rejoiner(policy, reader, model.notes.get("held_since"))
    made.restore(model.notes)
    model.notes.pop(JOINING_NOTE, None)
    return made


def fold_challenger(
    path: Path, origin: ChallengerOrigin, reader: JournalRows, position: int
) -> LogisticRegression:
    """Return what a challenger had become at a position of its champion's journal.

    Parameters
    ----------
    path
        Its directory; its newest snapshot that is not after `position` is where this starts.
    origin
        How it began.
    reader
        Its champion's journal.
    position
        The last position that it is to have learned from.

    Raises
    ------
    PrunedError
        Where the rows that it needs are not held any more.
    """
    kept = [one for one in snapshots_in(path / "snapshots") if one.position <= position]
    held = newest_readable(kept)
    if held is None:
        model, start = origin.new_model(), origin.position + 1
    else:
        check_snapshot(reader, *held)
        model, start = held[1], held[0].position + 1
    rejoiner = rejoiner_of(origin, reader, None if held is None else model)
    for row in reader.read(start) if start <= position else ():
        rejoiner = follow_row(model, row, reader, rejoiner)
        if row.position >= position:
            break
    return model


def follow_row(
    model: LogisticRegression, row: JournalRow, reader: JournalRows, rejoiner: Rejoiner | None
) -> Rejoiner | None:
    """Apply a row of its champion's journal to a challenger.

    Parameters
    ----------
    model, row, reader
        The challenger, the row, and the journal.
    rejoiner
        What folds by a late-label policy of its own; None where it has none.

    Returns
    -------
    Rejoiner | None
        What folds so from there on: the row may be one that changes its champion's policy.
    """
    if rejoiner is not None:
        rejoiner.follow(model, row, model.learn_checked)
        return rejoiner
    fold.follow(model, row, reader.read)
    return rejoiner_after(model, row, reader)
