"""Bodies of labels: ``{"id", "label"}``, ``{"labels": [...]}``, or such an object a line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from starlette.types import Receive

from nonzero import LineError
from nonzero.batches.limits import MAX_ID
from nonzero.formats.json_bodies import NOT_JSON
from nonzero.formats.reading import BYTE_ORDER_MARK
from nonzero_service.bodies.body_reader import Chunk
from nonzero_service.bodies.content import Content
from nonzero_service.bodies.json_bodies import bad_examples
from nonzero_service.bodies.reading import Bodies
from nonzero_service.faults import shown_value, why_not_json
from nonzero_service.problems import Problem

LABELS_AT_ONCE: Final = 1024
"""So many labels of a stream are joined at once."""


class LabelLine(msgspec.Struct, forbid_unknown_fields=True):
    """The label of a prediction."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
    label: int | bool | float


class LabelBatch(NamedTuple):
    """Labels in order."""

    lines: list[int]
    """Where each stands."""
    ids: list[str]
    labels: list[int]
    """0 or 1."""
    errors: list[LineError]
    """The lines that are no labels."""

    @classmethod
    def none(cls) -> LabelBatch:
        """Return no labels."""
        return cls([], [], [], [])

    def add(self, line: int, label: LabelLine) -> None:
        """Take one more."""
        if label.label not in (0, 1, -1):
            self.errors.append(LineError(line, _not_a_label(label.label)))
            return
        self.lines.append(line)
        self.ids.append(label.id)
        self.labels.append(int(label.label == 1))


_line: Final = msgspec.json.Decoder(LabelLine)

FORM: Final = '{"id": "imp-1", "label": 1}'


def _not_a_label(value: Any) -> str:
    return f"the label is {shown_value(value)}; it is 1, 0 or -1, true or false"


def why_no_label(value: Any) -> str:
    """Say why a value that is JSON is no label."""
    if not isinstance(value, dict):
        return f"a label is an object such as {FORM}, not {shown_value(value)}"
    for name in value:
        if name not in ("id", "label"):
            return f"the member {shown_value(name)} is unknown; a label is an object such as {FORM}"
    for name in ("id", "label"):
        if name not in value:
            return f'there is no "{name}"; a label is an object such as {FORM}'
    name, label = value["id"], value["label"]
    if not isinstance(name, str):
        whole = isinstance(name, int) and not isinstance(name, bool)
        return f"the id is {shown_value(name)}, not a string" + (f'; write "{name}"' if whole else "")
    if not 1 <= len(name) <= MAX_ID:
        return f"the id {shown_value(name)} has {len(name)} characters; it has 1 to {MAX_ID}"
    return _not_a_label(label)


def labels_of(body: bytes) -> tuple[LabelBatch, bool]:
    """Read a JSON body; and whether it is a single label.

    Raises
    ------
    Problem
        400 where it is not JSON; 422 naming every bad label, the first being number 1.
    """
    try:
        content: Any = msgspec.json.decode(body)
    except NOT_JSON as error:
        raise Problem(400, f"the body is not JSON: {why_not_json(body, error)}") from error
    many = content.get("labels") if isinstance(content, dict) and content.keys() == {"labels"} else None
    if many is not None and not isinstance(many, list):
        raise Problem(422, 'the body is {"id": ..., "label": ...}, or {"labels": [...]} with a list of such')
    found = LabelBatch.none()
    for number, each in enumerate([content] if many is None else many, 1):
        try:
            found.add(number, msgspec.convert(each, LabelLine))
        except msgspec.ValidationError:
            found.errors.append(LineError(number, why_no_label(each)))
    if found.errors:
        raise bad_examples(found.errors, "a label", "labels")
    return found, many is None


async def stream_labels(bodies: Bodies, content: Content, receive: Receive) -> AsyncGenerator[LabelBatch]:
    """Read labels line by line, some thousand at a time; close it (``contextlib.aclosing``).

    Raises
    ------
    Problem
        400, 413 or 415.
    """
    most = bodies.settings.max_line_bytes
    rest: list[bytes] = []
    held = number = 0

    def whole_lines(chunks: list[Chunk]) -> list[bytes]:
        nonlocal rest, held
        first, *others = b"".join(chunks).split(b"\n")
        rest.append(first)
        held += len(first)
        lines: list[bytes] = []
        if others:  # the line that was begun is whole now, and is put together once
            *others, last = others
            lines, rest, held = [b"".join(rest), *others], [last], len(last)
        if held > most:
            raise Problem(413, f"a label's line has at most {most} bytes")
        return lines

    async with aclosing(bodies.decoded(content, receive, whole_lines)) as pieces:
        async for lines in pieces:
            for start in range(0, len(lines), LABELS_AT_ONCE):
                yield read_lines(lines[start : start + LABELS_AT_ONCE], number + start)
            number += len(lines)
    if held:
        yield read_lines([b"".join(rest)], number)


def read_lines(lines: list[bytes], before: int) -> LabelBatch:
    """Read labels, one a line, the first being line number `before` + 1."""
    found = LabelBatch.none()
    for number, line in enumerate(lines, before + 1):
        text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        try:
            found.add(number, _line.decode(text))
        except NOT_JSON:
            found.errors.append(LineError(number, _reason_of_line(text)))
    return found


def _reason_of_line(line: bytes) -> str:
    """Say why a line is no label."""
    if not line.strip():
        return "the line is empty"
    try:
        return why_no_label(msgspec.json.decode(line))
    except NOT_JSON as error:
        return f"the line is not JSON: {why_not_json(line, error)}"
