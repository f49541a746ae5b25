"""Memory: a model's is there before the model is, and goes when the model or its copy has gone."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from machine import resident
from nonzero import Batch
from nonzero_service.models.registry import Models
from nonzero_service.models.served import ServedModel
from nonzero_service.settings import Settings
from service.failures import no_failure
from waiting import until_in_loop

MEGABYTES = 64
"""Of a table of eight lanes and 20 bits."""


def held() -> float:
    """Return the memory of this process, in MiB."""
    return resident() / 2**20


async def until_it_falls_to(megabytes: float) -> None:
    """Wait until the threads have let go too."""
    await until_in_loop(lambda: held() <= megabytes, held)


async def learn(served: ServedModel, name: str) -> None:
    await served.learner.submit(Batch.from_dicts([{"a": name}], [1]))


def test_of_a_model_and_of_a_snapshot(tmp_path: Path) -> None:
    """No collection runs: what waits for one may wait for hours."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), no_failure)
        await models.open()
        before = held()
        served = await models.create("large", bits=20)
        with_it = held()
        assert with_it > before + 0.95 * MEGABYTES
        for name in ("b", "c"):
            await learn(served, name)
            await served.snapshots.take()
        await until_it_falls_to(with_it + 0.25 * MEGABYTES)
        del served
        await models.delete("large")
        await until_it_falls_to(before + 0.25 * MEGABYTES)
        await models.close()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()
