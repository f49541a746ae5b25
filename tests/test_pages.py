"""The pages: their links lead somewhere, the paths that they name exist, and their Python runs."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    .*$", re.MULTILINE)
PATH = re.compile(r"`((?:\.ci|bench|core|deploy|docs|findings|image|service|tests)/[\w./*-]*)`")
MADE_UP = {"X", "pairs.py", "test_pairs.py", "clipped.py", "nonzero-token"}
"""Parts of paths in the recipes that stand for what is to be written."""


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return INDENTED.sub("", FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(anchor if not seen[anchor] else f"{anchor}-{seen[anchor]}")
        seen[anchor] += 1
    return found


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=named(page)) for page in PAGES],
)
def test_paths_in_pages_exist(page: Path) -> None:
    paths = PATH.findall(FENCE.sub("", page.read_text()))
    lost = [
        path for path in paths if not MADE_UP & set(path.split("/")) and not any(ROOT.glob(path.rstrip("/")))
    ]
    assert lost == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            links = (link.partition("#")[0] for link in LINK.findall(prose(page)) if "://" not in link)
            waiting += [(page.parent / link).resolve() for link in links if link]
    assert [named(page) for page in PAGES if page not in reached and page.parent.name != "bench"] == []


@pytest.mark.parametrize("root", ["core/nonzero", "service/nonzero_service"])
def test_the_architecture_names_every_folder(root: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    section = text[text.index(f"`{root}/` is ") :].partition("\n\n`")[0].partition("\n| elsewhere")[0]
    named_there = re.findall(r"^\| `(\w+)/` \|", section, re.MULTILINE)
    there = [path.name for path in (ROOT / root).iterdir() if (path / "__init__.py").exists()]
    assert sorted(named_there) == sorted(there)


def test_the_architecture_names_every_kind_of_row() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    table = text[text.index("## The journal") : text.index("## A row of the table")]
    [kinds] = [
        found[1]
        for path in (ROOT / "service/nonzero_service").rglob("*.py")
        if (found := re.search(r"^KINDS: Final = \{(.*?)^\}", path.read_text(), re.MULTILINE | re.DOTALL))
    ]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(
        re.findall(r'"(\w+)":', kinds)
    )


def test_every_kind_of_event_that_the_page_names_is_described() -> None:
    shown = (ROOT / "service/nonzero_service/page/overview.js").read_text()
    kinds = shown[shown.index("const KINDS = {") :].partition("};")[0]
    text = (ROOT / "docs/http.md").read_text()
    rows = re.findall(
        r"^\| (.*?) \|", text[text.index("| `kind` | is |") :].partition("\n\n")[0], re.MULTILINE
    )
    assert sorted(re.findall(r"^  (\w+):", kinds, re.MULTILINE)) == sorted(
        re.findall(r"`(\w+)`", " ".join(rows[1:]))
    )


def test_the_python_in_how_to_change_it_runs() -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/changing.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/changing.md", "exec"), {"__name__": "page"})
