"""What the pages of the client show is what happens: their blocks run, and print what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from nonzero_client import Client
from service.conftest import Start

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs/client.md", ROOT / "client/README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_print_what_the_page_says(page: Path, start: Start, memory_path: Path) -> None:
    service = start(memory_path / "data", bits=12).until_ready()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "page"}
    try:
        shown = list(run(blocks, service.url, names))
    finally:
        for value in names.values():
            if isinstance(value, Client):
                value.close()
    assert [printed for printed, _ in shown] == [text for _, text in shown]
    assert len(shown) == sum(language == "python" for language, _ in blocks) > 0


def run(blocks: list[tuple[str, str]], url: str, names: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Run the blocks of a page, one after the other; yield what was printed, and what should be."""
    printed = ""
    for language, text in blocks:
        if language == "python":
            out = StringIO()
            with redirect_stdout(out):
                exec(compile(text.replace("http://127.0.0.1:8000", url), "page", "exec"), names)
            printed = out.getvalue()
        elif language == "text":
            yield printed, text


def test_the_page_names_every_call() -> None:
    text = PAGES[0].read_text()
    table = text[text.index("| call | does |") : text.index("## Streams")]
    named = set(re.findall(r"`(\w+)`", table.partition("\n\n")[0]))
    calls = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert named == calls
