"""Taking a model's memory when it is opened, so that nobody waits for it later."""

from __future__ import annotations

from nonzero import LogisticRegression


def take_memory(model: LogisticRegression, shared: bool) -> None:
    """Take all of a model's memory; `shared`: such as other processes can read."""
    if shared:
        model.share()
    else:
        model.table.take()
