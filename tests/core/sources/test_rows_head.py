"""What a rows file says of its rows is read as it was written."""

from __future__ import annotations

from nonzero import Schema, formats
from nonzero.sources.rows_head import RowsFoot


def test_a_foot_says_which_fields_came_and_as_what() -> None:
    schema = Schema({"declared": "number"})
    lines = b'{"features": {"a": "x", "b": 1, "c": "x", "declared": 3}}\n{"features": {"c": 2}}\n'
    formats.parse(lines, "ndjson", schema=schema)
    found = RowsFoot.of_schema(2, 5, schema)
    assert found == RowsFoot(2, 5, {"a": "category", "b": "number", "c": "both"})
    assert RowsFoot.of_json(found.to_json()) == found
    many = b"".join(b"1 |f%d x\n" % k for k in range(5000))
    reader = formats.reader("vw", schema=schema)
    for start in range(0, len(many), 100):  # a few new names at a time become known
        reader.feed(many[start : start + 100])
    assert not RowsFoot.of_schema(1, 1, schema).complete
