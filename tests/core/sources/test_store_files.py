"""Files of stores whose answers break off, wait, refuse and change: the same bytes, or a sentence."""

from __future__ import annotations

import gzip
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from nonzero import StoreError
from nonzero.sources import store_files
from nonzero.sources.files import SAMPLE, Source
from nonzero.sources.store_errors import ChangedError
from nonzero.sources.store_files import AT_ONCE, StoreFile
from nonzero.sources.store_reader import StoreReader
from object_store import ENVIRONMENT, Asked, OwnStore, forget_stores, own_store
from service.certificates import certificate

# fsspec keeps its connections until the process ends.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

PART = 1 << 20
"""Smaller than it is: a test need not move more."""

TEXT = np.random.default_rng(7).integers(32, 127, 4 * PART + 12_345, np.uint8).tobytes()


class Stored:
    """A store of our own, and the URLs of one file in it: as S3, and as a web server."""

    def __init__(self, store: OwnStore, address: str) -> None:
        self.store = store
        self.address = address

    def put(self, name: str, data: bytes) -> None:
        self.store.files[f"/logs/{name}"] = data

    def url(self, scheme: str, name: str = "day.txt") -> str:
        return f"s3://logs/{name}" if scheme == "s3" else f"{self.address}/logs/{name}"


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stored]:
    monkeypatch.setattr(store_files, "_PAUSE", 0.01)
    monkeypatch.setattr(store_files, "PART", PART)
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 2)
    with own_store() as (store, address):
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": address}.items():
            monkeypatch.setenv(name, value)
        forget_stores()
        made = Stored(store, address)
        made.put("day.txt", TEXT)
        yield made
    forget_stores()


def is_part(asked: Asked) -> bool:
    """Whether it is one of the ranges that a file is read ahead by."""
    return asked.method == "GET" and asked.start is not None and SAMPLE <= asked.start < len(TEXT) - 1


@pytest.mark.sampled(2)
@pytest.mark.parametrize("scheme", ["s3", "http"])
@pytest.mark.parametrize("pack", [bytes, partial(gzip.compress, compresslevel=1), zstandard.compress])
def test_a_file_is_read_whole(stored: Stored, scheme: str, pack: Any) -> None:
    stored.put("day.txt", pack(TEXT))
    source = Source(stored.url(scheme))
    assert source.size == len(stored.store.files["/logs/day.txt"])
    assert b"".join(source) == TEXT
    assert source.position == source.size
    assert stored.store.bytes_sent() <= source.size + 1  # nothing comes twice


def test_a_file_is_read_by_tls(tmp_path: Path) -> None:
    """In a process of its own: which certificates count is read once."""
    made, key = certificate(tmp_path)
    program = (
        "import sys; from nonzero.sources.files import Source; print(len(b''.join(Source(sys.argv[1]))))"
    )
    with own_store((made, key)) as (store, address):
        store.files["/day.txt"] = TEXT[:SAMPLE]
        command = [sys.executable, "-c", program, f"{address}/day.txt"]
        for trusted, found in ((made, str(SAMPLE)), (key.with_name("none"), "")):
            environment = {**os.environ, "SSL_CERT_FILE": str(trusted)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.stdout.strip() == found, done.stderr
    assert "signed its certificate; name a file of those that are by SSL_CERT_FILE" in done.stderr


@pytest.mark.sampled(2)
@pytest.mark.parametrize("scheme", ["s3", "http"])
@pytest.mark.parametrize("fault", [0.3, 503], ids=["cut", "503"])
def test_what_breaks_off_goes_on_where_it_was(stored: Stored, scheme: str, fault: float) -> None:
    faulty: set[int] = set()

    def once(asked: Asked) -> float | None:
        if not is_part(asked) or asked.start in faulty:
            return None
        assert asked.start is not None
        faulty.add(asked.start)
        return fault

    stored.store.fault = once
    assert b"".join(Source(stored.url(scheme))) == TEXT
    starts = [asked.start or 0 for asked in stored.store.asked if is_part(asked)]
    assert len(faulty) == 4
    assert sorted(starts) == sorted([*faulty, *faulty])


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_store_that_answers_nothing_but_503_is_left(stored: Stored, scheme: str) -> None:
    stored.store.fault = lambda asked: 503 if is_part(asked) else None
    with pytest.raises(StoreError, match=r"the store answered (503|SlowDown), and again .*; try later"):
        b"".join(Source(stored.url(scheme)))


@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_a_file_that_changes_is_no_mixture(stored: Stored, scheme: str) -> None:
    blocks = iter(Source(stored.url(scheme)))
    next(blocks)
    stored.put("day.txt", TEXT[::-1])
    with pytest.raises(ChangedError, match=r"day\.txt was replaced while it was read; read it again"):
        sum(map(len, blocks))


def test_a_change_that_a_server_does_not_tell_of_is_found_at_the_end(stored: Stored) -> None:
    stored.store.tells_changes = False
    source = Source(stored.url("http"))
    blocks = iter(source)
    next(blocks)
    stored.put("day.txt", TEXT[::-1])
    with pytest.raises(ChangedError):
        sum(map(len, blocks))
    assert [asked.method for asked in stored.store.asked].count("HEAD") == 2


def test_few_parts_are_under_way_at_once(stored: Stored) -> None:
    """Who reads slowly keeps a bounded part of the file in memory; who reads fast has several under way."""
    stored.put("day.txt", bytes(20 * PART))
    stored.store.delay = 0.02
    blocks = iter(Source(stored.url("http")))
    read = sum(len(next(blocks)) for _ in range(3))
    time.sleep(0.5)
    assert stored.store.bytes_sent() <= SAMPLE + (AT_ONCE + 2) * PART + 1
    assert read + sum(map(len, blocks)) == 20 * PART
    assert 2 <= stored.store.most <= AT_ONCE


@pytest.mark.sampled(1)
@pytest.mark.parametrize("scheme", ["s3", "http"])
def test_samples_are_taken_at_three_places(stored: Stored, scheme: str, tmp_path: Path) -> None:
    (tmp_path / "day.txt").write_bytes(TEXT)
    assert Source(stored.url(scheme)).samples() == Source(tmp_path / "day.txt").samples()
    assert stored.store.bytes_sent() <= 4 * SAMPLE


def test_a_reader_reads_at_any_place(stored: Stored) -> None:
    reader = StoreReader(StoreFile(Source(stored.url("s3")).stored.place))
    rng = np.random.default_rng(3)
    for start, size in rng.integers(0, (len(TEXT), 3 * PART), (20, 2)).tolist():
        reader.seek(start)
        assert reader.read(size) == TEXT[start : start + size]
        assert reader.tell() == min(start + size, len(TEXT))
    assert reader.seek(-5, 2) == len(TEXT) - 5
    assert reader.read() == TEXT[-5:]
    with pytest.raises(ValueError, match="there is no place -1"):
        reader.seek(-1)


def test_a_server_without_ranges_is_read_as_a_pipe_is(stored: Stored) -> None:
    stored.store.ranges = False
    source = Source(stored.url("http"))
    assert source.size is None
    assert source.start(4) == TEXT[:4]
    assert b"".join(source) == TEXT
    stored.store.fault = lambda asked: 0.5 if asked.method == "GET" else None
    with pytest.raises(StoreError, match="broke off, and its server gives no part of a file"):
        b"".join(Source(stored.url("http")))


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("scheme", "status", "code", "said"),
    [
        ("s3", 404, "NoSuchKey", "there is no file s3://logs/other.txt"),
        ("http", 404, "", "there is no file http://127.0.0.1:PORT/logs/other.txt"),
        ("http", 403, "", "PLACE is forbidden; a signed link may have run out: get a new one"),
        ("s3", 403, "", "PLACE is forbidden; the credentials need s3:GetObject"),
        ("s3", 503, "", "PLACE: the store answered 503, and again when asked again; try later, or see"),
        ("http", 500, "", "PLACE: the store answered 500, and again when asked again; try later"),
    ],
)  # fmt: skip
def test_a_refusal_is_a_sentence(stored: Stored, scheme: str, status: int, code: str, said: str) -> None:
    stored.store.fault = lambda _: status
    stored.store.code = code
    url = stored.url(scheme, "other.txt")
    with pytest.raises(StoreError) as caught:
        Source(f"{url}?X-Amz-Signature=secret" if scheme == "http" else url)
    port = stored.address.rpartition(":")[2]
    assert str(caught.value).startswith(said.replace("PLACE", url).replace("PORT", port))
    assert "secret" not in str(caught.value)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "the credentials have expired; get new ones"),
        ("InvalidAccessKeyId", "the store does not know the access key; set AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "the secret key is not that of the access key"),
        ("RequestTimeTooSkewed", "the clock of this machine is wrong"),
        ("AccessDenied", "is forbidden; the credentials need"),
    ],
)  # fmt: skip
def test_a_refusal_half_way_is_a_sentence(stored: Stored, code: str, said: str) -> None:
    """S3 says why in the body of an answer; HEAD has none."""
    stored.store.fault = lambda asked: 403 if is_part(asked) else None
    stored.store.code = code
    with pytest.raises(StoreError) as caught:
        b"".join(Source(stored.url("s3")))
    assert str(caught.value).startswith("s3://logs/day.txt")
    assert said in str(caught.value)
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)


@pytest.mark.usefixtures("stored")
def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(StoreError, match=r"s3://logs/day\.txt: the store did not answer"):
        Source("s3://logs/day.txt")
    said = r"http://127\.0\.0\.1:1/day\.txt: the store did not answer \(ClientConnectorError\)"
    with pytest.raises(StoreError, match=said):  # no FileNotFoundError, which fsspec makes of it
        Source("http://127.0.0.1:1/day.txt?token=secret")


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "AWS_ENDPOINT_URL_S3",
            "127.0.0.1:9000",
            "what AWS_ENDPOINT_URL_S3 names is no URL; give one such as",
        ),
        ("AWS_PROFILE", "nobody", "the profile that AWS_PROFILE names is not in the files of credentials"),
    ],
)
def test_a_setting_of_the_store_that_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError) as caught:
        Source("s3://logs/day.txt")
    assert str(caught.value).startswith(f"s3://logs/day.txt: {said}")


@pytest.mark.usefixtures("stored")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StoreError, match="no credentials were found; set AWS_ACCESS_KEY_ID and"):
        Source("s3://logs/day.txt")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://logs/day.txt", "gs://logs/day.txt needs gcsfs, which is not installed: pip install gcsfs"),
        ("kafka://logs/day.txt", "files of kafka:// cannot be read; give s3://, gs://, https:// or a path"),
    ],
)
def test_other_stores(url: str, said: str) -> None:
    with pytest.raises(StoreError) as caught:
        Source(url)
    assert said in str(caught.value)


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(StoreError, match=r"s3://logs/day.txt .*: pip install 'nonzero-ctr\[files\]'"):
        Source("s3://logs/day.txt")


def test_a_part_of_the_extra_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, "s3", raising=False)  # what was imported before is found there
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=r"day.txt needs s3fs, .*: pip install 'nonzero-ctr\[files\]'"):
        Source("s3://logs/day.txt")
