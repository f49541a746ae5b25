"""The models of a cluster: made whole or not at all, removed at once, given up in steps.

A model is its row here. It comes with the first row of its journal, and with its snapshot where it came as a
file, in one statement. What is removed keeps a row that says so, so that a node which was away knows what to
do with what it has of it; its name is free at once. Neither its number nor its identity is used again.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from nonzero_service.errors import ModelExistsError, UnknownModelError
from nonzero_service.journal.chain import Base, JournalEntry, Tip, chain_entries
from nonzero_service.journal.clock import Clock
from nonzero_service.journal.errors import CommitLostError
from nonzero_service.journal.postgres.conditional import (
    LEADER,
    LONG,
    conditionally,
    fenced,
    in_steps,
    primary,
)
from nonzero_service.journal.postgres.connecting import Database
from nonzero_service.journal.postgres.failures import refusals
from nonzero_service.journal.postgres.snapshots import SharedSnapshots

_STEP: Final = 4 * 2**20
"""Bytes of rows that are given up in one step."""


class CatalogueModel(NamedTuple):
    """A model of the cluster."""

    id: int
    name: str
    config: str
    """Its settings, as its directory has them."""
    identity: bytes
    """16 random bytes, by which it is told from another one that had or gets its name."""


class Chain(NamedTuple):
    """A place in a model's journal, as the primary has it."""

    digest: bytes | None
    """The chain's digest there, 16 bytes; None where it is not held."""
    pruned: int
    """The last position that is held no longer; 0 where all are."""
    tip: int
    """The last position."""


@dataclass(frozen=True)
class Draft:
    """A model as it will begin: nobody knows of it yet.

    Parameters
    ----------
    name, config
        Its name, and its settings, as its directory will have them.
    identity
        16 random bytes: the name of its journal, with which the chain of digests begins.
    sequence
        The examples that it has seen before the first row.
    """

    name: str
    config: str
    sequence: int
    opening: tuple[Any, ...] = field(repr=False)
    """Its journal's first row: position, first sequence, count, kind, version, time, keys' digest, digest,
    body."""
    identity: bytes

    @classmethod
    def of(cls, name: str, config: str, entry: JournalEntry, sequence: int = 0) -> Draft:
        """Draft a model whose journal begins with an entry."""
        identity = os.urandom(16)
        tip = Tip(0, sequence, 0, identity, bytes(16))
        _, rows, _ = chain_entries([entry], tip, Clock(0).now_ms())
        return cls(name, config, sequence, rows[0], identity)

    @property
    def base(self) -> Base:
        """What stands before its first row."""
        return Base(0, self.sequence, 0, self.identity, 0, bytes(16))

    @property
    def digest(self) -> bytes:
        """The chain's digest after the first row, 16 bytes."""
        digest: bytes = self.opening[7]
        return digest


class Catalogue:
    """The models of a cluster. Used by any thread.

    Parameters
    ----------
    database
        The cluster's.
    snapshots
        The cluster's.
    """

    def __init__(self, database: Database, snapshots: SharedSnapshots) -> None:
        self._database = database
        self._snapshots = snapshots

    def models(self) -> list[CatalogueModel]:
        """Return all models, by name; those that were removed are not among them.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        return self._select("NOT removed ORDER BY name", {})

    def find(self, name: str) -> CatalogueModel | None:
        """Return a model by its name; None where there is none.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        return next(iter(self._select("NOT removed AND name = %(name)s", {"name": name})), None)

    def is_removed(self, identity: bytes) -> bool:
        """Return whether a model of this identity was removed; not so where it was never there.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        return bool(self._select("removed AND identity = %(identity)s", {"identity": identity}))

    @property
    def is_new(self) -> bool:
        """Whether there was never a model."""
        return not self._select("true LIMIT 1", {})

    def chain_at(self, model: int, position: int) -> Chain:
        """Return what stands at a position of a model's journal.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        with primary(self._database) as connection:
            found = connection.execute(_CHAIN, {"model": model, "position": position}).fetchone()
        return Chain(None, 0, 0) if found is None else Chain(*found)

    def row_bytes(self, model: int, after: int, until: int | None = None) -> int:
        """Return the bytes of the bodies of a model's rows after a position, up to another or to the end.

        Raises
        ------
        JournalUnreachableError
            Where the database does not say.
        """
        with primary(self._database, LONG) as connection:
            found = connection.execute(
                "SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM nonzero.rows "
                "WHERE model = %s AND position > %s AND position <= %s",
                (model, after, 2**62 if until is None else until),
            ).fetchone()
        return 0 if found is None else int(found[0])

    def create(self, term: int, draft: Draft, snapshot: Path | None = None) -> CatalogueModel:
        """Make a model, with its first row, whole or not at all.

        Parameters
        ----------
        term
            Under which it is made.
        draft
            What it is.
        snapshot
            The file of what it has learned before its first row, and which was taken after that row.

        Raises
        ------
        ModelExistsError
            Where one has that name.
        FencedError
            Where another node leads: there is no such model.
        JournalUnreachableError, DiskFullError
            There is no such model.
        OutcomeUnknownError
            The database did not say whether there is.
        """
        if self.find(draft.name) is not None:  # before a file is sent; the index decides
            raise _exists(draft.name)
        model = self._number()
        if snapshot is None:
            return self._insert(term, model, draft, {})
        with self._snapshots.sending(term, model, 1, snapshot) as sent:
            return self._insert(term, model, draft, sent.values)

    def _insert(self, term: int, model: int, draft: Draft, snapshot: dict[str, object]) -> CatalogueModel:
        base = draft.base
        place = dict(zip(_ROW, draft.opening, strict=True))
        values = {
            "term": term,
            "model": model,
            "name": draft.name,
            "config": draft.config,
            "identity": draft.identity,
            "base_sequence": base.sequence,
            "base_digest": base.digest,
            "base_keys_digest": base.keys_digest,
            **place,
            **snapshot,
        }
        beside = SharedSnapshots.WITH_MODEL if snapshot else ""
        statement = f"{_CREATE}{beside} SELECT id FROM made"  # noqa: S608
        try:
            with self._database.writing() as connection, refusals(connection, self._database.place):
                try:
                    made = connection.execute(statement, values).fetchone()
                except psycopg.errors.UniqueViolation as error:
                    raise _exists(draft.name) from error
        except CommitLostError as error:
            raise CommitLostError(
                f"it is not known whether there is a model {draft.name!r} now: {error}"
            ) from error
        if made is None:
            raise fenced(term)
        return CatalogueModel(model, draft.name, draft.config, draft.identity)

    def _number(self) -> int:
        with primary(self._database) as connection:
            found = connection.execute(
                "SELECT nextval(pg_get_serial_sequence('nonzero.models', 'id'))"
            ).fetchone()
        assert found is not None  # noqa: S101 - a sequence always has a next one
        return int(found[0])

    def remove(self, term: int, name: str) -> CatalogueModel:
        """Let a model be none any more; return what it was. Its name is free; :meth:`sweep` does the rest.

        Raises
        ------
        UnknownModelError
            Where there is none.
        FencedError
            Where another node leads: it is there as before.
        OutcomeUnknownError
            The database did not say whether it is there still.
        """
        statement = (
            f"WITH {LEADER}, gone AS (UPDATE nonzero.models SET removed = true FROM leader WHERE "  # noqa: S608
            "name = %(name)s AND NOT removed RETURNING id, name, config, identity) "
            "SELECT gone.* FROM leader LEFT JOIN gone ON true"
        )
        with self._database.writing() as connection, refusals(connection, self._database.place):
            found = connection.execute(statement, {"term": term, "name": name}).fetchone()
        if found is None:
            raise fenced(term)
        if found[0] is None:
            raise _unknown(name)
        return CatalogueModel(*found)

    def sweep(self, term: int, in_use: Collection[int] = ()) -> int:
        """Give up, in steps, all that is kept of removed models, and of snapshots that were not finished.

        What a kill leaves is given up by the next.

        Parameters
        ----------
        term
            Under which it is done.
        in_use
            The numbers of removed models for which something still works here: they wait for the next.

        Returns
        -------
        int
            How many models were given up.

        Raises
        ------
        FencedError
            Where another node leads.
        JournalUnreachableError
            Where the database does not answer.
        """
        self._snapshots.give_up_unfinished(term)
        # What is given up has no settings any more: so it is not looked at again.
        gone = [one for one in self._select("removed AND config <> ''", {}) if one.id not in in_use]
        for model in gone:
            values = {"model": model.id}
            self._snapshots.give_up(term, model.id)
            for step in (_GIVE_UP_KEYS, _GIVE_UP_ROWS):
                in_steps(self._database, term, step, values)
            conditionally(self._database, term, _GIVEN_UP, values)
        return len(gone)

    def _select(self, which: str, values: dict[str, object]) -> list[CatalogueModel]:
        # By the primary: a standby may not know yet of what was made or removed a moment ago.
        with primary(self._database) as connection:
            found = connection.execute(
                f"SELECT id, name, config, identity FROM nonzero.models WHERE {which}",  # noqa: S608
                values,
            ).fetchall()
        return [CatalogueModel(*row) for row in found]


def _exists(name: str) -> ModelExistsError:
    return ModelExistsError(f"there is a model named {name!r} already; DELETE it first, or take another name")


def _unknown(name: str) -> UnknownModelError:
    return UnknownModelError(f"the cluster has no model {name!r}")


_ROW: Final = (
    "position",
    "first_sequence",
    "count",
    "kind",
    "version",
    "time_ms",
    "keys_digest",
    "row_digest",
    "body",
)

_CHAIN: Final = """
SELECT
    (
        SELECT digest FROM nonzero.rows WHERE model = models.id AND position = %(position)s
        UNION ALL SELECT base_digest WHERE base_position = %(position)s LIMIT 1
    ),
    base_position,
    coalesce((SELECT max(position) FROM nonzero.rows WHERE model = models.id), base_position)
FROM nonzero.models WHERE id = %(model)s"""

_CREATE: Final = f"""WITH {LEADER},
made AS (
    INSERT INTO nonzero.models (id, name, config, identity, base_position, base_sequence, base_time_ms,
        base_digest, keys_position, keys_digest)
    OVERRIDING SYSTEM VALUE
    SELECT %(model)s, %(name)s, %(config)s, %(identity)s, 0, %(base_sequence)s, 0, %(base_digest)s, 0,
        %(base_keys_digest)s
    FROM leader RETURNING id
),
opening AS (
    INSERT INTO nonzero.rows (model, position, first_sequence, count, kind, version, time_ms, keys_digest,
        body, digest, term)
    SELECT id, %(position)s, %(first_sequence)s, %(count)s, %(kind)s, %(version)s, %(time_ms)s,
        %(keys_digest)s, %(body)s, %(row_digest)s, %(term)s
    FROM made
)"""  # noqa: S608

_GIVE_UP_KEYS: Final = """
DELETE FROM nonzero.keys WHERE model = %(model)s AND EXISTS (SELECT FROM leader) AND position IN (
    SELECT position FROM nonzero.keys WHERE model = %(model)s ORDER BY position LIMIT 1024
) RETURNING 1"""

_GIVE_UP_ROWS: Final = f"""
DELETE FROM nonzero.rows WHERE model = %(model)s AND EXISTS (SELECT FROM leader) AND position IN (
    SELECT position FROM (
        SELECT position, sum(size) OVER (ORDER BY position) - size AS before FROM (
            SELECT position, octet_length(body) AS size FROM nonzero.rows WHERE model = %(model)s
            ORDER BY position LIMIT 1024
        ) AS first
    ) AS summed WHERE before < {_STEP}
) RETURNING 1"""  # noqa: S608

_GIVEN_UP: Final = """
UPDATE nonzero.models SET config = '' FROM leader WHERE id = %(model)s AND removed RETURNING 1"""
