"""Snapshots that travel: files of a model in the database, sent and fetched in parts.

A snapshot is there when its row is: that comes last, and only where all parts are there. Each part has a
digest, which is chained as those of the journal's rows are::

    digest[n] = xxh3_128(digest[n-1] | part n);  digest[-1] = model | position

and the snapshot has the last one's. So a changed, missing or foreign part shows, and which one it is.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

import xxhash

from nonzero.errors import SnapshotError
from nonzero_service.journal.errors import JournalClosedError, JournalUnreachableError, PrunedError
from nonzero_service.journal.postgres.conditional import (
    LONG,
    conditionally,
    in_steps,
    primary,
)
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.failures import refusals

PART: Final = 2**20
"""Bytes of a part."""

SHARE: Final = 0.25
"""The part of the time, at most, that sending takes of the database: appends have the rest."""

HASTE: Final = 0.5
"""The same, where somebody waits for it."""

_AHEAD: Final = 8
"""Parts that are fetched at once."""

_TRIES: Final = 6
"""How often a connection that breaks is made anew for the same parts, in some ten seconds."""

_PLACE: Final = struct.Struct("<2q")


@dataclass(frozen=True, slots=True)
class SharedSnapshot:
    """A snapshot in the database.

    Parameters
    ----------
    model
        The model's number in the catalogue.
    position
        The journal's position after which it was taken.
    needed_from
        The first position of the journal that a start from it needs.
    nbytes
        Of the file.
    digest
        Of its last part, 16 bytes.
    age_seconds
        How long ago it was sent, by the database's clock.
    """

    model: int
    position: int
    needed_from: int
    nbytes: int
    digest: bytes
    age_seconds: float

    def __str__(self) -> str:
        """Name it for people."""
        return f"the shared snapshot of model {self.model} at position {self.position}"


@dataclass(frozen=True, slots=True)
class Sent:
    """Parts that have been sent, of which no row tells yet."""

    model: int
    position: int
    needed_from: int
    parts: int
    nbytes: int
    digest: bytes

    @property
    def values(self) -> dict[str, object]:
        """The parameters of the row that tells."""
        return {
            "model": self.model,
            "snapshot_position": self.position,
            "needed_from": self.needed_from,
            "parts": self.parts,
            "nbytes": self.nbytes,
            "snapshot_digest": self.digest,
        }


class SharedSnapshots:
    """The snapshots of a cluster's models. Used by any thread.

    Parameters
    ----------
    database
        The cluster's.
    share
        The part of the time, at most, that sending takes.
    """

    WITH_MODEL: Final = """,
snapshot AS (
    INSERT INTO nonzero.snapshots (model, position, needed_from, bytes, digest, taken_at)
    SELECT id, %(snapshot_position)s, %(needed_from)s, %(nbytes)s, %(snapshot_digest)s, clock_timestamp()
    FROM made
)"""
    """What a statement has beside its ``made``, a model that comes with a snapshot."""

    def __init__(self, database: Database, share: float = SHARE) -> None:
        self._database = database
        self._share = share
        self._sending: set[tuple[int, int]] = set()
        self._lock = threading.Lock()

    # -- what there is ---------------------------------------------------------------------------------

    def all(self, model: int) -> list[SharedSnapshot]:
        """Return the snapshots of a model, the newest first, as the primary has them.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        with primary(self._database) as connection:
            found = connection.execute(
                "SELECT model, position, needed_from, bytes, digest, "
                "extract(epoch FROM clock_timestamp() - taken_at)::float8 FROM nonzero.snapshots "
                "WHERE model = %s ORDER BY position DESC",
                (model,),
            ).fetchall()
        return [SharedSnapshot(*row) for row in found]

    def newest(self, model: int) -> SharedSnapshot | None:
        """Return the newest snapshot of a model; None where there is none.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        return next(iter(self.all(model)), None)

    # -- up --------------------------------------------------------------------------------------------

    def put(
        self,
        term: int,
        model: int,
        position: int,
        path: Path,
        needed_from: int | None = None,
        ended: threading.Event | None = None,
    ) -> SharedSnapshot:
        """Send a snapshot, which is there when this returns and not before.

        A part is in memory at a time. Parts that an earlier try has sent stay as they are. It waits after
        each part, so that appends are held up little.

        Parameters
        ----------
        term
            Under which it is sent.
        model, position
            The model's number in the catalogue, and the journal's position after which it was taken.
        path
            The file.
        needed_from
            The first position that a start from it needs; the one after `position` where it is None.
        ended
            Breaks it off when it is set.

        Raises
        ------
        FencedError
            Where another node leads.
        JournalClosedError
            Where it was broken off.
        JournalUnreachableError, DiskFullError
            Where the database does not take it: the same call goes on later where it stopped.
        OSError
            Where the file cannot be read.
        """
        there = next((one for one in self.all(model) if one.position == position), None)
        if there is not None:
            return there
        with self.sending(term, model, position, path, needed_from, self._share, ended) as sent:
            if not conditionally(self._database, term, _FINISH, sent.values):
                raise JournalUnreachableError(
                    f"the parts of the snapshot of model {model} at position {position} are not all in the "
                    "database any more; it is sent again"
                )
        return SharedSnapshot(model, position, sent.needed_from, sent.nbytes, sent.digest, 0.0)

    @contextmanager
    def sending(
        self,
        term: int,
        model: int,
        position: int,
        path: Path,
        needed_from: int | None = None,
        share: float = HASTE,
        ended: threading.Event | None = None,
    ) -> Iterator[Sent]:
        """Send the parts of a file; within the block they stay, and what is in it tells of them.

        Parameters
        ----------
        term, model, position, path, needed_from, ended
            As for :meth:`put`.
        share
            The part of the time, at most, that it takes.

        Raises
        ------
        FencedError, JournalClosedError, JournalUnreachableError, DiskFullError, OSError
            As for :meth:`put`.
        """
        place = (model, position)
        with self._lock:
            if place in self._sending:
                raise JournalUnreachableError(
                    f"the snapshot of model {model} at position {position} is being sent already"
                )
            self._sending.add(place)
        try:
            with path.open("rb", buffering=0) as file:
                parts, nbytes, digest = self._send(term, place, file, share, ended or threading.Event())
            first = position + 1 if needed_from is None else needed_from
            yield Sent(model, position, first, parts, nbytes, digest)
        finally:
            with self._lock:
                self._sending.discard(place)

    def _send(
        self, term: int, place: tuple[int, int], file: BinaryIO, share: float, ended: threading.Event
    ) -> tuple[int, int, bytes]:
        model, position = place
        there = self._parts(model, position)
        digest, nbytes, part = _PLACE.pack(model, position), 0, 0
        for body in iter(partial(_read, file, PART), b""):
            digest = _part_digest(digest, body)
            nbytes += len(body)
            if there.get(part) != digest:
                begun = time.monotonic()
                values = {"model": model, "position": position, "part": part, "body": body, "digest": digest}
                conditionally(self._database, term, _PUT_PART, values)
                ended.wait((time.monotonic() - begun) * (1 / share - 1))
            if ended.is_set():
                raise JournalClosedError(f"the snapshot of model {model} is sent no further: this node ends")
            part += 1
        values = {"model": model, "position": position, "parts": part}
        in_steps(self._database, term, _GIVE_UP_PARTS_FROM, values)  # of a longer file, an earlier try's
        return part, nbytes, digest

    def _parts(self, model: int, position: int) -> dict[int, bytes]:
        with primary(self._database) as connection:
            found = connection.execute(
                "SELECT part, digest FROM nonzero.snapshot_parts WHERE model = %s AND position = %s",
                (model, position),
            ).fetchall()
        return {int(part): bytes(digest) for part, digest in found}

    # -- down ------------------------------------------------------------------------------------------

    def fetch(
        self, shared: SharedSnapshot, into: Path, fetched: Callable[[int], object] = lambda _: None
    ) -> None:
        """Write a snapshot into a file, which whoever calls syncs and gives its name.

        A few parts are in memory at a time. A connection that breaks is made anew, and the fetching goes on.

        Parameters
        ----------
        shared
            Which.
        into
            The file.
        fetched
            Told how many bytes are there.

        Raises
        ------
        SnapshotError
            Where a part is missing or not what was sent; it names the part.
        PrunedError
            Where it was given up meanwhile: there is a newer one.
        JournalUnreachableError
            Where the database does not answer.
        OSError
            Where the disk refuses; the room for it is taken first.
        """
        with into.open("wb", buffering=0) as file:
            if shared.nbytes:
                os.posix_fallocate(file.fileno(), 0, shared.nbytes)
            digest, nbytes, next_part = _PLACE.pack(shared.model, shared.position), 0, 0
            while nbytes < shared.nbytes:
                for part, body, noted in self._some(shared, next_part):
                    digest = _part_digest(digest, body)
                    if part != next_part or digest != noted:
                        missing = part != next_part
                        raise _damaged(shared, next_part, "is missing" if missing else "is not what was sent")
                    file.write(body)
                    nbytes, next_part = nbytes + len(body), part + 1
                os.fdatasync(file.fileno())  # others' commits wait for little then
                fetched(nbytes)
            if digest != shared.digest or nbytes != shared.nbytes:
                raise _damaged(shared, next_part - 1, "is not the last one that was sent")

    def _some(self, shared: SharedSnapshot, first: int) -> list[tuple[int, bytes, bytes]]:
        """Return the next parts; at least one."""
        for tried in range(_TRIES):
            last = tried == _TRIES - 1
            try:
                with self._database.reading(LONG) as connection, refusals(connection, self._database.place):
                    found = connection.execute(_FETCH, _fetching(shared, first), binary=True).fetchall()
            except JournalUnreachableError:
                if last:
                    raise
            else:
                if found and found[0][0] is not None:
                    return found
                if found:
                    raise _damaged(shared, first, "is missing")
                # It was given up, or a standby has not heard of it yet.
                if last or all(one.digest != shared.digest for one in self.all(shared.model)):
                    break
            time.sleep(0.1 * 2**tried)
        raise PrunedError(f"{shared} has been given up: take the newest", shared.position + 1)

    # -- away ------------------------------------------------------------------------------------------

    def prune(self, term: int, model: int, keep: int = 2) -> int:
        """Give up all snapshots of a model but the newest, in steps; return how many.

        Parameters
        ----------
        term
            Under which it is done.
        model
            Its number in the catalogue.
        keep
            How many stay, at least 2: the second takes over where the first turns out to be damaged.

        Raises
        ------
        FencedError
            Where another node leads.
        JournalUnreachableError
            Where the database does not answer.
        """
        if keep < 2:
            raise ValueError(f"at least 2 snapshots are kept, not {keep}")
        return self._give_up(term, [one.position for one in self.all(model)[keep:]], model)

    def give_up(self, term: int, model: int) -> None:
        """Give up all snapshots of a model that was removed, finished or not, in steps.

        Raises
        ------
        FencedError, JournalUnreachableError
            As for :meth:`prune`.
        """
        self._give_up(term, [one.position for one in self.all(model)], model)

    def _give_up(self, term: int, positions: list[int], model: int) -> int:
        for position in positions:
            values = {"model": model, "position": position, "parts": 0}
            conditionally(self._database, term, _FORGET, values)  # first: what is told of is whole
            in_steps(self._database, term, _GIVE_UP_PARTS_FROM, values)
        return len(positions)

    def give_up_unfinished(self, term: int) -> int:
        """Give up the parts of which no snapshot tells, and that nobody sends here; return of how many.

        Raises
        ------
        FencedError, JournalUnreachableError
            As for :meth:`prune`.
        """
        with primary(self._database) as connection:
            found = connection.execute(_UNFINISHED).fetchall()
        given_up = 0
        for model, position in found:
            with self._lock:
                if (model, position) in self._sending:
                    continue
            values = {"model": model, "position": position, "parts": 0}
            in_steps(self._database, term, _GIVE_UP_UNTOLD, values)
            given_up += 1
        return given_up


def _read(file: BinaryIO, size: int) -> bytes:
    """Read a part whole: one call may return less."""
    body = file.read(size)
    while body and len(body) < size:
        more = file.read(size - len(body))
        if not more:
            break
        body += more
    return body


def _part_digest(before: bytes, body: bytes) -> bytes:
    digest = xxhash.xxh3_128(before)
    digest.update(body)
    return digest.digest()


def _fetching(shared: SharedSnapshot, first: int) -> dict[str, Any]:
    return {
        "model": shared.model,
        "position": shared.position,
        "digest": shared.digest,
        "first": first,
        "after": first + _AHEAD,
    }


def _damaged(shared: SharedSnapshot, part: int, how: str) -> SnapshotError:
    return SnapshotError(f"{shared} is damaged: part {part} {how}; the one before it takes over")


_PUT_PART: Final = """
INSERT INTO nonzero.snapshot_parts (model, position, part, body, digest)
SELECT %(model)s, %(position)s, %(part)s, %(body)b, %(digest)b FROM leader
ON CONFLICT (model, position, part) DO UPDATE SET body = excluded.body, digest = excluded.digest
RETURNING 1"""

_FINISH: Final = """
INSERT INTO nonzero.snapshots (model, position, needed_from, bytes, digest, taken_at)
SELECT %(model)s, %(snapshot_position)s, %(needed_from)s, %(nbytes)s, %(snapshot_digest)s, clock_timestamp()
FROM leader WHERE (
    SELECT (count(*), coalesce(sum(octet_length(body)), 0)) = (%(parts)s, %(nbytes)s)
    FROM nonzero.snapshot_parts WHERE model = %(model)s AND position = %(snapshot_position)s
) RETURNING 1"""

_FETCH: Final = """
SELECT part, body, parts.digest FROM nonzero.snapshots AS told LEFT JOIN nonzero.snapshot_parts AS parts
ON parts.model = told.model AND parts.position = told.position AND part >= %(first)s AND part < %(after)s
WHERE told.model = %(model)s AND told.position = %(position)s AND told.digest = %(digest)s ORDER BY part"""

_FORGET: Final = """
DELETE FROM nonzero.snapshots WHERE model = %(model)s AND position = %(position)s
AND EXISTS (SELECT FROM leader) RETURNING 1"""

_GIVE_UP_PARTS_FROM: Final = """
DELETE FROM nonzero.snapshot_parts WHERE model = %(model)s AND position = %(position)s
AND EXISTS (SELECT FROM leader) AND part IN (
    SELECT part FROM nonzero.snapshot_parts WHERE model = %(model)s AND position = %(position)s
    AND part >= %(parts)s ORDER BY part LIMIT 4
) RETURNING 1"""

_GIVE_UP_UNTOLD: Final = """
DELETE FROM nonzero.snapshot_parts WHERE model = %(model)s AND position = %(position)s
AND EXISTS (SELECT FROM leader) AND part IN (
    SELECT part FROM nonzero.snapshot_parts AS parts WHERE model = %(model)s AND position = %(position)s
    AND NOT EXISTS (
        SELECT FROM nonzero.snapshots AS told
        WHERE told.model = parts.model AND told.position = parts.position
    ) ORDER BY part LIMIT 4
) RETURNING 1"""

_UNFINISHED: Final = """
SELECT DISTINCT model, position FROM nonzero.snapshot_parts AS parts WHERE NOT EXISTS (
    SELECT FROM nonzero.snapshots AS told WHERE told.model = parts.model AND told.position = parts.position
)"""
