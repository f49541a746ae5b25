"""Candidates over a shared context: each is the whole example that both make, however they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.formats.json_texts import FEATURES, LINES, TEXTS
from core.formats.plainly import assert_same
from nonzero import Batch, LogisticRegression, Schema
from nonzero.errors import FormatError
from nonzero.formats.json_bodies import parse_body
from nonzero.formats.json_candidates import has_candidates, parse_candidates, read_joined
from nonzero.formats.json_workspace import ROOM
from nonzero.formats.parsed import Parsed
from thoroughly import examples

SAID = {"a": "category", "b": "number", "c": "ignore"}
NAMED = st.one_of(FEATURES, st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["x", "7", 7, 0.5])))
SLOTS = st.lists(st.tuples(st.integers(0, 2**31), st.sampled_from([1, 0.5, -2])), max_size=3)
CONTEXTS = st.tuples(NAMED, st.one_of(st.none(), SLOTS), st.one_of(st.none(), st.integers(0, 9)))
CANDIDATES = st.tuples(
    NAMED,
    st.one_of(st.none(), SLOTS),
    st.fixed_dictionaries(
        {},
        optional={
            "label": st.sampled_from([0, 1, -1, True, None, 2]),
            "weight": st.one_of(st.floats(0, 2e6), st.none()),
            "id": st.one_of(TEXTS, st.just("x" * 256), st.none()),
            "time": st.integers(0, 9),
        },
    ),
)


def members(features: list[tuple[str, Any]], slots: list[tuple[int, float]] | None, **rest: Any) -> str:
    """An example, whose names may stand twice."""
    named = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in features)
    texts = [f'"features": {{{named}}}']
    if slots is not None:
        texts.append(f'"indices": {[slot for slot, _ in slots]}, "values": {[value for _, value in slots]}')
    texts += [f'"{name}": {json.dumps(value)}' for name, value in rest.items()]
    return "{" + ", ".join(texts) + "}"


def written(context: Any, candidates: list[Any], *, swapped: bool) -> tuple[bytes, bytes]:
    """A body of candidates, and that of the whole examples."""
    features, slots, time = context
    timed = {} if time is None else {"time": time}
    shared = members([*features.items()], slots, **timed)
    own = [members([*one.items()], some, **rest) for one, some, rest in candidates]
    whole = [
        members(
            [*features.items(), *one.items()],
            None if slots is None and some is None else [*(slots or ()), *(some or ())],
            **{**timed, **rest},
        )
        for one, some, rest in candidates
    ]
    both = [f'"shared": {shared}', f'"candidates": [{", ".join(own)}]']
    body = "{" + ", ".join(reversed(both) if swapped else both) + "}"
    return body.encode(), f'{{"examples": [{", ".join(whole)}]}}'.encode()


def as_parsed(batch: Batch) -> Parsed:
    return Parsed(batch, np.arange(1, len(batch) + 1), (), len(batch))


@settings(max_examples=examples(100))
@given(CONTEXTS, st.lists(CANDIDATES, max_size=4), st.booleans(), st.sampled_from([None, SAID]))
@example(({"a": "x"}, [(3, 0.5)], 7), [({"a": "y"}, [(4, 1)], {"id": "é"}), ({}, None, {})], False, None)
def test_candidates_are_the_whole_examples(
    context: Any, candidates: list[Any], swapped: bool, said: Any
) -> None:
    body, whole = written(context, candidates, swapped=swapped)
    found: list[Any] = []
    ways: tuple[Callable[[], Batch], ...] = (
        lambda: parse_candidates(body, Schema.of(said)).whole(),
        lambda: parse_body(whole, Schema.of(said)),
    )
    for read in ways:
        try:
            found.append(read())
        except FormatError as error:
            found.append(error)
    ours, expected = found
    if isinstance(ours, Batch):
        assert isinstance(expected, Batch)
        assert ours.largest_slot == expected.largest_slot
        assert_same(as_parsed(ours), as_parsed(expected))
    elif ours.lines:
        assert [line.line for line in ours.lines] == [line.line for line in expected.lines]
    else:  # it is what they share that is wrong, and so each whole example is
        assert str(ours).startswith('"shared": ')
        assert not candidates or len(expected.lines) == len(candidates)


@settings(max_examples=examples(100))
@given(LINES, LINES)
def test_any_bytes_are_read_as_whole_or_refused(shared: bytes, own: bytes) -> None:
    body = b'{"shared": %b, "candidates": [%b]}' % (shared, own)
    assert has_candidates(body)
    try:
        found = parse_candidates(body)
    except FormatError:
        return
    content = json.loads(body)
    assert len(found.own) == len(content["candidates"])
    assert found.whole().nnz == found.nonzeros


def ordinary(n: int, *, like: str = "v") -> tuple[bytes, bytes]:
    context = ({f"f{k}": f"{like}{k}" for k in range(30)}, None, None)
    candidates: list[Any] = [
        ({f"g{k}": f"{like}{k * j % 97}" for k in range(10)}, None, {}) for j in range(n)
    ]
    return written(context, candidates, swapped=bool(n % 2))


@pytest.mark.parametrize("n", [0, 1, 2, 200, ROOM - 1, ROOM, ROOM + 1])
def test_any_number_of_candidates(n: int) -> None:
    body, whole = ordinary(min(n, 200))
    if n > 200:
        body = b'{"candidates": [%b], "shared": {"indices": [9]}}' % b",".join([b'{"indices": [7]}'] * n)
        whole = b'{"examples": [%b]}' % b",".join([b'{"indices": [9, 7]}'] * n)
    for _ in range(2):  # new names are left to the plain reader
        assert_same(as_parsed(parse_candidates(body).whole()), as_parsed(parse_body(whole)))


def test_what_is_ordinary_is_joined_at_once() -> None:
    for swapped in (False, True):
        schema = Schema.of({"n": "number"})
        context = ({"a": "x", "b": "y", "n": 0.5}, None, None)
        own: list[Any] = [({"c": str(j), "n": j}, None, {}) for j in range(1, 9)]
        body, whole = written(context, own, swapped=swapped)
        expected = parse_body(whole, schema)
        joined = read_joined(body, schema, expected.nnz)
        assert joined is not None
        assert_same(as_parsed(joined), as_parsed(expected))
        assert read_joined(body, schema, expected.nnz - 1) is None
        for rest in ({"id": "imp-1"}, {"label": 2}):
            other, _ = written(context, [*own, ({}, None, rest)], swapped=swapped)
            assert read_joined(other, schema, 1000) is None
        other, _ = written(context, [*own, ({}, [(3, 1)], {})], swapped=swapped)
        assert read_joined(other, schema, 1000) is None


def test_conflicts_are_counted_once() -> None:
    schema = Schema({})
    parse_body(b'{"features": {"bid": 1, "site": "x"}}', schema)
    body = (
        b'{"shared": {"features": {"bid": "1"}}, "candidates": [{"features": {"site": 1}}, {"features": {}}]}'
    )
    assert read_joined(body, schema, 100) is None
    assert schema.conflicts.counts() == {}
    parse_candidates(body, schema)
    assert schema.conflicts.counts() == {"bid": 1, "site": 1}


WRONG = {
    "": "the body is empty",
    "[": "this is not JSON",
    '{"shared": {"features": {}}}': 'there are no "candidates"; give a list',
    '{"candidates": []}': 'there is no "shared"; give "shared": {"features": {}} for none',
    '{"shared": {"features": {}}, "candidates": 7}': '"candidates" is 7, not a list',
    r'{"shared": {"features": {}}, "c\u0061ndidates": []}': "or with escapes; send either once",
    "[7]": "the body is a list",
    '{"shared": {"features": {}}, "candidates": {}}': '"candidates" is an object, not a list',
    '{"shared": {"features": {}}, "candidates": [], "model": 1}': "'model' stands beside \"shared\"",
    '{"shared": {"features": {}}, "shared": {"features": {}}, "candidates": []}': '"candidates" stands twice',
    '{"candidates": [], "shared": {"features": {}}, "candidates": []}': '"candidates" stands twice',
    '{"shared": {"site": "news"}, "candidates": []}': "\"shared\": the member 'site' is unknown",
    '{"shared": {"features": {}, "label": 1}, "candidates": []}': "what is shared has a label, 1.0; "
    "give it to each candidate",
    '{"shared": {"features": {}, "weight": 2}, "candidates": []}': "what is shared has a weight, 2.0",
    '{"shared": {"features": {}, "id": "x"}, "candidates": []}': "\"shared\": what is shared has an id, 'x'",
    '{"shared": [], "candidates": []}': '"shared": an example is an object',
    '{"shared": {"features": {}}, "candidates": [{"features": {}}, {"ad": 7}]}': "candidate 2: the",
    '{"shared": {"features": {}}, "candidates": [7]}': "candidate 1: an example is an object",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_is_wrong_is_said(body: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_candidates(body.encode())
    assert WRONG[body] in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        '{"shared": {"features": {}}, "candidates": [{"features": {}},]}',
        '{"shared": {"features": {}},, "candidates": []}',
        '{"shared": {"features": {}}, "candidates": [{"features": {}}]} x',
        '{"shared": {"features": {}}, "candidates": [{"features": {}}]',
        '{"candidates": [{"features": {}}], "shared": {"features": {}},}',
        '{"candidates": [{"features": {}} "shared": {"features": {}}}',
    ],
)
def test_what_is_no_json_is_refused(body: str) -> None:
    with pytest.raises(FormatError, match="this is not JSON"):
        parse_candidates(body.encode())


def test_a_library_batch_of_candidates_is_that_of_whole_examples() -> None:
    shared = {"site": "news", "bid": 0.5, "tags": ["a", "b"]}
    own = [{"ad": f"a{j}", "bid": j} for j in range(5)]
    model = LogisticRegression(10, interactions=["site*ad", "tags*tags", "ad*site2"])
    labels, weights = [1, 0, 1, 0, 1], [1, 2, 3, 4, 5]
    joined = Batch.from_candidates(shared, own, labels, weights, schema=model.schema)
    texts = [
        members([*shared.items(), *one.items()], None, label=labels[j], weight=weights[j])
        for j, one in enumerate(own)
    ]
    whole = parse_body(f'{{"examples": [{", ".join(texts)}]}}'.encode(), model.schema)
    assert_same(as_parsed(joined), as_parsed(whole))
    model.learn(whole)
    np.testing.assert_array_equal(model.predict(joined), model.predict(whole))
    assert model.expanded_nnz(joined) == model.expanded(whole).nnz
