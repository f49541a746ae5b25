"""What a run says at its end of fields that nobody meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from nonzero import Schema
from nonzero.diagnostics.unseen import nearest

__all__ = ["conflicts_said", "unseen_said"]

SHOWN: Final = 5
"""So many fields are named."""


def conflicts_said(schema: Schema) -> Iterator[str]:
    """Yield what there is to say of values that contradicted the schema they were read by: a line or none."""
    counts = schema.conflicts.counts()
    if not counts:
        return
    most = sorted(counts.items(), key=lambda one: -one[1])
    named = ", ".join(f"{name} {count:,}" for name, count in most[:SHOWN])
    more = f" and {len(most) - SHOWN} more fields" if len(most) > SHOWN else ""
    total = sum(counts.values())
    values = f"{total:,} values are" if total > 1 else "1 value is"
    yield f"{values} of another kind than their field: {named}{more}; say in a schema what each field is"


def unseen_said(left: Mapping[str, str], known: list[str]) -> Iterator[str]:
    """Yield a line for each field that was named, and that no example had.

    Parameters
    ----------
    left
        The fields, and who names each, as :attr:`nonzero.diagnostics.unseen.Unseen.left`.
    known
        Names of fields that came.
    """
    for name, named_by in left.items():
        near = nearest(name, known)
        hint = f"; did you mean {near!r}?" if near else ""
        yield f"no example has the field {name!r} of {named_by}{hint}"
