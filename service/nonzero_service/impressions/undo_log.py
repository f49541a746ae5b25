"""The undo log: what takes back each change that the journal has not taken yet."""

from __future__ import annotations

from collections.abc import Callable


class UndoLog(list[Callable[[], object]]):
    """What undoes each change, the oldest first. Used under the store's lock.

    It is appended before the change: an error in between must leave nothing half done.
    """

    def undo(self, mark: int = 0) -> None:
        """Undo the changes behind the first so many, the newest first."""
        while len(self) > mark:
            self.pop()()

    def restore(self, owner: object, name: str) -> None:
        """Have an attribute be again what it is now."""
        before = getattr(owner, name)
        self.append(lambda: setattr(owner, name, before))
