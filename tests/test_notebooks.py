# mypy: disable-error-code="no-untyped-call"
"""What the notebooks keep as printed is what they print."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from notebooks import NOTEBOOKS, executed, outputs

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
ABOUT = {"late_labels": 0.05}
"""How far numbers may be off that depend on what comes between what; elsewhere they are exact."""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_prints_what_it_keeps(path: Path, tmp_path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert [cell.metadata for cell in kept.cells] == [{}] * len(kept.cells)
    printed = outputs(executed(path, tmp_path))
    assert [kind for kind, _ in printed] == [kind for kind, _ in outputs(kept)]
    for (_, now), (_, before) in zip(printed, outputs(kept), strict=True):
        assert NUMBER.sub("#", now) == NUMBER.sub("#", before)
        numbers, those_before = ([float(text) for text in NUMBER.findall(one)] for one in (now, before))
        assert numbers == pytest.approx(those_before, abs=ABOUT.get(path.stem, 0), rel=0)


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 3
