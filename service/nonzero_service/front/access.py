"""Access: what a request must be allowed to do."""

from __future__ import annotations

from typing import Final, NamedTuple

from nonzero_service.front.tokens import ADMIN, PREDICT, UPDATE

__all__ = ["ANY", "MANAGING", "MAY_NOT_TEACH", "METRICS", "NOBODY", "Need", "need_of"]

MAY_NOT_TEACH: Final = "may_not_teach"
"""In the scope of a request: what the log calls its token, where its predictions are not to be kept."""


class Need(NamedTuple):
    """What a request needs."""

    scope: str | None
    """The scope of its token; empty where any token will do, None where none is needed."""
    work: str
    """What it counts as. ``predict`` and ``update`` may be refused where there is too much to do, and are
    given up with their clients; ``manage`` may be refused; ``operate`` never is."""


NOBODY: Final = Need(None, "operate")
METRICS: Final = Need("", "operate")
ANY: Final = Need("", "manage")
MANAGING: Final = Need(ADMIN, "manage")
PREDICTING: Final = Need(PREDICT, "predict")
UPDATING: Final = Need(UPDATE, "update")

OPEN: Final = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
LEARNING: Final = {"predict": PREDICTING, "explain": PREDICTING, "update": UPDATING, "labels": UPDATING}
READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def need_of(method: str, path: str) -> Need:
    """Return what a request needs: whatever is not named here changes something, and needs ``admin``."""
    if method == "POST":
        return LEARNING.get(path.rpartition("/")[2], MANAGING)
    if method not in READING or path.endswith("/snapshots/latest"):
        return MANAGING  # the whole model is more than to predict by it
    if path in OPEN or path.startswith("/docs/"):
        return NOBODY
    return METRICS if path == "/metrics" else ANY
