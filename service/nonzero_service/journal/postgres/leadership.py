"""Who writes: one row with the term of the writer, and one with its signs of life.

Nothing here looks at a clock of the database. A candidate says what it has seen, and takes over only where
that is still so: see docs/decisions/one-writer.md.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres.condition import condition_of
from nonzero_service.journal.postgres.line import Line

OBSERVE: Final = """
SELECT term.term, beat.beat, term.node, term.address, term.url, term.secret
FROM nonzero.term JOIN nonzero.beat USING (term)
"""

BEAT: Final = "UPDATE nonzero.beat SET beat = beat + 1 WHERE term = %s"

# The row of the beat is locked first, by all who change the other one: they cannot wait for each other, and a
# beat that is under way is waited for, and then counts. A commit that was lost by a failover of the database
# may have had the next term: who knows of it passes over it.
TAKE: Final = """
WITH silent AS (SELECT FROM nonzero.beat WHERE term = %s AND beat = %s FOR UPDATE),
taken AS (
  UPDATE nonzero.term SET term = greatest(term, %s) + 1, node = %s, address = %s, url = %s, secret = %s
  WHERE term = %s AND EXISTS (SELECT FROM silent) RETURNING term
)
UPDATE nonzero.beat SET term = taken.term, beat = 0 FROM taken RETURNING taken.term
"""

# The term is raised here too: what may still be under way under the old one is refused from now on.
GIVE_BACK: Final = """
WITH last AS (SELECT FROM nonzero.beat WHERE term = %s FOR UPDATE),
given AS (
  UPDATE nonzero.term SET term = term + 1, node = NULL, address = NULL, url = NULL, secret = NULL
  WHERE term = %s AND EXISTS (SELECT FROM last) RETURNING term
)
UPDATE nonzero.beat SET term = given.term, beat = 0 FROM given
"""


def steady() -> float:
    """Return seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Seen(NamedTuple):
    """What the two rows say."""

    term: int
    """The newest term."""
    beat: int
    """How often its writer has given a sign of life."""
    node: str | None
    """The writer's name; None where nobody writes, because the last one gave it back."""
    address: str
    """Where other nodes reach it."""
    url: str
    """Where clients reach it."""
    secret: bytes
    """What nodes share in this term."""


def who_writes(line: Line) -> Seen:
    """Return what the two rows say now.

    Raises
    ------
    JournalUnreachableError
        Where the database does not answer, or the rows are not there.
    """
    rows = line.run(OBSERVE)
    if not rows:
        raise JournalUnreachableError(f"{line.place} does not say who writes; restore it from a backup")
    term, beat, node, address, url, secret = rows[0]
    return Seen(term, beat, node, address or "", url or "", secret or b"")


class Leadership:
    """Reads and writes the two rows, by a line of its own. One thread uses it; any may cut it.

    What is asked raises JournalUnreachableError where the database does not answer; then it is not known
    whether something was written.

    Parameters
    ----------
    url
        The address of the database.
    node
        This node's name.
    """

    def __init__(self, url: str, node: str) -> None:
        self.node = node
        self._line = Line(url, f"nonzero {node} lease")

    @property
    def opened(self) -> int:
        """How often the line was opened: another server may answer since."""
        return self._line.opened

    def observe(self) -> Seen:
        """Return what the rows say now."""
        return who_writes(self._line)

    def beat(self, term: int) -> float | None:
        """Give a sign of life.

        Returns
        -------
        float or None
            When it was sent, by :func:`steady`; None where another term has begun.
        """
        self._line.connect()
        sent = steady()
        return sent if self._line.run(BEAT, (term,)) else None

    def take(self, seen: Seen, address: str, url: str, secret: bytes, highest: int = 0) -> int | None:
        """Begin a new term, unless anything has happened since.

        Parameters
        ----------
        seen
            What is to be so still.
        address, url, secret
            What others are to know of this node.
        highest
            The newest term that this node knows of, also where the database has lost it.

        Returns
        -------
        int or None
            The term; None where somebody else was quicker, or the writer gave a sign of life.
        """
        values = (*seen[:2], highest, self.node, address, url, secret, seen.term)
        rows = self._line.run(TAKE, values)
        return rows[0][0] if rows else None

    def give_back(self, term: int) -> bool:
        """End a term, so that another may begin at once; return False where another has begun already."""
        return bool(self._line.run(GIVE_BACK, (term, term)))

    def what_waits(self) -> str:
        """Return which standbys commits wait for that are not there; empty where they wait for none."""
        return condition_of(self._line).waiting

    def cut(self) -> None:
        """Have whoever waits for the database fail now; from any thread."""
        self._line.cut()

    def close(self) -> None:
        """Close the line."""
        self._line.close()
