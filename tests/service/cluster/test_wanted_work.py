"""Work that is wanted is done, once more where it is wanted meanwhile, and again where it failed."""

from __future__ import annotations

import asyncio

from nonzero_service.cluster.wanted_work import WantedWork
from nonzero_service.journal.errors import JournalUnreachableError
from waiting import until_in_loop


def test_what_is_wanted_is_done_and_done_again_where_it_failed() -> None:
    async def run() -> None:
        errors: list[Exception] = [ValueError("it does not work"), JournalUnreachableError("nobody answers")]
        begun, goes_on, done = 0, asyncio.Event(), 0

        async def do() -> None:
            nonlocal begun, done
            begun += 1
            await goes_on.wait()
            if errors:
                raise errors.pop()
            done += 1

        work = WantedWork(do, "it cannot be done")
        work.begin()
        await asyncio.sleep(0)
        assert begun == 0, "nobody wanted it"
        work.want()
        await until_in_loop(lambda: begun == 1)
        goes_on.set()
        await until_in_loop(lambda: done == 1)
        assert (begun, errors) == (3, [])
        goes_on.clear()
        work.want()
        await until_in_loop(lambda: begun == 4)
        work.want()  # it may have looked already at what is new
        goes_on.set()
        await until_in_loop(lambda: done == 3)
        goes_on.clear()
        work.want()
        await until_in_loop(lambda: begun == 6)
        await work.close()
        assert done == 3

    asyncio.run(run())
