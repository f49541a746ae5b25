"""The first week goes as its page says."""

from __future__ import annotations

import json
from pathlib import Path

from blocks import Reader, blocks_of

PAGE = Path(__file__).parent.parent / "docs/tutorial.md"


def test_the_first_week_goes_as_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for language, text in blocks_of(PAGE):
            reader.read(language, text)
            if text.endswith("/comparison?with=auto'\n"):
                compared = json.loads(reader.printed)
        assert reader.service
    mean, low, high = (f"{compared['difference'][name]:.3f}" for name in ("mean", "low", "high"))
    assert f"| `difference` | {mean}, from {low} to {high} |" in PAGE.read_text()
    assert compared["verdict"] == "better"
