"""What may wait for an object store, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


async def beside(task: Callable[[], None]) -> None:
    """Run a task in a thread that keeps no process from its end: a store may not answer for minutes.

    Parameters
    ----------
    task
        What is run. It goes on where the waiting is cancelled.

    Raises
    ------
    Exception
        What the task raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failed = None
        try:
            task()
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            failed = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, failed)

    threading.Thread(target=run, name="storing", daemon=True).start()
    await done
