"""A model of the cluster is opened in the role that its node has: to write, or to follow; and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from nonzero.errors import NonzeroError
from nonzero_service.cluster.caching import ModelCache
from nonzero_service.cluster.member import Member
from nonzero_service.cluster.shared_stores import SharedStores
from nonzero_service.cluster.sharing import SENT_AT_ONCE, SnapshotSharing
from nonzero_service.cluster.tailing import Tail
from nonzero_service.cluster.writing_term import WritingTerm
from nonzero_service.journal.descriptors import explain_shortage
from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.logs import described
from nonzero_service.models.common import Common
from nonzero_service.models.folder import ModelFolder
from nonzero_service.models.handing_over import folded
from nonzero_service.models.opening import open_model
from nonzero_service.models.replica import Folded, ReplicaState
from nonzero_service.models.served import ServedModel
from nonzero_service.writer.tail_applier import TailApplier


class MemberOpening:
    """Opens and closes the models of one node. Used on the event loop.

    Parameters
    ----------
    folder, cache
        Where they are kept, and what has their directories.
    stores
        What all nodes share.
    term
        That of this node, by which it writes or follows.
    common
        Returns what all models share, when the first is opened.
    tail
        Brings rows to those that follow.
    keeps_rows
        Whether journals keep their rows, whatever snapshots there are.
    failed
        Told why a model can learn no more as it is; from any thread.
    lost
        Told of a model that follows, as it was opened, why it is to be loaded again; from any thread.
    """

    def __init__(
        self,
        folder: ModelFolder,
        cache: ModelCache,
        stores: SharedStores,
        term: WritingTerm,
        common: Callable[[], Common],
        tail: Tail,
        failed: Callable[[Member, Exception], None],
        lost: Callable[[Member, ServedModel, Exception], object],
        *,
        keeps_rows: bool,
    ) -> None:
        self._folder = folder
        self._stores = stores
        self._cache = cache
        self._term = term
        self._common = common
        self._tail = tail
        self._failed = failed
        self._lost = lost
        self._keeps_rows = keeps_rows
        self._sending = asyncio.Semaphore(SENT_AT_ONCE)
        self._log = structlog.get_logger("cluster")

    async def turn(self, member: Member) -> ServedModel:
        """Open a model in the role that this node has, whatever it is open in."""
        if self._term.number is not None:
            self._term.check_wanted()
        await self.close(member)
        served: ServedModel | None = None
        if member.hand is not None:
            served = await self._handed_over(member, member.hand)
        if served is None:
            await asyncio.to_thread(self._cache.bring, member.model)
            served = await self._opened(member, None)
        self._begin(member, served)
        return served

    async def open_new(self, member: Member) -> ServedModel:
        """Open a model that was made here just now."""
        served = await self._opened(member, None)
        self._begin(member, served)
        return served

    async def _handed_over(self, member: Member, hand: Folded) -> ServedModel | None:
        """Open a model with what it has folded; None where it is to be loaded."""
        try:
            return await self._opened(member, hand)
        except (NonzeroError, OSError) as error:
            if hand.is_whole and isinstance(error, JournalUnreachableError):
                raise  # it is in hand still
            self._log.warning("a model is loaded again", model=member.name, reason=described(error))
            member.hand = None
            return None

    async def _opened(self, member: Member, hand: Folded | None) -> ServedModel:
        with explain_shortage(f"the model {member.name!r} cannot be opened"):
            return await open_model(
                member.name,
                self._folder.directory / member.name,
                self._common(),
                shared=False,
                following=self._term.number is None,
                folded=hand,
                on_failure=partial(self._failed, member),
            )

    def _begin(self, member: Member, served: ServedModel) -> None:
        """Let a model follow or write."""
        term = self._term.number
        member.served, member.hand, member.term, member.is_open = served, None, term, True
        applier, replica = served.learner.applier, served.replica
        if replica is not None and isinstance(applier, TailApplier):
            replica.asked = lambda: self._tail.as_of
            lost = partial(self._lost, member, served)
            self._tail.follow(member.model.id, applier, served.stored.journal, replica, lost)
        elif term is not None:
            served.shares = member.sharing = sharing = SnapshotSharing(
                served,
                member.model.id,
                term,
                self._stores.catalogue,
                self._stores.snapshots,
                keeps_rows=self._keeps_rows,
                gate=self._sending,
            )
            self._common().rounds.add(sharing)

    async def close(self, member: Member) -> None:
        """Close what works for a model, which is read still, and keep in hand what it has folded."""
        if not member.is_open or member.served is None:
            return
        member.is_open = False
        self._tail.leave(member.model.id)
        await self.end_sharing(member)
        served = member.served
        await served.let_go()
        if served.replica is None:
            served.replica = ReplicaState(served.learner.applier)
        served.replica.rest()
        member.hand, member.term = folded(served), None

    async def end_sharing(self, member: Member) -> None:
        """Share no more snapshots of a model."""
        sharing, member.sharing = member.sharing, None
        if sharing is not None:
            sharing.end()
            await self._common().rounds.remove(sharing)
