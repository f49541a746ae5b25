"""The term under which a node writes, as the models of the node know of it."""

from __future__ import annotations

from nonzero_service.cluster.journals import ClusterJournals
from nonzero_service.errors import NotWritingError
from nonzero_service.writer.tail_learner import not_writing


class WritingTerm:
    """Under which term this node writes, if it does. Used on the event loop.

    Parameters
    ----------
    journals
        Those that are opened from now on write under it.
    """

    def __init__(self, journals: ClusterJournals) -> None:
        self._journals = journals
        self._reason: str | None = None  # why this node is to write no more

    @property
    def number(self) -> int | None:
        """The term that models are opened under; None where they follow."""
        return self._journals.term

    @property
    def writing(self) -> int | None:
        """The term under which this node writes; None where it follows, or is about to."""
        return self.number if self._reason is None else None

    def expect(self) -> None:
        """Take note that this node is to take over."""
        self._reason = None

    def begin(self, number: int) -> None:
        """Have journals opened for writing from now on."""
        self._journals.term = number

    def lose(self, reason: str) -> None:
        """Take note that this node is to write no more."""
        self._reason = reason

    def end(self) -> None:
        """Have journals opened for reading from now on."""
        self._journals.term = None

    def check_wanted(self) -> None:
        """Refuse to go on where the term has been lost meanwhile.

        Raises
        ------
        NotWritingError
            It says why.
        """
        if self._reason is not None:
            raise NotWritingError(f"the term was lost while models were opened: {self._reason}")

    def required(self) -> int:
        """Return the term under which this node writes.

        Raises
        ------
        NotWritingError
            Where it follows.
        """
        number = self.writing
        if number is None:
            raise not_writing()
        return number
