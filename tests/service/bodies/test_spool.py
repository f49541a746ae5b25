from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nonzero_service.bodies.spool import Spool


@pytest.mark.parametrize("memory", [0, 10, 10_000])
def test_bytes_come_out_in_order_whatever_waits_where(tmp_path: Path, memory: int) -> None:
    async def run() -> None:
        spool = Spool(memory, tmp_path)
        written = read = b""
        for round_ in range(20):
            for j in range(round_ % 5):
                data = b"%d-%d;" % (round_, j) * (round_ + 1)
                spool.write(data)
                written += data
            if round_ % 3 == 0 and len(read) < len(written):
                read += await spool.take()
        spool.end()
        while data := await spool.take():
            read += data
        assert read == written
        spool.close()

    asyncio.run(run())


def test_what_does_not_fit_into_memory_is_in_a_file_without_a_name(tmp_path: Path) -> None:
    async def run() -> None:
        spool = Spool(100, tmp_path)
        spool.write(b"a" * 100)
        assert not spool.spilled
        spool.write(b"b")
        assert spool.spilled
        assert not list(tmp_path.iterdir())
        assert await spool.take() == b"a" * 100
        assert await spool.take() == b"b"
        spool.close()

    asyncio.run(run())


def test_a_reader_waits_for_the_writer(tmp_path: Path) -> None:
    async def run() -> None:
        spool = Spool(100, tmp_path)
        reading = asyncio.create_task(spool.take())
        await asyncio.sleep(0)
        assert not reading.done()
        spool.write(b"now")
        assert await reading == b"now"
        spool.end()
        assert await spool.take() == b""

    asyncio.run(run())
