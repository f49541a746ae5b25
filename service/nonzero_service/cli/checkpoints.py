"""Checkpoints of a training: the model so far, and how far the files were read, in one file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, cast

from nonzero import LogisticRegression, __version__
from nonzero.diagnostics.unseen import Unseen
from nonzero.errors import InputError
from nonzero.persistence import snapshot
from nonzero.sources.files import Source
from nonzero_service.cli.backfill.blocks import Block
from nonzero_service.cli.backfill.ordered import Cursor
from nonzero_service.cli.backfill.parts import met
from nonzero_service.cli.input_files import InputFiles
from nonzero_service.cli.label_warnings import RunWarnings
from nonzero_service.cli.notices import RejectedLines
from nonzero_service.cli.reading import ReadingOptions

ENDING: Final = ".checkpoint"

SECONDS: Final = 60.0
"""So often one is made."""

SHARE: Final = 20
"""Or so many times as seldom as it takes long: a twentieth of the time at most."""

_NOTE: Final = "checkpoint"


class Checkpoint:
    """The checkpoint of a training.

    Parameters
    ----------
    model
        The file that the model is saved in at the end.
    overwrite
        Whether one that is there may be replaced; the training begins anew then.

    Attributes
    ----------
    path
        Its file.
    found
        What an unfinished training has left; None where none has.
    """

    def __init__(self, model: Path, *, overwrite: bool) -> None:
        self.path = model.with_name(model.name + ENDING)
        self.found: dict[str, Any] | None = None
        self._overwrite = overwrite
        self._facts: dict[str, Any] = {}
        self._due = time.monotonic() + SECONDS
        if self.path.exists() and not overwrite:
            self.found = snapshot.read_metadata(self.path).get("notes", {}).get(_NOTE)
            if self.found is None:
                raise InputError(
                    f"{self.path} is there, where a checkpoint would be, and is none; move it away, or name "
                    "another --model"
                )

    @property
    def replaces(self) -> bool:
        """Whether the model's file may be replaced that is there: as it was said when the training began."""
        return self._overwrite or bool(self.found and self.found["overwrite"])

    def take(
        self,
        sources: Sequence[Source],
        reading: ReadingOptions,
        options: Mapping[str, Any],
        begun: str | None,
    ) -> None:
        """Take what makes this training what it is; hold it against the one that was begun.

        Parameters
        ----------
        sources
            The files; each is known by its size, and when it was changed.
        reading
            How they are read.
        options
            Those of the model.
        begun
            The digest of the model that goes on.

        Raises
        ------
        InputError
            Where the two differ; it names in what.
        """
        asked = {**options, **asdict(reading)}
        self._facts = {
            "version": __version__,
            "from": begun,
            "options": {
                name: [*value] if isinstance(value, tuple | list) else value for name, value in asked.items()
            },
            "files": [[source.name, *_identity(source)] for source in sources],
        }
        if self.found is None:
            self.path.unlink(missing_ok=True)
            return
        differing = [*_differing(self.found["facts"], self._facts)]
        if differing:
            raise InputError(
                f"{self.path} is of a training that was not finished, and of another one: "
                f"{'; '.join(differing)}. Give its files and options to go on, or --overwrite to begin anew"
            )

    def model(self, new: LogisticRegression) -> LogisticRegression:
        """Return the model as it was; where there is no checkpoint, the one that is given."""
        if self.found is None:
            return new
        model = LogisticRegression.load(self.path)
        del model.notes[_NOTE]
        return model

    def cursor(self) -> Cursor | None:
        """Return how far the files were read; None where nothing was."""
        if self.found is None:
            return None
        block, lines, inside = self.found["cursor"]
        return Cursor(Block(*block), lines, inside)

    def restore(
        self, rejected: RejectedLines, runs: RunWarnings, unseen: Unseen, inputs: InputFiles
    ) -> str | None:
        """Have what watches a training go on from where it was; return what there is to say of that."""
        if self.found is None:
            return None
        vars(rejected).update(self.found["rejected"])
        runs.go_on(self.found["runs"])
        vars(unseen).update(self.found["unseen"])
        met(inputs.schema, self.found["names"])
        inputs.schema.conflicts.add(self.found["conflicts"])
        cursor = cast(Cursor, self.cursor())
        for source in inputs.sources[: cursor.block.file]:
            source.position = source.size or 0
        name = inputs.sources[cursor.block.file].name
        return f"goes on from {self.path}, at line {cursor.lines + cursor.inside:,} of {name}"

    @property
    def is_due(self) -> bool:
        """Whether it is time to save one."""
        return time.monotonic() >= self._due

    def save(
        self,
        model: LogisticRegression,
        cursor: Cursor,
        rejected: RejectedLines,
        runs: RunWarnings,
        unseen: Unseen,
        inputs: InputFiles,
    ) -> None:
        """Save the model as it is, and all that its training needs to go on; whole or not at all."""
        model.notes[_NOTE] = {
            "facts": self._facts,
            "overwrite": self._overwrite or self.replaces,
            "cursor": [list(cursor.block), cursor.lines, cursor.inside],
            "rejected": vars(rejected),
            "runs": runs.state(),
            "unseen": vars(unseen),
            "names": inputs.schema.known.kinds_met(),
            "conflicts": inputs.schema.conflicts.counts(),
        }
        began = time.monotonic()
        try:
            model.save(self.path)
        finally:
            del model.notes[_NOTE]
        now = time.monotonic()
        self._due = now + max(SECONDS, SHARE * (now - began))

    def told(self) -> str:
        """Return how a training goes on that was stopped; nothing where it cannot."""
        return f"; the same command goes on from {self.path}" if self.path.exists() else ""

    def remove(self) -> None:
        """Remove it: the training is whole."""
        self.path.unlink(missing_ok=True)


def _identity(source: Source) -> list[Any]:
    if isinstance(source.path, Path):
        return [source.size, source.path.stat().st_mtime_ns]
    version = source.stored.version
    return [source.size, *(f"{name} {value}" for name, value in version.items() if name != "size")]


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before["version"] != now["version"]:
        yield f"it was begun by nonzero {before['version']}, and this is {now['version']}"
    if before["from"] != now["from"]:
        yield "--from is another model"
    for name in dict.fromkeys((*before["options"], *now["options"])):
        was, is_ = before["options"].get(name), now["options"].get(name)
        if was != is_:
            yield f"--{_flag(name)} was {_shown(was)}, and is {_shown(is_)}"
    was_files, files = before["files"], now["files"]
    if len(was_files) != len(files):
        yield f"there were {len(was_files):,} files, and are {len(files):,}"
    for was, is_ in zip(was_files, files, strict=False):
        if was != is_:
            yield f"{was[0]} is another file now" if was[0] == is_[0] else f"{was[0]} was where {is_[0]} is"
            return


def _flag(name: str) -> str:
    return {"schema_text": "schema"}.get(name, name).rstrip("_").replace("_", "-")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "not given"
    return "not given" if value is None or value is False else str(value)
