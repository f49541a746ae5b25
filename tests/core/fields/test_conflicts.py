"""Conflicts: what came in another kind than its field's, by name, whoever reads it."""

from __future__ import annotations

import threading

import pytest

from core.formats.plainly import plain_reader, whole
from nonzero import Batch, BatchError, Conflicts, FormatError, LogisticRegression, Schema, formats
from nonzero.formats.json_bodies import parse_body, read_bodies

MIXED = b'{"features":{"a":"x","b":1}}\n{"features":{"a":2,"b":2}}\n{"features":{"a":"y","b":["z"]}}\n' + (
    b'{"features":{"a":null}}\n{"features":{"a":true}}\n'
)


def test_what_came_in_two_kinds_is_counted_by_field() -> None:
    expected = {"a": 2, "b": 1}
    assert whole_conflicts(formats.reader("ndjson"), MIXED) == expected
    assert whole_conflicts(plain_reader("ndjson"), MIXED) == expected
    assert whole_conflicts(formats.reader("ndjson"), *MIXED.splitlines(keepends=True)) == expected


def whole_conflicts(reader: formats.Reader, *chunks: bytes) -> dict[str, int]:
    total = Conflicts()
    for part in (*(reader.feed(chunk) for chunk in chunks), reader.finish()):
        total.add(part.conflicts)
    assert total.counts() == reader.format.fields.schema.conflicts.counts()
    return total.counts()


def test_many_rows_are_counted_to_the_last_by_compiled_code() -> None:
    lines = [
        b'{"features":{"a":%s,"long_name_of_a_field":7}}' % value for value in (b'"x"', b"1", b'"y"', b"2")
    ]
    reader = formats.reader("ndjson")
    assert reader.feed(b"\n".join(lines[:1] + lines * 2000) + b"\n").conflicts == {"a": 4000}
    assert reader.feed(b"\n".join(lines) + b"\n").conflicts == {"a": 2}
    assert reader.feed(b'{"features":{"a":"x"}}\n').conflicts == {}


def test_what_is_declared_has_no_conflict_but_what_cannot_be_read() -> None:
    schema = Schema({"a": "category", "b": "number"})
    text = (
        b'{"features":{"a":5,"b":"0.5"}}\n{"features":{"a":"5","b":true}}\n{"features":{"a":true,"b":"x"}}\n'
    )
    for reader in (formats.reader("ndjson", schema=schema), plain_reader("ndjson", schema=schema)):
        parsed = reader.feed(text)
        assert parsed.conflicts == {"b": 1}
        assert [error.line for error in parsed.errors] == [3]
        assert (
            parsed.errors[0].reason
            == "the feature 'b' is a number, says the schema: the value 'x' is not a decimal number"
        )
    assert schema.conflicts.counts() == {"b": 2}


@pytest.mark.parametrize(("format", "text"), [("vw", b"1 |b x\n1 |b 1\n"), ("csv", b"click,b\n1,x\n1,1\n")])
def test_text_in_a_number_is_an_error_that_names_the_field(format: str, text: bytes) -> None:
    for reader in (
        formats.reader(format, schema={"b": "number"}),
        plain_reader(format, schema={"b": "number"}),
    ):
        parsed = whole(reader, text)
        assert "'b'" in parsed.errors[0].reason
        assert len(parsed.batch) == 1
        assert reader.format.fields.schema.conflicts.counts() == {"b": 1}


def test_every_door_of_a_model_counts_with_it() -> None:
    model = LogisticRegression(bits=10)
    model.learn_one({"bid": 0.5}, 1)
    model.predict_one({"bid": "0.5"})
    assert model.schema.conflicts.counts() == {"bid": 1}
    parse_body(b'{"features": {"bid": "1"}}', model.schema)
    assert read_bodies([b'{"features": {"bid": "1"}}'] * 3, model.schema).conflicts == {"bid": 3}
    assert model.schema.conflicts.counts() == {"bid": 5}
    assert formats.reader("vw", schema=model.schema).feed(b"1 |bid 0.5\n1 |bid x:0.5\n").conflicts == {
        "bid": 1
    }
    assert formats.parse(b"click,bid\n1,0.5\n0,\n1,2\n", "csv", schema=model.schema)
    assert model.schema.conflicts.counts() == {"bid": 8}


def test_a_body_that_is_read_twice_is_counted_once() -> None:
    model = LogisticRegression(bits=10, scaled=False)
    model.learn_one({"a": "x"}, 1)
    for body, known in ((b'{"features":{"a":1}}', 1), (b'{"features":{"a":2}}', 2)):
        if model.predict_body(body) is None:
            parse_body(body, model.schema)
        assert model.schema.conflicts.counts() == {"a": known}


def test_a_refused_body_and_row_count_what_they_were_refused_for_once() -> None:
    schema = Schema({"b": "number"})
    with pytest.raises(FormatError, match="'b'"):
        parse_body(b'{"features": {"b": "x"}}', schema)
    assert schema.conflicts.counts() == {"b": 1}
    with pytest.raises(BatchError, match="row 1: the feature 'b'"):
        Batch.from_dicts([{"b": 1}, {"b": "x"}], schema=schema)
    assert schema.conflicts.counts() == {"b": 2}


def test_a_hundred_fields_are_named_and_the_rest_are_others() -> None:
    conflicts = Conflicts()
    conflicts.add({f"f{k}": k + 1 for k in range(150)})
    conflicts.add({"f0": 1, "f149": 1})
    counts = conflicts.counts()
    assert len(counts) == 101
    assert counts["f0"] == 2
    assert counts["other"] == sum(range(101, 151)) + 1
    assert conflicts.total == sum(range(1, 151)) + 2


def test_threads_count_together() -> None:
    model = LogisticRegression(bits=10)
    model.predict_one({"a": "x"})
    body = b'{"features": {"a": 1}}'
    threads = [
        threading.Thread(target=lambda: [parse_body(body, model.schema) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.schema.conflicts.counts() == {"a": 800}
