"""Saved models: safetensors and a digest, written atomically; never pickle.

safetensors has no checksum of its own, so the header's metadata carry one (xxh3-128) over every tensor's
name, type, shape and bytes and over the other metadata; a file with any bit changed is refused.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from nonzero.errors import SnapshotError

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

FORMAT: Final = "nonzero-1"
"""The name and version of the file format."""

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of a file: the process has no more descriptors, or no more memory."""


def digest_of(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> str:
    """Return the hex xxh3-128 of arrays and JSON-able metadata, by name in alphabetical order."""
    digest = xxhash.xxh3_128(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> str:
    """Write arrays and JSON-able metadata so that the file at `path` is always whole: the old one or the new.

    The bytes go to a temporary file beside it, reach the disk, and take its name; then the directory is
    synced.

    Returns
    -------
    str
        The digest that was stored.

    Raises
    ------
    OSError
        Where the disk refuses; `path` is then as it was.
    """
    target = Path(path)
    digest = digest_of(tensors, metadata)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    header = {"format": FORMAT, "digest": digest, "metadata": json.dumps(metadata, sort_keys=True)}
    try:
        _serialize(temporary, tensors, header)
        _sync(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(target.parent)
    return digest


def _serialize(path: Path, tensors: Mapping[str, NDArray[Any]], header: dict[str, str]) -> None:
    """Write safetensors' format, a piece at a time, each on the disk before the next.

    safetensors' own writer leaves it to the end to bring a whole table to the disk, and whoever else syncs a
    file meanwhile waits for that: up to 100 ms while 256 MB are written, where this makes it wait 40 at most.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    entries: dict[str, Any] = {"__metadata__": header}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        entries[name] = {
            "dtype": _DTYPES[array.dtype.str],
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb", buffering=0) as file:
        _write(file, len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            view = array.reshape(-1).view(np.uint8)
            for start in range(0, view.size, _PIECE):
                _write(file, view[start : start + _PIECE].data)
                os.fdatasync(file.fileno())


def _write(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of it: a disk that fills up takes a part."""
    while len(data):
        data = data[file.write(data) :]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what :func:`write` wrote and check its digest.

    Returns
    -------
    tuple
        The arrays by name, and the metadata.

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
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    found = digest_of(tensors, metadata)
    if found != header.get("digest"):
        raise SnapshotError(
            f"{path} is damaged: its digest is {found}, stored is {header.get('digest')}; use a copy of it"
        )
    return tensors, metadata


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata alone, whatever the size of the arrays; their digest is not checked.

    Raises
    ------
    FileNotFoundError, SnapshotError, OSError
        As :func:`read` does.
    """
    with _opened(path) as (_, _, metadata):
        return metadata


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, dict[str, str], dict[str, Any]]]:
    """Open a saved model: the file, its header, and the metadata in that."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no saved model at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise SnapshotError(
                    f"{path} has the format {header.get('format')!r}; this version reads {FORMAT!r}"
                )
            metadata = json.loads(header["metadata"])
            if not isinstance(metadata, dict):
                raise TypeError(f"its metadata is a {type(metadata).__name__}")
            yield file, header, metadata
    except (SafetensorError, KeyError, ValueError, OSError, TypeError) as error:
        _check_means(path)
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise
        raise SnapshotError(f"{path} is not a saved model, or is damaged: {error}") from error


def _check_means(path: str | os.PathLike[str]) -> None:
    """Raise what keeps this process from opening any file: safetensors says then that there is none."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise
