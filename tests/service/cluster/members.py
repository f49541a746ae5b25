"""Members of a cluster whose duty is a ledger: whoever writes adds rows as fast as it can, under its term."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import psycopg

from nonzero_service.cluster.membership import Membership
from nonzero_service.journal.errors import FencedError
from nonzero_service.journal.postgres.leadership import Leadership, steady
from nonzero_service.journal.postgres.tables import ensure_tables
from service.conftest import ServiceProcess
from waiting import until_in_loop

__all__ = [
    "LEASE",
    "Lease",
    "Ledger",
    "Member",
    "MemberProcess",
    "check",
    "make_tables",
    "member",
    "until_one_writes",
]

LEASE = 0.8

TABLE = "CREATE TABLE ledger (n bigserial PRIMARY KEY, term bigint NOT NULL, node text NOT NULL)"

APPEND = """
WITH leader AS (SELECT FROM nonzero.term WHERE term = %s FOR SHARE)
INSERT INTO ledger (term, node) SELECT %s, %s FROM leader RETURNING n
"""


def make_tables(url: str) -> None:
    with psycopg.connect(url, autocommit=True, target_session_attrs="read-write") as connection:
        ensure_tables(connection)
        connection.execute(TABLE)


class Ack(NamedTuple):
    """A row that has come back."""

    n: int
    term: int
    sent: float
    at: float


@dataclass
class Lease:
    """What a member is told."""

    lease_seconds: float = LEASE


class Ledger:
    """Duties by which one row after another is added, and what came back is noted."""

    def __init__(self, url: str, node: str, said: Callable[..., object] = lambda **_: None) -> None:
        self.url, self.node, self._said = url, node, said
        self.acks: list[Ack] = []
        self.calls: list[tuple[str, Any]] = []
        self.doubt: Callable[[Exception, int], object] = lambda _, __: None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    async def take_over(self, term: int) -> None:
        self.calls.append(("take over", term))
        self._said(event="takes over", term=term, at=steady())
        self._stopping.clear()
        self._thread = threading.Thread(target=self._add, args=(term,), daemon=True)
        self._thread.start()

    async def step_down(self, reason: str) -> None:
        self.calls.append(("step down", reason))
        self._stopping.set()
        self._said(event="steps down", reason=reason, at=steady())
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 0.05)

    def _add(self, term: int) -> None:
        stopping = self._stopping
        try:
            with psycopg.connect(
                self.url, autocommit=True, target_session_attrs="read-write", connect_timeout=2
            ) as line:
                while not stopping.wait(0.002):
                    sent = steady()
                    row = line.execute(APPEND, (term, term, self.node)).fetchone()
                    if row is None:
                        raise FencedError(f"term {term} is over")
                    if not stopping.is_set():
                        self.acks.append(Ack(row[0], term, sent, steady()))
                        self._said(event="ack", n=row[0], term=term, sent=sent, at=self.acks[-1].at)
        except (psycopg.Error, FencedError) as error:
            self.doubt(error, term)


@dataclass
class Member:
    """A member, and what it does."""

    membership: Membership
    ledger: Any
    leadership: Leadership

    @property
    def role(self) -> str:
        return self.membership.role


@asynccontextmanager
async def member(
    url: str, node: str, duties: Any = None, lease: float = LEASE, failures: list[Exception] | None = None
) -> AsyncIterator[Member]:
    """Have a node be a member; it leaves in good order."""
    ledger = Ledger(url, node) if duties is None else duties
    leadership = Leadership(url, node)
    failed = [] if failures is None else failures
    membership = Membership(Lease(lease), leadership, ledger, failed.append)
    membership.address, membership.url = f"127.0.0.1:{ord(node)}", f"http://{node}"
    ledger.doubt = membership.doubt
    await membership.begin()
    try:
        yield Member(membership, ledger, leadership)
    finally:
        await membership.close()
    assert failures is not None or failed == []


async def until_one_writes(*members: Member) -> Member:
    """Wait until one writes, and return it."""

    def found() -> Member | None:
        return next((one for one in members if one.role == "writing"), None)

    writer = await until_in_loop(found)
    assert writer is not None
    return writer


def check(url: str, *acked: list[Ack]) -> None:
    """Assert that each term had one writer, that none wrote after a later one, and that no row was lost."""
    with psycopg.connect(url, target_session_attrs="read-write") as connection:
        rows = connection.execute("SELECT n, term, node FROM ledger ORDER BY n").fetchall()
    writers = [(term, {node for _, _, node in added}) for term, added in groupby(rows, lambda row: row[1])]
    assert all(len(nodes) == 1 for _, nodes in writers), writers
    assert all(a[0] < b[0] for a, b in pairwise(writers)), writers
    there = {(n, term) for n, term, _ in rows}
    assert {(ack.n, ack.term) for acks in acked for ack in acks} <= there


class MemberProcess(ServiceProcess):
    """A member that is a process; what happens to it is in its log."""

    program = "from service.cluster.members import live; live()"

    def events(self, event: str) -> list[dict[str, Any]]:
        return self.lines(event)

    def acks(self) -> list[Ack]:
        return [Ack(one["n"], one["term"], one["sent"], one["at"]) for one in self.lines("ack")]


def live() -> None:
    """Be a member until SIGTERM."""
    flags = json.loads(sys.argv[1])

    def said(**line: Any) -> None:
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()

    async def run() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        ledger = Ledger(flags["url"], flags["node"], said)
        async with member(flags["url"], flags["node"], ledger, flags["lease"]) as one:
            one.membership.on_change(lambda: said(event="role", role=one.role, at=steady()))
            await stopping.wait()

    asyncio.run(run())
