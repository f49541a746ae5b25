"""Tables and files of tables: sent as Arrow or as text, they teach what their rows as examples teach."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import itertools
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import duckdb
import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from client.calling import Calling
from nonzero import LogisticRegression
from nonzero_client import Client, ContentError, InputError, PartialError, UpdateResult, from_rows, tables
from nonzero_client.columns import Columns
from service.conftest import FreshService

SAID: Final = {"fields": {"site": "category", "n": "category", "bid": "number"}, "default": "infer"}
MOMENT: Final = datetime.datetime(2026, 11, 30, 6, 5, 4, 123456)  # noqa: DTZ001 - a feature, as text
COLUMNS: Final[dict[str, list[Any]]] = {
    "site": ["news", None, "žluť", "00501", "a"],
    "n": [7, 2**53 + 1, None, -1, 0],
    "bid": [0.5, None, 2.0, -1e-3, 0.0],
    "f": [1.5, 0.1, None, 3.0, -2.0],
    "small": [1, 2, 3, 4, None],
    "new": [True, False, None, True, True],
    "at": [MOMENT, None, MOMENT, MOMENT.replace(microsecond=0), MOMENT],
    "day": [datetime.date(2026, 11, 30), None, None, datetime.date(1970, 1, 1), None],
    "click": [1, 0, 1, 0, 1],
    "imp": ["i-1", None, "i-3", "ž", ""],
    "w": [1.0, 2.0, 0.5, 1.0, 3.0],
}
ROLES: Final[dict[str, Any]] = {"weight": "w", "id": "imp"}
_names = itertools.count()


def arrow_table(columns: Any = COLUMNS) -> pa.Table:
    return pa.table(columns)


def tables_of(columns: Any = COLUMNS) -> dict[str, Any]:
    """The same table as each library has it."""
    table = arrow_table(columns)
    coded = table.set_column(0, "site", table["site"].combine_chunks().dictionary_encode())
    given = pd.DataFrame({name: column for name, column in columns.items() if name != "day"})
    return {
        "pyarrow": table,
        "pyarrow, coded": coded,
        "pyarrow, views": table.set_column(0, "site", table["site"].cast(pa.string_view())),
        "a record batch": table.combine_chunks().to_batches()[0],
        "pandas": given,
        "pandas, nullable": given.convert_dtypes(),
        "pandas, by pyarrow": table.to_pandas(types_mapper=pd.ArrowDtype),
        "pandas, categorical, with an index": given.astype({"site": "category"}).set_index(
            pd.Index([4, 4, 2, 1, 0], name="position")
        ),
        "polars": pl.DataFrame(columns),
        "polars, categorical": pl.DataFrame(columns).with_columns(pl.col("site").cast(pl.Categorical)),
    }


@pytest.fixture
def new_model(client: Calling) -> Iterator[Any]:
    """Makes models of a schema; they are deleted after the test."""
    made: list[str] = []

    def make() -> str:
        name = f"table-{next(_names)}"
        settings = {"bits": 12, "learning_rate": 0.1, "schema": SAID, "negatives": "at_end"}
        client.create_model(name, settings)
        made.append(name)
        return name

    yield make
    for name in made:
        client.delete_model(name)


def digest(client: Calling, model: str, place: Path) -> str:
    client.take_snapshot(model=model)
    path = place / f"{model}.safetensors"
    client.download_snapshot(path, model=model)
    found = LogisticRegression.load(path).digest()
    path.unlink()
    return found


class Sent:
    """What goes over the wire: the types of the bodies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.types: list[str] = []
        for kind in (httpx.HTTPTransport, httpx.AsyncHTTPTransport):
            name = "handle_request" if kind is httpx.HTTPTransport else "handle_async_request"
            sending = getattr(kind, name)

            def send(transport: Any, request: httpx.Request, sending: Any = sending) -> Any:
                if request.method == "POST":
                    self.types.append(request.headers.get("content-type", ""))
                return sending(transport, request)

            monkeypatch.setattr(kind, name, send)

    def take(self) -> set[str]:
        found, self.types = set(self.types), []
        return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


ARROW: Final = {"application/vnd.apache.arrow.stream"}
LINES: Final = {"application/x-ndjson"}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("library", tables_of())
def test_a_table_teaches_what_its_rows_teach(
    client: Calling, new_model: Any, sent: Sent, library: str, tmp_path: Path
) -> None:
    table = tables_of()[library]
    as_table, as_rows = new_model(), new_model()
    result = client.update_stream(table, model=as_table, batch_size=2, **ROLES)
    assert sent.take() == ARROW
    assert (result.accepted, result.lines, result.rejected) == (5, 5, 0)
    examples = list(from_rows(table, label="click", **ROLES))
    for example in examples:  # that it is missing, and that its id is empty, is alike
        example.setdefault("id", "")
    client.update_stream(examples, model=as_rows, batch_size=2)
    assert sent.take() == LINES
    assert digest(client, as_table, tmp_path) == digest(client, as_rows, tmp_path)
    sent.take()
    asked = list(client.predict_stream(table, model=as_table, id="imp", batch_size=3))
    assert sent.take() == ARROW
    for example in examples:
        example.pop("label")
    assert [one.probability for one in asked] == [
        one.probability for one in client.predict_stream(examples, model=as_table)
    ]
    assert [one.id or "" for one in asked] == [value or "" for value in COLUMNS["imp"]]
    whole = client.predict(table, model=as_table)
    assert [one.probability for one in whole] == [one.probability for one in asked]


def test_what_streams_of_arrow_have_no_rows_for(
    client: Calling, new_model: Any, sent: Sent, tmp_path: Path
) -> None:
    clicks = arrow_table().drop_columns(["imp", "w"])
    by_rows = new_model()
    client.update_stream(from_rows(clicks, label="click"), model=by_rows)
    sent.take()
    given: Any
    for given in (duckdb.sql("select * from clicks"), pa.RecordBatchReader.from_stream(clicks)):
        model = new_model()
        assert client.update_stream(given, model=model, batch_size=2).accepted == 5
        assert sent.take() == ARROW
        assert digest(client, model, tmp_path) == digest(client, by_rows, tmp_path)
        sent.take()


TRAPS: Final[dict[str, Any]] = {
    "values of several types": pd.DataFrame({"x": ["a", 7, 2.5, None], "click": [1, 0, 1, 0]}),
    "large and small numbers": pd.DataFrame(
        {"n": pd.Series([2**70, 1, 2.5, None], dtype=object), "click": [1, 0, 1, 0]}
    ),
    "numpy's scalars": pd.DataFrame(
        {
            "n": pd.Series([np.int64(5), np.float32(0.1), np.bool_(True), np.nan], dtype=object),
            "click": [1, 0, 1, 0],
        }
    ),
    "decimals": pa.table(
        {"n": [Decimal("1.50"), Decimal("2.25"), None, Decimal("0.10")], "click": [1, 0, 1, 0]}
    ),
    "lists": pa.table({"tags": [["a", "b"], None, [], ["c"]], "click": [True, False, True, False]}),
    "lists in objects": pd.DataFrame({"tags": [["a", "b"], None, [], ["c"]], "click": [1, 0, 1, 0]}),
    "bytes": pl.DataFrame({"site": [b"a", None, "ž".encode(), b""], "click": [1, 0, 1, 0]}),
    "runs": pa.table({"site": pa.RunEndEncodedArray.from_arrays([2, 4], ["a", "b"]), "click": [1, 0, 1, 0]}),
    "names that are numbers": pd.DataFrame({0: ["a", "b"], "click": [1, 0]}),
    "times of days": pa.table({"at": [datetime.time(6, 5), None], "click": [1, 0]}),
    "zones": pd.DataFrame(
        {"at": pd.to_datetime([1, 2], utc=True).tz_convert("Europe/Prague"), "click": [1, 0]}
    ),
    "nanoseconds": pa.table({"at": pa.array([1, 10**18], pa.timestamp("ns")), "click": [1, 0]}),
    "float32": pl.DataFrame({"n": pl.Series([0.1, None], dtype=pl.Float32), "click": [1, 0]}),
    "a timedelta": pd.DataFrame({"t": pd.to_timedelta([1, 2], "h"), "click": [1, 0]}),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("trap", TRAPS)
def test_the_same_whatever_arrow_makes_of_it(
    client: Calling, new_model: Any, trap: str, tmp_path: Path
) -> None:
    table = TRAPS[trap]
    as_table, as_rows = new_model(), new_model()
    result = client.update_stream(table, model=as_table, refused="report")
    other = client.update_stream(from_rows(table, label="click"), model=as_rows, refused="report")
    assert (result.accepted, result.rejected, result.errors) == (other.accepted, other.rejected, other.errors)
    assert digest(client, as_table, tmp_path) == digest(client, as_rows, tmp_path)


def test_rows_that_are_refused_are_named_and_the_rest_is_learned_from(
    client: Calling, new_model: Any, sent: Sent
) -> None:
    model = new_model()
    table = pl.DataFrame(
        {
            "bid": [0.5, 2e9, 1.0, float("nan"), 1.0, 1.0],
            "click": [1, 0, 1, 0, 7, 0],
            "imp": ["a", "b", "c", "d", "e", "f"],
        }
    )
    with pytest.raises(PartialError, match="3 of 6 lines were refused") as partial:
        client.update_stream(table, model=model, batch_size=2, id="imp")
    assert [fault.line for fault in partial.value.errors] == [2, 4, 5]
    assert sent.take() == ARROW | LINES  # each batch as Arrow first
    assert client.get_model(model)["sequence"] == 3
    found = list(client.predict_stream(table, model=model, batch_size=4, refused="report"))
    assert [one.reason is None for one in found] == [True, False, True, False, True, True]
    with pytest.raises(InputError, match="no column 'clicks' for the label; did you mean 'click'"):
        client.update_stream(table, model=model, label="clicks")
    with pytest.raises(InputError, match="'click' and 'target' are called like a label"):
        client.update_stream(table.with_columns(pl.lit(1).alias("target")), model=model)
    with pytest.raises(InputError, match="delimiter is given, and no text"):
        client.update_stream(table, model=model, delimiter=";")
    with pytest.raises(InputError, match="label tell of the columns of a table"):
        client.update_stream([{"features": {}, "label": 1}], model=model, label="click")


def test_a_whole_table_is_learned_from_or_not_at_all(client: Calling, new_model: Any, sent: Sent) -> None:
    model = new_model()
    table = pd.DataFrame({"bid": [0.5, 2e9], "click": ["yes", "no"]})
    with pytest.raises(Exception, match="number 2: the column 'bid'"):
        client.update(table, model=model, positive="yes")
    assert sent.take() == ARROW
    assert client.update(table.head(1), model=model, positive="yes").accepted == 1
    assert client.update(table.head(0), model=model).accepted == 0
    mixed = pd.DataFrame({"x": ["a", 7], "click": [1, 0]})
    sent.take()
    assert client.update(mixed, model=model).accepted == 2
    assert sent.take() == {"application/json"}


def test_a_table_that_is_sent_again_goes_on_where_it_broke_off(client: Calling, new_model: Any) -> None:
    model = new_model()
    table = pa.table({"site": [f"s{k % 7}" for k in range(100)], "click": [k % 2 for k in range(100)]})
    steps: list[UpdateResult] = []
    client.update_stream(table.slice(0, 60), model=model, key="day", batch_size=20)
    result = client.update_stream(table, model=model, key="day", batch_size=20, progress=steps.append)
    assert (result.accepted, result.replayed, result.sequence) == (100, 60, 100)
    assert [step.lines for step in steps] == [20, 40, 60, 80, 100]
    pieces = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))
    assert client.update_stream(pieces, model=model, key="day", batch_size=20).replayed == 100


def test_large_slices_are_cut() -> None:
    for table in (
        pl.DataFrame({"site": ["x" * 500] * 10, "click": [0, 1] * 5}),
        pd.DataFrame({"site": ["x" * 500] * 10, "click": [0, 1] * 5}),
    ):
        cut = list(tables.slices_of(table, Columns(), 100, labelled=True, most=2000))
        assert sum(one.rows for one in cut) == 10
        assert len(cut) > 3
        assert all(0 < len(one.arrow) <= 2000 or one.rows == 1 for one in cut)


def test_without_pyarrow_rows_are_sent(
    client: Calling, new_model: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_arrow, by_rows = new_model(), new_model()
    client.update_stream(pd.DataFrame(COLUMNS), model=by_arrow, **ROLES)
    monkeypatch.setattr(tables, "import_arrow", lambda: None)
    sent.take()
    for table in (pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS)):
        model = new_model()
        assert client.update_stream(table, model=model, batch_size=2, **ROLES).accepted == 5
        assert sent.take() == LINES
    by_rows = new_model()
    client.update_stream(pd.DataFrame(COLUMNS), model=by_rows, **ROLES)
    assert digest(client, by_rows, tmp_path) == digest(client, by_arrow, tmp_path)
    with pytest.raises(InputError, match="is parquet, which pyarrow reads: pip install pyarrow"):
        client.update_stream("log.parquet", model=by_rows)


def test_a_service_without_pyarrow_is_sent_lines(memory_path: Path, tmp_path: Path, sent: Sent) -> None:
    hidden = tmp_path / "hidden" / "pyarrow"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('pyarrow')\n")

    class Poor(FreshService):
        environment: Mapping[str, str] = {
            "PYTHONPATH": ":".join([str(hidden.parent), *filter(None, sys.path)])
        }

    running = Poor(memory_path / "data", bits=12).until_ready()
    table = pl.DataFrame({"site": ["news", "sport"], "click": [1, 0]})
    with Client(running.url) as client:
        assert client.update_stream(table).accepted == 2
        assert sent.take() == ARROW | LINES
        assert client.update(table).accepted == 2
        assert len(client.predict(table)) == len(list(client.predict_stream(table))) == 2
    assert running.stop() == 0


# -- files -------------------------------------------------------------------------------------------------

TEXT: Final = [
    ("site", "bid", "click", "imp"),
    ('two\n"lines"', "0.5", "1", "a"),
    ("", "", "0", ""),
    ('5" disk; x', "1e-3", "1", "c"),
    ("ž,\r\n", "2", "0", "d"),
]


def written(delimiter: str, rows: Any = TEXT) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("size", [1, 3])
def test_a_file_of_text_teaches_what_its_rows_teach(
    client: Calling, new_model: Any, size: int, tmp_path: Path
) -> None:
    names, *rows = TEXT
    cells = [{name: value for name, value in zip(names, row, strict=True) if value} for row in rows]
    by_rows = new_model()
    examples = [
        example | {"label": int(example["label"])} for example in from_rows(cells, label="click", id="imp")
    ]
    client.update_stream(examples, model=by_rows)
    expected = digest(client, by_rows, tmp_path)
    files = {
        "log.csv": written(","),
        "log.tsv": written("\t"),
        "more.csv": b"\xef\xbb\xbf\r\nsep=;\n" + written(";"),
    }
    for name, text in files.items():
        path = tmp_path / name
        path.write_bytes(text)
        packed = tmp_path / f"{name}.gz"
        packed.write_bytes(gzip.compress(text))
        form: Any = path.suffix[1:]
        model = new_model()
        result = client.update_stream(path, model=model, batch_size=size, id="imp", key="k")
        assert (result.accepted, result.lines, result.replayed) == (4, 4, 0)
        assert digest(client, model, tmp_path) == expected
        for source, given in ((packed, None), (text, form), (io.BytesIO(text), form)):
            again = client.update_stream(
                source, model=model, format=given, batch_size=size, id="imp", key="k"
            )
            assert again.replayed == 4
    shown = list(client.predict_stream(tmp_path / "log.csv", model=by_rows, id="imp", batch_size=size))
    assert [one.id or "" for one in shown] == ["a", "", "c", "d"]


def test_lines_of_a_table_of_text_are_numbered_as_in_the_file(client: Calling, new_model: Any) -> None:
    text = b'click,site,bid\n1,"a\nb",1\n0,c,x\n1,"d\n\n",1\n?,e,1\n0,f\n1,"g\nh\n'
    model = new_model()
    for size in (1, 2, 50):
        result = client.update_stream(text, format="csv", model=model, batch_size=size, refused="report")
        assert (result.accepted, result.rejected, result.lines) == (2, 4, 6)
        assert [fault.line for fault in result.errors] == [4, 8, 9, 10]
        found = list(
            client.predict_stream(text, format="csv", model=model, batch_size=size, refused="report")
        )
        assert [one.reason is None for one in found] == [True, False, True, True, False, False]


def test_the_header_of_a_table_of_text_is_held_to(client: Calling, new_model: Any) -> None:
    model = new_model()
    for nothing in (b"", b"click,site\n", b"click,site"):
        assert client.update_stream(nothing, format="csv", model=model).lines == 0
    with pytest.raises(InputError, match=r"the header has ',' and ';' in it; say which .* by delimiter="):
        client.update_stream(b"a;b,click\nx;y,1\n", format="csv", model=model)
    assert client.update_stream(b"a;b,click\nx;y,1\n", format="csv", model=model, delimiter=",").accepted == 1
    with pytest.raises(Exception, match="no column is called label"):
        client.update_stream(b"a,b\nx,y\n", format="csv", model=model)
    said: dict[str, Any] = {"label": "b", "positive": "y"}
    assert client.update_stream(b"a,b\nx,y\nz,n\n", format="csv", model=model, **said).accepted == 2


def test_a_header_without_rows_is_held_to_as_well(client: Calling, new_model: Any) -> None:
    model = new_model()
    assert client.update_stream(b"click,site\n", format="csv", model=model).lines == 0
    assert list(client.predict_stream(b"site", format="csv", model=model)) == []
    for text, said in (
        (b"click,site\r1,news\r", "lines end in CR alone"),
        (b"site\n", "no column is called label"),
    ):
        with pytest.raises(ContentError, match=said):
            client.update_stream(text, format="csv", model=model)


def test_a_packed_file_that_is_cut_is_said_to_be(client: Calling, new_model: Any, tmp_path: Path) -> None:
    packed = tmp_path / "log.csv.gz"
    text = gzip.compress(b"click,site\n" + b"1,news\n0,sport\n" * 5000)
    for damaged in (text[:-9], text[:20], text[:12] + b"\xff" * 40, b"click,site\n1,news\n"):
        packed.write_bytes(damaged)
        with pytest.raises(InputError, match=r"log\.csv\.gz is damaged, or not whole: "):
            client.update_stream(packed, model=new_model())


def test_columnar_files(client: Calling, new_model: Any, tmp_path: Path) -> None:
    table = arrow_table()
    by_rows = new_model()
    client.update_stream(table, model=by_rows, **ROLES)
    expected = digest(client, by_rows, tmp_path)
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=2)
    pa.feather.write_feather(table, tmp_path / "log.feather")
    with pa.ipc.new_stream(tmp_path / "log.arrows", table.schema) as stream:
        stream.write_table(table)
    for name in ("log.parquet", "log.feather", "log.arrows"):
        model = new_model()
        result = client.update_stream(tmp_path / name, model=model, batch_size=2, key="k", **ROLES)
        assert (result.accepted, result.lines) == (5, 5)
        assert digest(client, model, tmp_path) == expected
        assert (
            client.update_stream(str(tmp_path / name), model=model, batch_size=2, key="k", **ROLES).replayed
            == 5
        )
        assert len(list(client.predict_stream(tmp_path / name, model=model))) == 5
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"broken.parquet cannot be read as parquet"):
        client.update_stream(tmp_path / "broken.parquet", model=model)
    with pytest.raises(InputError, match=r"missing.arrow cannot be read: "):
        client.update_stream(tmp_path / "missing.arrow", model=model)
    with pytest.raises(InputError, match="parquet is read from a file; give its path"):
        client.update_stream(b"PAR1", format="parquet", model=model)
