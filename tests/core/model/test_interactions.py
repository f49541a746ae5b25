"""Interactions: products of hashed features, against features written by hand."""

import json
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from nonzero import AdaGrad, Batch, LogisticRegression, SettingsError, formats
from nonzero.fields.hashing import field_of, index_of
from nonzero.kernels.products import MAX_NONZEROS, product_index
from nonzero.model.interactions import Interactions

FIELDS = ("site", "hour", "tags")
NUMBERS = [field_of(name) for name in FIELDS]


def by_hand(batch: Any, pairs: Any, most: int = MAX_NONZEROS) -> Any:
    """Every row's own nonzeros and then its products, one by one."""
    indptr, indices, values, fields = [0], [], [], []
    given = batch.explicit_values()
    for r in range(len(batch)):
        row = range(batch.indptr[r], batch.indptr[r + 1])
        nonzeros = [(batch.indices[j], given[j], batch.fields[j]) for j in row]
        made = []
        for name in pairs:
            left, right = name.split("*")
            both = [[n for n in nonzeros if n[2] == field_of(side)] for side in (left, right)]
            for a, b in combinations(both[0], 2) if left == right else product(*both):
                data = np.array([a[0], b[0]], "<u4").tobytes()
                index = abs(int(murmurhash3_32(data, seed=0)))
                made.append((index, np.clip(a[1] * b[1], -1e6, 1e6), field_of(name)))
        for index, value, field in (nonzeros + made)[: max(most, len(nonzeros))]:
            indices.append(index)
            values.append(value)
            fields.append(field)
        indptr.append(len(indices))
    return Batch(
        indptr, np.array(indices, np.int64), None if batch.values is None else values, batch.labels,
        batch.weights, fields,
    )  # fmt: skip


def clicks(seed: int, n: int = 60, valued: bool = True) -> Any:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 7, n)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    k = indptr[-1]
    values = rng.choice(np.array([1, 0, -2.5, 0.3, 1e6, -1e5]), k) if valued else None
    fields = rng.choice([*NUMBERS, 0, 7], k)
    indices = np.where(fields == 0, rng.integers(0, 2**10, k), rng.integers(0, 2**31 + 1, k))
    return Batch(indptr, indices, values, rng.integers(0, 2, n), rng.choice([0, 1, 2.5], n), fields)


def equal(a: Any, b: Any) -> None:
    for name in ("indptr", "indices", "fields"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.explicit_values(), b.explicit_values())


PAIRS = ["site*hour", "hour*tags", "tags*tags", "none*site"]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.permutations(PAIRS))
def test_rows_have_the_products_that_were_written_by_hand(seed: int, valued: bool, pairs: Any) -> None:
    batch = clicks(seed, valued=valued)
    equal(LogisticRegression(4, interactions=pairs).expanded(batch), by_hand(batch, pairs))


@pytest.mark.parametrize("optimizer", [None, AdaGrad(0.2)], ids=["eight lanes", "one lane"])
def test_a_model_learns_what_it_would_from_products_written_by_hand(optimizer: Any) -> None:
    batch = clicks(1, n=2_000)
    batch = Batch(
        batch.indptr, batch.indices, np.clip(batch.values, -3, 3), batch.labels, batch.weights, batch.fields
    )
    written = by_hand(batch, PAIRS)
    plain, crossed = LogisticRegression(10, optimizer), LogisticRegression(10, optimizer, interactions=PAIRS)
    chunked = LogisticRegression(10, optimizer, interactions=PAIRS)
    expected = plain.learn(written)
    np.testing.assert_array_equal(crossed.learn(batch), expected)
    for start in range(0, 2_000, 77):
        chunked.learn(batch.rows(start, min(start + 77, 2_000)))
    assert chunked.digest() == crossed.digest() != plain.digest()
    np.testing.assert_array_equal(crossed.table.rows, plain.table.rows)
    np.testing.assert_array_equal(crossed.predict(batch), plain.predict(written))
    np.testing.assert_array_equal(crossed.uncertainty(batch), plain.uncertainty(written))
    r = int(np.argmax(np.diff(written.indptr)))
    ours, theirs = crossed.explain(batch.rows(r, r + 1)), plain.explain(written.rows(r, r + 1))
    np.testing.assert_array_equal(ours.contributions, theirs.contributions)
    assert ours.mixing == theirs.mixing


def test_the_index_of_a_product_is_its_documented_hash() -> None:
    a, b = index_of("site=news"), index_of("hour=9")
    data = a.to_bytes(4, "little") + b.to_bytes(4, "little")
    assert product_index(a, b) == abs(int(murmurhash3_32(data, seed=0))) != product_index(b, a)


def test_every_format_gives_the_same_products() -> None:
    rng = np.random.default_rng(2)
    rows = [(f"s{a}", f"h{b}", int(a == b)) for a, b in rng.integers(0, 5, (200, 2)).tolist()]
    bodies = {
        "csv": "site,hour,click\n" + "".join(f"{a},{b},{y}\n" for a, b, y in rows),
        "vw": "".join(f"{y or -1} | site={a} hour={b}\n" for a, b, y in rows),
        "ndjson": "".join(
            json.dumps({"features": {"site": a, "hour": b}, "label": y}) + "\n" for a, b, y in rows
        ),
    }
    digests = set()
    for name, body in bodies.items():
        model = LogisticRegression(10, interactions=["site*hour"])
        model.learn(formats.parse(body.encode(), name))
        digests.add(model.digest())
    assert len(digests) == 1


def test_what_only_the_pair_decides_is_learned() -> None:
    """The exclusive or of two halves: alone no feature says anything."""
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 6, (2, 6_000))
    body = "".join(
        f"{1 if click else -1} |site s{x} |hour h{y}\n"
        for x, y, click in zip(a, b, (a < 3) ^ (b < 3), strict=True)
    )
    batch = formats.parse(body.encode(), "vw")
    alone, crossed = LogisticRegression(12), LogisticRegression(12, interactions=["site*hour"])
    for model in (alone, crossed):
        model.learn(batch.rows(0, 5_000))
    loss = [-np.log(np.abs(m.learn(batch.rows(5_000, 6_000)) - (1 - batch.labels[5_000:]))).mean()
            for m in (alone, crossed)]  # fmt: skip
    assert loss[0] == pytest.approx(np.log(2), abs=0.03)
    assert loss[1] < 0.02


def test_an_example_has_at_most_so_many_nonzeros() -> None:
    fields = np.repeat(NUMBERS[:2], 300)
    indices = np.arange(600) + 2**20
    batch = Batch([0, 600, 602], [*indices, 1, 2], None, [1, 0], None, [*fields, *NUMBERS[:2]])
    crossed = LogisticRegression(8, interactions=["site*hour", "site*site"]).expanded(batch)
    assert np.diff(crossed.indptr).tolist() == [MAX_NONZEROS, 3]
    equal(crossed, by_hand(batch, ["site*hour", "site*site"]))
    long = Batch([0, MAX_NONZEROS + 5], np.full(MAX_NONZEROS + 5, 9), None, [1], None, [NUMBERS[0]] * 65_541)
    assert LogisticRegression(8, interactions=["site*site"]).expanded(long).nnz == long.nnz


def test_rows_of_many_products_are_learned_some_at_a_time() -> None:
    fields = np.tile(np.repeat(NUMBERS[:2], 100), 150)
    indices = np.random.default_rng(4).integers(0, 2**31, fields.size)
    batch = Batch(np.arange(0, fields.size + 1, 200), indices, None, np.arange(150) % 2, None, fields)
    crossed, plain = (
        LogisticRegression(8, AdaGrad(), interactions=["site*hour"]),
        LogisticRegression(8, AdaGrad()),
    )
    pieces = list(Interactions(["site*hour"]).pieces(batch, np.empty(150, np.float32)))
    assert len(pieces) > 1
    np.testing.assert_array_equal(
        crossed.learn(batch), np.concatenate([plain.learn(piece) for piece, _ in pieces])
    )


def test_indices_given_directly_make_no_products() -> None:
    model = LogisticRegression(8, interactions=["site*hour"])
    batch = Batch([0, 2], [1, 2], None, [1])
    assert model.expanded(batch) is batch
    assert 0 < model.learn(batch)[0] < 1
    assert model.expanded(Batch.empty()).nnz == 0
    assert model.predict(Batch.empty()).size == 0


def test_interactions_are_saved_and_checked(tmp_path: Any) -> None:
    model = LogisticRegression(8, interactions=["site*hour"])
    model.learn(clicks(5, valued=False).rows(0, 0))
    model.save(tmp_path / "m")
    again = LogisticRegression.load(tmp_path / "m", interactions=("site*hour",))
    assert again.interactions == ("site*hour",)
    assert again.digest() == model.digest() != LogisticRegression(8).digest()
    with pytest.raises(SettingsError, match=r"interactions is \['site\*hour'\], expected \[\]"):
        LogisticRegression.load(tmp_path / "m", interactions=[])
    assert "interactions" not in LogisticRegression(8).settings


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        (["site"], "'site' is not two names"),
        (["a*b*c"], "not two names"),
        (["*a"], "not two names"),
        ([3], "not two names"),
        ("a*b", "give a list, such as \\['a\\*b'\\]"),
        (["a*b", "b*a"], "'b\\*a' is named twice"),
        ([f"a*{k}" for k in range(257)], "257 interactions"),
        (["a*" + "b" * 9000], "9002 bytes"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs: Any, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        LogisticRegression(4, interactions=pairs)
