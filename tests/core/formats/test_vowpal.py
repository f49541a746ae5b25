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
from nonzero import formats
from nonzero.batches.hashing import index_of
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


PLAIN, ODD = True, False
LABELS = {
    PLAIN: ["", "1", "-1", "0", "1.0", "-1.", "+1", "1e0", "10e-1", "0.0"],
    ODD: ["2", "x", "1x", "1:2:0.5", "nan", "1e", "0x1", "-", "ž", "-1-1"],
}
WEIGHTS = {PLAIN: ["2", "0.5", "1e3", ".25", "0", "1"], ODD: ["-1", "x", "2e7", "inf", "e5", "1_0"]}
INITIALS = {PLAIN: ["0", "0.0", "-0"], ODD: ["0.5", "x"]}
TAGS = {PLAIN: [" ", "'t ", "' ", "'ž", "t", "'t'", "1"], ODD: ["'t 'u ", "a\tb"]}
NAMESPACES = {PLAIN: ["", "a", "bc", "ž", "a=b", "1", "-", "e5"], ODD: [":2", ":", "::"]}
SCALES = {
    PLAIN: ["", "", ":2", ":0", ":0.5", ":-1", ":1e-3", ":+3"],
    ODD: [":", ":x", ":-", ":e5", ":1x", ":nan"],
}
NAMES = [
    "f",
    "site",
    "g=1",
    "ž",
    "",
    "01",
    "1",
    "-",
    "e5",
    "'q",
    "\u2028",
    "\ufeff",
    "abcdefgh",
    "a_rather_long_name",
]
NUMBERS = ["1", "0", "-0.5", "+2", ".5", "5.", "1e-3", "2E+2", "0e9", "-1e-30", "0.1234567890123456789"]
TEXTS = ["text", "x:y", "a|b", "-x", ".x", "ex", "+", "--", "e5x", "-|a", "ž", "'", "="]
ZEROS = ["-", ".", "E", "e5", "-.e-3"]
VALUES = {
    PLAIN: [*NUMBERS, *TEXTS, *ZEROS],
    ODD: ["", "1:2", "1x", "nan", "infinity", "inf", "0x10", "1e", "1e-", "2e6", "1e39", "1_0", "\x00"],
}
BLANKS = [" ", " ", " ", "  ", "\t", " \t "]
SPOILS = " \t|:'-.+e059až=\x00\r"


def line_of(rng: random.Random) -> tuple[str, bool]:
    """Return a line, and whether it is made of what must be read, and of nothing else."""
    plain = rng.random() < 0.6

    def one_of(choices: dict[bool, list[str]]) -> str:
        return rng.choice(choices[plain or rng.random() < 0.9])

    label = one_of(LABELS)
    words = [label]
    if label and rng.random() < 0.4:
        words.append(one_of(WEIGHTS))
        if rng.random() < 0.3:
            words.append(one_of(INITIALS))
    line = rng.choice(["", "", "", "name\t"]) + " ".join(words) + " " * rng.randrange(1, 3)
    line += one_of(TAGS).lstrip() if rng.random() < 0.5 else ""
    for _ in range(rng.randrange(1, 4)):
        namespace = one_of(NAMESPACES)
        line += "|" + namespace + (one_of(SCALES) if namespace else "")
        for _ in range(rng.randrange(5)):
            name = rng.choice(NAMES)
            valued = not name or rng.random() < 0.6
            line += rng.choice(BLANKS) + name + (":" + one_of(VALUES) if valued else "")
        line += rng.choice(["", " ", "\t", "  "])
    if not plain and rng.random() < 0.4:
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(line) + 1)
            line = line[:at] + rng.choice(["", rng.choice(SPOILS)]) + line[at + rng.randrange(2) :]
    return line, plain


@needs_vowpal
@pytest.mark.soak
def test_label_0_is_half_a_click_to_vowpal_wabbit_and_whole_numbers_are_one_name() -> None:
    from vowpalwabbit import Workspace

    workspace = Workspace("--loss_function logistic --link logistic --quiet --noconstant")
    for _ in range(20):
        workspace.learn("0 | a")
    assert workspace.predict("| a") == pytest.approx(0.5)
    example = workspace.example("| 1 01")
    assert example.feature(" ", 0) == example.feature(" ", 1)
    workspace.finish_example(example)
    workspace.finish()


def test_label_0_is_no_click_and_whole_numbers_are_names_as_others() -> None:
    batch = formats.parse(b"0 | a\n-1 | a\n1 | 1 01\n", "vw")
    assert batch.labels.tolist() == [0, 0, 1]
    assert len(np.unique(batch.indices[2:])) == 2
