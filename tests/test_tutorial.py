"""The first week goes as its page says."""

from __future__ import annotations

from pathlib import Path

from blocks import Reader, blocks_of

PAGE = Path(__file__).parent.parent / "docs/tutorial.md"


def test_the_first_week_goes_as_the_page_says(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        for language, text in blocks_of(PAGE):
            reader.read(language, text)
        assert reader.service
