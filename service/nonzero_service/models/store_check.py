"""Whether snapshots can be copied to the object store: asked at a start, not when there is one at last."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

import structlog

from nonzero.persistence.store_writing import try_writing
from nonzero.sources.places import Remote
from nonzero.sources.stores import found_by
from nonzero_service.incidental import incidentally
from nonzero_service.logs import failure
from nonzero_service.models.snapshot_scheduler import RETRY_SECONDS
from nonzero_service.models.storing import beside


class StoreCheck:
    """Asks an object store once whether it takes files and lists them, and says where it does not.

    It refuses no start: a service whose backups have nowhere to go is to predict all the same, and nobody can
    tell a bucket that is gone for good from one that is made in a minute. A node that follows asks too, so
    that a key of its own which is wrong is known before it writes. Rounds look after it
    (:class:`~nonzero_service.models.rounds.Rounds`).

    Parameters
    ----------
    place
        Where the folders of all models are.
    """

    def __init__(self, place: Remote) -> None:
        self._place = place
        self._passed = False
        self._not_before = 0.0
        self._said: set[str] = set()
        self._log = structlog.get_logger("snapshots")

    def look(self) -> Coroutine[Any, Any, None] | None:
        """Return what asks, until it was once answered well."""
        return None if self._passed or time.monotonic() < self._not_before else self._ask()

    async def _ask(self) -> None:
        try:
            await beside(self._try)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._not_before = time.monotonic() + RETRY_SECONDS
            self._say_refused(failure(error))
            return
        self._passed = True
        if self._said:
            incidentally(self._log.info, "snapshots can be stored", place=str(self._place))

    def _try(self) -> None:
        found_by(self._place.joined("*.safetensors"))
        try_writing(self._place.joined("begun-and-given-up"))

    def _say_refused(self, why: dict[str, Any]) -> None:
        """Say each reason once."""
        said = str(why)
        if said in self._said:
            return
        self._said.add(said)
        incidentally(
            self._log.error, "snapshots cannot be stored; it is tried again", place=str(self._place), **why
        )
