"""The names of fields and values, which requests show to several threads."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest
import structlog

from nonzero import Schema
from nonzero_service.media_types import ARROW
from nonzero_service.models.names import FieldNames
from nonzero_service.models.slicing import MAX_NAMES, Slices


def test_names_are_learned_by_several_threads_at_once() -> None:
    notes: dict[str, Any] = {}
    slices = Slices(["site"])
    failures: list[BaseException] = []

    class Strict(FieldNames):
        """Keeps what a look raises."""

        def _look(self, media: str, data: bytes) -> None:
            try:
                super()._look(media, data)
            except BaseException as error:
                failures.append(error)
                raise

    names = Strict(notes, slices, Schema())

    def look(thread: int) -> None:
        # More values than are kept: then those without a slice are looked for among all, and left out.
        for j in range(400):
            names._requests = 0
            values = ",".join(f'"{thread}-{j}-{k}"' for k in range(40))
            names.look("application/json", b'{"features": {"site": [%b]}}' % values.encode())

    threads = [threading.Thread(target=look, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names.all() == ["site"]
    assert 0 < len(slices._names) <= MAX_NAMES


def test_the_columns_of_arrow_are_its_fields() -> None:
    table = pa.table({"site": ["news"], "bid": [0.5]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    names = FieldNames({}, Slices(["site"]), Schema())
    names.look(ARROW, sink.getvalue().to_pybytes())
    names.look(ARROW, sink.getvalue().to_pybytes()[:40])
    assert names.all() == ["site", "bid"]


@pytest.mark.parametrize(
    ("media", "data"),
    [
        ("text/csv", b'\n"site";bid;\n"a;b";1;\n'),
        ("text/csv", b"sep=^\nsite^bid\n"),
        ("text/tab-separated-values", b"site\tbid\nnews\t1\n"),
    ],
)
def test_the_columns_of_a_table_are_its_fields(media: str, data: bytes) -> None:
    names = FieldNames({}, Slices(["site"]), Schema(default="refuse"))
    names.look(media, data)
    names.look(media, data[:4])  # no whole header
    names.look("text/csv", b"a,b;c\n1,2;3\n")  # none that can be read
    assert names.all() == ["site", "bid"]


def test_candidates_show_the_fields_that_they_share_and_their_own() -> None:
    slices = Slices(["site", "ad"])
    names = FieldNames({}, slices, Schema())
    body = b'{"shared": {"features": {"site": "news"}}, "candidates": [{"features": {"ad": "7"}}]}'
    names.look("application/json", body)
    assert names.all() == ["site", "ad"]
    assert {*slices._names.values()} == {"news", "7"}


def test_a_look_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    names = FieldNames({}, Slices(["site"]), Schema())

    def fail(*_: Any) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    with monkeypatch.context() as patched, structlog.testing.capture_logs() as logged:
        patched.setattr(Slices, "name", fail)
        names.look("application/json", b'{"features": {"site": "news"}}')
    assert names.all() == ["site"]
    assert [line["event"] for line in logged] == ["something incidental failed"]
