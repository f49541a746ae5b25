"""Tables from whoever has them: streams of Arrow record batches, by the Arrow C stream interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from nonzero.errors import BatchError, FormatError, NonzeroError

MISSING: Final = "Arrow and Parquet need pyarrow, which is not installed: pip install 'nonzero-ctr[arrow]'"


class MissingArrowError(NonzeroError):
    """The package that reads Arrow and Parquet is not installed.

    Examples
    --------
    >>> print(MissingArrowError())
    Arrow and Parquet need pyarrow, which is not installed: pip install 'nonzero-ctr[arrow]'
    """

    def __init__(self) -> None:
        super().__init__(MISSING)


def import_arrow() -> Any:
    """Return pyarrow, imported when it is first asked for: other formats need not wait for it.

    What computes, and what reads Parquet, is not: it is there for :func:`import_compute` and
    :func:`import_parquet` alone, even where something else has imported it.

    Raises
    ------
    MissingArrowError
        Where it is not installed.
    """
    with _installed():
        import pyarrow
    return pyarrow


def import_compute() -> Any:
    """Return ``pyarrow.compute``, which takes as long to import as half of the rest.

    Raises
    ------
    MissingArrowError
        Where pyarrow is not installed.
    """
    with _installed():
        import pyarrow.compute
    return pyarrow.compute


def import_parquet() -> Any:
    """Return ``pyarrow.parquet``, which takes as long to import as half of the rest.

    Raises
    ------
    MissingArrowError
        Where pyarrow is not installed.
    """
    with _installed():
        import pyarrow.parquet
    return pyarrow.parquet


@contextmanager
def _installed() -> Iterator[None]:
    """Say how to get pyarrow where it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingArrowError from error


def stream_of(given: Any) -> Any:
    """Return a table as a ``pyarrow.RecordBatchReader``.

    Parameters
    ----------
    given
        Whatever has ``__arrow_c_stream__`` or ``__arrow_c_array__``: a table, a record batch or a stream of
        pyarrow, a frame of pandas or polars, a relation of DuckDB, an array of structs of nanoarrow.

    Raises
    ------
    BatchError
        For anything else.
    MissingArrowError
        Where pyarrow is not installed.
    """
    if not hasattr(given, "__arrow_c_stream__") and not hasattr(given, "__arrow_c_array__"):
        way_out = (
            "call collect() first"
            if hasattr(given, "collect")
            else "give a table of pyarrow, a frame of pandas or polars, a relation of DuckDB, or what else "
            "has __arrow_c_stream__; dicts go to Batch.from_dicts"
        )
        raise BatchError(f"this is a {type(given).__name__}, which is no stream of Arrow; {way_out}")
    arrow = import_arrow()
    try:
        if hasattr(given, "__arrow_c_stream__"):
            return arrow.RecordBatchReader.from_stream(given)
        batch = arrow.record_batch(given)
        return arrow.RecordBatchReader.from_batches(batch.schema, [batch])
    except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BatchError(
            f"this {type(given).__name__} cannot be read as a table with columns: {error}; give a whole "
            "table, such as a frame with the column in it"
        ) from error


def column_names(start: bytes) -> list[str]:
    """Return the names of the columns of an Arrow IPC stream that begins so; none where that is too short."""
    arrow = import_arrow()
    try:
        with arrow.ipc.open_stream(start) as stream:
            return list(stream.schema.names)
    except (arrow.ArrowException, OSError):
        return []


def damaged(name: str, error: Exception) -> FormatError:
    """Return the error that says that some bytes are no Arrow, or no Parquet."""
    return FormatError(f"{name} cannot be read: {error}")
