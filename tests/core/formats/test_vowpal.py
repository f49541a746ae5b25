"""VW text beside Vowpal Wabbit's own reading: the page's table, its own files, lines made of its grammar.

Vowpal Wabbit comes with what `make soak` installs. NONZERO_VW_FILES names a folder of text for it, such as
the ``test`` folder of its own repository.
"""

from __future__ import annotations

import gzip
import os
import random
import re
from pathlib import Path

import numpy as np
import pytest

from core.formats.plainly import assert_same, plain_reader, whole
from core.formats.vowpal import IS_THERE, compare, read_by_vowpal
from core.formats.vw_texts import line_of
from nonzero import formats
from nonzero.errors import FormatError
from nonzero.fields.hashing import index_of
from reporting import Figure

PAGE = Path(__file__).parents[3] / "docs/vw.md"
LINES = 10_000
needs_vowpal = pytest.mark.skipif(not IS_THERE, reason="vowpalwabbit is not installed; make soak installs it")


def rows_of_the_page() -> list[tuple[str, str, str]]:
    """Return line, what Vowpal Wabbit reads and what we read, for each row of the table."""
    table = PAGE.read_text().partition("| what | line | VW reads | Nonzero reads |\n")[2].partition("\n\n")[0]
    found = []
    for row in table.splitlines()[1:]:
        _, _, *cells, _ = (cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row))
        line, theirs, ours = (cell.removeprefix("`").removesuffix("`") for cell in cells)
        found.append((line.replace("\\t", "\t").replace("\\r", "\r"), theirs, ours))
    return found


ROWS = rows_of_the_page()
REASONS = {ours.removeprefix("error: ") for _, _, ours in ROWS if ours.startswith("error: ")}


@pytest.mark.parametrize(("line", "ours"), [(line, ours) for line, _, ours in ROWS])
def test_we_read_what_the_page_says(line: str, ours: str) -> None:
    parsed = whole(formats.reader("vw"), line.encode())
    if ours.startswith("error: "):
        assert [ours.removeprefix("error: ") in error.reason for error in parsed.errors] == [True]
        return
    assert parsed.errors == ()
    if ours == "no example":
        assert parsed.skipped == (1,)
        return
    head, _, body = ours.partition("|")
    features = [feature.rsplit(":", 1) for feature in body.split()]
    assert [parsed.batch.labels[0], parsed.batch.weights[0]] == [float(word) for word in head.split()]
    assert parsed.batch.indices.tolist() == [index_of(name) for name, _ in features]
    assert parsed.batch.explicit_values().tolist() == [np.float32(value) for _, value in features]


@needs_vowpal
@pytest.mark.soak
def test_vowpal_wabbit_reads_what_the_page_says(tmp_path: Path) -> None:
    read = read_by_vowpal([line for line, _, _ in ROWS], tmp_path)
    assert [str(reading) for reading in read] == [theirs for _, theirs, _ in ROWS]


@needs_vowpal
@pytest.mark.soak
def test_lines_of_its_grammar_are_read_as_by_vowpal_wabbit(tmp_path: Path, figure: Figure) -> None:
    rng = random.Random(20)
    made = [line_of(rng) for _ in range(LINES)]
    lines = [line for line, _ in made]
    compared = compare(lines, read_by_vowpal(lines, tmp_path))
    wrongly = [lines[n - 1] for n in compared.refused if made[n - 1][1]]
    unlisted = {lines[n - 1]: reason for n, reason in compared.refused.items() if not listed(reason)}
    differing = {lines[n - 1]: what for n, what in compared.differing.items()}
    figure(
        f"VW text beside Vowpal Wabbit's reading: {LINES:,} lines of its grammar, some of them spoiled",
        "every line alike, or refused for a reason that docs/vw.md lists",
        f"{LINES - len(compared.refused):,} alike, {len(compared.refused):,} refused, "
        f"{len(wrongly) + len(unlisted) + len(differing)} otherwise",
    )
    assert (differing, wrongly, unlisted) == ({}, [], {})
    assert len(compared.refused) < LINES / 2
    text = "".join(f"{line}\n" for line in lines).encode()
    assert_same(whole(formats.reader("vw"), text), whole(plain_reader("vw"), text))


@needs_vowpal
@pytest.mark.soak
def test_files_are_read_as_by_vowpal_wabbit(tmp_path: Path, figure: Figure) -> None:
    """Lines with other kinds of labels are refused, and read once more with the label 1."""
    folder = os.environ.get("NONZERO_VW_FILES")
    if not folder:
        pytest.skip("NONZERO_VW_FILES names no folder of VW text")
    files = alike = refused = 0
    wrong: dict[str, str] = {}
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        lines = lines_of_file(path)
        if not lines:
            continue
        files += 1
        for read in (
            lines,
            [f"1 |{body}" for _, bar, body in (line.partition("|") for line in lines) if bar],
        ):
            compared = compare(read, read_by_vowpal(read, tmp_path))
            refused += len(compared.refused)
            alike += len(read) - len(compared.refused) - len(compared.differing)
            unlisted = {n: reason for n, reason in compared.refused.items() if not listed(reason)}
            found = compared.differing | unlisted
            wrong |= {f"{path.name}, {read[n - 1]!r}": what for n, what in found.items()}
    figure(
        f"VW text beside Vowpal Wabbit's reading: {files} files, each line as it is and with the label 1",
        "every line alike, or refused for a reason that docs/vw.md lists",
        f"{alike:,} lines alike, {refused:,} refused, {len(wrong)} otherwise",
    )
    assert wrong == {}
    assert files


def lines_of_file(path: Path) -> list[str]:
    """Return the lines of a file; none where it is no VW text: not UTF-8, or without a bar in most lines."""
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (UnicodeDecodeError, OSError):
        return []
    # Its audit joins names by ^.
    lines = [line.removesuffix("\r").replace("^", "~") for line in text.split("\n")]
    bars = sum("|" in line for line in lines)
    return lines if bars > sum(line.strip() != "" for line in lines) / 2 else []


def listed(reason: str) -> bool:
    """Tell whether the page has a row of such an error."""
    return any(one in reason for one in REASONS)


@needs_vowpal
@pytest.mark.soak
def test_labels_names_and_values_are_to_vowpal_wabbit_what_the_page_says() -> None:
    from vowpalwabbit import Workspace

    workspace = Workspace("--loss_function logistic --link logistic --quiet --noconstant")
    for _ in range(20):
        workspace.learn("0 | a")
    assert workspace.predict("| a") == pytest.approx(0.5)
    example = workspace.example("| 1 01")
    assert example.feature(" ", 0) == example.feature(" ", 1)
    workspace.finish_example(example)
    numbers = [f"0.{digits}" for digits in range(123456789, 123456889)]
    example = workspace.example("| " + " ".join(f"f{i}:{number}" for i, number in enumerate(numbers)))
    values = [example.feature_weight(" ", i) for i in range(len(numbers))]
    workspace.finish_example(example)
    workspace.finish()
    exact = np.array(numbers, np.float64).astype(np.float32)
    assert np.allclose(values, exact, rtol=1e-6)
    assert (np.array(values, np.float32) != exact).any()
    batch = formats.parse(
        b"| " + " ".join(f"f{i}:{number}" for i, number in enumerate(numbers)).encode(), "vw"
    )
    assert (batch.explicit_values() == exact).all()


def test_labels_names_and_tags_are_to_us_what_the_page_says() -> None:
    batch = formats.parse(b"0 | a\n-1 | a\n1 | 1 01\n", "vw")
    assert batch.labels.tolist() == [0, 0, 1]
    assert len(np.unique(batch.indices[2:])) == 2
    with pytest.raises(FormatError, match=r"the tag .* is not UTF-8"):
        formats.parse(b"1 '\xff| a\n", "vw")
