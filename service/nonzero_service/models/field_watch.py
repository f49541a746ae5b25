"""What comes of fields that nobody meant: values that contradict the schema, fields that never come.

It is beside the fold and before the journal, and begins anew when the process starts. What is found is told
once a field in the log, and in metrics and diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import structlog

from nonzero import Batch, LogisticRegression
from nonzero.diagnostics.unseen import ENOUGH, Unseen, fields_of, nearest
from nonzero.fields.conflicts import OTHER
from nonzero_service.incidental import incidentally


class MissingField(NamedTuple):
    """A field that is named by settings, and has not come."""

    field: str
    named_by: str
    nearest: str | None
    """The field that came and is called most alike, as far as requests have shown; None where none is."""


class FieldWatch:
    """Watches the fields of one model.

    Parameters
    ----------
    name
        The model's.
    model
        The model.
    sliced
        The fields that have slices.
    known
        Returns the names of fields that requests have shown.
    """

    def __init__(
        self, name: str, model: LogisticRegression, sliced: Sequence[str], known: Callable[[], list[str]]
    ) -> None:
        self._schema = model.schema
        self._unseen = Unseen(dict.fromkeys(sliced, "the setting slices") | fields_of(model.interactions))
        self._known = known
        self._told = False
        self._log = structlog.get_logger("fields").bind(model=name)
        self._schema.conflicts.on_new = lambda field: incidentally(self._tell_conflict, field)

    def learned(self, batch: Batch) -> None:
        """Look at what was learned from; on the applier's thread."""
        self._unseen.look(batch)
        if not self._told and self._unseen.examples >= ENOUGH:
            self._told = True
            for one in self.unseen():
                self._log.warning(
                    "a field that settings name has not come",
                    field=one.field,
                    named_by=one.named_by,
                    examples=self._unseen.examples,
                    nearest=one.nearest,
                )

    def replace_model(self, model: LogisticRegression) -> None:
        """Watch by another model, which has the same schema."""
        counted = self._schema.conflicts.counts()
        self._schema = model.schema
        self._schema.conflicts.add(counted)
        self._schema.conflicts.on_new = lambda field: incidentally(self._tell_conflict, field)

    def conflicting(self, conflicts: dict[str, int]) -> None:
        """Add what another process has counted, by field."""
        self._schema.conflicts.add(conflicts)

    def conflicts(self) -> dict[str, int]:
        """Return how many values contradicted their field, by its name, since the process started."""
        return self._schema.conflicts.counts()

    def unseen(self) -> list[MissingField]:
        """Return the fields that are named and did not come; none before there were examples enough."""
        if self._unseen.examples < ENOUGH:
            return []
        known = self._known()
        return [MissingField(name, by, nearest(name, known)) for name, by in self._unseen.left.items()]

    def described(self) -> dict[str, Any]:
        """Return both as JSON holds it."""
        return {"conflicts": self.conflicts(), "unseen": [one._asdict() for one in self.unseen()]}

    def _tell_conflict(self, field: str) -> None:
        kind = self._schema.kind_of(field) if field != OTHER else "infer"
        self._log.warning(
            "values of a field are of another kind than it is",
            field=field,
            consequence="they are refused" if kind == "number" else "they are learned from as they come",
            way_out="declare it in the model's schema, or send it in one kind",
        )
