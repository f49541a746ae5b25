"""Saved models: safetensors and a digest, written atomically; never pickle.

safetensors has no checksum of its own, so the header's metadata carry one (xxh3-128) over every tensor's
name, type, shape and bytes and over the other metadata; a file with any bit changed is refused.

Of a large array only those rows are in the file that were touched (:mod:`nonzero.persistence.rows`). An array
``table`` is three tensors then: ``table.blocks`` and ``table.masks`` say which rows they are, ``table.rows``
has them, in ascending order. How many rows the array has stands in the metadata. That is the format
``nonzero-2``. Files of ``nonzero-1``, which hold every array whole, are read as well.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from nonzero.errors import SnapshotError
from nonzero.persistence.rows import Rows, Touched, WrittenRows, count_of
from nonzero.persistence.whole_files import replacing
from nonzero.sources.places import Remote, place_of

_PIECE: Final = 4 * 2**20
_DTYPES: Final = {
    "<f4": "F32",
    "<f8": "F64",
    "<i8": "I64",
    "<u8": "U64",
    "<u4": "U32",
    "<i2": "I16",
    "<u2": "U16",
}
_NAMED: Final = {name: np.dtype(dtype) for dtype, name in _DTYPES.items()}

FORMAT: Final = "nonzero-2"
"""The name and version of the file format."""

WHOLE: Final = "nonzero-1"
"""The format before it, whose files hold arrays whole."""

_NO_DIGEST: Final = "0" * 32
"""Stands in the header until the digest is known."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of a file: the process has no more descriptors, or no more memory."""

Arrays: TypeAlias = Mapping[str, "NDArray[Any] | Rows"]
"""Arrays by name: whole, or by their touched rows."""

WrittenArrays: TypeAlias = Mapping[str, "NDArray[Any] | WrittenRows"]
"""The same, as far as they are to be written."""

Begun: TypeAlias = Callable[[dict[str, Any], Mapping[str, int]], Arrays]
"""Returns the arrays of a new model that a file is read into: told its metadata, and how many rows it says
that each array has, by name."""


class _Digest:
    """The digest of tensors and of JSON-able metadata."""

    def __init__(self, metadata: Any) -> None:
        self._hash = xxhash.xxh3_128(json.dumps(metadata, sort_keys=True).encode())

    def begin(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Go on with the next tensor, by name in alphabetical order."""
        self._hash.update(f"{name} {dtype.str} {shape}".encode())

    def add(self, numbers: NDArray[Any]) -> None:
        """Go on with its next numbers."""
        self._hash.update(np.ascontiguousarray(numbers).data.cast("B") if numbers.size else b"")

    def hex(self) -> str:
        """Return the digest of all of it."""
        return self._hash.hexdigest()


def digest_of(arrays: Arrays, metadata: Mapping[str, Any]) -> str:
    """Return the hex xxh3-128 of whole arrays and JSON-able metadata, however either is kept."""
    digest = _Digest(metadata)
    for name, array in sorted(arrays.items()):
        digest.begin(name, array.dtype, array.shape)
        for piece in (array,) if isinstance(array, np.ndarray) else array.pieces():
            digest.add(piece)
    return digest.hex()


# -- writing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tensor:
    """A tensor as it is written."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[NDArray[Any]]]


def write(path: str | os.PathLike[str] | Remote, arrays: WrittenArrays, metadata: Mapping[str, Any]) -> str:
    """Write arrays and JSON-able metadata so that the file at `path` is always whole: the old one or the new.

    What is kept by its touched rows is written a few megabytes at a time, never copied whole. A link stays
    one: the file that it leads to is written. To a URL it is sent when it is whole.

    Returns
    -------
    str
        The digest that was stored.

    Raises
    ------
    OSError
        Where the disk refuses; `path` is then as it was.
    StoreError
        Where the store does.
    """
    place = place_of(path)
    if isinstance(place, Remote):
        from nonzero.persistence.store_writing import storing_at_end

        with storing_at_end(place) as sent:
            return _write_arrays(cast(FileIO, sent), arrays, metadata)
    with replacing(place.resolve(), buffering=0) as file:
        return _write_arrays(cast(FileIO, file), arrays, metadata)


def write_plainly(path: Path, arrays: WrittenArrays, metadata: Mapping[str, Any]) -> str:
    """Write the same to a new file, which whoever calls syncs and gives its name.

    Returns
    -------
    str
        The digest that was stored.

    Raises
    ------
    OSError
        Where the disk refuses.
    """
    with path.open("wb", buffering=0) as file:
        return _write_arrays(file, arrays, metadata)


def _write_arrays(file: FileIO, arrays: WrittenArrays, metadata: Mapping[str, Any]) -> str:
    tensors = dict(sorted(_tensors(arrays)))
    rows = {name: count_of(array) for name, array in arrays.items() if not isinstance(array, np.ndarray)}
    said = {"metadata": json.dumps(metadata, sort_keys=True), "rows": json.dumps(rows, sort_keys=True)}
    return _serialize(file, tensors, said, _Digest([metadata, rows]))


def _tensors(arrays: WrittenArrays) -> Iterator[tuple[str, _Tensor]]:
    """Yield the tensors that arrays are written as, by name."""
    for name, array in arrays.items():
        if isinstance(array, np.ndarray):
            yield name, _whole(array)
            continue
        touched = array.touched()
        blocks, masks, kept = _parts(name)
        yield blocks, _whole(touched.blocks)
        yield masks, _whole(touched.masks)
        shape = (touched.count, array.width)
        yield kept, _Tensor(array.dtype, shape, partial(_gathered, array, touched))


def _whole(array: NDArray[Any]) -> _Tensor:
    own = np.array(array)  # small, and another thread may be writing to it
    return _Tensor(own.dtype, own.shape, lambda: iter((own,)))


def _gathered(rows: WrittenRows, touched: Touched) -> Iterator[NDArray[Any]]:
    return (rows.at(numbers) for numbers in touched.numbers())


def _serialize(file: FileIO, tensors: Mapping[str, _Tensor], said: Mapping[str, str], digest: _Digest) -> str:
    """Write safetensors' format, a piece at a time, each on the disk before the next; return the digest.

    safetensors' own writer leaves it to the end to bring a whole table to the disk, and whoever else syncs a
    file meanwhile waits for that: up to 100 ms while 256 MB are written, where this makes it wait 40 at most.
    """
    places, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.dtype.itemsize * prod(tensor.shape)
        places[name] = {
            "dtype": _DTYPES[tensor.dtype.str],
            "shape": tensor.shape,
            "data_offsets": (begin, end),
        }
    _write(file, _header(places, said, _NO_DIGEST))
    unsynced = 0
    for name, tensor in tensors.items():
        digest.begin(name, tensor.dtype, tensor.shape)
        for piece in tensor.pieces():
            digest.add(piece)
            _write(file, piece.reshape(-1).view(np.uint8).data)
            unsynced += piece.nbytes
            if unsynced >= _PIECE:
                os.fdatasync(file.fileno())
                unsynced = 0
    file.seek(0)
    _write(file, _header(places, said, digest.hex()))
    return digest.hex()


def _header(places: Mapping[str, Any], said: Mapping[str, str], digest: str) -> bytes:
    """Return the first bytes of a file; they are as many for any digest."""
    text = json.dumps({"__metadata__": {"format": FORMAT, "digest": digest, **said}, **places}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _write(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of it: a disk that fills up takes a part."""
    while len(data):
        data = data[file.write(data) :]


# -- reading -----------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str] | Remote, begin: Begun) -> dict[str, Any]:
    """Read what :func:`write` wrote into the arrays of a new model, and check its digest.

    The arrays are read a piece at a time. They are of no use where this fails.

    Parameters
    ----------
    path
        The file.
    begin
        Returns the arrays, which are as they are in a model that has learned nothing. It may refuse by a
        KeyError, a ValueError or a TypeError.

    Returns
    -------
    dict
        The metadata.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    SnapshotError
        Where the file is not a saved model, is of another version, or is damaged.
    OSError
        Where the process has no descriptor or no memory for it, which says nothing of the file.
    """
    with _opened(path) as (file, header, metadata):
        stored = {name: _Stored(file, name) for name in file.keys()}  # noqa: SIM118 - not a dict
        whole = header["format"] == WHOLE
        lengths = {name: tensor.shape[0] if tensor.shape else 0 for name, tensor in stored.items()}
        said = lengths if whole else json.loads(header["rows"])
        arrays = begin(metadata, said)
        wanted = set(arrays) if whole else _wanted(arrays)
        if wanted != stored.keys():
            raise ValueError(f"it has too much, or lacks, {', '.join(sorted(wanted ^ stored.keys()))}")
        digest = _Digest(metadata if whole else [metadata, said])
        for name, array in sorted(arrays.items()):
            if isinstance(array, np.ndarray):
                _read_whole(stored[name], array, digest)
            elif whole:
                _read_rows_of_whole(stored[name], array, digest)
            elif said[name] == count_of(array):
                _read_touched(name, stored, array, digest)
            else:
                raise ValueError(f"{name} has {said[name]} rows, of such settings it has {count_of(array)}")
        found = digest.hex()
    if found != header.get("digest"):
        raise SnapshotError(
            f"{path} is damaged: its digest is {found}, stored is {header.get('digest')}; use a copy of it"
        )
    return metadata


def read_metadata(path: str | os.PathLike[str] | Remote) -> dict[str, Any]:
    """Read the metadata alone, whatever the size of the arrays; their digest is not checked.

    Raises
    ------
    FileNotFoundError, SnapshotError, OSError
        As :func:`read` does.
    """
    with _opened(path) as (_, _, metadata):
        return metadata


class _Stored:
    """A tensor in an opened file, read from its beginning to its end."""

    def __init__(self, file: Any, name: str) -> None:
        self.name = name
        self._tensor = file.get_slice(name)
        self.shape = tuple(self._tensor.get_shape())
        self._dtype = _NAMED.get(self._tensor.get_dtype())
        self._next = 0

    def begin(self, dtype: np.dtype[Any], shape: tuple[int, ...], digest: _Digest) -> None:
        """Begin to read it; refuse another type, or shape, than is expected."""
        if (self._dtype, self.shape) != (dtype, shape):
            raise ValueError(f"{self.name} is {self._dtype}{list(self.shape)}, not {dtype}{list(shape)}")
        self._digest = digest
        digest.begin(self.name, dtype, shape)

    def take(self, n: int) -> NDArray[Any]:
        """Return the next n of its first axis, at least one, and add them to the digest."""
        piece: NDArray[Any] = self._tensor[self._next : self._next + n]
        self._next += n
        self._digest.add(piece)
        return piece


def _read_numbers(tensor: _Stored, dtype: type[np.number[Any]], digest: _Digest) -> NDArray[Any]:
    """Read a tensor of one dimension, of any length."""
    (length,) = tensor.shape[:1] or (0,)
    tensor.begin(np.dtype(dtype), (length,), digest)
    return tensor.take(length) if length else np.empty(0, dtype)


def _read_whole(tensor: _Stored, array: NDArray[Any], digest: _Digest) -> None:
    """Read a tensor into an array of its type and shape."""
    tensor.begin(array.dtype, array.shape, digest)
    array[:] = tensor.take(len(array))


def _read_rows_of_whole(tensor: _Stored, rows: Rows, digest: _Digest) -> None:
    """Read a tensor into an array that is kept by its touched rows."""
    tensor.begin(rows.dtype, rows.shape, digest)
    rows.expect(count_of(rows))
    at_once = max(_PIECE // (rows.dtype.itemsize * prod(rows.shape[1:])), 1)
    first = 0
    for start in range(0, rows.shape[0], at_once):
        part = tensor.take(min(at_once, rows.shape[0] - start)).reshape(-1, rows.width)
        for numbers in Touched.in_rows(part, rows.fill).numbers():
            rows.put(first + numbers, part[numbers])
        first += len(part)


def _read_touched(name: str, stored: Mapping[str, _Stored], rows: Rows, digest: _Digest) -> None:
    """Read the touched rows of an array."""
    blocks, masks, kept = (stored[part] for part in _parts(name))
    touched = Touched(_read_numbers(blocks, np.uint32, digest), _read_numbers(masks, np.uint64, digest))
    try:
        touched.check(count_of(rows))
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error
    kept.begin(rows.dtype, (touched.count, rows.width), digest)
    rows.expect(touched.count)
    for numbers in touched.numbers():
        rows.put(numbers, kept.take(numbers.size))


def _parts(name: str) -> tuple[str, str, str]:
    """Return the names of the tensors of an array that is kept by its touched rows."""
    return f"{name}.blocks", f"{name}.masks", f"{name}.rows"


def _wanted(arrays: Arrays) -> set[str]:
    """Return the names of the tensors that arrays are written as."""
    whole = {name for name, array in arrays.items() if isinstance(array, np.ndarray)}
    return whole.union(*(_parts(name) for name in arrays.keys() - whole))


@contextmanager
def _opened(
    path: str | os.PathLike[str] | Remote,
) -> Iterator[tuple[Any, dict[str, str], dict[str, Any]]]:
    """Open a saved model, in a store by a copy: the file, its header, and the metadata in that."""
    place = place_of(path)
    if not isinstance(place, Remote):
        with _opened_here(path, place) as found:
            yield found
        return
    from nonzero.persistence.store_copies import copied

    with copied(place) as copy, _opened_here(place, copy) as found:
        yield found


@contextmanager
def _opened_here(
    path: str | os.PathLike[str] | Remote, place: Path
) -> Iterator[tuple[Any, dict[str, str], dict[str, Any]]]:
    """Open a saved model of this machine, that is called otherwise where it is a copy."""
    if not place.is_file():
        raise FileNotFoundError(f"there is no saved model at {path}")
    try:
        with safe_open(place, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") not in (FORMAT, WHOLE):
                raise SnapshotError(
                    f"{path} has the format {header.get('format')!r}; this version reads {FORMAT!r} and "
                    f"{WHOLE!r}"
                )
            metadata = json.loads(header["metadata"])
            if not isinstance(metadata, dict):
                raise TypeError(f"its metadata is a {type(metadata).__name__}")
            yield file, header, metadata
    except (SafetensorError, KeyError, ValueError, OSError, TypeError, RecursionError) as error:
        _check_means(place)
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise
        raise SnapshotError(
            f"{path} does not hold a model of this version, or is damaged: {error!r}"
        ) from error


def _check_means(path: Path) -> None:
    """Raise what keeps this process from opening any file: safetensors says then that there is none."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
