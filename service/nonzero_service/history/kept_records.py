"""The records of a history: those on disk, and those that are not there yet. From any thread."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from nonzero_service.history.kept_file import SERIES, HistoryFile
from nonzero_service.journal.descriptors import SHORTAGE

Found = dict[str, NDArray[np.void]]
"""The records of each series, in the order of their numbers."""


class KeptRecords:
    """What is kept of one history. Where the disk refuses it is in memory, as much as the file would have.

    Parameters
    ----------
    path
        The file; it is opened when there is something to read or write.
    name
        The model's, for the log.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._file = HistoryFile(path)
        self._name = name
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self._unsaved: dict[tuple[str, int], bytes] = {}
        self._anew = False  # whether what is on disk is of no use
        self._has_refused = False

    @property
    def is_unsaved(self) -> bool:
        """Whether there is something that is not on disk."""
        return bool(self._unsaved)

    def put(self, name: str, number: int, kept: bytes) -> None:
        """Keep a record of a series, in the place of the one that had its number, and of the oldest."""
        with self._lock:
            self._unsaved[name, number] = kept
            self._unsaved.pop((name, number - SERIES[name].slots), None)

    def begin_anew(self, found: Found | None = None) -> None:
        """Keep nothing but these records."""
        with self._lock:
            self._anew = True
            self._unsaved = {
                (name, int(one["number"])): one.tobytes()
                for name, records in (found or {}).items()
                for one in records
            }

    def read(self) -> Found | None:
        """Return what is on disk; None where it may be known later.

        Of what cannot be read nothing is kept.
        """
        try:
            return self._file.read(*SERIES)
        except OSError as error:
            if error.errno in SHORTAGE:
                return None
            self.say("the history cannot be read, and begins anew", error)
            self.begin_anew()
            return nothing()

    def all(self, name: str) -> NDArray[np.void]:
        """Return the records of a series, on disk or not."""
        with self._lock:
            unsaved, anew = dict(self._unsaved), self._anew
        ring = SERIES[name]
        try:
            found = (nothing() if anew else self._file.read(name))[name]
        except OSError as error:
            self.say("the history cannot be read", error)
            found = nothing()[name]
        new = sorted(number for one, number in unsaved if one == name)
        if new:
            kept = np.frombuffer(b"".join(unsaved[name, number] for number in new), ring.dtype)
            found = np.concatenate([found[~np.isin(found["number"], new)], kept])
        newest = int(found["number"].max()) if len(found) else 0
        return found[found["number"].astype(np.int64) > newest - ring.slots]

    def save(self) -> bool:
        """Write what is not on disk yet; return whether it could be."""
        with self._saving:
            with self._lock:
                unsaved, anew = dict(self._unsaved), self._anew
            # What says how to read the others comes first, if a kill comes between.
            ordered = sorted(unsaved, key=lambda key: key[0] not in ("beginnings", "events"))
            try:
                if unsaved:
                    write = self._file.replace if anew else self._file.write
                    write((*key, unsaved[key]) for key in ordered)
            except OSError as error:
                if self._file.path.parent.exists():  # else the model has been deleted
                    self.say("the history cannot be written; it goes on in memory", error)
                return False
            self._has_refused = False
            with self._lock:
                self._anew &= not anew
                for key, kept in unsaved.items():
                    if self._unsaved.get(key) is kept:
                        del self._unsaved[key]
            return True

    def say(self, what: str, error: OSError | None = None) -> None:
        """Log it; where the disk has refused, once until it has not."""
        if error is None:
            structlog.get_logger("history").warning(what, model=self._name)
        elif not self._has_refused:
            self._has_refused = True
            structlog.get_logger("history").warning(what, model=self._name, reason=str(error))


def nothing() -> Found:
    """Return what a file has that is not there."""
    return {name: np.zeros(0, ring.dtype) for name, ring in SERIES.items()}
