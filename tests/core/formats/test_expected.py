"""Logs whose lines have the same fields in the same order, mostly: what came before is not looked at anew."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import formats
from nonzero.fields.lookup import NEW_LINES
from nonzero.formats.assembly import PlainRow

LINES = 60
NAMES = [
    *("a", "f1", "ns", "site", "a=b", "-", "ž", "seven77", "eight888", "nine99999", "thirteen13131"),
    *("fourteen141414", "fifteen15151515", "sixteen161616161", "seventeen17171717"),
]
WORDS = [
    "x",
    "v1",
    "v200000",
    "1",
    "0.5",
    "eight888",
    "nine99999",
    "a=b",
    "žlu",
    "16letters16letter",
    "e5",
    "-",
]
NUMBERS = [
    *(
        "0.25",
        "-0.25",
        "6.2699720e-02",
        "-6.2699720e-02",
        "1.5e-00",
        "9.9999999e-09",
        "0.0",
        "-0.0",
        "0.0e-05",
    ),
    *("1.1234567", "1.12345678", "1.123456789012345678", "12.5", "1", "007", "1.", ".5", "1e3", "1.5e-012"),
    *(
        "1.5e-0",
        "1.5e-0x",
        "1.5e-",
        "1.5e+05",
        "1.5E-05",
        "1.5e-05e",
        "1..5",
        "1.5.5",
        "x",
        "",
        "-",
        "1000001",
    ),
    *("99999999", "123456789.5", "12345678901234567890", "0.1e22", "1e400", "1e-400", "+1.5", "1:5", "nan"),
]
HEADS = ["1 ", "-1 ", "0 ", "1 2 ", "1 'id", "", "1.0 ", "2 ", "1  ", "-1 0.5 'täg"]
SCHEMAS: list[dict[str, str]] = [{}, {"site": "category", "a": "number", "ns": "ignore"}, {"*": "category"}]


def some_names(rng: random.Random) -> list[str]:
    return rng.sample(NAMES, rng.randrange(1, len(NAMES)))


def some_of(names: list[str], rng: random.Random, odd: float) -> list[str]:
    """Return the names, or, so often, some of them in another order."""
    if rng.random() >= odd:
        return names
    kept = [name for name in names if rng.random() < 0.8]
    if kept and rng.random() < 0.3:
        kept.insert(rng.randrange(len(kept)), rng.choice(NAMES))
    if rng.random() < 0.2:
        rng.shuffle(kept)
    return kept


def vw_line(names: list[str], valued: set[str], rng: random.Random, odd: float) -> str:
    parts = []
    for name in some_of(names, rng, odd):
        namespace = f"|{name}"
        if rng.random() < odd / 10:
            namespace += rng.choice([":2", ":0.5", ":", ":x"])
        words = []
        for _ in range(1 if rng.random() >= odd else rng.randrange(4)):
            word = rng.choice(WORDS)
            if (name in valued) != (rng.random() < odd):
                word += ":" + (rng.choice(NUMBERS) if rng.random() < odd else rng.choice(NUMBERS[:6]))
            words.append(word)
        blank = " " if rng.random() >= odd / 4 else rng.choice(["  ", "\t", " \t"])
        parts.append(blank.join([namespace, *words]))
    head = rng.choice(HEADS) if rng.random() < odd else rng.choice(HEADS[:3])
    end = rng.choice([" ", "\r", "\t", " |", "|", "||b", ":"]) if rng.random() < odd / 2 else ""
    return head + (" " if rng.random() >= odd / 10 else "").join(parts) + end


def json_line(names: list[str], valued: set[str], rng: random.Random, odd: float, space: str) -> str:
    parts = []
    for name in some_of(names, rng, odd):
        value: Any = rng.choice(WORDS)
        if (name in valued) != (rng.random() < odd):
            value = rng.choice([0.25, -0.25, 0, 1, 12345.678, True, None, ["a", "b"], [], "", 'a"b', "\n"])
        spoilt = rng.random() < odd / 8
        written = json.dumps(value, ensure_ascii=rng.random() < 0.5)
        key = json.dumps(name, ensure_ascii=rng.random() < odd)
        parts.append(f"{key}:{space}{rng.choice(NUMBERS[3:]) if spoilt else written}")
    comma = "," + (space if rng.random() >= odd / 8 else rng.choice(["", " ", "  ", "\t"]))
    features = comma.join(parts) + (rng.choice([",", " ", "}"]) if rng.random() < odd / 8 else "")
    return f'{{"features":{space}{{{features}}},{space}"label":{space}{rng.randrange(2)}}}'


@pytest.mark.sampled(12)
@pytest.mark.parametrize("odd", [0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(12))
def test_vw_lines_alike_are_read_as_python_reads_each(seed: int, odd: float) -> None:
    rng = random.Random(seed)
    names = some_names(rng)
    valued = {name for name in names if rng.random() < 0.4}
    text = "\n".join(vw_line(names, valued, rng, odd) for _ in range(LINES)).encode()
    for options in ({"schema": rng.choice(SCHEMAS)}, {"namespace_separator": "^"}):
        ours = whole(formats.reader("vw", **options), text)
        assert_same(ours, whole(plain_reader("vw", **options), text))
        assert odd or len(ours.batch) == LINES or "schema" in options
        cut = [text[start : start + 97] for start in range(0, len(text), 97)]
        assert_same(whole(formats.reader("vw", **options), *cut), ours)


@pytest.mark.sampled(16)
@pytest.mark.parametrize("odd", [0, 0.1, 0.5])
@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("seed", range(8))
def test_json_lines_alike_are_read_as_python_reads_each(seed: int, space: str, odd: float) -> None:
    rng = random.Random(seed)
    names = some_names(rng)
    valued = {name for name in names if rng.random() < 0.4}
    text = "\n".join(json_line(names, valued, rng, odd, space) for _ in range(LINES)).encode()
    schema = rng.choice(SCHEMAS)
    ours = whole(formats.reader("ndjson", schema=schema), text)
    assert_same(ours, whole(plain_reader("ndjson", schema=schema), text))
    cut = [text[start : start + 97] for start in range(0, len(text), 97)]
    assert_same(whole(formats.reader("ndjson", schema=schema), *cut), ours)


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("vw", "1 |f1 v1 |site a b |seven77 x:6.2699720e-02 y:1\n"),
        ("ndjson", '{"features": {"f1": "v1", "site": "a", "seven77": 0.5}, "label": 1}\n'),
    ],
)
def test_such_lines_are_not_left_to_python(form: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = formats.reader(form)
    asked: list[bytes] = []
    read_line = reader.format.read_line

    def asking(text: bytes) -> PlainRow:
        asked.append(text)
        return read_line(text)

    monkeypatch.setattr(reader.format, "read_line", asking)
    assert len(whole(reader, line.encode() * LINES).batch) == LINES
    assert len(asked) <= NEW_LINES


@pytest.mark.parametrize("form", ["vw", "ndjson"])
def test_more_names_than_are_expected_are_read(form: str) -> None:
    # So many that they take each other's places.
    names = [f"name{k}" for k in range(3000)]
    if form == "vw":
        line = "1 " + " ".join(f"|{name} a" for name in names) + "\n"
    else:
        line = json.dumps({"features": dict.fromkeys(names, "a"), "label": 1}) + "\n"
    text = line.encode() * 4
    assert_same(whole(formats.reader(form), text), whole(plain_reader(form), text))


def test_a_schema_that_learns_of_a_field_is_asked_anew() -> None:
    schema = formats.reader("vw").format.schema
    first, second = (formats.reader(form, schema=schema) for form in ("vw", "ndjson"))
    for _ in range(3):
        first.feed(b"1 |bid x:2\n" * 20)
    assert not second.feed(b'{"features": {"bid": 0.5}, "label": 1}\n' * 20).errors
    found = first.feed(b"1 |bid word\n" * 20)
    assert_same(found._replace(lines=found.lines - 60), whole(plain_reader("vw"), b"1 |bid word\n" * 20))
    assert found.conflicts == {"bid": 20}
