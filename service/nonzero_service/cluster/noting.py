"""Noting: each node tells people how it is, by a row; who writes looks how the database is, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from nonzero_service.cluster.asking import Asking
from nonzero_service.cluster.membership import Membership
from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres.condition import Condition
from nonzero_service.journal.postgres.register import NodeRegister, Reached

NOTE_SECONDS: Final = 2.0
"""How often a node writes its row, beside each change of its role."""

ASK_SECONDS: Final = 2.0
"""How long the database may take."""


class Noting:
    """Writes a node's row, beside its work; used on the event loop.

    Parameters
    ----------
    membership
        What the node is at.
    register
        Where that is written.
    reached
        Returns how far this node is with each model.

    Attributes
    ----------
    condition : Condition or None
        How the database keeps what it acknowledges, as who writes has seen it last; None on other nodes.
    """

    def __init__(
        self,
        membership: Membership,
        register: NodeRegister,
        reached: Callable[[], Mapping[str, Reached]] = dict,
    ) -> None:
        self.condition: Condition | None = None
        self._membership = membership
        self._register = register
        self._reached = reached
        self._asking = Asking("notes", register.cut)
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._danger: str | None = None
        self._log = structlog.get_logger("cluster").bind(node=register.node)
        membership.on_change(self._changed.set)

    async def begin(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._live())

    async def close(self) -> None:
        """Drop the row, and end."""
        self._closing.set()
        self._changed.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            with suppress(JournalUnreachableError):
                await self._asking.within(ASK_SECONDS, self._register.forget)
        with suppress(JournalUnreachableError):
            await self._asking.within(ASK_SECONDS, self._register.close)
        self._asking.close()

    async def _live(self) -> None:
        while not self._closing.is_set():
            self._changed.clear()
            one = self._membership
            # Where the database does not answer, who looks for the lease says so.
            with suppress(JournalUnreachableError):
                await self._asking.within(
                    ASK_SECONDS, self._register.note, one.address, one.url, one.role, self._reached()
                )
                if one.role == "writing":
                    self._judge(await self._asking.within(ASK_SECONDS, self._register.condition))
            if one.role != "writing":
                self.condition = self._danger = None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), NOTE_SECONDS)

    def _judge(self, condition: Condition) -> None:
        """Say aloud what the database might lose, when this node begins to write and when that changes."""
        self.condition = condition
        before, self._danger = self._danger, condition.danger
        if condition.danger and condition.danger != before:
            self._log.warning(
                "an update is not on two machines when it is acknowledged", reason=condition.danger
            )
        elif before and not condition.danger:
            self._log.info("an update is on two machines when it is acknowledged")
