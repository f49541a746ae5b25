"""The models of one node among several: all are open here, and written by one node at a time.

Which role this node has is decided elsewhere (:mod:`nonzero_service.cluster.membership`). Where it changes,
each model is closed and opened again in its new role, with what it has folded in hand. Meanwhile the old one
makes predictions: it is there until the new one is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from nonzero import LogisticRegression
from nonzero.errors import NonzeroError
from nonzero_service.cluster.caching import ModelCache
from nonzero_service.cluster.making_sure import MakingSure, WrittenHere
from nonzero_service.cluster.member import Member
from nonzero_service.cluster.member_opening import MemberOpening
from nonzero_service.cluster.members import NodeMembers
from nonzero_service.cluster.shared_stores import SharedStores
from nonzero_service.cluster.sweeping import Sweeping
from nonzero_service.cluster.tailing import Tail
from nonzero_service.cluster.wanted_work import AGAIN_SECONDS, LATER_SECONDS, WantedWork
from nonzero_service.cluster.writing_term import WritingTerm
from nonzero_service.errors import ChallengerError, NotReadyError, NotWritingError, UnknownModelError
from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import FencedError, JournalUnreachableError, StorageError
from nonzero_service.journal.postgres.catalogue import CatalogueModel
from nonzero_service.logs import described
from nonzero_service.models.beginning import Begin
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.challenger_files import ChallengerPlace
from nonzero_service.models.common import Common
from nonzero_service.models.each import each
from nonzero_service.models.handing_over import save_in_hand
from nonzero_service.models.model_config import ModelConfig, NewModelSettings
from nonzero_service.models.promoting import Promoted
from nonzero_service.models.registry import DEFAULT, Models
from nonzero_service.models.saving import LEAST
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from nonzero_service.writer.challenger_origin import Beginning
from nonzero_service.writer.sequences import sequence_of


class ClusterModels(Models):
    """All models of a node; used on the event loop.

    Parameters
    ----------
    settings
        As for :class:`~nonzero_service.models.registry.Models`.
    on_failure
        Told where the process is to be started anew.
    stores
        What all nodes share.
    """

    def __init__(
        self, settings: Settings, on_failure: Callable[[Exception], None], stores: SharedStores
    ) -> None:
        super().__init__(settings, on_failure)
        self.doubt: Callable[[Exception, int], object] = lambda _, __: None
        """Told of an error by which this node is to write no more, and under which term."""
        self.making_sure = MakingSure(self._written, lambda error, term: self.doubt(error, term))
        """Looks whether what is written here is in the database still."""
        self.is_over: Callable[[], bool] = lambda: False
        """Whether this node's lease is over, and it has not stepped down yet."""
        self._stores = stores
        self._cache = ModelCache(self.folder, stores.catalogue, stores.snapshots)
        self._term = WritingTerm(stores.journals)
        self._tail = Tail(stores.ends, self._listed)
        self._member_opening = MemberOpening(
            self.folder,
            self._cache,
            stores,
            self._term,
            lambda: self._shared,
            self._tail,
            self._failed,
            lambda *arguments: self._call_soon(self._lost, *arguments),
            keeps_rows=settings.journal_retention == "all",
        )
        self._members = NodeMembers(
            stores.catalogue, self._cache, self._member_opening, lambda name: self._served.pop(name, None)
        )
        self._sweeping = Sweeping(stores.catalogue, self._term, self._members.numbers)
        self._watches = self.making_sure, self._sweeping
        self._turning = asyncio.Lock()  # held while models change their roles, or come and go
        self._made_now: dict[str, CatalogueModel] = {}
        self._keeping_open = WantedWork(self._keep_open, "models cannot be opened; it is tried again")
        self._is_listed_anew = False
        self._has_begun = asyncio.Event()
        self._is_set_up = asyncio.Event()
        self.may_open = asyncio.Event()
        """Set when the database has its tables."""
        self._log = structlog.get_logger("cluster")

    def get(self, name: str) -> ServedModel:
        """Return a model by its name; see :meth:`ServedModels.get`.

        Raises
        ------
        NotWritingError
            Where there is none here, and another node may have made it while this one was stopped.
        """
        try:
            return super().get(name)
        except UnknownModelError:
            if self.is_over():
                raise NotWritingError(
                    f"the lease of this node is over, and it does not know the model {name!r}: another node "
                    "may have made it; send it again in a second"
                ) from None
            raise

    def check_current(self) -> None:
        """Raise :class:`NotReadyError` where a model is further behind than the settings allow."""
        bound = self.settings.max_lag_seconds
        if not bound:
            return
        for one in self.all():
            lag = 0.0 if one.replica is None else one.replica.lag_seconds
            if lag > bound:
                raise NotReadyError(
                    f"the model {one.name!r} is {lag:.1f} seconds behind the node that writes, and "
                    f"max_lag_seconds is {bound:g}"
                )

    # -- opening and closing ---------------------------------------------------------------------------

    async def _open(self) -> None:
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        await self._enter()
        self._common = Common(settings, self._on_failure, self._stores.journals)
        for watch in self._watches:
            self._common.rounds.add(watch)
        self._is_set_up.set()
        await self.may_open.wait()
        said, wait = False, AGAIN_SECONDS
        while True:
            try:
                async with self._turning:
                    await self._members.refresh(put_away=True)
                    await self._open_closed()
                break
            except (JournalUnreachableError, NotWritingError) as error:
                if not said and not isinstance(error, NotWritingError):  # a term that was lost meanwhile
                    said = True
                    self._log.error("the models wait for the database", reason=str(error))
                await asyncio.sleep(wait)
                wait = min(2 * wait, LATER_SECONDS / 4)
            except (NonzeroError, OSError) as error:
                if not await self._members.have_lost(error):
                    raise
        if self._term.number is None:
            self._tail.wake()
        self._tail.begin()
        self._keeping_open.begin()
        if self._members or not await asyncio.to_thread(self._is_new):
            self._has_begun.set()
        await self._has_begun.wait()  # until then there is no model: the node that writes makes the first

    def _is_new(self) -> bool:
        return self._stores.catalogue.is_new

    async def close(self) -> None:
        """Save every model, and close all; may be called again."""
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAST), self._turning:  # what is half opened could not be saved
                pass
        await self._keeping_open.close()
        await asyncio.to_thread(self._tail.close)
        await super().close()

    async def _save_all(self) -> None:
        closed = [member for member in self._members.values() if not member.is_open]
        for member in closed:
            self._served.pop(member.name, None)
        await super()._save_all()
        await each(closed, self._save_in_hand)

    async def _save_in_hand(self, member: Member) -> None:
        """Save a model that was written here until now."""
        if member.hand is None:
            return
        try:
            directory = self.folder.directory / member.name
            if await asyncio.to_thread(save_in_hand, member.hand, directory):
                self._log.info("saved", model=member.name, sequence=sequence_of(member.hand.model))
        except Exception:  # noqa: BLE001 - whatever it is, the database has all, and the others are to be saved
            incidentally(self._log.exception, "no snapshot was taken", model=member.name)

    async def _let_all_go(self) -> None:
        for member in self._members.values():
            if member.served is not None:
                self._served[member.name] = member.served
                await self._member_opening.end_sharing(member)
        if self._common is not None:
            for watch in self._watches:
                await self._common.rounds.remove(watch)
        await super()._let_all_go()

    # -- roles -----------------------------------------------------------------------------------------

    async def take_over(self, term: int) -> None:
        """Open all models for writing under a term; see :class:`~nonzero_service.cluster.roles.Duties`."""
        self._term.expect()
        await self._changes.run(self._take_over(term))

    async def _take_over(self, term: int) -> None:
        await self._is_set_up.wait()
        async with self._turning:
            self._term.check_wanted()
            self._tail.rest()
            self._term.begin(term)
            await self._members.refresh()
            await self._open_closed()
        if await asyncio.to_thread(self._is_new):
            await self.create(DEFAULT)
        self._has_begun.set()
        try:
            await self._make_fed()
        except (NonzeroError, OSError) as error:  # the others are written all the same
            self._log.error("a model for a source cannot be made", reason=described(error))

    async def step_down(self, reason: str) -> None:
        """Stop acknowledging at once, then follow; see :class:`~nonzero_service.cluster.roles.Duties`."""
        self._term.lose(reason)
        error = NotWritingError(
            f"this node writes no longer ({reason}), and this was not kept: send it again, with the same "
            "Idempotency-Key if it had one"
        )
        for member in self._members.values():
            if member.term is not None and member.served is not None:
                member.served.learner.refuse(error)
                if member.sharing is not None:
                    member.sharing.end()
        await self._changes.run(self._step_down())

    async def _step_down(self) -> None:
        async with self._turning:
            self._term.end()
            written = [one for one in self._members.values() if one.term is not None]
            await each(written, self._member_opening.close)
            self._tail.wake()
        self._keeping_open.want()

    # -- each model ------------------------------------------------------------------------------------

    async def _open_closed(self) -> None:
        """Have all models open in the role that this node has."""
        await each(self._members.closed(self._term.number), self._turn)

    async def _turn(self, member: Member) -> None:
        """Open a model in the role that this node has, and let it be read."""
        self._show(member, await self._member_opening.turn(member))

    def _show(self, member: Member, served: ServedModel) -> None:
        """Let a model be read, and fed where it is written."""
        if self._members.get(member.name) is member:
            self._served[member.name] = served
        if member.term is not None:
            served.begin_feed(self.feeding)

    # -- what goes wrong -------------------------------------------------------------------------------

    def _failed(self, member: Member, error: Exception) -> None:
        """Take note that a model can learn no more as it is; from any thread."""
        term = member.term
        if term is not None:
            self.doubt(error, term)
        else:
            self._call_soon(self._lost, member, member.served, error)

    def _call_soon(self, do: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(do, *args)

    def _lost(self, member: Member, served: ServedModel | None, error: Exception) -> None:
        """Have a model that follows loaded again."""
        if member.served is not served or member.term is not None or self._closing:
            return
        self._log.error("a model is loaded again", model=member.name, reason=described(error))
        task = asyncio.ensure_future(self._changes.run(self._reload(member, served)))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _reload(self, member: Member, served: ServedModel | None) -> None:
        async with self._turning:
            if member.served is served and member.is_open and member.term is None:
                await self._member_opening.close(member)
                member.hand = None
        self._keeping_open.want()

    async def _keep_open(self) -> None:
        """Open what is closed, or new."""
        async with self._turning:
            if self._is_listed_anew:
                self._is_listed_anew = False  # first: what changes meanwhile is listed again
                try:
                    await self._members.refresh()
                except BaseException:
                    self._is_listed_anew = True
                    raise
            await self._open_closed()
        self._has_begun.set()

    # -- which models there are ------------------------------------------------------------------------

    def _listed(self) -> None:
        """Take note that there are other models than before; on the thread that looks."""
        self._call_soon(self._list_anew)

    def _list_anew(self) -> None:
        # Also where those that are there are known: a listing that is under way may be of an earlier moment.
        self._is_listed_anew = True
        self._keeping_open.want()

    # -- making and deleting ---------------------------------------------------------------------------

    def _beginning(self, name: str) -> Begin:
        def begin(directory: Path, config: ModelConfig, model: LogisticRegression) -> None:
            made = self._cache.begin(self._term.required(), name, directory, config, model)
            self._made_now[name] = made

        return begin

    async def _made(self, name: str, begin_in: Callable[[Path], object]) -> ServedModel:
        try:
            async with self._turning:
                self._term.required()
                return await super()._made(name, begin_in)
        except StorageError as error:
            self._doubted(error)
            raise
        finally:
            self._busy.discard(name)
            self._made_now.pop(name, None)
            if name not in self._members:  # it may be there, and could not be opened yet
                self._list_anew()

    async def _serve(
        self,
        name: str,
        path: Path,  # noqa: ARG002 - it is known by the name
        challengers: Sequence[ChallengerPlace] = (),
    ) -> ServedModel:
        assert not challengers  # noqa: S101 - there are none in a cluster
        member = Member(self._made_now[name])
        served = await self._member_opening.open_new(member)
        self._members[name] = member
        self._show(member, served)
        del self._made_now[name]
        return served

    async def delete(self, name: str) -> None:
        """Delete a model, on all nodes, after what is queued for it has been applied.

        Raises
        ------
        UnknownModelError
            Where there is none.
        NotWritingError, StorageError
            Where this node does not write, or the database refuses: it is there as before.
        """
        self.get(name)
        await self._changes.run(self._deleted(name))

    async def _deleted(self, name: str) -> None:
        async with self._turning:
            term, served = self._term.required(), self.get(name)
            try:
                await asyncio.to_thread(self._stores.catalogue.remove, term, name)
            except StorageError as error:
                self._doubted(error)
                raise
            member = self._members[name]
            assert member.served is served  # noqa: S101 - only here models come and go
            await self._members.drop(member)
        self._sweeping.ask()

    def _doubted(self, error: StorageError) -> None:
        """Have it looked into whether this node writes still, where an error makes that doubtful."""
        term = self._term.number
        if isinstance(error, FencedError) and term is not None:
            self.doubt(error, term)

    async def create_challenger(
        self,
        name: str,
        champion: str,  # noqa: ARG002 - none may have one
        start: Beginning,  # noqa: ARG002
        own: NewModelSettings,  # noqa: ARG002
    ) -> Challenger:
        """Refuse a challenger.

        Raises
        ------
        ChallengerError
            Always.
        """
        raise _no_challengers(name)

    async def promote(self, champion: str, name: str) -> Promoted:  # noqa: ARG002
        """Refuse a promotion.

        Raises
        ------
        ChallengerError
            Always.
        """
        raise _no_challengers(name)

    def _written(self) -> WrittenHere | None:
        term = self._term.writing
        if term is None:
            return None
        written = [one.served for one in self._members.values() if one.term == term and one.served]
        return WrittenHere(term, [one.stored.journal for one in written])


def _no_challengers(name: str) -> ChallengerError:
    return ChallengerError(
        f"{name!r} cannot follow a model that several nodes share: challengers are for a service with a "
        "journal of its own. Make a model of its own with these settings, and send it the same"
    )
