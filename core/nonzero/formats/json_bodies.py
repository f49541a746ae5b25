"""The bodies of requests, as JSON: one example, or ``{"examples": [example, ...]}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch
from nonzero.errors import FormatError, InputError, named
from nonzero.fields.lookup import EVENTS
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.assembly import assemble
from nonzero.formats.json_values import Members, decode, shown_value
from nonzero.formats.json_workspace import ROWS_AT_ONCE, own_workspace
from nonzero.formats.parsed import Buffer, Parsed
from nonzero.formats.row_arrays import RowArrays

ENVELOPE: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"examples"[ \t\r\n]*:')

Bounded: TypeAlias = Callable[[int], object]
"""Is told of a number of examples, and raises what it likes where they are too many."""

LONG: Final = 1 << 16
"""So long a body that is wrong is skimmed first: decoding it stops every other thread, 25 ms for 1 MB."""

NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises where bytes are no JSON."""

_examples: Final = msgspec.json.Decoder(list[msgspec.Raw])
skim: Final = msgspec.json.Decoder(msgspec.Raw).decode
"""Raises one of NOT_JSON where a body is no JSON; nothing is made of it."""


def any_number(_: int) -> None:
    """Let there be any number of examples."""


def parse_body(body: Buffer, schema: Schema = untracked, bounded: Bounded = any_number) -> Batch:
    """Read the body of a request, ``application/json``: one example, or ``{"examples": [example, ...]}``.

    Parameters
    ----------
    body
        The body.
    schema
        What the fields are; conflicts are added to its own.
    bounded
        Told how many examples a list has, before they are read; what it raises is raised.

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
    workspace = own_workspace(schema)
    summary = workspace.one(body)
    if summary is None:
        return _parse_any(bytes(body), schema, bounded)
    workspace.fields.take()
    return assemble(workspace.rows, 1, workspace.buffer, summary)


def read_body(body: Buffer, schema: Schema = untracked) -> tuple[RowArrays, int, int] | None:
    """Read the body of one example where it is to be used at once: nothing is copied.

    Returns
    -------
    tuple[RowArrays, int, int] | None
        Rows, of which the first is the example and belongs to the thread until it reads again; and what
        :func:`~nonzero.formats.row_arrays.summarize` says of it. None where :func:`parse_body` has to read
        it: also where there are conflicts, which that counts.
    """
    workspace = own_workspace(schema)
    summary = workspace.one(body)
    if workspace.fields.events[EVENTS]:
        workspace.fields.drop()
        return None
    return None if summary is None else (workspace.rows, *summary)


def is_list(body: bytes) -> bool:
    """Whether a body says that it is ``{"examples": [...]}``."""
    return ENVELOPE.match(body) is not None


def read_bodies(bodies: Sequence[bytes], schema: Schema = untracked) -> Parsed:
    """Read the bodies of many requests at once, of which each holds one example.

    Parameters
    ----------
    bodies
        The bodies.
    schema
        What the fields are.

    Returns
    -------
    Parsed
        Their rows, and as ``lines`` which bodies they are, from 1. What compiled code cannot read has no row:
        :func:`parse_body` reads it, or says what is wrong with it.
    """
    workspace = own_workspace(schema)
    batches: list[Batch] = []
    numbers: list[NDArray[np.int64]] = []
    for first in range(0, len(bodies), ROWS_AT_ONCE):
        lines = [body.replace(b"\n", b"\t") for body in bodies[first : first + ROWS_AT_ONCE]]
        batch, read = workspace.compiled(b"\n".join([*lines, b""]))
        batches.append(batch)
        numbers.append(np.flatnonzero(read) + (first + 1))
    whole = np.concatenate([np.empty(0, np.int64), *numbers])
    conflicts = workspace.fields.take()
    return Parsed(Batch.concatenate([one for one in batches if len(one)]), whole, (), len(bodies), conflicts)


def _parse_any(body: bytes, schema: Schema, bounded: Bounded) -> Batch:
    """Read a body of whatever form."""
    workspace = own_workspace(schema)
    # White space between words, and as wrong inside strings as a newline is: the body is one line now.
    line = body.replace(b"\n", b"\t")
    start = ENVELOPE.match(line)
    examples: Sequence[bytes] = [line] if start is None else _enveloped(line, start.end())
    bounded(len(examples))  # each that is wrong costs Python some 20 microseconds
    batches, errors = workspace.read_all(examples)
    workspace.fields.take()
    if errors:
        if start is None:
            decoded_body(line)
        raise FormatError(named(errors, "example"), tuple(errors))
    return Batch.concatenate(batches)


def _enveloped(line: bytes, start: int) -> list[bytes]:
    """Take the examples out of ``{"examples": [...]}``, where the list is said to start at `start`."""
    rest = line[start:].rstrip(b" \t\r")
    try:
        if not rest.endswith(b"}"):
            raise msgspec.DecodeError("the envelope does not end")
        return [bytes(example) for example in _examples.decode(rest[:-1])]
    except NOT_JSON as error:
        members = decoded_body(line)
        others = [name for name, _ in members if name != "examples"]
        if others:
            raise FormatError(
                f'{shown_value(others[0])} stands beside "examples"; send nothing else'
            ) from error
        if len(members) > 1:
            raise FormatError('"examples" stands twice; send one list') from error
        raise FormatError(f'"examples" is {shown_value(members[0][1])}, not a list') from error


def decoded_body(body: bytes) -> Members:
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
