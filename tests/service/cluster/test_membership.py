"""Members of a cluster on a real database: one writes in a term, and soon another where it does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog

from links import Link
from nonzero_service.journal.errors import FencedError, OutcomeUnknownError
from nonzero_service.journal.postgres.leadership import steady
from postgres import Cluster
from service.cluster.members import LEASE, Ledger, Member, check, make_tables, member, until_one_writes
from waiting import until_in_loop

SOON = LEASE + 2
"""Within so many seconds another node writes."""


@pytest.fixture
def url(database: str) -> str:
    make_tables(database)
    return database


@asynccontextmanager
async def members(url: str, names: str = "abc") -> AsyncIterator[list[Member]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(member(url, name)) for name in names]


@asynccontextmanager
async def linked(url: str, node: str) -> AsyncIterator[tuple[Member, Link]]:
    """Have a member whose way to the database can be broken."""
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    with Link([int(host.rpartition(":")[2]) for host in hosts.split(",")]) as link:
        ways = ",".join(f"127.0.0.1:{port}" for port in link.ports)
        async with member(parts._replace(netloc=f"{user}@{ways}").geturl(), node) as one:
            yield one, link
            link.heal()


def others(all_of: list[Member], one: Member) -> list[Member]:
    return [other for other in all_of if other is not one]


def test_one_writes_and_all_know_who(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so it stays, whatever becomes of the machine's clock: days ahead, and back again."""
    real, days = time.time, [0]
    monkeypatch.setattr(time, "time", lambda: real() + 86400 * days[0])

    async def run() -> None:
        async with members(url) as all_of:
            writer = await until_one_writes(*all_of)
            await until_in_loop(lambda: all(one.membership.leader is not None for one in all_of))
            assert len({one.membership.leader for one in all_of}) == 1
            leader = writer.membership.leader
            assert leader is not None
            assert (leader.node, leader.url) == (writer.membership.node, f"http://{writer.membership.node}")
            assert leader.secret not in repr(leader).encode()
            assert "secret" not in repr(leader)
            assert {one.membership.term for one in all_of} == {leader.term}
            assert [one.role for one in others(all_of, writer)] == ["following"] * 2
            for ahead in (30, -30, 0):
                days[0] = ahead
                await asyncio.sleep(0.5 * LEASE)
            assert writer.role == "writing"
            assert writer.membership.term == leader.term
            for one in all_of:
                assert one.membership.lease_age is not None
                assert one.membership.lease_age < LEASE
            assert len(writer.ledger.acks) > 10
            assert [one.membership.takeovers for one in others(all_of, writer)] == [0, 0]
        check(url, *(one.ledger.acks for one in all_of))

    asyncio.run(run())


def test_a_stop_in_good_order_hands_over_at_once(url: str) -> None:
    async def run() -> None:
        async with members(url, "ab") as all_of:
            first = await until_one_writes(*all_of)
            [second] = others(all_of, first)
            began = steady()
            await first.membership.close()
            await until_one_writes(second)
            assert steady() - began < LEASE  # which nobody waited for
            assert first.ledger.calls[-1] == ("step down", "this node stops")
            assert second.membership.term == first.membership.term + 2
        check(url, first.ledger.acks, second.ledger.acks)

    asyncio.run(run())


@pytest.mark.parametrize("breaks", [Link.cut, lambda link: link.stall(there=False)], ids=["cut", "deaf"])
def test_who_is_cut_off_steps_down_by_its_own_clock(url: str, breaks: Callable[[Link], None]) -> None:
    """Also where only answers are held: what was sent may have arrived."""

    async def run() -> None:
        async with linked(url, "a") as (first, link):
            await until_one_writes(first)
            async with member(url, "b") as second:
                await until_in_loop(lambda: second.membership.leader)
                began = steady()
                breaks(link)
                await until_in_loop(lambda: first.role == "stepping down" or first.role == "following")
                assert steady() - began < LEASE + 0.5
                await until_one_writes(second)
                assert steady() - began < SOON
                link.heal()
                await until_in_loop(lambda: first.membership.leader == second.membership.leader)
                assert first.role == "following"
        check(url, first.ledger.acks, second.ledger.acks)

    asyncio.run(run())


def test_what_keeps_the_writer_off_for_less_than_a_lease_changes_nothing(url: str) -> None:
    async def run() -> None:
        async with linked(url, "a") as (first, link):
            await until_one_writes(first)
            async with member(url, "b") as second:
                await until_in_loop(lambda: second.membership.leader)
                first.ledger.doubt = lambda _, __: None  # its appends fail, of course
                link.cut()
                await asyncio.sleep(0.3 * LEASE)
                link.heal()
                await asyncio.sleep(1.5 * LEASE)
                assert (first.role, second.role) == ("writing", "following")
                assert first.membership.term == second.membership.term == 1

    asyncio.run(run())


def test_one_of_two_ways_that_says_nothing_any_more_is_left(url: str) -> None:
    """As where the machine of a database has gone: nobody refuses a connection then, nor takes one."""

    async def run() -> None:
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        with Link([int(host.rpartition(":")[2])]) as link:
            ways = f"{user}@127.0.0.1:{link.ports[0]},{host}"
            both = parts._replace(netloc=ways).geturl()
            async with member(both, "a", Unable(fails=0)) as first:
                await until_one_writes(first)
                link.stall()
                await asyncio.sleep(2 * LEASE)
                assert (first.role, first.membership.term, first.membership.takeovers) == ("writing", 1, 1)
                # Who begins now tries it first, and waits there for longer than it is asked to.
                async with member(both, "b") as second:
                    began = steady()
                    await until_in_loop(lambda: second.membership.leader)
                    assert steady() - began < 2 + SOON
                link.heal()

    asyncio.run(run())


class Unable:
    """Duties that cannot be taken over."""

    def __init__(self, fails: int = 10**6) -> None:
        self.fails = fails
        self.calls: list[str] = []
        self.doubt: object = None

    async def take_over(self, term: int) -> None:  # noqa: ARG002
        self.calls.append("take over")
        if self.fails:
            self.fails -= 1
            raise OSError("the disk is on fire")

    async def step_down(self, reason: str) -> None:
        self.calls.append(f"step down: {reason}")


def test_who_cannot_take_over_leaves_it_to_others(url: str) -> None:
    async def run() -> None:
        unable = Unable()
        async with member(url, "a", unable):
            await until_in_loop(lambda: len(unable.calls) >= 2)
            assert unable.calls[:2] == ["take over", "step down: it could not take over: the disk is on fire"]
            began = steady()
            async with member(url, "b") as second:
                await until_one_writes(second)
                assert steady() - began < SOON
                times = len(unable.calls)
                await asyncio.sleep(LEASE)
                assert len(unable.calls) == times

    asyncio.run(run())


def test_who_could_not_take_over_tries_again_ever_later(url: str) -> None:
    async def run() -> None:
        unable = Unable(fails=3)
        began = steady()
        async with member(url, "a", unable) as one:
            await until_one_writes(one)
            assert unable.calls.count("take over") == 4
            assert steady() - began > LEASE * (1 / 4 + 1 / 2 + 1)
            assert one.membership.takeovers == 1

    asyncio.run(run())


def test_doubts_from_many_threads_step_down_once(url: str) -> None:
    async def run() -> None:
        async with members(url, "ab") as all_of:
            first = await until_one_writes(*all_of)
            term = first.membership.term
            threads = [
                threading.Thread(target=first.membership.doubt, args=(OutcomeUnknownError(f"no. {n}"), term))
                for n in range(32)
            ]
            for thread in threads:
                thread.start()
            await until_in_loop(lambda: first.role == "following")
            [reason] = [said for call, said in first.ledger.calls if call == "step down"]
            assert reason.startswith("no. ")
            again = await until_one_writes(*all_of)
            later = again.membership.term
            assert later > term
            first.membership.doubt(FencedError("of an older term"), term)  # which says nothing of this one
            await asyncio.sleep(0.1)
            assert (again.role, again.membership.term) == ("writing", later)
        check(url, *(one.ledger.acks for one in all_of))

    asyncio.run(run())


class Slow(Ledger):
    """Duties that take until they are let go."""

    taking = stepping = False

    def __init__(self, url: str, node: str) -> None:
        super().__init__(url, node)
        self.go = asyncio.Event()

    async def take_over(self, term: int) -> None:
        self.taking = True
        await self.go.wait()
        await super().take_over(term)

    async def step_down(self, reason: str) -> None:
        self.stepping = True
        await self.go.wait()
        await super().step_down(reason)


def test_a_stop_while_it_takes_over(url: str) -> None:
    async def run() -> None:
        slow = Slow(url, "a")
        async with member(url, "a", slow) as one:
            await until_in_loop(lambda: slow.taking)
            assert one.role == "taking over"
            await asyncio.sleep(1.5 * LEASE)  # its signs of life come meanwhile
            assert one.membership.lease_age is not None
            assert one.membership.lease_age < LEASE
            closing = asyncio.create_task(one.membership.close())
            await until_in_loop(lambda: slow.stepping)
            slow.go.set()
            await closing
            assert slow.calls == [("step down", "this node stops")]
            assert one.leadership.observe().node is None
            one.leadership.close()

    asyncio.run(run())


def test_a_stop_while_it_steps_down(url: str) -> None:
    async def run() -> None:
        slow = Slow(url, "a")
        slow.go.set()
        async with member(url, "a", slow) as one:
            await until_one_writes(one)
            slow.go.clear()
            one.membership.doubt(OutcomeUnknownError("who knows"))
            await until_in_loop(lambda: slow.stepping)
            assert one.role == "stepping down"
            closing = asyncio.create_task(one.membership.close())
            await asyncio.sleep(0.1)
            assert not closing.done()
            slow.go.set()
            await closing
            assert [call for call, _ in slow.calls] == ["take over", "step down"]

    asyncio.run(run())


def test_nobody_waits_for_who_steps_down_for_ever(url: str) -> None:
    async def run() -> None:
        slow = Slow(url, "a")
        slow.go.set()
        async with member(url, "a", slow) as first:
            await until_one_writes(first)
            slow.go.clear()
            async with member(url, "b") as second:
                await until_in_loop(lambda: second.membership.leader)
                first.membership.doubt(OutcomeUnknownError("who knows"))
                began = steady()
                await until_one_writes(second)
                assert LEASE < steady() - began < 2 * LEASE + 2
                slow.go.set()

    asyncio.run(run())


def test_a_stop_while_it_follows_or_cannot_begin(url: str) -> None:
    async def run() -> None:
        async with member(url, "a") as first:
            await until_one_writes(first)
            async with member(url, "b") as second:
                await until_in_loop(lambda: second.role == "following")
            assert second.ledger.calls == []
            with Link([1]) as nowhere:
                lost = f"postgresql://postgres@127.0.0.1:{nowhere.ports[0]}/nowhere"
                nowhere.stall()
                began = steady()
                async with member(lost, "c") as third:
                    await asyncio.sleep(0.2)
                    assert third.role == "starting"
                    assert third.membership.leader is None
                assert steady() - began < 6

    asyncio.run(run())


def test_duties_that_cannot_step_down_end_the_process(url: str) -> None:
    class Stuck(Unable):
        async def step_down(self, reason: str) -> None:
            raise RuntimeError(reason)

    async def run() -> None:
        failures: list[Exception] = []
        async with member(url, "a", Stuck(fails=0), failures=failures) as one:
            await until_one_writes(one)
            one.membership.doubt(OutcomeUnknownError("who knows"))
            await until_in_loop(lambda: failures)
            assert str(failures[0]) == "who knows"

    asyncio.run(run())


def test_a_namesake_is_told(url: str) -> None:
    async def run() -> None:
        async with member(url, "a") as first:
            await until_one_writes(first)
            with structlog.testing.capture_logs() as lines:
                async with member(url, "a") as second:
                    await until_in_loop(
                        lambda: [
                            line for line in lines if line["event"] == "another process has this node's name"
                        ]
                    )
                    assert second.role == "following"

    asyncio.run(run())


def test_a_term_that_the_database_has_lost_is_not_had_twice(url: str) -> None:
    """As after a failover to a standby that was behind, where none is synchronous."""

    async def run() -> None:
        async with member(url, "z", Unable(fails=0)) as before:
            await until_one_writes(before)
        async with members(url, "ab") as all_of:
            first = await until_one_writes(*all_of)
            [second] = others(all_of, first)
            term = first.membership.term
            assert term == 3
            await until_in_loop(lambda: second.membership.term == term)  # else it could take it again
            with psycopg.connect(url, autocommit=True) as line:
                line.execute("UPDATE nonzero.term SET term = 1, node = 'z', secret = 'z'")
                line.execute("UPDATE nonzero.beat SET term = 1, beat = 7")
            await until_in_loop(lambda: len(first.ledger.calls) > 1)
            [(_, reason)] = first.ledger.calls[1:]
            assert reason in ("the database has another term", f"term {term} is over")
            again = await until_one_writes(*all_of)
            assert again.membership.term == term + 1
            assert second.membership.term <= again.membership.term

    asyncio.run(run())


def test_a_failover_of_the_database_leaves_the_term(breakable: Cluster) -> None:
    """The standby has it: who writes goes on, or whoever takes over has a later one; nothing is lost."""
    appended, patient = breakable.database(), breakable.database()
    make_tables(appended)
    make_tables(patient)

    async def run() -> None:
        # One has nothing to append, and so no append that fails: its signs of life go on.
        async with members(appended) as all_of, member(patient, "p", Unable(fails=0), lease=10.0) as only:
            first = await until_one_writes(*all_of)
            await until_one_writes(only)
            await until_in_loop(lambda: len(first.ledger.acks) > 5)
            term = first.membership.term
            told: list[float] = []
            only.membership.on_another_line(lambda: told.append(steady()))
            await asyncio.to_thread(breakable.fail_over)
            promoted = steady()
            await until_in_loop(
                lambda: any(ack.sent > promoted for one in all_of for ack in one.ledger.acks[-1:])
            )
            assert steady() - promoted < SOON + 2
            assert max(one.membership.term for one in all_of) > term
            await until_in_loop(lambda: (age := only.membership.lease_age) and age < steady() - promoted)
            assert (only.role, only.membership.term, only.membership.takeovers) == ("writing", 1, 1)
            await until_in_loop(lambda: told and told[-1] > promoted - 1)  # another server may have lost rows
        check(appended, *(one.ledger.acks for one in all_of))

    asyncio.run(run())
