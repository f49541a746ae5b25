"""What is done beside the work, and must not fail it: log lines, names, counts for people."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

import structlog

P = ParamSpec("P")


def incidentally(task: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do something that nothing depends on: what it raises is logged, if it can be, and goes no further.

    Parameters
    ----------
    task
        What is done.
    *args, **kwargs
        What it is given.
    """
    try:
        task(*args, **kwargs)
    except Exception:  # noqa: BLE001 - nothing depends on it
        with suppress(Exception):
            name = getattr(task, "__qualname__", repr(task))
            structlog.get_logger("service").exception("something incidental failed", task=name)
