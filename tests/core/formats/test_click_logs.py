"""The formats of well-known click logs: what their columns become, and that both parsers agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.formats.plainly import assert_same, plain_reader, whole
from nonzero import Batch, formats
from nonzero.errors import BatchError, FormatError, SettingsError
from thoroughly import examples

CELLS = [
    "",
    "0",
    "1",
    "-1",
    "-9",
    "2",
    "3",
    "17",
    "1023",
    "1024",
    "2147483647",
    "2147483648",
    "68fd1e64",
    "1.5",
    " ",
]
HOURS = ["14102100", "14102923", "15022900", "16022912", "14130101", "1410210", "", "14102124", "x4102112"]


def criteo(rows: list[tuple[str, dict[str, str]]], labelled: bool = True) -> bytes:
    names = [*(f"I{k}" for k in range(1, 14)), *(f"C{k}" for k in range(1, 27))]
    lines = [[label] * labelled + [row.get(name, "") for name in names] for label, row in rows]
    return "".join("\t".join(cells) + "\n" for cells in lines).encode()


def test_a_criteo_line_is_a_bucket_for_each_count_and_its_categories() -> None:
    text = criteo(
        [("0", {"I1": "5", "I2": "-1", "C1": "68fd1e64", "C26": "9727dd16"}), ("1", {"I13": "1382"})]
    )
    batch = formats.parse(text, "criteo", boolean=())
    expected = Batch.from_dicts(
        [
            {"I1_bucket": "4", "I2_bucket": "-1", "C1": "68fd1e64", "C26": "9727dd16"},
            {"I13_bucket": "54"},
        ],
        [0, 1],
    )
    np.testing.assert_array_equal(batch.indices, expected.indices)
    np.testing.assert_array_equal(batch.fields, expected.fields)
    np.testing.assert_array_equal(batch.labels, expected.labels)


def test_a_criteo_test_set_has_no_label_and_the_same_features() -> None:
    rows = [("0", {"I1": "1", "C1": "a"}), ("1", {"I2": "7"})]
    with_labels = formats.parse(criteo(rows), "criteo", boolean=())
    without = formats.parse(criteo(rows, labelled=False), "criteo", boolean=())
    assert np.isnan(without.labels).all()
    assert without.indices.tolist() == with_labels.indices.tolist()


def test_a_criteo_log_with_a_header_is_read_by_it() -> None:
    header = ",".join(["Id", "Label", *(f"I{k}" for k in range(1, 14)), *(f"C{k}" for k in range(1, 27))])
    row = criteo([("1", {"I1": "5", "C1": "a"})]).decode().replace("\t", ",")
    batch = formats.parse(f"{header}\n10000,{row}".encode(), "criteo", boolean=())
    assert batch.indices.tolist() == formats.parse(row.replace(",", "\t").encode(), "criteo").indices.tolist()
    assert batch.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("schema", "feature"),
    [
        ({"I1": "category"}, {"I1": "5"}),
        ({"I*": "number"}, {"I1": 5}),
        ({"I1_bucket": "ignore"}, {}),
        ({"I1": "ignore"}, {}),
    ],
)
def test_a_column_that_is_declared_by_its_own_name_is_that(schema: Any, feature: dict[str, Any]) -> None:
    batch = formats.parse(criteo([("1", {"I1": "5"})]), "criteo", schema=schema, boolean=())
    assert batch.indices.tolist() == Batch.from_dicts([feature], [1]).indices.tolist()


def test_what_is_made_of_a_column_is_a_category() -> None:
    with pytest.raises(SettingsError, match="'I1_bucket' is made of the column 'I1' and is a category"):
        formats.parse(criteo([("1", {})]), "criteo", schema={"I1_bucket": "number"})
    with pytest.raises(FormatError, match="the field 'I2_bucket' is not in the model's schema"):
        formats.parse(
            criteo([("1", {})]), "criteo", schema={"fields": {"I1_bucket": "category"}, "default": "refuse"}
        )


def test_a_line_of_another_width_is_refused() -> None:
    with pytest.raises(FormatError, match=r"has 3 cells, and 40 columns are named.*own --format"):
        formats.parse(b"1\t2\t3\n", "criteo")
    found = whole(formats.reader("criteo", boolean=()), criteo([("1", {})]), b"1\t2\n")
    assert [(one.line, one.reason) for one in found.errors] == [(2, "the line has 2 cells, the header 40")]


@pytest.mark.parametrize(("raw", "meant"), [("I1", "I1_bucket"), ("I13", "I13_bucket"), ("c1", "C1")])
def test_a_raw_column_in_json_is_refused_by_the_name_of_what_is_made_of_it(raw: str, meant: str) -> None:
    made = {"C1": "category", "I1_bucket": "category", "I13_bucket": "category"}
    with pytest.raises(BatchError, match=f"did you mean '{meant}'"):
        Batch.from_dicts([{raw: "4"}], schema={"fields": made, "default": "refuse"})


AVAZU = "id,click,hour,C1,site_id,device_ip,C21\n"


def test_an_avazu_row_has_its_hour_and_its_day() -> None:
    batch = formats.parse(
        (AVAZU + "1000009418151094273,0,14102113,1005,1fbe01fe,ddd2926e,79\n").encode(), "avazu"
    )
    expected = Batch.from_dicts(
        [
            {
                "hour_of_day": 13,
                "day_of_week": 2,
                "C1": 1005,
                "site_id": "1fbe01fe",
                "device_ip": "ddd2926e",
                "C21": 79,
            }
        ],
        schema={"*": "category"},
    )
    assert batch.indices.tolist() == expected.indices.tolist()
    np.testing.assert_array_equal(batch.fields, expected.fields)
    np.testing.assert_array_equal(batch.times, [1413896400000])


def test_one_of_an_hours_two_fields_may_be_left_out() -> None:
    row = (AVAZU + "7,0,14102113,,,,\n").encode()
    batch = formats.parse(row, "avazu", schema={"hour_of_day": "ignore"}, boolean=())
    assert batch.indices.tolist() == Batch.from_dicts([{"day_of_week": "2"}]).indices.tolist()


@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.sampled_from(["0", "1", "", "2"]), st.sampled_from(CELLS), st.sampled_from(CELLS)))
)
def test_compiled_code_reads_counts_as_python_does(rows: list[tuple[str, str, str]]) -> None:
    text = criteo([(label, {"I1": one, "I13": other, "C3": one}) for label, one, other in rows])
    assert_same(
        whole(formats.reader("criteo", boolean=()), text), whole(plain_reader("criteo", boolean=()), text)
    )


@settings(max_examples=examples(60))
@given(
    st.lists(st.tuples(st.sampled_from(HOURS), st.sampled_from(CELLS))), st.sampled_from(["hour_of_day", "x"])
)
def test_compiled_code_reads_hours_as_python_does(rows: list[tuple[str, str]], ignored: str) -> None:
    text = (AVAZU + "".join(f"7,1,{hour},{cell},,,\n" for hour, cell in rows)).encode()
    options: dict[str, Any] = {"schema": {ignored: "ignore"}, "boolean": ()}
    assert_same(
        whole(formats.reader("avazu", **options), text), whole(plain_reader("avazu", **options), text)
    )


def test_tsv_is_a_table_of_tabs() -> None:
    text = b"click\tsite, page\n1\ta,b\n"
    assert (
        formats.parse(text, "tsv").indices.tolist()
        == Batch.from_dicts([{"site, page": "a,b"}]).indices.tolist()
    )
