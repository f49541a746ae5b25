"""A release has one number everywhere, and its page names the formats that the code reads."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import nonzero
import nonzero_client
from nonzero.model import settings
from nonzero.persistence import snapshot
from nonzero.sources import rows_file
from nonzero_service.journal import chain
from nonzero_service.journal.sqlite import database
from nonzero_service.models import data_directory

ROOT = Path(__file__).parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PAGE = (ROOT / "docs/releases.md").read_text()
KINDS = [
    "Upgrade",
    "Added",
    "Changed",
    "Deprecated",
    "Removed",
    "Fixed",
    "Security",
    "For those who change it",
]
"""Those of Keep a Changelog, and two of our own, in their order."""


def test_both_distributions_have_the_version_that_the_changelog_tells() -> None:
    assert nonzero.__version__ == nonzero_client.__version__
    (first, *_), coming = releases(), re.search(r"This will be (\S+)\.$", CHANGELOG, re.MULTILINE)
    if first == "Unreleased":
        assert coming
        assert coming[1] == nonzero.__version__
    else:
        assert first == nonzero.__version__
        assert not coming


def releases() -> list[str]:
    return re.findall(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)


def test_the_changelog_is_in_the_form_that_it_says() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    dated = [
        re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\S+)", heading)
        for heading in headings
        if heading != "[Unreleased]"
    ]
    assert all(dated)
    assert "[Unreleased]" not in headings[1:]
    order = [((int(one[1]), int(one[2]), int(one[3])), date.fromisoformat(one[4])) for one in dated if one]
    assert order == sorted(order, reverse=True)
    for release in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", release, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_the_page_names_the_formats_of_files() -> None:
    section = PAGE[PAGE.index("## Files of older releases") :]
    rows = [line.split("|")[1:-1] for line in section.splitlines() if line.startswith("| a ")]
    told = {what.strip(): (reads.strip(), writes.strip()) for what, _, reads, writes in rows}
    reads, writes = told["a saved model, a snapshot"]
    assert (reads, writes) == (f"`{snapshot.WHOLE}`, `{snapshot.FORMAT}`", f"`{snapshot.FORMAT}`")
    assert told["a model's settings"][0] == f"1 to {settings.VERSION}"
    assert told["a journal"] == (str(database.FORMAT),) * 2
    assert told["a data directory"] == (data_directory.FORMAT.strip(),) * 2
    assert told["a [rows file](files.md#rows-files)"] == (str(rows_file.VERSION),) * 2
    several = {kind: sorted(versions) for kind, versions in chain.KINDS.items() if versions != {1}}
    said = "; ".join(f"`{kind}`: {', '.join(map(str, versions))}" for kind, versions in several.items())
    assert told["a row of a journal"][0] == f"{said}; all others: 1"
