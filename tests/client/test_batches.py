"""Streams are cut by their lines alone, and held a batch at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nonzero_client import Client, InputError
from nonzero_client.batches import Batch, Batcher, all_examples, example_batches, line_batches
from service.conftest import ServiceProcess

T = TypeVar("T")


def here(function: Callable[[], T], /) -> Awaitable[T]:
    async def call() -> T:
        return function()

    return call()


def collected(found: AsyncIterator[Batch]) -> list[Batch]:
    async def all_of_it() -> list[Batch]:
        return [batch async for batch in found]

    return asyncio.run(all_of_it())


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 5))
@example(b"\n\n", [1], 1)
@example(b"a\nb", [2, 2], 1)
@example(b"", [], 1)
def test_bytes_are_cut_alike_however_they_come(data: bytes, cuts: list[int], size: int) -> None:
    ends = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(ends)]
    found = collected(line_batches(iter(pieces), size, here))
    whole = collected(line_batches(data, size, here))
    assert found == whole
    assert b"".join(batch.body for batch in found) == data
    lines = data.split(b"\n")
    count = len(lines) - (lines[-1] == b"")
    assert [number for batch in found for number in batch.numbers] == list(range(1, count + 1))
    assert all(len(batch) == size for batch in found[:-1])
    assert all(line.endswith(b"\n") for batch in found[:-1] for line in batch.lines)


def test_a_batch_ends_where_it_is_large() -> None:
    batcher = Batcher(size=1000, most=10)
    ended = [batcher.add(b"x" * 4) for _ in range(7)]
    assert [len(batch) if batch else 0 for batch in ended] == [0, 0, 3, 0, 0, 3, 0]
    rest = batcher.rest()
    assert rest is not None
    assert rest.numbers == [7]
    assert batcher.rest() is None


def test_examples_that_are_none_have_their_numbers() -> None:
    given_: list[Any] = [{"features": {}}, 5, {"features": {}}, {"features": {"x": float("nan")}}]
    found = collected(example_batches(given_, 3))
    assert [(batch.numbers, [fault.line for fault in batch.faults]) for batch in found] == [
        ([1, 3], [2]),
        ([], [4]),
    ]
    assert found[0].by_line == {1: 1, 2: 3}


@pytest.mark.parametrize("size", [1, 10, 1000])
def test_no_more_than_a_batch_is_read_ahead(size: int) -> None:
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        for taken in itertools.count(1):
            yield {"features": {"n": taken}}

    async def some() -> None:
        found = example_batches(endless(), size)
        async for batch in found:
            assert taken == batch.numbers[-1]
            if taken >= 3000:
                break
        await found.aclose()  # type: ignore[attr-defined]

    asyncio.run(some())


def test_all_examples_of_one_request() -> None:
    assert list(all_examples({"features": {}})) == [b'{"features":{}}']
    assert list(all_examples(iter([]))) == []
    with pytest.raises(InputError, match=r"example 2: .* and 1 more") as error:
        all_examples([{"features": {}}, 5, 6])  # type: ignore[list-item]
    assert [fault.line for fault in error.value.errors] == [2, 3]


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_sizes_that_are_none(size: Any, service: ServiceProcess) -> None:
    with Client(service.url) as client, pytest.raises(InputError, match="batch_size is"):
        client.update_stream([], batch_size=size)
