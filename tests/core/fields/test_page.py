"""docs/schema.md and docs/arrow.md: their examples give what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(("page", "fewest"), [("schema.md", 10), ("arrow.md", 7)])
def test_the_examples_give_what_the_page_says(page: str, fewest: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, str(DOCS / page), 0)
    assert len(examples.examples) >= fewest
    assert doctest.DocTestRunner().run(examples).failed == 0
