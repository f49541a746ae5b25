"""What the refusals of a database mean to whoever asked it for something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from nonzero_service.journal.errors import (
    DiskFullError,
    JournalDamagedError,
    JournalError,
    JournalUnreachableError,
    StorageError,
)

UNSURE: Final = frozenset({"01000", "57P01"})
"""The notices of a commit that no longer waits for its standby: its rows show here, perhaps nowhere else."""

BEFORE_ALL: Final = (
    "SET client_min_messages = warning; SET default_transaction_isolation = 'read committed'; "
)
"""What each session says first, because a role or a database may have other defaults: that it is to be given
these notices, which are warnings, and that it reads as a standby lets it."""

_FOR_NOW: Final = ("08", "25", "40", "53", "55", "57")
"""The classes of what is refused now and not for good: it is a standby, it has no memory left, a lock is not
to be had, who runs it stops it."""


def place_of(url: str) -> str:
    """Return where an address leads to, for messages: without the user and the password."""
    known = conninfo_to_dict(url)
    hosts = str(known.get("host") or known.get("hostaddr") or "localhost").split(",")
    ports = str(known.get("port") or "5432").split(",")
    ports *= len(hosts) if len(ports) == 1 else 1
    named = ",".join(f"{host}:{port or 5432}" for host, port in zip(hosts, ports, strict=False))
    return f"the database {known.get('dbname') or known.get('user') or 'postgres'} at {named}"


def said_by(error: psycopg.Error) -> str:
    """Return what an error says, in one line."""
    return error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__


_ATTEMPT: Final = re.compile(r"^- host: '([^']*)', port: '([^']*)', hostaddr: .*?: (.*)$", re.MULTILINE)
"""What psycopg says of each host, where it has tried several."""

_AT: Final = re.compile(r"^(?:connection failed: )?connection to server (?:at|on) .*? failed: ")
_READ_ONLY: Final = "session is read-only"


def _attempts(error: psycopg.Error) -> list[str]:
    """Return why no host could be connected to: of each one line, as short as it can be."""
    found = [(f"{host}:{port}: ", why) for host, port, why in _ATTEMPT.findall(str(error))]
    if not found:
        said = str(error).splitlines() or [type(error).__name__]
        at = re.search(r'server at "([^"]*)".*?, port (\d+) failed', said[0])
        found = [(f"{at[1]}:{at[2]}: " if at else "", said[0])]
    return [f"{host}{_AT.sub('', why).removeprefix('FATAL:').strip()}" for host, why in found]


def refusal(error: psycopg.Error, place: str) -> StorageError:
    """Return what it means that a statement was refused: nothing of it was done, for the connection holds."""
    state = error.sqlstate or ""
    if state == "53100":
        return DiskFullError(f"no space left in {place}: free some, nothing was lost ({said_by(error)})")
    if state.startswith("XX"):
        return JournalDamagedError(f"{place} is damaged ({said_by(error)}); restore it from a backup")
    if state[:2] in _FOR_NOW:
        return JournalUnreachableError(f"{place} refuses for now ({said_by(error)}); nothing was written")
    return JournalError(f"{place} refuses ({said_by(error)}); nothing was written")


@contextmanager
def refusals(connection: psycopg.Connection[Any], place: str) -> Iterator[None]:
    """Let what a database refuses be an error of a journal; a lost connection is told by who gave it.

    Raises
    ------
    StorageError
        As :func:`refusal` says.
    """
    try:
        yield
    except psycopg.Error as error:
        if connection.closed:
            raise
        raise refusal(error, place) from error


def unreachable(place: str, *errors: psycopg.Error) -> JournalUnreachableError:
    """Return the error of a database that cannot be reached, by one attempt or several."""
    attempts = list(dict.fromkeys(one for error in errors for one in _attempts(error)))
    standby = any(one.endswith(_READ_ONLY) for one in attempts)
    told = "; ".join(one.replace(_READ_ONLY, "it is read-only, as a standby is") for one in attempts)
    way_out = "; where the primary is lost, promote the standby" if standby else ""
    return JournalUnreachableError(f"{place} cannot be reached ({told}); nothing was written{way_out}")
