"""What columns are is decided once, over samples of all files, in any order of them."""

from __future__ import annotations

import gzip
import io
import sys
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from nonzero import Schema
from nonzero.errors import FormatError, SettingsError
from nonzero.sources.files import SAMPLE, Source
from nonzero.sources.tables import Tables, judge_tables


def judged(*files: Path, schema: Schema | None = None, **options: Any) -> Tables:
    return judge_tables([Source(file) for file in files], schema or Schema(), **options)


def table(path: Path, users: list[str], flags: tuple[str, ...] = ("True", "False")) -> Path:
    rows = (f"r{k}{path.stem},{user},{flags[k % len(flags)]},{k % 2}\n" for k, user in enumerate(users))
    path.write_text("request,user,flag,click\n" + "".join(rows))
    return path


def test_neither_the_order_of_files_nor_the_last_decides(tmp_path: Path) -> None:
    users = [f"u{k}" for k in range(1500)]
    files = [
        table(tmp_path / "big.csv", users + users),
        table(tmp_path / "small.csv", users[:200]),
        table(tmp_path / "other.csv", users[:50], ("true", "maybe")),
    ]
    for some in permutations(files):
        found = judged(*some)
        assert found.schema.fields == {"request": "ignore", "user": "category", "flag": "category"}
        assert (found.label, found.boolean, found.needed) == ("click", [], ["user", "flag"])
        (note,) = found.notes
        assert "'request' is left out: 3,250 values" in note
        assert "--keep request" in note
    assert judged(*files[:2]).boolean == ["flag"]
    assert judged(*files, keep=["request"]).schema.kind_of("request") == "category"


def test_what_is_declared_is_not_judged(tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", ["u"] * 300)
    said = {"request": "category", "us*": "number"}
    found = judged(file, schema=Schema(said, namespace_separator="^"))
    assert found.schema == Schema({**said, "flag": "category"}, namespace_separator="^")
    assert not found.notes
    assert judged(file, schema=Schema({"flag": "number"}, "category")).schema.fields == {"flag": "number"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("place", ["beginning", "middle", "end"])
def test_a_plain_file_is_looked_at_in_three_places(tmp_path: Path, place: str) -> None:
    count = 200_000
    users = [f"u{k}" for k in range(count)]
    users[{"beginning": 10, "middle": count // 2, "end": count - 10}[place]] = "u5"
    path = table(tmp_path / "a.csv", users)
    assert path.stat().st_size > 4 * SAMPLE
    assert judged(path).schema.fields["user"] == "category"
    assert judged(path).schema.fields["request"] == "ignore"


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [3 * SAMPLE - 7, 3 * SAMPLE + 1, 3 * SAMPLE + 999, None])
def test_samples_do_not_overlap_and_pieces_of_rows_do_not_count(tmp_path: Path, size: int | None) -> None:
    text = b"".join(b'%d,"a\n""b"",\n%d",1\n' % (k, k % 9) for k in range(170_000))
    (tmp_path / "a.csv").write_bytes(b"n,note,click\n" + text[:size])
    assert judged(tmp_path / "a.csv").schema.fields == {"n": "ignore", "note": "category"}


def test_of_a_compressed_file_the_beginning_is_looked_at(tmp_path: Path) -> None:
    users = [f"user-number-{k}" for k in range(200_000)]
    plain = table(tmp_path / "a.csv", [*users, *users[:1]])
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    assert judged(packed).schema.fields["user"] == "ignore"
    source = Source(packed)
    judge_tables([source], Schema())
    assert b"".join(source) == plain.read_bytes()


def test_standard_input_is_looked_at_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = table(tmp_path / "a.csv", [f"u{k % 150_000}" for k in range(200_000)]).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    source = Source("-")
    assert judge_tables([source], Schema()).schema.fields["user"] == "category"
    assert b"".join(source) == data


def test_files_that_differ_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("site,ad,click\n1,2,1\n")
    (tmp_path / "b.csv").write_text("Site;ad;click\n1;2;1\n")
    found = judged(tmp_path / "a.csv", tmp_path / "b.csv")
    assert found.needed == ["ad"]
    assert [note.split(" has no column ")[1] for note in found.notes] == [
        "'Site', which other files have",
        "'site', which other files have",
    ]


def test_names_that_a_schema_cannot_hold_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("click,a*,b\n1,2,3\n")
    found = judged(tmp_path / "a.csv")
    assert found.schema.fields == {"b": "category"}
    assert "'a*'" in found.notes[0]


def test_what_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("click,label,b\n1,2,3\n")
    with pytest.raises(FormatError, match=r"a\.csv: the columns 'click' and 'label'"):
        judged(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("click,b\n1,2\n")
    with pytest.raises(SettingsError, match="no column 'c' to keep; there are click, b"):
        judged(tmp_path / "a.csv", keep=["c"])
    with pytest.raises(SettingsError, match="'b' is to be kept, and ignore"):
        judged(tmp_path / "a.csv", keep=["b"], schema=Schema({"b": "ignore"}))


def test_a_file_without_anything_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    assert judged(tmp_path / "a.csv").schema == Schema()
