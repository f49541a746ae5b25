"""Rows that were hashed otherwise than a model reads are refused, and each difference is named."""

from __future__ import annotations

import pytest

from nonzero import FormatError, Schema
from nonzero.sources.rows_agreement import check_hashed, check_tables, differences, joined_schema
from nonzero.sources.rows_head import RowsFoot, RowsHead

VW, NDJSON, CSV = ("vw",), ("ndjson",), ("csv",)


def foot(complete: bool = True, **fields: str) -> RowsFoot:
    return RowsFoot(1, 1, fields, complete)


@pytest.mark.parametrize(
    ("head", "came", "schema"),
    [
        (RowsHead(Schema(), VW), foot(site="category"), Schema()),
        # Of words, what is judged by itself is a category.
        (RowsHead(Schema(), VW), foot(site="category"), Schema({"site": "category"})),
        (RowsHead(Schema({"site": "category"}), CSV), foot(), Schema()),
        (RowsHead(Schema(), CSV), foot(), Schema(default="category")),
        # JSON's values are judged one by one: what they came as counts.
        (RowsHead(Schema(), NDJSON), foot(bid="number"), Schema({"bid": "number"})),
        (RowsHead(Schema(), NDJSON), foot(bid="both"), Schema()),
        # A declared field that never came.
        (RowsHead(Schema(), NDJSON), foot(bid="number"), Schema({"site": "category"})),
        (RowsHead(Schema({"a_id": "ignore"}), VW), foot(), Schema({"*_id": "ignore"})),
        # Slots have no fields; only VW text has a separator.
        (RowsHead(Schema({}, "infer", "="), NDJSON), foot(), Schema({}, "infer", "^")),
    ],
)
def test_rows_that_a_model_may_take_for_its_own(head: RowsHead, came: RowsFoot, schema: Schema) -> None:
    assert differences(head, came, schema) == []
    check_hashed("log.rows", head, came, schema)


@pytest.mark.parametrize(
    ("head", "came", "schema", "said"),
    [
        (RowsHead(Schema(), VW), foot(bid="category"), Schema({"bid": "number"}), "'bid' is category"),
        (RowsHead(Schema({"bid": "number"}), VW), None, Schema(), "'bid' is number there and category"),
        (RowsHead(Schema({"id": "ignore"}), CSV), None, Schema(), "'id' is left out there and category"),
        (RowsHead(Schema(), CSV), foot(id=""), Schema({"id": "ignore"}), "and left out in the model"),
        (RowsHead(Schema(), NDJSON), foot(bid="both"), Schema({"bid": "number"}), "a category and a number"),
        (RowsHead(Schema(), NDJSON), foot(bid=""), Schema({"bid": "number"}), "judged value by value there"),
        (RowsHead(Schema({"bid": "number"}), NDJSON), None, Schema(), "judged value by value in the model"),
        (
            RowsHead(Schema(), VW),
            foot(hour="category"),
            Schema({}, "refuse"),
            "'hour' is category there and refus",
        ),
        (RowsHead(Schema({}, "infer", "^"), VW), None, Schema(), "joined by '^' there and by '='"),
        (RowsHead(Schema(), VW), foot(complete=False), Schema({}, "number"), "more fields than are known"),
    ],
)
def test_each_difference_is_named(head: RowsHead, came: RowsFoot | None, schema: Schema, said: str) -> None:
    [found] = differences(head, came, schema)
    assert said in found
    with pytest.raises(FormatError, match=r"log\.rows was hashed otherwise.*--like MODEL"):
        check_hashed("log.rows", head, came, schema)


def test_of_many_differences_some_are_named() -> None:
    head = RowsHead(Schema({f"f{k}": "number" for k in range(30)}), VW)
    with pytest.raises(FormatError, match="and 25 more; convert"):
        check_hashed("log.rows", head, None, Schema())


def test_files_that_agree_make_one_schema() -> None:
    heads = {
        "a": RowsHead(Schema({"bid": "number"}, namespace_separator="^"), VW),
        "b": RowsHead(Schema({"bid": "number", "site": "category"}), CSV),
    }
    found = joined_schema(heads, Schema({"ad": "category"}))
    expected = {"ad": "category", "bid": "number", "site": "category"}
    assert found == Schema(expected, "infer", "^")


@pytest.mark.parametrize(
    ("second", "given", "separator", "said"),
    [
        (RowsHead(Schema({"bid": "category"}), VW), Schema(), None, "'bid' is number in a and category in b"),
        (
            RowsHead(Schema(), VW),
            Schema({"bid": "ignore"}),
            None,
            "'bid' is ignore in the options and number in a",
        ),
        (RowsHead(Schema({}, "refuse"), VW), Schema(), None, "undeclared fields are"),
        (RowsHead(Schema(), VW), Schema({}, "number"), None, "undeclared fields are"),
        (RowsHead(Schema({}, namespace_separator="^"), VW), Schema(), None, "namespaces are joined"),
        (RowsHead(Schema(), VW), Schema({}, namespace_separator="^"), "^", "namespaces are joined"),
    ],
)
def test_files_that_differ_are_refused(
    second: RowsHead, given: Schema, separator: str | None, said: str
) -> None:
    heads = {"a": RowsHead(Schema({"bid": "number"}), VW), "b": second}
    with pytest.raises(FormatError, match=said):
        joined_schema(heads, given, separator)


def test_a_column_of_true_and_false_in_one_table_alone_is_refused() -> None:
    one = {"columns": ["flag", "ad"], "boolean": ["flag"]}
    other = {"columns": ["flag"], "boolean": []}
    check_tables({"a.rows": one, "b.rows": {"columns": ["ad"], "boolean": []}}, one)
    for tables, judged in (({"a.rows": one, "b.rows": other}, None), ({"b.rows": other}, one)):
        with pytest.raises(FormatError, match=r"the column 'flag' holds nothing but True and False in"):
            check_tables(tables, judged)
