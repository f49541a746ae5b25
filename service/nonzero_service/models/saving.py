"""Saving all models when the service stops: as many as there is time for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import structlog

from nonzero_service.incidental import incidentally
from nonzero_service.models.each import each
from nonzero_service.models.served import ServedModel

LEAST: Final = 2.0
"""So many seconds there are to save models, however long requests took to end."""


async def save_all(models: Iterable[ServedModel], stop_by: float | None, grace_seconds: float) -> None:
    """Save models and their challengers; what is left is said. The journals have all that they know.

    Parameters
    ----------
    models
        The models.
    stop_by
        By when a stop is to be over, by the monotonic clock; None where that is not known.
    grace_seconds
        So long it may take then.
    """
    now, left = time.monotonic(), []
    end = max(now + grace_seconds if stop_by is None else stop_by, now + LEAST)

    async def save(served: ServedModel) -> None:
        if time.monotonic() < end:
            await served.save_at_end()
            for challenger in served.dependents.challengers:
                await challenger.save_at_end()
        else:
            left.append(served.name)

    await each(models, save)
    if left:
        incidentally(
            structlog.get_logger("models").warning,
            "there was no time to save all models; the next start reads more of their journals",
            models=len(left),
            grace_seconds=grace_seconds,
        )
