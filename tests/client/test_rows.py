"""Rows of tables: what each library calls missing is left out, and the rest is as it was."""

from __future__ import annotations

import csv
import datetime
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from client.calling import Calling
from nonzero_client import InputError, from_rows
from nonzero_client.values import example_line

COLUMNS = ["site", "bid", "click"]
ROWS = [("news", 0.5, 1), ("sport", None, 0), (None, 2.0, 1)]
EXPECTED = [
    {"features": {"site": "news", "bid": 0.5}, "label": 1},
    {"features": {"site": "sport"}, "label": 0},
    {"features": {"bid": 2.0}, "label": 1},
]


class Polars:
    """A table as polars has it."""

    def __init__(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self.columns = list(columns)
        self._rows = rows

    def iter_rows(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._rows)


class Pandas(Polars):
    """A table as pandas has it: what is missing is NaN."""

    iter_rows = None  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        if name == "iter_rows":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def itertuples(self, *, index: bool, name: None) -> Iterator[tuple[Any, ...]]:
        assert (index, name) == (False, None)
        return (tuple(math.nan if value is None else value for value in row) for row in self._rows)


class ArrowBatch:
    """A record batch as pyarrow has it."""

    def __init__(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self.schema = type("Schema", (), {"names": list(columns)})()
        self.num_rows = len(rows)
        self._rows = rows

    def slice(self, offset: int, length: int) -> ArrowBatch:
        return ArrowBatch(self.schema.names, self._rows[offset : offset + length])

    def to_pylist(self) -> list[dict[str, Any]]:
        return [dict(zip(self.schema.names, row, strict=True)) for row in self._rows]


class ArrowTable:
    """A table as pyarrow has it."""

    def __init__(self, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        self._batches = [ArrowBatch(columns, rows[:1]), ArrowBatch(columns, rows[1:])]
        self.schema = self._batches[0].schema

    def to_batches(self) -> list[ArrowBatch]:
        return self._batches


def arrow_reader(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Any:
    class Reader:
        schema = ArrowTable(columns, rows).schema

        def __iter__(self) -> Iterator[ArrowBatch]:
            return iter(ArrowTable(columns, rows).to_batches())

    return Reader()


def mappings(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in rows)


KINDS = [Polars, Pandas, ArrowTable, ArrowBatch, arrow_reader, mappings]


@pytest.mark.parametrize("make", KINDS)
def test_rows_become_examples(make: Any) -> None:
    assert list(from_rows(make(COLUMNS, ROWS), label="click")) == EXPECTED


@pytest.mark.parametrize("make", KINDS)
def test_each_member_has_its_column(make: Any) -> None:
    moment = datetime.datetime(2026, 11, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    columns = ["a", "click", "times", "imp", "at"]
    rows = [("x", 1, 2.5, 17, moment), ("y", None, None, "z", 1000)]
    found = from_rows(make(columns, rows), label="click", weight="times", id="imp", time="at")
    assert list(found) == [
        {"features": {"a": "x"}, "label": 1, "weight": 2.5, "id": "17", "time": 1_795_993_200_000},
        {"features": {"a": "y"}, "id": "z", "time": 1000},
    ]
    assert moment.timestamp() == 1_795_993_200


@pytest.mark.parametrize("make", KINDS[:-1])
def test_columns_are_looked_at_before_anything_is_sent(make: Any) -> None:
    with pytest.raises(InputError, match="there is no column 'clicks' for the label; did you mean 'click'"):
        from_rows(make(COLUMNS, ROWS), label="clicks")
    with pytest.raises(InputError, match="there is no column 'x' for the id; there are site, bid, click"):
        from_rows(make(COLUMNS, ROWS), id="x")
    with pytest.raises(InputError, match="there are two columns named 'site'"):
        from_rows(make(["site", "site", "click"], ROWS), label="click")


def test_a_time_says_its_zone() -> None:
    naive = datetime.datetime(2026, 11, 30)  # noqa: DTZ001 - it is what is refused
    with pytest.raises(InputError, match="2026-11-30T00:00:00 does not say its zone"):
        list(from_rows([{"at": naive}], time="at"))


def test_nan_is_missing_only_where_the_table_says_so() -> None:
    rows = [(math.nan,)]
    assert list(from_rows(Pandas(["bid"], rows))) == [{"features": {}}]
    [example] = from_rows(Polars(["bid"], rows))
    with pytest.raises(InputError, match="the feature 'bid' is nan"):
        example_line(example)


def test_rows_are_read_as_they_are_asked_for() -> None:
    given = []

    def rows() -> Iterator[dict[str, Any]]:
        for n in range(10):
            given.append(n)
            yield {"n": n}

    examples = from_rows(rows())
    assert given == []
    next(examples)
    assert given == [0]


def test_rows_of_a_file() -> None:
    text = io.StringIO("site,click\nnews,1\nsport,0\n")
    found = [json.loads(example_line(example)) for example in from_rows(csv.DictReader(text), label="click")]
    assert found[0] == {"features": {"site": "news"}, "label": "1"}


@pytest.mark.parametrize("rows", [5, "text", b"text", {"site": "news"}, None])
def test_what_has_no_rows(rows: Any) -> None:
    with pytest.raises(InputError, match="has no rows; give a DataFrame"):
        from_rows(rows)


def test_a_lazy_table_is_collected_first() -> None:
    class LazyFrame:
        def collect(self) -> Polars:
            return Polars(COLUMNS, ROWS)

    with pytest.raises(InputError, match=r"a LazyFrame has no rows yet; give its collect\(\)"):
        from_rows(LazyFrame())


def test_what_is_no_row() -> None:
    with pytest.raises(InputError, match="'site', of type str, is no row"):
        list(from_rows(["site"]))


@pytest.mark.parametrize("make", KINDS[:-2])
def test_a_table_itself_is_no_labels(make: Any, client: Calling) -> None:
    table = make(COLUMNS, ROWS)
    for call in (client.labels, client.label_stream):
        with pytest.raises(InputError, match="is no labels; give mappings with an id and a label"):
            call(table)


@pytest.mark.parametrize("make", KINDS[:-2])
def test_a_table_itself_is_a_stream_of_its_rows(make: Any, client: Calling, model: str) -> None:
    table = make(COLUMNS, ROWS)
    assert client.update(table, model=model).accepted == 3
    assert client.update_stream(table, model=model, batch_size=2).accepted == 3
    assert len(client.predict(table, model=model)) == 3
    assert len(list(client.predict_stream(table, model=model))) == 3


def frame_of(library: str) -> Any:
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(COLUMNS)}
    return module.table(columns) if library == "pyarrow" else module.DataFrame(columns)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_of_these_libraries(library: str, client: Calling, model: str) -> None:
    frame = frame_of(library)
    lines = [json.loads(example_line(example)) for example in from_rows(frame, label="click")]
    assert lines == EXPECTED
    assert client.update_stream(from_rows(frame, label="click"), model=model).accepted == 3
