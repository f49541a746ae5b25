"""Membership: who writes, and whether that is this node.

Each node judges by a steady clock of its own, and no two clocks are compared. Who writes gives a sign of life
each quarter of the lease, and steps down when the last one that came back was sent longer ago than the lease.
Who follows takes over when it has seen no new one for as long. docs/decisions/one-writer.md says why that is
enough; what is still under way then is refused by the term.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import structlog

from nonzero_service.cluster.asking import Asking
from nonzero_service.cluster.roles import Duties, Leader, Role
from nonzero_service.cluster.watched_lease import WatchedLease
from nonzero_service.incidental import incidentally
from nonzero_service.journal.errors import JournalUnreachableError
from nonzero_service.journal.postgres.leadership import Leadership, steady
from nonzero_service.logs import described, failure

BEATS: Final = 4
"""Signs of life in a lease."""

LOOKS: Final = 8
"""How often who follows looks for them in a lease."""

ASK_SECONDS: Final = 1.0
"""How long the database may take to tell who writes: half a lease, and this at least."""

WELL: Final = 10
"""A node that has written for so many leases has not failed."""

GIVE_BACK_SECONDS: Final = 2.0
"""How long a stop waits for the database to take the term back."""

SECRET_BYTES: Final = 32

STOPPING: Final = "this node stops"


class LeaseSettings(Protocol):
    """What a node is told of leases."""

    @property
    def lease_seconds(self) -> float:
        """How long the writer may give no sign of life."""


class Membership:
    """One node among those that share a database; to be used on the event loop, but for :meth:`doubt`.

    Parameters
    ----------
    settings
        How long a lease is.
    leadership
        The rows that say who writes.
    duties
        What changes with the role.
    on_failure
        Told of a defect, or of duties that could not step down: the process is to end.

    Attributes
    ----------
    address, url : str
        Where other nodes and clients reach this node; to be set before it begins.
    role : Role
        What this node is at.
    term : int
        The newest term that it knows of.
    leader : Leader or None
        Who writes, or takes over just now, as this node has seen it last; None where nobody does.
    takeovers : int
        How often this node has begun to write.
    """

    def __init__(
        self,
        settings: LeaseSettings,
        leadership: Leadership,
        duties: Duties,
        on_failure: Callable[[Exception], object] = lambda _: None,
    ) -> None:
        self.node = leadership.node
        self.address = self.url = ""
        self.role: Role = "starting"
        self.term = 0
        self.leader: Leader | None = None
        self.takeovers = 0
        self.lease = settings.lease_seconds
        self._leadership = leadership
        self._duties = duties
        self._on_failure = on_failure
        self._log = structlog.get_logger("cluster").bind(node=self.node)
        self._asking = Asking("lease", leadership.cut)
        self._watched = WatchedLease(self.lease, self.node)
        self._listeners: list[Callable[[], object]] = []
        self._asked_anew: list[Callable[[], object]] = []
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._sent = 0.0
        """When this node's own last one was sent that came back."""
        self._held: int | None = None
        """The term that this node has."""
        self._lost: asyncio.Future[str] | None = None
        """Why the term is held no longer, as soon as it is not."""
        self._unreachable = self._is_stuck = False
        self._namesake_told = False
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- what others ask -------------------------------------------------------------------------------

    @property
    def lease_age(self) -> float | None:
        """Seconds since the writer's last sign of life that this node knows of; None before the first."""
        if self._held is not None:
            return steady() - self._sent
        # One of this node's own was the last, where it has written since.
        return None if self._watched.seen is None else steady() - max(self._watched.since, self._sent)

    @property
    def heard(self) -> Leader | None:
        """Who writes, where this node knows of a sign of life that is no older than the lease.

        :attr:`leader` is asked still while the database does not answer: it may go on writing all the same.
        """
        age = self.lease_age
        return self.leader if age is not None and age < self.lease else None

    @property
    def is_over(self) -> bool:
        """Whether this node's lease is over, and it has not stepped down yet: it was stopped."""
        return self._held is not None and steady() - self._sent >= self.lease

    def on_change(self, listener: Callable[[], object]) -> None:
        """Have somebody told, on the event loop, whenever the role or the leader has changed."""
        self._listeners.append(listener)

    def on_another_line(self, listener: Callable[[], object]) -> None:
        """Have somebody told, on the event loop, whenever this node writes on over another connection.

        Another server may answer there, one that has not all that was acknowledged by the one before.
        """
        self._asked_anew.append(listener)

    def doubt(self, error: Exception, term: int | None = None) -> None:
        """Step down, because an append failed or was refused; from any thread, and as often as it happens.

        Parameters
        ----------
        error
            What went wrong.
        term
            The term that it went wrong in; an older one is passed over. None: the present one.
        """
        if self._loop is not None:
            with suppress(RuntimeError):  # of a loop that has ended
                self._loop.call_soon_threadsafe(self._doubt, error, term)

    def _doubt(self, error: Exception, term: int | None) -> None:
        if term is None or term == self._held:
            self._lose(described(error))

    # -- beginning and ending --------------------------------------------------------------------------

    async def begin(self) -> None:
        """Begin to look who writes, and to take over where nobody does."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._live())

    async def close(self) -> None:
        """Step down, and give the term back, so that another node takes over at once."""
        self._closing.set()
        self._lose(STOPPING)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._asking.close()

    async def _live(self) -> None:
        try:
            while not self._closing.is_set():
                if (taken := await self._follow()) is not None:
                    await self._lead(*taken)
        except Exception as error:  # noqa: BLE001 - whatever it is
            self._on_failure(error)
        finally:
            await self._close_line()

    async def _close_line(self) -> None:
        with suppress(JournalUnreachableError):
            await self._asking.within(GIVE_BACK_SECONDS, self._leadership.close)

    # -- following -------------------------------------------------------------------------------------

    async def _follow(self) -> tuple[int, bytes] | None:
        """Look who writes until this node has taken over; return None where it is to stop."""
        while not self._closing.is_set():
            look = self.lease / LOOKS
            try:
                await self._look()
                free = self._watched.free_in()
                look = min(look, free) if free > 0 else look
            except JournalUnreachableError as error:
                self._tell_unreachable(error)
            else:
                if free <= 0 and (taken := await self._taken_over()) is not None:
                    return taken
            await _wait(self._closing, look)
        return None

    async def _taken_over(self) -> tuple[int, bytes] | None:
        """Take over, from a database that has just answered; return None where that comes to nothing."""
        try:
            return await self._take()
        except JournalUnreachableError as error:
            if not self._is_stuck:
                self._is_stuck = True
                why = await asked_why(self._asking, self._leadership)
                self._log.error("the database answers, and commits nothing", reason=why or str(error))
            return None

    async def _look(self) -> None:
        """See what is new."""
        watched = self._watched
        watched.look(await self._asking.within(max(self.lease / 2, ASK_SECONDS), self._leadership.observe))
        if self._unreachable:
            self._unreachable = False
            self._log.info("the database answers again")
        if watched.has_namesake and not self._namesake_told:
            self._namesake_told = True
            self._log.error(
                "another process has this node's name",
                reason=f"a node named {self.node!r} writes, and it is not this one; give one of them another "
                "name (--node)",
            )
        self.term = watched.term
        self._is_stuck = self._is_stuck and watched.leader is None
        self._become("following", watched.leader)

    async def _take(self) -> tuple[int, bytes] | None:
        """Take over, unless somebody else is quicker or the writer is alive; return term and secret."""
        before, secret = self._watched.seen, secrets.token_bytes(SECRET_BYTES)
        if before is None:
            return None
        self._watched.ask(secret)
        sent = steady()
        ask = partial(self._leadership.take, before, self.address, self.url, secret, self.term)
        term = await self._asking.within(self.lease, ask)
        if term is None or steady() - sent >= self.lease:  # too late: it is found as this node's own
            return None
        self._sent, self._held, self.term, self._is_stuck = sent, term, term, False
        self._watched.term = term
        self._log.info("this node takes over", term=term, before=before.node)
        return term, secret

    # -- writing ---------------------------------------------------------------------------------------

    async def _lead(self, term: int, secret: bytes) -> None:
        """Write until the term is lost, or this node stops."""
        self._lost = lost = asyncio.get_running_loop().create_future()
        if self._closing.is_set():
            self._lose(STOPPING)
        leader, began = Leader(self.node, term, self.address, self.url, secret), steady()
        self._become("taking over", leader)
        enough = asyncio.Event()
        beating = asyncio.create_task(self._beat(term, enough))
        beating.add_done_callback(self._beaten)
        taking = asyncio.create_task(self._duties.take_over(term))
        try:
            await asyncio.wait({taking, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not lost.done():
                self._taken(taking, leader)
            reason = await lost
            self._become("stepping down", None)
            tell = self._log.info if reason == STOPPING else self._log.warning
            tell("this node steps down", term=term, reason=reason)
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            stepping = asyncio.create_task(self._duties.step_down(reason))
            # Nobody takes over meanwhile; but if it takes long, somebody is to.
            await asyncio.wait({stepping}, timeout=self.lease)
            enough.set()
            await stepping
        finally:
            self._held = None
            enough.set()
            # The last one is not broken off: the line would be cut, over which the term is given back.
            await asyncio.gather(beating, return_exceptions=True)
        await self._give_back(term)
        self._watched.rest(well=steady() - began > WELL * self.lease)
        self._become("following", None)

    def _taken(self, taking: asyncio.Task[None], leader: Leader) -> None:
        """Write, where all models are open for it."""
        error = asyncio.CancelledError() if taking.cancelled() else taking.exception()
        if error is None:
            self.takeovers += 1
            self._become("writing", leader)
            self._log.info("this node writes", term=leader.term)
        else:
            self._log.error("this node cannot take over", term=leader.term, **failure(error))
            self._lose(f"it could not take over: {described(error)}")

    def _beaten(self, beating: asyncio.Task[None]) -> None:
        """Step down where the signs of life have ended by a defect."""
        if not beating.cancelled() and (error := beating.exception()) is not None:
            self._log.error("signs of life have ended", reason=described(error), exc_info=error)
            self._lose(described(error))

    async def _beat(self, term: int, enough: asyncio.Event) -> None:
        """Give signs of life until there are enough, the lease is over, or another node has begun a term."""
        interval, opened = self.lease / BEATS, self._leadership.opened
        while not enough.is_set() and (left := self._sent + self.lease - steady()) > 0:
            try:
                # Twice as long as the next one would take: then the connection leads nowhere any more.
                sent = await self._asking.within(min(left, 2 * interval), self._leadership.beat, term)
            except JournalUnreachableError as error:
                self._tell_unreachable(error)
                await _wait(enough, interval / 4)
                continue
            if sent is None:
                self._lose("the database has another term")
                return
            self._sent, self._unreachable = sent, False
            if self._leadership.opened != opened:
                opened = self._leadership.opened
                for listener in self._asked_anew:
                    incidentally(listener)
            await _wait(enough, max(0, sent + interval - steady()))
        self._lose(f"no sign of life has reached the database for {self.lease:g} seconds")

    def _lose(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    async def _give_back(self, term: int) -> None:
        """Tell others that the term has ended; where that is not heard, they wait for the lease."""
        for _ in range(2):  # the line may have been cut meanwhile
            try:
                await self._asking.within(GIVE_BACK_SECONDS / 2, self._leadership.give_back, term)
                return
            except JournalUnreachableError as error:
                self._tell_unreachable(error)

    # -- both ------------------------------------------------------------------------------------------

    def _become(self, role: Role, leader: Leader | None) -> None:
        if (role, leader) == (self.role, self.leader):
            return
        if leader != self.leader and leader is not None and leader.node != self.node:
            self._log.info("a node leads", leader=leader.node, term=leader.term)
        elif leader is None and self.leader is not None and role == "following":
            self._log.warning("no node leads", term=self.term)
        self.role, self.leader = role, leader
        for listener in self._listeners:
            incidentally(listener)

    def _tell_unreachable(self, error: JournalUnreachableError) -> None:
        if not self._unreachable:
            self._unreachable = True
            self._log.error("the database cannot be reached; it is tried again", reason=str(error))


async def asked_why(asking: Asking, leadership: Leadership) -> str:
    """Return why commits are not answered; empty where the database does not tell."""
    try:
        return await asking.within(ASK_SECONDS, leadership.what_waits)
    except JournalUnreachableError:
        return ""


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until something is so."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
