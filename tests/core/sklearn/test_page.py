"""docs/sklearn.md: its examples give what it says."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs/sklearn.md"


def test_the_examples_give_what_the_page_says() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "sklearn.md", str(PAGE), 0)
    assert len(examples.examples) >= 25
    assert doctest.DocTestRunner().run(examples).failed == 0
