"""MakingSure: a node that writes looks whether the database has still what it has written there.

A failover to a standby that was not synchronous loses rows, and the term may be the same. The next append
finds that. Until then the node would predict by what is lost, and answer a repeated key as if it were kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, Protocol

from nonzero_service.journal.errors import JournalClosedError, JournalUnreachableError, StorageError


class Written(Protocol):
    """A journal that is written here."""

    def check_end(self) -> None:
        """Refuse to go on from rows that the primary does not have."""


class WrittenHere(NamedTuple):
    """What a node writes."""

    term: int
    journals: Iterable[Written]


class MakingSure:
    """Looks once after each time that it is asked to. Used on the event loop.

    Rounds look after it (:class:`~nonzero_service.models.rounds.Rounds`).

    Parameters
    ----------
    written
        Returns what this node writes now; None where it writes nothing.
    doubt
        Told of the error, and of the term, where the database has lost something.
    """

    def __init__(
        self, written: Callable[[], WrittenHere | None], doubt: Callable[[Exception, int], object]
    ) -> None:
        self._written = written
        self._doubt = doubt
        self._asked = False

    def ask(self) -> None:
        """Have it look: another server may answer now than before."""
        self._asked = True

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what looks, where it was asked to."""
        if not self._asked:
            return None
        self._asked = False
        written = self._written()
        return None if written is None else self._make_sure(written)

    async def _make_sure(self, written: WrittenHere) -> None:
        for journal in written.journals:
            try:
                await asyncio.to_thread(journal.check_end)
            except JournalClosedError:  # whoever opens it again looks
                continue
            except JournalUnreachableError:
                self._asked = True
                return
            except StorageError as error:
                self._doubt(error, written.term)
                return
