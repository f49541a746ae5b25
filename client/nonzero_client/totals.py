"""What became of a stream: the answers to its batches, added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from nonzero_client.answers import LabelResult, UpdateResult
from nonzero_client.asking import Refused, json_of
from nonzero_client.batches import Batch
from nonzero_client.errors import ClientError, PartialError
from nonzero_client.messages import Answer
from nonzero_client.problems import NAMED, LineFault

Result = TypeVar("Result", UpdateResult, LabelResult)

KNOWN: Final = "this label is known already"
"""What the service says of a label that it has had before, and that was the same."""


def update_result(answer: Mapping[str, Any]) -> UpdateResult:
    """Return what became of one update."""
    return UpdateResult(
        model=answer["model"],
        accepted=answer["accepted"],
        rejected=answer["rejected"],
        errors=tuple(map(LineFault.read, answer["errors"])),
        sequence=answer["sequence"],
        held=answer.get("held", 0),
        replayed=answer.get("replayed", 0),
        labels=Counter(answer.get("labels", {})),
    )


def add_update(total: UpdateResult, batch: Batch, answer: Answer | None) -> None:
    """Add what became of a batch of a stream."""
    members = {} if answer is None else json_of(answer)
    _add_common(total, batch, members)
    total.replayed += members.get("replayed", 0)
    total.labels = Counter(total.labels) + Counter(members.get("labels", {}))


def add_labels(total: LabelResult, batch: Batch | None, answer: Answer | None) -> None:
    """Add what became of labels."""
    members = {} if answer is None else json_of(answer)
    if answer is not None and answer.unsure:
        members, known = _without_known(members)
        total.known += known
    _add_common(total, batch or Batch(), members)
    total.corrected += members.get("corrected", 0)


def _without_known(members: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Take from an answer the labels that an earlier sending of the same request has brought."""
    errors = members.get("errors", [])
    others = [error for error in errors if error.get("reason") != KNOWN]
    rejected = members.get("rejected", 0)
    # Only a hundred are named: where all of them are known, so are those that are not named.
    known = len(errors) - len(others) if others else rejected
    return {**members, "errors": others, "rejected": rejected - known}, known


def _add_common(total: UpdateResult | LabelResult, batch: Batch, members: Mapping[str, Any]) -> None:
    numbers = batch.by_line if batch.numbers else None
    refused = [LineFault.read(error, numbers) for error in members.get("errors", [])]
    total.errors = named(total.errors, sorted([*refused, *batch.faults], key=lambda one: one.line))
    total.accepted += members.get("accepted", 0)
    total.rejected += members.get("rejected", 0) + len(batch.faults)
    total.sequence = members.get("sequence", total.sequence)
    total.held += members.get("held", 0)
    total.lines += len(batch)


def named(errors: tuple[LineFault, ...], more: list[LineFault]) -> tuple[LineFault, ...]:
    """Return refused lines with further ones, as many as are named."""
    return errors + tuple(more[: NAMED - len(errors)])


@contextmanager
def broken_off(total: UpdateResult | LabelResult, key: str) -> Iterator[None]:
    """Have whatever ends a stream early say how far it had come."""
    try:
        yield
    except ClientError as error:
        error.done = total
        error.key = key
        error.add_note(f"{total.lines} lines of the stream had been answered for, {total.accepted} accepted.")
        raise
    except Exception as error:
        error.add_note(
            f"{total.lines} lines of the stream had been answered for, {total.accepted} accepted"
            + (f"; sent again with the key {key!r} it goes on from there." if key else ".")
        )
        raise


def checked(total: Result, refused: Refused, done: str) -> Result:
    """Return a stream's result, or raise where lines were refused and the call asks for that."""
    if total.rejected and refused == "raise":
        message = partly(total.rejected, total.lines, total.errors, done)
        error = PartialError(message, total.errors, total.rejected)
        error.done = total
        raise error
    return total


def partly(rejected: int, lines: int, errors: tuple[LineFault, ...], done: str) -> str:
    """Say that lines of a stream were refused, and what was done with the others."""
    first = f"; {errors[0]}" if errors else ""
    if rejected == lines:
        return f"all lines of the stream were refused, {lines} in number{first}"
    return f"{rejected} of {lines} lines were refused, and the others {done}{first}"
