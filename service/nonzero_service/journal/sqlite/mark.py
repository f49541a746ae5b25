"""The mark: a small file beside the journal that says how far it had come.

SQLite drops whatever follows a damaged frame of its WAL, in silence. So after each commit its last position
and digest are written to the mark, in place and without a sync: after ``kill -9`` the mark is exact (the page
cache outlives the process); after a power cut it can only lag, because the journal was synced first. A
journal that ends before its mark has lost rows.

With ``durability="normal"`` the journal itself is not synced, and after a power cut the mark may be ahead
of it. The mark therefore says under which boot of the machine, and with which durability, it was written.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Self

import xxhash

from nonzero.persistence.whole_files import sync_directory
from nonzero_service.journal.errors import JournalDamagedError
from nonzero_service.journal.files import write_durably

_FORM: Final = struct.Struct("<8sq16s16s?7x")
_MAGIC: Final = b"NZMARK01"
_ATTEMPTS: Final = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of the journal's history.

    Parameters
    ----------
    position
        The last position committed; 0 before the first.
    digest
        The chain's digest there, 16 bytes.
    synced
        Whether it was durable when the mark was written (``durability="full"``).
    boot
        The boot of the machine under which it was written, 16 bytes.
    """

    position: int
    digest: bytes
    synced: bool = True
    boot: bytes = bytes(16)

    @property
    def may_be_ahead(self) -> bool:
        """Whether a power cut may have taken what it speaks of: not synced, and another boot."""
        return not self.synced and self.boot != this_boot()


@cache
def this_boot() -> bytes:
    """Return 16 bytes that name the running kernel's boot; zeros where it does not say."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        return bytes.fromhex(text.strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


class MarkFile:
    """The open mark of a journal, written in place.

    Parameters
    ----------
    path
        Made where it does not exist, whole or not at all.
    position, digest, synced
        What is written first, as by :meth:`write`.
    """

    def __init__(self, path: Path, position: int, digest: bytes, synced: bool) -> None:
        self._boot = this_boot()
        self._descriptor: int | None = None
        if not path.exists():
            write_durably(path, _packed(position, digest, synced, self._boot))
            sync_directory(path.parent)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.write(position, digest, synced)
        except BaseException:
            self.close()
            raise

    def write(self, position: int, digest: bytes, synced: bool) -> None:
        """Write a mark over the old one: 64 bytes of one sector, which a disk writes whole or not."""
        if self._descriptor is not None:
            os.pwrite(self._descriptor, _packed(position, digest, synced, self._boot), 0)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_mark(path: Path) -> Mark | None:
    """Return the mark, or None where there is no file.

    Raises
    ------
    JournalDamagedError
        Where the file is not one that :class:`MarkFile` wrote.
    """
    for attempt in range(_ATTEMPTS):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        mark = _unpacked(data)
        if mark is not None:
            return mark
        # A reader beside the writer may see half of a mark; the next look sees a whole one.
        time.sleep(0.001 * attempt)
    raise JournalDamagedError(
        f"the mark {path} is damaged, so that nobody can tell whether the journal has lost its end; restore "
        "it from a backup, or delete it if you know the journal's last position to be the last one that was "
        "written"
    )


def _unpacked(data: bytes) -> Mark | None:
    body = data[: _FORM.size]
    if len(data) != _FORM.size + 8 or data[_FORM.size :] != xxhash.xxh3_64_digest(body) or body[:8] != _MAGIC:
        return None
    _, position, digest, boot, synced = _FORM.unpack(body)
    return Mark(position, digest, synced, boot)


def _packed(position: int, digest: bytes, synced: bool, boot: bytes) -> bytes:
    body = _FORM.pack(_MAGIC, position, digest, boot, synced)
    return body + xxhash.xxh3_64_digest(body)
