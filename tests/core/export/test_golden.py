"""Golden predictions: rows that try what an implementation may get wrong, and their probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.export.models import model_of
from nonzero import Batch, BatchError, LogisticRegression, formats
from nonzero.export.golden import golden_lines, random_rows
from nonzero.fields.hashing import NO_FIELD, field_of
from nonzero.formats.named_rows import read_named


@pytest.mark.parametrize("name", ["new", "default, interactions", "AdaGrad"])
def test_random_rows_try_the_borders(name: str) -> None:
    model = model_of(name)
    rows = random_rows(model, 200)
    values, touched = rows.explicit_values(), model.weights[:-1] != 0
    assert len(rows) == 200
    assert rows.indptr[1] == 0
    assert rows.indices[0] == rows.indices[1]
    assert rows.fields is not None
    known = touched[rows.indices & np.uint32(2**model.bits - 1)]
    assert not known.all()
    assert known.any() == touched.any()
    assert (values == 1).any()
    assert (values != 1).any()
    assert (rows.fields == NO_FIELD).any()
    assert (values[rows.indptr[2]] == 1e5) == model.scaled
    if model.interactions:
        assert model.expanded(rows).nnz > rows.nnz
        assert {field_of("bid"), field_of("site")} <= set(rows.fields.tolist())
        assert (rows.indices >= 2**model.bits).any()


def test_the_same_seed_gives_the_same_rows() -> None:
    model = model_of("default, by name")
    one, same, other = (random_rows(model, 20, seed) for seed in (1, 1, 2))
    assert (one.indices.tolist(), one.explicit_values().tolist()) == (
        same.indices.tolist(),
        same.explicit_values().tolist(),
    )
    assert one.indices.tolist() != other.indices.tolist()
    assert [len(random_rows(model, n)) for n in (0, 1, 2)] == [0, 1, 2]


def test_a_line_has_the_row_as_it_came_and_what_is_predicted() -> None:
    model = model_of("default, interactions")
    reader = formats.reader("ndjson", schema=model.schema)
    text = b'{"features": {"site": "s1", "bid": 3.5}}\n{"indices": [7]}\n{"features": {}}\n'
    [found, _] = read_named([text], reader)
    lines = [json.loads(line) for line in golden_lines(model, found.parsed.batch, found.rows)]
    assert [line["names"] for line in lines] == [["site=s1", "bid"], [None], []]
    assert [line["values"] for line in lines] == [[1, 3.5], [1], []]
    assert lines[0]["fields"] == [field_of("site"), field_of("bid")]
    found_again = np.array([line["probability"] for line in lines], np.float32)
    assert (found_again == model.predict(found.parsed.batch)).all()
    assert "names" not in json.loads(next(iter(golden_lines(model, Batch([0, 1], [7])))))


def test_a_slot_outside_the_table_is_refused() -> None:
    with pytest.raises(BatchError, match="outside"):
        list(golden_lines(LogisticRegression(bits=2), Batch([0, 1], [7])))
