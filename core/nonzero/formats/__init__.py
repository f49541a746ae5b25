"""Bytes -> Batch: Vowpal Wabbit text, libsvm, NDJSON, delimited text; compiled code that releases the GIL.

A format's module is imported when the format is first used. To add one, read the docstring of
:class:`~nonzero.formats.format.Format`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from nonzero.batches.batch import Batch, Dicts
from nonzero.errors import BatchError, FormatError, SettingsError, named
from nonzero.fields.schema import Schema
from nonzero.formats.format import Format
from nonzero.formats.parsed import Buffer, Parsed
from nonzero.formats.reading import MAX_LINE, Reader
from nonzero.formats.registry import FORMATS

__all__ = ["NAMES", "Format", "Parsed", "Reader", "parse", "reader"]

NAMES: Final = tuple(FORMATS)
"""The formats that :func:`parse` and :func:`reader` know."""


def reader(format: str, *, max_line: int = MAX_LINE, **options: Any) -> Reader:
    r"""Make a reader of a stream.

    Parameters
    ----------
    format
        One of :data:`NAMES`.
    max_line
        The longest line that is read, in bytes, at least 1.
    **options
        What the format's class takes: always a ``schema``, such as that of a model, its
        :attr:`~nonzero.LogisticRegression.schema`; ``numeric`` for "csv".

    Returns
    -------
    Reader
        Of one stream; each stream needs its own.

    Raises
    ------
    SettingsError
        For a format or an option that is unknown, or a `max_line` out of its range.

    Examples
    --------
    >>> lines = reader("libsvm")
    >>> lines.feed(b"1 3:0.5\n0 3:").batch, lines.feed(b"1\n").batch
    (Batch(1 examples, 1 nonzeros), Batch(1 examples, 1 nonzeros))
    """
    if format not in FORMATS:
        raise SettingsError(f"the format {format!r} is unknown; give one of {', '.join(NAMES)}")
    if max_line < 1:
        raise SettingsError(f"max_line is {max_line}; a line needs at least 1 byte")
    form = format_class(format)
    known = inspect.signature(form).parameters
    for option in options:
        if option not in known:
            way_out = f"it takes {', '.join(known)}" if known else "it takes none"
            raise SettingsError(f"the format {format!r} has no option {option!r}; {way_out}")
    return Reader(form(**options), max_line)


def format_class(name: str) -> Any:
    """Return the class of a format, whose module is imported at the first call.

    Parameters
    ----------
    name
        One of :data:`NAMES`.

    Returns
    -------
    type
        A :class:`Format`.

    Examples
    --------
    >>> format_class("csv").name
    'csv'
    """
    entry = FORMATS[name]
    return getattr(import_module(entry.module), entry.class_name)


def parse(data: Buffer, format: str, **options: Any) -> Batch:
    r"""Read bytes that are whole: every line must be right.

    Parameters
    ----------
    data
        Anything with the buffer interface.
    format, **options
        As for :func:`reader`.

    Returns
    -------
    Batch
        One row an example, in their order.

    Raises
    ------
    FormatError
        Where lines cannot be read; it names the first, and its ``lines`` are all of them.
    SettingsError
        For a format or an option that is unknown.

    Examples
    --------
    >>> batch = parse(b"1 | site=news bid:0.5\n", "vw")
    >>> len(batch), batch.values.tolist()
    (1, [1.0, 0.5])
    >>> parse(b"1 |bid 0.5\n", "vw", schema={"bid": "number"}).values.tolist()
    [0.5]
    """
    lines = reader(format, **options)
    parts = [lines.feed(data), lines.finish()]
    errors = tuple(error for part in parts for error in part.errors)
    if errors:
        raise FormatError(f"{len(errors)} lines cannot be read as {format}: {named(errors, 'line')}", errors)
    return Batch.concatenate([part.batch for part in parts if len(part.batch)])


def _hash_dicts(examples: Dicts, schema: Schema | Mapping[str, Any] | None) -> Batch:
    """Hash examples that are dicts of features: what :meth:`Batch.from_dicts` calls.

    Parameters
    ----------
    examples, schema
        As there.

    Returns
    -------
    Batch
        Without labels, of weight 1.

    Examples
    --------
    >>> Batch.hash_dicts([{"site": "news"}], None)
    Batch(1 examples, 1 nonzeros)
    """
    from nonzero.formats.json_dicts import batch_of_features  # here: files of other formats need no JSON

    return batch_of_features(examples, schema)


def _join_dicts(
    shared: Mapping[str, Any], candidates: Dicts, schema: Schema | Mapping[str, Any] | None
) -> Batch:
    """Hash candidates over a shared context: what :meth:`Batch.from_candidates` calls.

    Parameters
    ----------
    shared, candidates, schema
        As there.

    Returns
    -------
    Batch
        Without labels, of weight 1.

    Examples
    --------
    >>> Batch.join_dicts({"site": "news"}, [{"ad": "7"}], None)
    Batch(1 examples, 2 nonzeros)
    """
    from nonzero.batches.candidates import joined  # here: most predict whole examples
    from nonzero.formats.json_dicts import batch_of_features

    said = None if schema is None else Schema.of(schema)
    try:
        context = batch_of_features((shared,), said)
    except BatchError as error:
        raise BatchError(f"what is shared: {str(error).removeprefix('row 0: ')}") from error
    return joined(context, batch_of_features(candidates, said))


def _read_table(table: Any, options: Mapping[str, Any]) -> Batch:
    """Read a table: what :meth:`Batch.from_arrow` calls.

    Parameters
    ----------
    table
        As there.
    options
        What else is given there.

    Returns
    -------
    Batch
        One row a row, in their order.

    Examples
    --------
    >>> import pyarrow
    >>> Batch.read_table(pyarrow.table({"site": ["news"]}), {})
    Batch(1 examples, 1 nonzeros)
    """
    from nonzero.formats.arrow_rows import read_table  # here: most need no Arrow

    return read_table(table, **options)


Batch.hash_dicts = _hash_dicts
Batch.join_dicts = _join_dicts
Batch.read_table = _read_table
