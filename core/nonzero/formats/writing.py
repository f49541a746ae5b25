"""Rows -> text: lines that read back to the same rows.

Names are written where they are known. A row that a format cannot say is refused: VW text has no blanks in
words, JSON no category with a value. What is written is read again and compared, so that no line says
something else than its row.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np

from nonzero import formats
from nonzero.batches.batch import Batch
from nonzero.errors import InputError, LineError
from nonzero.fields.hashing import NO_FIELD
from nonzero.fields.schema import Schema
from nonzero.formats.assembly import PlainRow
from nonzero.formats.named_rows import NamedRows
from nonzero.formats.numbers import shown

_NO_WORD: Final = b" \t|:\r\n"
"""What no word of VW text has in it."""


class NamedFeature(NamedTuple):
    """A feature with its name taken apart."""

    field: bytes
    text: bytes | None
    """What stands after the field; None for the number of a field."""
    value: float


def features_of(row: PlainRow, separator: str) -> Iterator[NamedFeature]:
    """Take the names of a row apart; slots, which have none, are left out.

    Parameters
    ----------
    row
        A row with names.
    separator
        What joins namespaces and words in them.
    """
    for place, (name, field) in sorted(row.names.items()):
        value = row.values[place]
        if name == field:
            yield NamedFeature(field, None, value)
        elif field and name.startswith(field + separator.encode()):
            yield NamedFeature(field, name[len(field) + 1 :], value)
        else:
            yield NamedFeature(b"", name, value)


class TextWriter(ABC):
    """Writes rows with names as lines of a format.

    Parameters
    ----------
    namespace_separator
        What joins namespaces and words in the names of the rows.

    Attributes
    ----------
    numbers
        The fields of numbers that were written, where a reader has to be told of them.
    """

    name: str

    def __init__(self, namespace_separator: str = "=") -> None:
        self.separator = namespace_separator
        self.numbers: set[str] = set()

    def write(self, found: NamedRows) -> tuple[bytes, list[LineError]]:
        r"""Write the rows that the format can say.

        Parameters
        ----------
        found
            The rows, and where they come from.

        Returns
        -------
        bytes
            A line each.
        list of LineError
            The rows that are left out, by the numbers of their lines, and why.

        Examples
        --------
        >>> from nonzero.formats.named_rows import read_named
        >>> [found, _] = read_named([b"1 |site news |ad a:2\n"], formats.reader("vw"))
        >>> VWWriter().write(found)[0]
        b'1 |site news |ad a:2\n'
        >>> NDJSONWriter().write(found)[1][0].reason
        "the category 'ad=a' has the value 2, which NDJSON has no place for"
        """
        lines: dict[int, bytes] = {}
        reasons: dict[int, str] = {}
        for r, row in enumerate(found.rows):
            try:
                lines[r] = self.line(row)
            except InputError as error:
                reasons[r] = str(error)
        for r in self._misread(lines, found.parsed.batch):
            del lines[r]
            reasons[r] = f"as {self.name} it would not be read as the same features"
        errors = [LineError(int(found.parsed.lines[r]), reason) for r, reason in sorted(reasons.items())]
        return b"".join(lines.values()), errors

    def _misread(self, lines: dict[int, bytes], batch: Batch) -> list[int]:
        """Read lines again; return those that are other rows then."""
        schema = Schema(dict.fromkeys(sorted(self.numbers), "number"), "infer", self.separator)
        reader = formats.reader(self.name, schema=schema)
        parts = [reader.feed(b"".join(lines.values())), reader.finish()]
        again = Batch.concatenate([part.batch for part in parts])
        places = np.concatenate([part.lines for part in parts]) - 1
        rows = np.fromiter(lines, np.int64, len(lines))
        read = dict(zip(rows[places].tolist(), range(len(again)), strict=True))
        return [r for r in lines if r not in read or _row(again, read[r]) != _row(batch, r)]

    @abstractmethod
    def line(self, row: PlainRow) -> bytes:
        """Return a row's line, with its end.

        Parameters
        ----------
        row
            A row with names.

        Returns
        -------
        bytes

        Raises
        ------
        InputError
            Where the format cannot say it; the message is the reason.
        """


class VWWriter(TextWriter):
    """Vowpal Wabbit's text: a namespace for each field."""

    name = "vw"

    def line(self, row: PlainRow) -> bytes:
        """Return a row's line; its time is left out."""
        if len(row.names) < len(row.indices):
            raise InputError("it has features by index, which VW text has no words for")
        words = [] if np.isnan(row.label) else [b"1" if row.label else b"-1"]
        if row.weight != 1:
            if not words:
                raise InputError(f"it has the weight {row.weight:g} and no label; VW text has no such line")
            words.append(number_text(row.weight))
        if row.id is not None:
            tag = row.id.encode()
            if any(byte in _NO_WORD for byte in tag):
                raise InputError(f"its id {shown(tag)} has a blank, ':' or '|' in it")
            words.append(b"'" + tag)
        named = (
            b"|" + field + b"".join(b" " + self._word(feature) for feature in group)
            for field, group in groupby(features_of(row, self.separator), key=lambda feature: feature.field)
        )
        return b" ".join([*words, b" ".join(named) or b"|"]) + b"\n"

    def _word(self, feature: NamedFeature) -> bytes:
        for part in (feature.field, feature.text or b""):
            if any(byte in _NO_WORD for byte in part):
                raise InputError(f"{shown(part)} has a blank, ':' or '|' in it")
        if feature.text is None:
            name = feature.field.decode(errors="replace")
            if "*" in name:
                raise InputError(f"the number {name!r} has a '*' in its name, which no schema can declare")
            self.numbers.add(name)
            return number_text(feature.value)
        if not feature.text:
            raise InputError(f"the field {shown(feature.field)} is empty, and VW text has no empty words")
        return feature.text if feature.value == 1 else feature.text + b":" + number_text(feature.value)


class NDJSONWriter(TextWriter):
    """An example in JSON a line."""

    name = "ndjson"

    def line(self, row: PlainRow) -> bytes:
        """Return a row's line."""
        members: list[str] = []
        if row.names or not row.indices:
            parts: list[str] = []
            kinds = groupby(features_of(row, self.separator), key=lambda one: (one.field, one.text is None))
            for (field, _), group in kinds:
                parts += self._members(field, list(group))
            members.append(f'"features":{{{",".join(parts)}}}')
        slots = [place for place in range(len(row.indices)) if place not in row.names]
        indices, values = [row.indices[place] for place in slots], [row.values[place] for place in slots]
        return _example(members, indices, values, row.label, row.weight, row.id, row.time)

    def _members(self, field: bytes, features: Sequence[NamedFeature]) -> Iterator[str]:
        key = _quoted(field)
        texts = []
        for feature in features:
            if feature.text is None:
                yield f"{key}:{number_text(feature.value).decode()}"
            elif not field:
                raise InputError(
                    f"the feature {shown(feature.text)} has no field, which NDJSON cannot say; give it a "
                    "namespace"
                )
            elif feature.value != 1:
                name = field + b"=" + feature.text
                raise InputError(
                    f"the category {shown(name)} has the value {feature.value:g}, which NDJSON "
                    "has no place for"
                )
            else:
                texts.append(_quoted(feature.text))
        if texts:
            value = texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"
            yield f"{key}:{value}"


WRITERS: Final[dict[str, type[TextWriter]]] = {"vw": VWWriter, "ndjson": NDJSONWriter}
"""The formats that have names and can be written."""


def slot_lines(batch: Batch, bits: int, form: str) -> list[bytes | InputError]:
    r"""Write rows without names: each feature by its slot in a table.

    Parameters
    ----------
    batch
        The rows. Their ids are left out; as libsvm their times, too.
    bits
        log2 of the number of slots of which hashed features are written. Indices that were given directly are
        written as they are.
    form
        ``"libsvm"`` or ``"ndjson"``.

    Returns
    -------
    list of (bytes or InputError)
        A line each, or why there can be none.

    Examples
    --------
    >>> slot_lines(Batch([0, 2], [3, 2**31], [1, 0.5], [1], fields=[0, 7]), 4, "libsvm")
    [b'1 3:1 0:0.5\n']
    """
    slots = batch.indices
    if batch.fields is not None:
        slots = np.where(batch.fields == NO_FIELD, slots, slots & np.uint32(2**bits - 1))
    values = batch.explicit_values()
    write = _libsvm if form == "libsvm" else _by_index
    lines: list[bytes | InputError] = []
    for r in range(len(batch)):
        span = slice(batch.indptr[r], batch.indptr[r + 1])
        time = -1 if batch.times is None else int(batch.times[r])
        try:
            lines.append(
                write(slots[span].tolist(), values[span].tolist(), batch.labels[r], batch.weights[r], time)
            )
        except InputError as error:
            lines.append(error)
    return lines


def _libsvm(slots: list[int], values: list[float], label: float, weight: float, _: int) -> bytes:
    if weight != 1:
        raise InputError(f"it has the weight {weight:g}, which libsvm text has no place for")
    words = [] if np.isnan(label) else [b"1" if label else b"0"]
    words += [b"%d:%s" % (slot, number_text(value)) for slot, value in zip(slots, values, strict=True)]
    if not words:
        raise InputError("it has neither label nor features, and libsvm text has no such line")
    return b" ".join(words) + b"\n"


def _by_index(slots: list[int], values: list[float], label: float, weight: float, time: int) -> bytes:
    return _example([], slots, values, label, weight, None, time, always=True)


def _example(
    members: list[str],
    indices: list[int],
    values: list[float],
    label: float,
    weight: float,
    id: str | None,
    time: int,
    always: bool = False,
) -> bytes:
    """Return an example in JSON, with its features by name as they are written already."""
    if indices or always:
        members.append(f'"indices":{_listed(indices)}')
        if any(value != 1 for value in values):
            members.append(f'"values":[{",".join(number_text(value).decode() for value in values)}]')
    if not np.isnan(label):
        members.append(f'"label":{int(label)}')
    if weight != 1:
        members.append(f'"weight":{number_text(weight).decode()}')
    if id is not None:
        members.append(f'"id":{json.dumps(id, ensure_ascii=False)}')
    if time >= 0:
        members.append(f'"time":{time}')
    return f"{{{','.join(members)}}}\n".encode()


def _listed(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"


def _quoted(text: bytes) -> str:
    try:
        return json.dumps(text.decode(), ensure_ascii=False)
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(text)} is not UTF-8, as JSON is") from error


def number_text(value: float) -> bytes:
    """Return the shortest text that reads back to the same float32.

    Parameters
    ----------
    value
        The number.
    """
    return str(np.float32(value)).removesuffix(".0").encode()


def _row(batch: Batch, r: int) -> tuple[Any, ...]:
    """Return all that is learned of a row, to be compared; and its id and time."""
    span = slice(batch.indptr[r], batch.indptr[r + 1])
    return (
        batch.indices[span].tobytes(),
        batch.explicit_values()[span].tobytes(),
        b"" if batch.fields is None or not batch.fields[span].any() else batch.fields[span].tobytes(),
        batch.labels[r].tobytes(),
        batch.weights[r].tobytes(),
        None if batch.ids is None else batch.ids[r],
    )
