"""Examples as JSON: an example a line, the body of a request, and features given as Python dicts.

An example is an object::

    {"features": {"site": "news", "bid": 0.5, "tags": ["a", "b"]}, "label": 1, "weight": 1.0, "id": "imp-1"}
    {"indices": [3, 17], "values": [1.0, 0.5], "label": 0, "time": 1700000000000}

- ``"site": "news"`` is the feature ``site=news`` with value 1, ``"bid": 0.5`` is ``bid`` with value 0.5, and
  ``"tags"`` makes ``tags=a`` and ``tags=b``; true is 1; false and 0 are no nonzero; null is an error. A
  feature's field is the name before ``=``. A name that stands twice counts twice.
- ``indices`` are slots, from 0 to 2**31, each with a value, or all with 1. An example may have ``features``
  and ``indices``; the features come first then.
- ``label`` is 0 or 1 (-1, true and false are read too); ``weight`` is from 0 to 1e6; ``id`` a string of up to
  255 characters; ``time`` whole milliseconds since 1970. Each may be left out, or null.

JSON is read strictly (RFC 8259): UTF-8, no NaN, no half surrogate pairs. Any other member is an error, and so
is one that stands twice.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.batch import Batch
from nonzero.errors import BatchError, FormatError, InputError, LineError
from nonzero.formats.json_examples import read_examples
from nonzero.formats.json_plain import Members, decode, row_of, shown_value
from nonzero.formats.json_text import MARGIN
from nonzero.formats.reading import PADDING, Buffer, Format, Parsed
from nonzero.formats.rows import PLAIN, Row, Rows, assemble, assemble_with, summarize

__all__ = [
    "NDJSON",
    "NOT_JSON",
    "batch_of_features",
    "is_list",
    "parse_body",
    "read_bodies",
    "read_body",
    "skim",
]

ROWS_AT_ONCE: Final = 1024
"""So many examples are read at once where all are in memory: they and their bytes stay in the cache."""

ENVELOPE: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"examples"[ \t\r\n]*:')

NEWLINE: Final = ord("\n")

NAMED: Final = 5

LONG: Final = 1 << 16
"""So long a body that is wrong is skimmed first: decoding it stops every other thread, 25 ms for 1 MB."""

NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises where bytes are no JSON."""

ENCODING_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class NDJSON(Format):
    """Examples as JSON, one a line."""

    name = "ndjson"

    def __init__(self) -> None:
        self._scratch = np.empty(0, np.uint8)

    def alike(self) -> NDJSON:
        """Return another, with a scratch of its own."""
        return NDJSON()

    def read(self, data: NDArray[np.uint8], end: int, rows: Rows) -> int:
        """Parse whole lines by compiled code."""
        if self._scratch.size < end + MARGIN:
            self._scratch = np.empty(data.size + MARGIN, np.uint8)
        return int(read_examples(data, end, self._scratch, rows))

    def parse_line(self, line: bytes) -> Row:
        """Parse one line in Python."""
        return row_of(line)


class _Workspace:
    """What reading needs beside its result: allocation costs more than one row."""

    def __init__(self, size: int = 2**14) -> None:
        self._reserve(size)

    def _reserve(self, size: int) -> None:
        self.size = size
        self.buffer = bytearray(size + PADDING)
        self.array = np.frombuffer(self.buffer, np.uint8)
        self.scratch = np.empty(size + MARGIN, np.uint8)
        self.rows = Rows.allocate(ROWS_AT_ONCE, size // 2 + 1)

    def one(self, line: Buffer) -> tuple[int, int] | None:
        """Read a single line without its end, into the first row; return what :func:`summarize` says of it.

        None where it is long, or compiled code cannot read it.
        """
        end = len(line) + 1
        if end > self.size:
            return None
        self.buffer[: end - 1] = line
        self.buffer[end - 1] = NEWLINE
        if read_examples(self.array, end, self.scratch, self.rows) != 1:
            return None
        summary = summarize(self.rows, 1)
        return None if summary[0] & PLAIN else summary

    def read(self, lines: bytes) -> tuple[int, dict[int, str]]:
        """Read at most ROWS_AT_ONCE whole lines; return how many, and the reasons of those that are wrong."""
        size = len(lines)
        if not size <= self.size <= 64 * max(size, 2**16):
            self._reserve(size)
        self.buffer[:size] = lines
        n = read_examples(self.array, size, self.scratch, self.rows)
        self.summary = summarize(self.rows, n)
        self.by_python: dict[int, Row | None] = {}
        wrong: dict[int, str] = {}
        if self.summary[0] & PLAIN:
            for r in np.flatnonzero(self.rows.plain[:n]).tolist():
                start, end = self.rows.spans[r].tolist()
                try:
                    self.by_python[r] = row_of(lines[start:end])
                except InputError as error:
                    wrong[r] = str(error)
        return n, wrong

    def compiled(self, lines: bytes) -> tuple[Batch, NDArray[np.bool_]]:
        """Read at most ROWS_AT_ONCE whole lines; return the rows that compiled code can read, and which."""
        size = len(lines)
        if not size <= self.size <= 64 * max(size, 2**16):
            self._reserve(size)
        self.buffer[:size] = lines
        n = read_examples(self.array, size, self.scratch, self.rows)
        read = self.rows.plain[:n] == 0
        summary = summarize(self.rows, n)
        if not summary[0] & PLAIN:
            return assemble(self.rows, n, self.buffer, summary), read
        left: dict[int, Row | None] = dict.fromkeys(np.flatnonzero(~read).tolist())
        return assemble_with(self.rows, n, self.buffer, left), read

    def batch(self, n: int) -> Batch:
        """Copy the first `n` rows, all of them right, out as a batch."""
        if self.by_python:
            return assemble_with(self.rows, n, self.buffer, self.by_python)
        return assemble(self.rows, n, self.buffer, self.summary)


class _Own(threading.local):
    """Each thread's own workspace."""

    def __init__(self) -> None:
        self.workspace = _Workspace()


_own: Final = _Own()


def batch_of_features(examples: Iterable[Mapping[str, Any]]) -> Batch:
    """Hash features given as mappings, an example each; see :meth:`nonzero.Batch.from_dicts`.

    The mappings are written as JSON, by msgspec, and read as it is: tuples and sets are lists, numpy's
    scalars and arrays are what they hold, dates and UUIDs are text, bytes are base64, and what has no form in
    JSON is an error.

    Raises
    ------
    BatchError
        For a value that is no feature, naming its row and its name.
    """
    workspace = _own.workspace
    batches: list[Batch] = []
    first = 0
    rest = iter(examples)
    while piece := list(islice(rest, ROWS_AT_ONCE)):
        try:
            lines = _encoder.encode_lines([{"features": features} for features in piece])
        except ENCODING_ERRORS as error:
            raise _refusal(piece, first) from error
        n, wrong = workspace.read(lines)
        if wrong:
            raise _refusal(piece, first)
        batches.append(workspace.batch(n))
        first += n
    return Batch.concatenate(batches)


def parse_body(body: Buffer) -> Batch:
    """Read the body of a request, ``application/json``: one example, or ``{"examples": [example, ...]}``.

    Raises
    ------
    FormatError
        Where anything is wrong. Every bad example is among its ``lines``, numbered from 1; there are none
        where the body as a whole is not JSON, or is neither form.

    Examples
    --------
    >>> len(parse_body(b'{"examples": [{"features": {"site": "news"}}, {"features": {}, "label": 1}]}'))
    2
    """
    workspace = _own.workspace
    summary = workspace.one(body)
    if summary is None:
        return _parse_any(bytes(body))
    return assemble(workspace.rows, 1, workspace.buffer, summary)


def read_body(body: Buffer) -> tuple[Rows, int, int] | None:
    """Read the body of one example where it is to be used at once: nothing is copied.

    Returns
    -------
    tuple[Rows, int, int] | None
        Rows, of which the first is the example and belongs to the thread until it reads again; and what
        :func:`~nonzero.formats.rows.summarize` says of it. None where :func:`parse_body` has to read it.
    """
    workspace = _own.workspace
    summary = workspace.one(body)
    return None if summary is None else (workspace.rows, *summary)


def is_list(body: bytes) -> bool:
    """Whether a body says that it is ``{"examples": [...]}``."""
    return ENVELOPE.match(body) is not None


def read_bodies(bodies: Sequence[bytes]) -> Parsed:
    """Read the bodies of many requests at once, of which each holds one example.

    Returns
    -------
    Parsed
        Their rows, and as ``lines`` which bodies they are, from 1. What compiled code cannot read has no row:
        :func:`parse_body` reads it, or says what is wrong with it.
    """
    workspace = _own.workspace
    batches: list[Batch] = []
    numbers: list[NDArray[np.int64]] = []
    for first in range(0, len(bodies), ROWS_AT_ONCE):
        lines = [body.replace(b"\n", b"\t") for body in bodies[first : first + ROWS_AT_ONCE]]
        batch, read = workspace.compiled(b"\n".join([*lines, b""]))
        batches.append(batch)
        numbers.append(np.flatnonzero(read) + (first + 1))
    whole = np.concatenate([np.empty(0, np.int64), *numbers])
    return Parsed(Batch.concatenate([one for one in batches if len(one)]), whole, (), len(bodies))


def _parse_any(body: bytes) -> Batch:
    """Read a body of whatever form."""
    workspace = _own.workspace
    # White space between words, and as wrong inside strings as a newline is: the body is one line now.
    line = body.replace(b"\n", b"\t")
    start = ENVELOPE.match(line)
    examples: Sequence[bytes] = [line] if start is None else _enveloped(line, start.end())
    batches: list[Batch] = []
    errors: list[LineError] = []
    for first in range(0, len(examples), ROWS_AT_ONCE):
        n, wrong = workspace.read(b"\n".join([*examples[first : first + ROWS_AT_ONCE], b""]))
        errors.extend(LineError(first + r + 1, reason) for r, reason in wrong.items())
        if not errors:
            batches.append(workspace.batch(n))
    if errors:
        if start is None:
            _decoded(line)
        named = "; ".join(f"example {error.line}: {error.reason}" for error in errors[:NAMED])
        more = f"; and {len(errors) - NAMED} more" if len(errors) > NAMED else ""
        raise FormatError(named + more, tuple(errors))
    return Batch.concatenate(batches)


def _enveloped(line: bytes, start: int) -> list[bytes]:
    """Take the examples out of ``{"examples": [...]}``, where the list is said to start at `start`."""
    rest = line[start:].rstrip(b" \t\r")
    try:
        if not rest.endswith(b"}"):
            raise msgspec.DecodeError("the envelope does not end")
        return [bytes(example) for example in _examples.decode(rest[:-1])]
    except NOT_JSON as error:
        members = _decoded(line)
        others = [name for name, _ in members if name != "examples"]
        if others:
            raise FormatError(
                f'{shown_value(others[0])} stands beside "examples"; send nothing else'
            ) from error
        if len(members) > 1:
            raise FormatError('"examples" stands twice; send one list') from error
        raise FormatError(f'"examples" is {shown_value(members[0][1])}, not a list') from error


def skim(body: bytes) -> None:
    """Raise one of NOT_JSON where a body is no JSON; nothing is made of it."""
    _skimmed.decode(body)


def _decoded(body: bytes) -> Members:
    """Decode a body, if only to say that it is not JSON, or no object."""
    if not body.strip():
        raise FormatError('the body is empty; send an example such as {"features": {"site": "news"}}')
    try:
        if len(body) > LONG:
            skim(body)
        decoded = decode(body)
    except NOT_JSON as error:
        raise FormatError(f"this is not JSON: {error}") from error
    except InputError as error:
        raise FormatError(str(error)) from error
    if not isinstance(decoded, Members):
        raise FormatError(f'the body is {shown_value(decoded)}; send an example, or {{"examples": [...]}}')
    return decoded


def _encodable(value: Any) -> Any:
    """Give msgspec something that it knows in place of what it does not."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no feature")


_encoder: Final = msgspec.json.Encoder(enc_hook=_encodable, decimal_format="number")
_examples: Final = msgspec.json.Decoder(list[msgspec.Raw])
_skimmed: Final = msgspec.json.Decoder(msgspec.Raw)


def _refusal(piece: Sequence[Any], first: int) -> BatchError:
    """Say which feature of these examples, of which the first is row `first`, is the first bad one."""
    for r, features in enumerate(piece):
        if not isinstance(features, Mapping):
            return BatchError(f"row {first + r}: {features!r:.40} is no mapping of features")
        for name, value in features.items():
            if isinstance(value, float | np.floating) and not math.isfinite(value):
                reason = f"the feature {name!r} is {value}, not a finite number; leave it out"
            else:
                try:
                    row_of(_encoder.encode({"features": {name: value}}))
                    continue
                except InputError as error:
                    reason = str(error)
                except ENCODING_ERRORS:
                    reason = (
                        f"the feature {name!r} is {value!r:.40}, of type {type(value).__name__}; "
                        "it is a string, a number, True, False or a list of strings"
                    )
            return BatchError(f"row {first + r}: {reason}")
    raise AssertionError("the examples are right one by one")
