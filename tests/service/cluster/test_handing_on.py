"""What waits to be handed on keeps its order, in bounded memory, and nothing of it is lost in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from nonzero_service.cluster.handing_on import HandingOn
from nonzero_service.errors import WriterLostError
from nonzero_service.problems import Problem
from nonzero_service.workers.request_messages import ImpressionsKept, KeepImpressions
from waiting import until_in_loop


def impressions(n: int, size: int = 100) -> KeepImpressions:
    given = np.ones(2, np.bool_).tobytes()
    return KeepImpressions(f"m{n}", bytes(size), b"", b"", given, b"", "", b"")


class Writing:
    """Whoever writes, as a test has it answer."""

    def __init__(self, durable: bool = False, most_bytes: int = 1 << 20) -> None:
        self.came: list[str] = []
        self.lost: list[tuple[str, int]] = []
        self.answers: dict[str, int] = {}
        self.away = self.broken = False
        self.handing = HandingOn(
            self._send, lambda *lost: self.lost.append(lost[:2]), durable=durable, most_bytes=most_bytes
        )

    async def _send(self, *some: KeepImpressions) -> list[ImpressionsKept]:
        await asyncio.sleep(0)
        if self.away:
            raise WriterLostError("nobody")
        if self.broken:
            raise RuntimeError("this was to happen")
        self.came += [one.model for one in some]
        return [ImpressionsKept(self.answers.get(one.model, 200), "why") for one in some]


def run(check: Callable[[Writing], Awaitable[None]], writing: Writing | None = None) -> None:
    asyncio.run(check(writing or Writing()))  # type: ignore[arg-type]


def test_they_keep_their_order_and_wait_for_whoever_is_next() -> None:
    async def check(writing: Writing) -> None:
        writing.away = True
        for n in range(200):
            await writing.handing.keep(impressions(n))
        await asyncio.sleep(0.15)
        assert (writing.came, writing.handing.count) == ([], 400)
        writing.away = False
        await writing.handing.passed(5)
        assert writing.came == [f"m{n}" for n in range(200)]
        assert (writing.handing.count, writing.handing.nbytes, writing.handing.handed_on) == (0, 0, 400)

    run(check)


def test_one_that_is_refused_for_now_is_sent_again_and_nothing_overtakes_it() -> None:
    async def check(writing: Writing) -> None:
        writing.answers = {"m1": 503, "m2": 507, "m3": 404}
        for n in range(5):
            await writing.handing.keep(impressions(n))
        await until_in_loop(lambda: writing.came.count("m1") == 2)
        del writing.answers["m1"]
        await writing.handing.passed(5)
        assert writing.handing.handed_on == 8  # nothing is kept of a model that has gone, as was asked for
        assert writing.lost == [("m2", 2)]

    run(check)


def test_what_finds_no_room_is_lost_and_counted() -> None:
    async def check(writing: Writing) -> None:
        writing.away = True
        for n in range(4):
            await writing.handing.keep(impressions(n, 300))
        assert writing.lost == [("m3", 2)]
        assert writing.handing.nbytes <= 1000
        await writing.handing.close(0.05)
        assert sorted(writing.lost) == [(f"m{n}", 2) for n in range(4)]
        assert writing.handing.nbytes == 0

    run(check, Writing(most_bytes=1000))


@pytest.mark.parametrize(("status", "raised"), [(200, None), (404, None), (503, 503), (507, 507)])
def test_what_is_to_be_durable_is_answered_by_the_writer(status: int, raised: int | None) -> None:
    async def check(writing: Writing) -> None:
        writing.answers = {"m0": status}
        one = impressions(0)
        if raised is None:
            await writing.handing.keep(one)
        else:
            with pytest.raises(Problem) as caught:
                await writing.handing.keep(one)
            assert caught.value.status == raised
        assert one.handed_on
        writing.away = True
        with pytest.raises(WriterLostError):
            await writing.handing.keep(one)
        assert writing.lost == [("m0", 2)] * (1 if raised is None else 2)

    run(check, Writing(durable=True))


def test_one_that_comes_the_moment_all_is_handed_on_is_handed_on_too() -> None:
    async def check(writing: Writing) -> None:
        for n in range(20):
            await writing.handing.keep(impressions(n))
            async with asyncio.timeout(5):
                await writing.handing.passed(60)
        assert len(writing.came) == 20

    run(check)


def test_who_waits_for_it_does_not_wait_for_ever() -> None:
    async def check(writing: Writing) -> None:
        writing.away = True
        await writing.handing.passed(60)  # there is nothing
        await writing.handing.keep(impressions(0))
        await writing.handing.passed(0.01)
        assert writing.handing.count == 2
        await writing.handing.close(0)

    run(check)


def test_a_defect_is_counted_and_holds_nothing_up() -> None:
    async def check(writing: Writing) -> None:
        writing.broken = True
        await writing.handing.keep(impressions(0))
        await writing.handing.passed(5)
        writing.broken = False
        await writing.handing.keep(impressions(1))
        await writing.handing.passed(5)
        assert (writing.lost, writing.came) == ([("m0", 2)], ["m1"])

    run(check)
