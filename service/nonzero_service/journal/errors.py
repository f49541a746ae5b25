"""The exceptions of what is kept on disk.

::

    NonzeroError
    └── StorageError
        ├── DiskFullError                no space left: nothing was written, all that was there still holds
        ├── NoDescriptorsError           this process may open no more files: nothing was written
        ├── LockedError                  another process has the directory
        ├── BodyError                    a body that does not decode to what its row says
        └── JournalError
            ├── OutcomeUnknownError      a commit failed half-way: what is on disk decides, after a restart
            │   └── CommitLostError      a database did not say what became of a commit: it is read again
            ├── JournalFailedError       refused, because an earlier write failed: nothing of this was written
            ├── JournalBusyError         another process holds the write lock: nothing was written
            ├── JournalUnreachableError  its database cannot be reached: nothing was written
            ├── FencedError              another node has become the writer: nothing was written
            ├── JournalDivergedError     it has other rows than those that this process builds on
            ├── JournalReadOnlyError     opened to be read: nothing was written
            ├── JournalClosedError       used after close
            ├── JournalDamagedError      the bytes are not those that were written
            ├── JournalTooShortError     it ends before a position that had been reached
            ├── PrunedError              the position asked for is no longer held
            ├── UnknownKindError         a row of a kind or version that this release does not know
            └── UnsupportedSQLiteError   a SQLite that can damage a WAL

A message says what was wrong, where (the position), and the way out.
"""

from __future__ import annotations

from typing import Final

from nonzero.errors import NonzeroError


class StorageError(NonzeroError):
    """Anything that goes wrong between the learner and the disk."""


class DiskFullError(StorageError):
    """There is no space left. Nothing was written; what was there before still holds, and can be used."""


class NoDescriptorsError(StorageError):
    """No more files may be open in this process; it says nothing of those that are there."""


class LockedError(StorageError):
    """Another process has the directory; the message names both."""


class BodyError(StorageError):
    """A body that does not decode to what its row says."""


class JournalError(StorageError):
    """The journal cannot do what was asked."""


class OutcomeUnknownError(JournalError):
    """A commit failed after its bytes may have reached the disk.

    Whether the rows are there is decided by what a new start reads. Stop the process: after a failed fsync
    the kernel may have dropped the pages that it could not write, and a second fsync would succeed without
    them.
    """


class CommitLostError(OutcomeUnknownError):
    """A database did not say what became of a commit. Read there what is kept; the process may go on."""


class JournalFailedError(JournalError):
    """The journal takes no rows after an earlier failure; nothing of what was asked was written."""


class JournalBusyError(JournalError):
    """Another process holds the journal's write lock; nothing was written."""


class JournalUnreachableError(JournalError):
    """The database that holds the journal cannot be reached, or does not answer; nothing was written."""


class FencedError(JournalError):
    """Another node has become the writer since; nothing was written, nor will be under the older term."""


class JournalDivergedError(JournalError):
    """The journal has other rows than those that this process builds on; nothing was written.

    Read the model anew: what stands in the journal decides.
    """


class JournalReadOnlyError(JournalError):
    """The journal was opened to be read, by a node that follows; nothing was written."""


class JournalClosedError(JournalError):
    """The journal has been closed."""


class JournalDamagedError(JournalError):
    """The journal's bytes are not those that were written; the message says from which position on."""


class JournalTooShortError(JournalError):
    """The journal ends before a position that is known to have been reached; the message has both."""


class PrunedError(JournalError):
    """A position that the journal no longer holds.

    Parameters
    ----------
    message
        The position asked for and the first one held.
    first
        The first position held.
    """

    def __init__(self, message: str, first: int) -> None:
        super().__init__(message)
        self.first = first


class UnknownKindError(JournalError):
    """A row of a kind, or of a version of a kind, that this release does not know."""


class UnsupportedSQLiteError(JournalError):
    """The SQLite that is linked is older than 3.51.3, and can damage a WAL when it is reset."""


NOTHING_WRITTEN: Final = (DiskFullError, NoDescriptorsError, JournalBusyError, JournalUnreachableError)
"""What an append may raise after which the journal is as it was, and can be appended to again."""
