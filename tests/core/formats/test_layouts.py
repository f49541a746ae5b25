from __future__ import annotations

import math

import pytest

from nonzero import formats
from nonzero.errors import InputError
from nonzero.fields.hashing import index_of
from nonzero.formats.buckets import bucket_of
from nonzero.formats.layouts import hour_of


def test_buckets_follow_the_formula_and_never_fall() -> None:
    counts = [*range(-9, 5000), *(int(1.07**k) for k in range(60, 400)), 2**31 - 1, 2**31, 10**18 - 1]
    buckets = [bucket_of(b"%d" % count, "I1") for count in counts]
    assert buckets == [c if c <= 2 else 2 + math.floor(math.log(c) ** 2) for c in counts]
    assert sorted(buckets) == [bucket for _, bucket in sorted(zip(counts, buckets, strict=True))]
    text = "".join(f"1\t{count}{chr(9) * 38}\n" for count in counts)
    batch = formats.parse(text.encode(), "criteo", boolean=())
    assert batch.indices.tolist() == [index_of(f"I1_bucket={bucket}") for bucket in buckets]


def test_every_first_count_of_a_bucket_is_found_by_compiled_code() -> None:
    firsts = [math.ceil(math.exp(math.sqrt(k))) for k in range(2, 461)]
    counts = [count + step for count in firsts for step in (-1, 0, 1)]
    text = "".join(f"1\t{count}{chr(9) * 38}\n" for count in counts)
    batch = formats.parse(text.encode(), "criteo", boolean=())
    assert batch.indices.tolist() == [index_of(f"I1_bucket={bucket_of(b'%d' % c, '')}") for c in counts]


@pytest.mark.parametrize("text", [b"", b"1.5", b"many", b"+1", b"1" * 19])
def test_what_is_no_count_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="of the column 'I1' is not a whole number"):
        bucket_of(text, "I1")


def test_hours_are_those_of_the_calendar() -> None:
    assert hour_of(b"14102100", "hour") == (0, 2, 1413849600000)  # a Tuesday
    assert hour_of(b"16022923", "hour")[:2] == (23, 1)
    for wrong in (b"14102124", b"14133100", b"15022900", b"1410210", b"1410210a"):
        with pytest.raises(InputError, match="is not an hour, written as YYMMDDHH"):
            hour_of(wrong, "hour")
