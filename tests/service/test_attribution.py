"""Labels whose clients leave before they are answered."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nonzero.formats.json_bodies import parse_body
from nonzero_service.models.registry import Models
from nonzero_service.settings import Settings


def no_failure(error: Exception) -> None:
    raise AssertionError(error)


def test_a_label_that_was_left_may_be_sent_again(tmp_path: Path) -> None:
    """Wherever it was left: while its prediction was looked up, queued, or learned from."""

    async def run() -> None:
        models = Models(Settings.load(data_dir=tmp_path, bits=8), no_failure)
        await models.open()
        served = models.get("default")
        for turns in range(12):
            batch = parse_body(b'{"features": {"site": "news"}, "id": "%d"}' % turns)
            served.attribution.keep(batch, served.model.predict(batch))
            left = asyncio.ensure_future(served.attribution.label([str(turns)], [1]))
            for _ in range(turns):
                await asyncio.sleep(0 if turns < 6 else 0.0005)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            async with asyncio.timeout(5):
                again = await served.attribution.label([str(turns)], [1])
            assert again.verdicts[0] in ("joined", "duplicate")
        assert served.model.examples == 12
        await models.close()

    asyncio.run(run())
