"""The doors agree: the same rows as text of any format, as dicts and as Arrow are the same batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import nanoarrow
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import Batch, FormatError, LogisticRegression, Schema, formats, river, sklearn
from nonzero.fields.hashing import index_of
from nonzero.fields.texts import text_of_float
from nonzero.formats.json_bodies import parse_body, read_bodies
from nonzero.frames.rows import rows_of
from thoroughly import examples

SAID = {"site": "category", "ad": "category", "n_*": "category", "bid": "number", "*_id": "ignore"}
FIELDS = ("site", "ad", "n_ř", "bid", "request_id")
# What VW text can hold in a word: no blanks, no | and :.
WORDS = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"], exclude_characters="|:"), max_size=9
)
LOOK_LIKE_NUMBERS = st.sampled_from(
    ["00501", "1.10", "5", "5.0", "1e3", "-0", "NaN", "true", "True", "", "0"]
)
NUMBERS = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e4, 1e4).map(lambda number: round(number, 3)),
    st.booleans(),
    st.sampled_from([5.0, 1e3, 1e15, 1e16, 1e-7, 0.1, -2.5, 2**63, 9007199254740993]),
)
CATEGORIES = st.one_of(WORDS, LOOK_LIKE_NUMBERS, NUMBERS, st.none())
BIDS = st.one_of(
    st.integers(-1000, 1000),
    st.floats(-1e6, 1e6, width=32),
    st.booleans(),
    st.none(),
    st.sampled_from(["0.5", "1e-3", "-7", "0", "00.50"]),
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"site": CATEGORIES, "ad": CATEGORIES, "n_ř": CATEGORIES, "bid": BIDS, "request_id": CATEGORIES}
    ),
    min_size=1,
    max_size=5,
)


def text_of(value: Any) -> str:
    """What a table, or a word of VW text, has of a value; nothing for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return text_of_float(value) if isinstance(value, float) else str(value)


def number_text_of(value: Any) -> str:
    return text_of(float(value)) if isinstance(value, bool) else text_of(value)


def table(rows: Sequence[Mapping[str, Any]], labels: Sequence[int], delimiter: str) -> bytes:
    lines = [delimiter.join(["click", *FIELDS])]
    for row, label in zip(rows, labels, strict=True):
        cells = [number_text_of(row[name]) if name == "bid" else text_of(row[name]) for name in FIELDS]
        quoted = ['"' + cell.replace('"', '""') + '"' if cell else "" for cell in cells]
        lines.append(delimiter.join([str(label), *quoted]))
    return "\n".join([*lines, ""]).encode()


def vw(rows: Sequence[Mapping[str, Any]], labels: Sequence[int]) -> bytes:
    lines = []
    for row, label in zip(rows, labels, strict=True):
        texts = [
            (name, number_text_of(row[name]) if name == "bid" else text_of(row[name])) for name in FIELDS
        ]
        lines.append(f"{label} |" + "".join(f" |{name} {word}" for name, word in texts if word))
    return "\n".join(lines).encode()


def columns(rows: Sequence[Mapping[str, Any]], labels: Sequence[int]) -> pa.Table:
    """The cells of a table of text, as columns of text; null for none."""
    cells = {
        name: [(number_text_of(row[name]) if name == "bid" else text_of(row[name])) or None for row in rows]
        for name in FIELDS
    }
    return pa.table(
        {"click": list(labels)} | {name: pa.array(one, pa.string()) for name, one in cells.items()}
    )


def frames(table: pa.Table) -> dict[str, Any]:
    """The same table, as who else hands it over by the Arrow C stream interface."""
    table_ = table  # noqa: F841 - DuckDB finds it by its name
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2)
    coded = {name: table[name].combine_chunks() for name in table.column_names}
    for name in FIELDS:
        coded[name] = coded[name].dictionary_encode()
    return {
        "Arrow": table,
        "Arrow, coded": pa.table(coded),
        "Parquet": pq.read_table(pa.BufferReader(sink.getvalue())),
        "pandas": table.to_pandas(),
        "polars": pl.DataFrame(table),
        "DuckDB": duckdb.sql("select * from table_"),
        "nanoarrow": nanoarrow.ArrayStream(table),
    }


def doors(rows: Sequence[Mapping[str, Any]], labels: Sequence[int], schema: Schema) -> dict[str, Batch]:
    """The same rows through each door."""
    rows = [{name: row[name] for name in FIELDS} for row in rows]
    examples = [{"features": row, "label": label} for row, label in zip(rows, labels, strict=True)]
    bodies = [json.dumps(one).encode() for one in examples]
    return {
        "dicts": Batch.from_dicts(rows, labels, schema=schema),
        "pandas": Batch.from_dicts(rows_of(pd.DataFrame(rows, dtype=object)), labels, schema=schema),
        "JSON": parse_body(json.dumps({"examples": examples}).encode(), schema),
        "bodies": Batch.concatenate([alone(body, schema) for body in bodies]),
        "NDJSON": formats.parse(b"\n".join(bodies), "ndjson", schema=schema),
        "ASCII": formats.parse(
            b"\n".join(json.dumps(one, ensure_ascii=False).encode() for one in examples),
            "ndjson",
            schema=schema,
        ),
        "CSV": formats.parse(table(rows, labels, ","), "csv", schema=schema, boolean=()),
        "TSV": formats.parse(table(rows, labels, "\t"), "tsv", schema=schema, boolean=()),
        "tabs": formats.parse(table(rows, labels, "\t"), "csv", schema=schema, boolean=()),
        "VW": formats.parse(vw(rows, labels), "vw", schema=schema),
        **{
            door: Batch.from_arrow(table, schema=schema)
            for door, table in frames(columns(rows, labels)).items()
        },
    }


def estimators(rows: Sequence[Mapping[str, Any]], labels: Sequence[int]) -> dict[str, str]:
    """The digests of the models of others' estimators, taught the same rows."""
    rows = [{name: row[name] for name in FIELDS} for row in rows]
    clicks = columns(rows, labels).drop_columns(["click"])
    frames = {"pandas": clicks.to_pandas(), "polars": pl.DataFrame(clicks)}
    digests = {}
    for door, given_ in ({"dicts": rows, "pyarrow": clicks} | frames).items():
        fitted = sklearn.NonzeroClassifier(bits=6, schema=SAID).partial_fit(given_, labels, classes=[0, 1])
        digests[f"scikit-learn, {door}"] = fitted.model_.digest()
    one_by_one = river.NonzeroClassifier(bits=6, schema=SAID)
    for row, label in zip(rows, labels, strict=True):
        one_by_one.learn_one(row, bool(label))
    digests["river, dicts"] = one_by_one.model.digest()
    for door, frame in frames.items():
        many = river.NonzeroClassifier(bits=6, schema=SAID)
        many.learn_many(frame, np.array(labels, bool))
        digests[f"river, {door}"] = many.model.digest()
    return digests


def alone(body: bytes, schema: Schema) -> Batch:
    """Read a body as the service does: with others that came, and by itself where that cannot be."""
    found = read_bodies([body], schema).batch
    return found if len(found) else parse_body(body, schema)


def assert_alike(found: Mapping[str, Batch], schema: Schema) -> None:
    digests = {}
    first = found["dicts"]
    for door, batch in found.items():
        assert batch.indptr.tolist() == first.indptr.tolist(), door
        assert batch.indices.tolist() == first.indices.tolist(), door
        assert batch.explicit_values().tolist() == first.explicit_values().tolist(), door
        assert _fields(batch) == _fields(first), door
        model = LogisticRegression(bits=6, schema=schema)
        model.learn(batch)
        digests[door] = model.digest()
    assert len(set(digests.values())) == 1


def _fields(batch: Batch) -> list[int]:
    return [] if batch.fields is None else batch.fields.tolist()


@settings(max_examples=20)
@given(ROWS, st.data())
@example([{"site": 5, "ad": "5", "n_ř": True, "bid": "0.5", "request_id": 7}] * 3, None)
def test_what_is_declared_is_the_same_whatever_the_door(rows: list[dict[str, Any]], data: Any) -> None:
    schema = Schema(SAID)
    labels = [1] * len(rows) if data is None else [data.draw(st.integers(0, 1)) for _ in rows]
    found = doors(rows, labels, schema)
    assert_alike(found, schema)
    assert schema.conflicts.counts() == {}
    again = doors(rows, labels, schema)  # by now all names are known
    assert_alike(again, schema)


@settings(max_examples=5)
@given(ROWS, st.data())
@example([{"site": 5, "ad": "5", "n_ř": True, "bid": "0.5", "request_id": 7}] * 3, None)
def test_an_estimator_has_the_same_model_inside(rows: list[dict[str, Any]], data: Any) -> None:
    labels = [1] * len(rows) if data is None else [data.draw(st.integers(0, 1)) for _ in rows]
    found = estimators(rows, labels)
    for library, order in (("scikit-learn", FIELDS), ("river", sorted(FIELDS))):  # river's dicts have none
        model = LogisticRegression(bits=6, schema=SAID)
        model.learn(
            Batch.from_dicts([{name: row[name] for name in order} for row in rows], labels, schema=SAID)
        )
        digests = {door: digest for door, digest in found.items() if door.startswith(library)}
        assert len(digests) == (4 if library == "scikit-learn" else 3)
        assert set(digests.values()) == {model.digest()}, digests


def slots(rows: Sequence[Mapping[int, float]], labels: Sequence[int]) -> dict[str, bytes]:
    """Rows whose features are slots, in the formats that have such."""
    lines = [
        {"indices": [*row], "values": [*row.values()], "label": label}
        for row, label in zip(rows, labels, strict=True)
    ]
    texts = [
        " ".join([str(label), *(f"{slot}:{value}" for slot, value in row.items())])
        for row, label in zip(rows, labels, strict=True)
    ]
    return {
        "libsvm": "\n".join(texts).encode(),
        "NDJSON": "\n".join(map(json.dumps, lines)).encode(),
        "JSON": json.dumps({"examples": lines}).encode(),
    }


SLOTS = st.lists(
    st.dictionaries(st.integers(1, 63), st.sampled_from([1.0, 0.5, -2.25, 1e-3])), min_size=2, max_size=6
)


@settings(max_examples=20)
@given(SLOTS, st.data())
def test_slots_are_the_same_whatever_the_door(rows: list[dict[int, float]], data: Any) -> None:
    rows = [dict(sorted(row.items())) for row in rows]  # as a sparse matrix has them
    labels = [data.draw(st.integers(0, 1)) for _ in rows]
    texts = slots(rows, labels)
    places = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    held = [value for row in rows for value in row.values()]
    matrix = csr_array((held, (places, [slot for row in rows for slot in row])), shape=(len(rows), 64))
    batches = {
        "libsvm": formats.parse(texts["libsvm"], "libsvm"),
        "NDJSON": formats.parse(texts["NDJSON"], "ndjson"),
        "JSON": parse_body(texts["JSON"]),
        "CSR": Batch.from_csr(matrix, labels),
    }
    digests = {}
    for door, batch in batches.items():
        model = LogisticRegression(bits=6)
        model.learn(batch)
        digests[door] = model.digest()
    for door, matrix_ in (("CSR", matrix), ("dense", matrix.toarray())):
        fitted = sklearn.NonzeroClassifier(bits=6).partial_fit(matrix_, labels, classes=[0, 1])
        digests[f"scikit-learn, {door}"] = fitted.model_.digest()
    assert len(digests) == 6
    assert len(set(digests.values())) == 1, digests


TYPED = st.lists(
    st.fixed_dictionaries(
        {
            "site": st.none() | st.integers(-(2**63), 2**63 - 1),
            "ad": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "n_ř": st.none() | st.booleans(),
            "bid": st.none() | st.floats(-1e6, 1e6, width=32),
            "request_id": st.none() | st.text(st.characters(codec="ascii", categories=["L"]), max_size=5),
        }
    ),
    min_size=1,
    max_size=5,
)
TYPES = {
    "site": pa.int64(),
    "ad": pa.float64(),
    "n_ř": pa.bool_(),
    "bid": pa.float32(),
    "request_id": pa.string(),
}


@settings(max_examples=15)
@given(TYPED)
@example([{"site": 9, "ad": 9.0, "n_ř": True, "bid": 9.0, "request_id": "9"}] * 2)
def test_what_has_a_type_is_the_same_whatever_the_door(rows: list[dict[str, Any]]) -> None:
    schema = Schema(SAID)
    labels = [1] * len(rows)
    typed = {name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()}
    table = pa.table({"click": labels} | typed)
    handed = frames(table)
    del handed["pandas"]  # where integers with nulls are floats
    by_type = {f"{door}, typed": Batch.from_arrow(one, schema=schema) for door, one in handed.items()}
    assert_alike(doors(rows, labels, schema) | by_type, schema)


@settings(max_examples=10)
@given(st.lists(st.fixed_dictionaries({name: WORDS.filter(bool) for name in FIELDS}), min_size=1, max_size=4))
def test_texts_are_the_same_where_nothing_is_declared(rows: list[dict[str, Any]]) -> None:
    schema = Schema()
    assert_alike(doors(rows, [1] * len(rows), schema), schema)
    assert schema.conflicts.counts() == {}


def test_trained_on_a_table_and_asked_in_json() -> None:
    model = LogisticRegression(bits=12, schema={"site": "category", "new": "category"})
    lines = b"".join(b"%d,%d,true\n" % (k % 5 == 1, k % 5) for k in range(200))
    model.learn(formats.parse(b"click,site,new\n" + lines, "csv", schema=model.schema))
    text = model.predict_one({"site": "1", "new": "true"})
    assert text > 0.6
    assert (
        model.predict_one({"site": 1, "new": True}) == model.predict_one({"site": 1.0, "new": True}) == text
    )


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(-1e7, 1e7),
    st.text(max_size=12),
    st.sampled_from(["0.5", "1e3", "x", "", "nan", " 1"]),
    st.lists(st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.none()), max_size=3),
    st.just({}),
)
LINES = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "site", "a_rather_long_name", "ž"]), VALUES, max_size=4).map(
        lambda features: json.dumps({"features": features}).encode()
    ),
    max_size=6,
).map(b"\n".join)
SCHEMAS = [
    Schema(default="category"),
    Schema(default="number"),
    Schema({"a": "category", "b": "number"}, "refuse"),
    Schema({"a*": "number", "site": "ignore"}, "category"),
    Schema({"*": "ignore", "a": "category", "ž": "number"}),
]


@settings(max_examples=examples(100))
@given(LINES, st.sampled_from(SCHEMAS))
@example(
    b'{"features":{"a":01,"b":1.}}\n{"features":{"a":-0.0,"b":"1."}}\n{"features":{"a":1e5}}', SCHEMAS[2]
)
@example(b'{"features":{"a":123456789012345.60,"b":true}}\n{"features":{"a":[1,"",true]}}', SCHEMAS[2])
def test_compiled_json_reads_by_a_schema_as_python_does(text: bytes, schema: Schema) -> None:
    ours, theirs = (
        whole(reader, text)
        for reader in (formats.reader("ndjson", schema=schema), plain_reader("ndjson", schema=schema))
    )
    assert_same(ours, theirs)


VW_PIECES = [
    *(b"1 ", b"|a", b" |a:2", b" |b", b" |site", b" |a_rather_long_name", b" |", b" x", b" 0.5", b" 1e9"),
    *(
        b" x:2",
        b" x:y",
        b" a=1",
        b" b=x",
        b" b=0.5",
        b" b=0.5:2",
        b" b=",
        b" =b",
        b" a:1",
        b" site=x:1e9",
        b"\n",
    ),
    *(b" \xc5\xbe=1", b" |\xc5\xbe", b"\r\n", b" -", b" nan", b" 0"),
]


@settings(max_examples=examples(100))
@given(st.lists(st.sampled_from(VW_PIECES), max_size=25).map(b"".join), st.sampled_from([*SCHEMAS, Schema()]))
@example(b"1 |a |b |site\n1 |b\n", SCHEMAS[2])
def test_compiled_vw_reads_by_a_schema_as_python_does(text: bytes, schema: Schema) -> None:
    for separator in "=^":
        options: Any = {"schema": schema, "namespace_separator": separator}
        assert_same(whole(formats.reader("vw", **options), text), whole(plain_reader("vw", **options), text))


@pytest.mark.parametrize(
    ("line", "names", "values"),
    [
        (b"1 |bid 0.5", ["bid"], [0.5]),
        (b"1 |bid:2 0.5 3", ["bid", "bid"], [1, 6]),
        (b"1 |bid x:2", ["bid=x"], [2]),
        (b"1 |bid 0", [], []),
        (b"1 |site 00501 b:2", ["site=00501", "site=b"], [1, 2]),
        (b"1 |site x:y", ["site=x=y"], [1]),
        (b"1 |request_id r |site a", ["site=a"], [1]),
        (b"1 | site=a bid=0.5 request_id=7 word", ["site=a", "bid", "word"], [1, 0.5, 1]),
        (b"1 | site:a bid:0.5", ["site=a", "bid"], [1, 0.5]),
    ],
)
def test_words_of_vw_text_obey_the_kind_of_their_field(
    line: bytes, names: list[str], values: list[float]
) -> None:
    for reader in (formats.reader("vw", schema=SAID), plain_reader("vw", schema=SAID)):
        batch = whole(reader, line).batch
        assert batch.indices.tolist() == [index_of(name) for name in names]
        assert batch.explicit_values().tolist() == values


def test_older_names_are_what_the_separator_asks_for() -> None:
    text = b"1 |site news x:y | f:text a=b\n"
    names = {
        "^": ["site^news", "site^x^y", "f^text", "a=b"],
        "=": ["site=news", "site=x=y", "f=text", "a=b"],
    }
    for separator, expected in names.items():
        batch = formats.parse(text, "vw", schema=Schema(namespace_separator=separator))
        assert batch.indices.tolist() == [index_of(name) for name in expected]


@pytest.mark.parametrize("format", ["ndjson", "vw", "csv"])
def test_a_field_that_is_refused_is_named_and_so_is_the_nearest(format: str) -> None:
    said = {"fields": {"site": "category", "hour": "number"}, "default": "refuse"}
    text = {
        "ndjson": b'{"features": {"sites": "a"}}',
        "vw": b"1 |sites a",
        "csv": b"click,sites\n1,a\n",
    }[format]
    with pytest.raises(FormatError, match=r"'sites' is not in the model's schema.*did you mean 'site'"):
        formats.parse(text, format, schema=said)


def test_numpy_and_python_numbers_are_the_texts_of_what_they_hold() -> None:
    values = [np.int64(5), np.float64(5), np.uint8(5), 5, 5.0, "5", np.str_("5"), np.float32(5)]
    batch = Batch.from_dicts([{"ad": value} for value in values], schema=SAID)
    assert set(batch.indices.tolist()) == {index_of("ad=5")}
    half = Batch.from_dicts([{"ad": np.float32(0.1)}, {"ad": 0.1}, {"ad": np.bool_(True)}], schema=SAID)
    assert half.indices.tolist() == [index_of(f"ad={t}") for t in ("0.10000000149011612", "0.1", "true")]
