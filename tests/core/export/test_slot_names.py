"""Names of slots: of what a log or a list has shown, products too, and those that share a slot."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from nonzero import LogisticRegression, formats
from nonzero.export.slot_names import SlotNames
from nonzero.fields.hashing import index_of
from nonzero.formats.assembly import PlainRow
from nonzero.formats.named_rows import read_named

TEXTS = {
    "vw": b"1 |site news |bid 0.5 | plain\n-1 |site blog x:0\n",
    "ndjson": b'{"features": {"site": ["news", "blog"], "bid": 0.5, "gone": 0}}\n{"indices": [3]}\n',
    "csv": b"click,site,bid\n1,news,0.5\n0,blog,2\n",
}


def rows_of(form: str, text: bytes, model: LogisticRegression) -> list[PlainRow]:
    reader = formats.reader(form, schema=model.schema)
    return [row for found in read_named([text], reader) for row in found.rows]


def every(model: LogisticRegression) -> SlotNames:
    return SlotNames(model, np.arange(2**model.bits))


def slots_of(names: Iterable[str], bits: int) -> set[int]:
    return {index_of(name) % 2**bits for name in names}


@pytest.mark.parametrize("form", TEXTS)
def test_the_features_of_a_log_name_the_slots_that_it_teaches(form: str) -> None:
    model = LogisticRegression(bits=18, schema={"bid": "number"})
    model.learn(formats.parse(TEXTS["vw"], "vw", schema=model.schema))
    names = every(model)
    names.look(rows_of(form, TEXTS[form], model))
    expected = {"site=news", "site=blog", "bid"} | ({"plain"} if form == "vw" else set())
    for name in expected:
        assert names.of(index_of(name) % 2**18) == [name]
    assert names.named == len(expected)


@pytest.mark.parametrize(
    ("pairs", "products"),
    [
        (["site*hour"], "site=news*hour"),
        (["tags*tags"], "tags=a*tags=b tags=a*tags=c tags=b*tags=c"),
        (["hour*tags", "site*hour"], "hour*tags=a hour*tags=b hour*tags=c site=news*hour"),
    ],
)
def test_products_are_named_as_their_features(pairs: list[str], products: str) -> None:
    model = LogisticRegression(bits=20, interactions=pairs)
    text = b'{"features": {"site": "news", "hour": 9, "tags": ["a", "b", "c"]}, "label": 1}\n'
    batch = formats.parse(text, "ndjson", schema=model.schema)
    names = every(model)
    names.look(rows_of("ndjson", text, model))
    slots = [int(slot) for found in model.slots_of(batch) for slot in found]
    assert [name for slot in slots[batch.nnz :] for name in names.of(slot)] == products.split()
    assert names.named == len(set(slots))


def test_names_that_share_a_slot_are_told_once_each() -> None:
    names = every(LogisticRegression(bits=1))
    words = [f"w{k}".encode() for k in range(20)]
    names.take(words)
    names.take(words)
    assert names.collisions() == [0, 1]
    assert sorted([*names.of(0), *names.of(1)]) == sorted(word.decode() for word in words)
    assert {int(index_of(name)) & 1 for name in names.of(1)} == {1}


def test_slots_that_nobody_asks_for_are_not_kept() -> None:
    model = LogisticRegression(bits=18)
    wanted = sorted(slots_of(["a", "c"], 18))
    names = SlotNames(model, np.array(wanted))
    names.take([b"a", b"b", b"c"])
    assert names.named == 2
    assert [names.of(slot) for slot in slots_of(["b"], 18)] == [[]]
    nothing = SlotNames(model, np.zeros(0, np.int64))
    nothing.take([b"a"])
    assert nothing.named == 0


def test_bytes_that_are_no_text_are_shown() -> None:
    names = every(LogisticRegression(bits=10))
    names.take([b"s=\xff"])
    slot = index_of(b"s=\xff") % 2**10
    assert (names.of(slot), names.parts_of(slot)) == (["s=\ufffd"], [(b"s=\xff",)])
