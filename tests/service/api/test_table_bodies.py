"""Bodies of CSV and TSV: the rows that JSON has, a stream of any length, its lines named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import zstandard

from command_line import nonzero
from waiting import until

CSV: Final = "text/csv"
TSV: Final = "text/tab-separated-values"
ARROW: Final = "application/vnd.apache.arrow.stream"
SAID: Final = {"site": "category", "ad": "category", "bid": "number"}
ROWS: Final[list[dict[str, Any]]] = [
    {"click": 1, "site": "news", "ad": 'a "b", c', "bid": 0.5},
    {"click": 0, "site": "two\nlines\r\nthree", "ad": "", "bid": ""},
    {"click": 1, "site": "žluť", "ad": "00501", "bid": 2},
    {"click": 0, "site": "", "ad": "7", "bid": -1e-3},
] * 3


def table(rows: list[dict[str, Any]], delimiter: str = ",", end: str = "\n") -> bytes:
    out = io.StringIO(newline="")
    written = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end)
    written.writeheader()
    written.writerows(rows)
    return out.getvalue().encode()


def post(client: httpx.Client, path: str, body: Any, query: Any = None, media: str = CSV, **more: str) -> Any:
    return client.post(path, content=body, headers={"content-type": media, **more}, params=query)


@pytest.fixture
def route(client: httpx.Client, model: str) -> Iterator[str]:
    """A model that says what its fields are."""
    path = f"{model}-said"
    made = client.put(path, json={"bits": 12, "learning_rate": 0.1, "schema": {"fields": SAID}})
    assert made.status_code == 201
    yield path
    client.delete(path)


def by_json(client: httpx.Client, model: str) -> list[float]:
    """What a model that was taught the same rows by JSON predicts of them."""
    path = f"{model}-json"
    assert (
        client.put(path, json={"bits": 12, "learning_rate": 0.1, "schema": {"fields": SAID}}).status_code
        == 201
    )
    examples = [
        {"features": {name: value for name, value in row.items() if name != "click" and value != ""}}
        for row in ROWS
    ]
    taught = [one | {"label": row["click"]} for one, row in zip(examples, ROWS, strict=True)]
    assert client.post(f"{path}/update", json={"examples": taught}).json()["accepted"] == len(ROWS)
    found = client.post(f"{path}/predict", json={"examples": examples}).json()["predictions"]
    client.delete(path)
    return [one["probability"] for one in found]


def predicted(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [one.get("probability", one) for one in map(json.loads, answer.text.splitlines())]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("body", "media", "query", "encoding"),
    [
        (table(ROWS), CSV, {}, ""),
        (table(ROWS), "Text/CSV; charset=UTF-8; header=present", {}, ""),
        (b"\xef\xbb\xbf" + table(ROWS, end="\r\n"), CSV, {}, ""),
        (table(ROWS, ";"), CSV, {}, ""),
        (b"sep=|\n" + table(ROWS, "|"), CSV, {}, ""),
        (table(ROWS, "^"), CSV, {"delimiter": "^"}, ""),
        (table(ROWS, "\t"), CSV, {"delimiter": "tab"}, ""),
        (table(ROWS, "\t"), TSV, {}, ""),
        (gzip.compress(table(ROWS)), CSV, {}, "gzip"),
        (zstandard.compress(table(ROWS)), CSV, {"label": "click"}, "zstd"),
    ],
    ids=["plain", "parameters", "CRLF", "semicolon", "sep=", "caret", "tab", "TSV", "gzip", "zstd"],
)
def test_the_rows_of_a_table_teach_what_json_teaches(
    client: httpx.Client, model: str, route: str, body: bytes, media: str, query: Any, encoding: str
) -> None:
    more = {"content-encoding": encoding} if encoding else {}
    answer = post(client, f"{route}/update", body, query, media, **more)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["accepted"], answer.json()["sequence"]) == (len(ROWS), len(ROWS))
    found = predicted(post(client, f"{route}/predict", body, query, media, **more))
    assert found == by_json(client, model)


def test_a_record_may_come_in_any_pieces(client: httpx.Client, model: str, route: str) -> None:
    body = table(ROWS)
    pieces = (body[i : i + 3] for i in range(0, len(body), 3))
    assert post(client, f"{route}/update", pieces).json()["accepted"] == len(ROWS)
    pieces = (body[i : i + 5] for i in range(0, len(body), 5))
    assert predicted(post(client, f"{route}/predict", pieces)) == by_json(client, model)


def test_a_column_that_is_not_declared_is_a_category(client: httpx.Client, model: str) -> None:
    rows = b"click,n,hour,flag\n" + b"1,5,007,True\n0,6,008,\n" * 200  # n numbers no rows; none is left out
    assert post(client, f"{model}/update", rows).json()["accepted"] == 400
    asked = [{"n": "5"}, {"hour": "007"}, {"flag": "True"}]
    answer = client.post(f"{model}/predict", json={"examples": [{"features": one} for one in asked]}).json()
    assert all(one["probability"] > 0.6 for one in answer["predictions"])
    numbered = b"click,row\n" + b"".join(b"%d,%d\n" % (k % 2, k) for k in range(2000))
    assert post(client, f"{model}/update", numbered).json()["accepted"] == 2000
    assert (
        client.post(f"{model}/predict", json={"features": {"row": "1"}}).json()
        != client.post(f"{model}/predict", json={"features": {"row": "none"}}).json()
    )


def test_labels_weights_ids_and_times_are_columns_that_the_query_names(
    client: httpx.Client, model: str
) -> None:
    body = b"a,hit,w,n,at\nx,yes,2,i,1700000000000\ny,no,0.5,j,1700000000001\nz,,,,\n"
    query = {"label": "hit", "positive": "yes", "weight": "w", "id": "n", "time": "at"}
    answer = post(client, f"{model}/update", body, query)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 3), answer.text
    found = client.get(f"{model}/metrics").json()
    assert found["weight"] == 3.5
    assert "n" not in client.get(f"{model}/metrics").json()["schema"]["conflicts"]


@pytest.mark.parametrize("negatives", ["at_end"])
def test_predictions_with_an_id_wait_for_their_label(client: httpx.Client, model: str) -> None:
    body = "site,imp\nnews,a-1\nsport,\nnews,žluť\n".encode()
    answer = post(client, f"{model}/predict", body, {"id": "imp", "uncertainty": "true"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row.get("id") for row in rows] == ["a-1", None, "žluť"]
    assert all("uncertainty" in row for row in rows)
    labels = {"labels": [{"id": "a-1", "label": 1}, {"id": "žluť", "label": 0}, {"id": "other", "label": 1}]}
    told = client.post(f"{model}/labels", json=labels).json()
    assert (told["accepted"], told["rejected"]) == (2, 1)


def test_what_is_wrong_is_named_by_its_line_and_the_rest_goes_on(client: httpx.Client, route: str) -> None:
    body = b'click,site,bid\n1,a,1\n1,"b\nb",x\n0,c\n\n7,d,1\n0,e,2\n1,"f,1\n0,g,1\n'
    answer = post(client, f"{route}/update", body)
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 5)
    errors = answer.json()["errors"]
    assert [one["line"] for one in errors] == [3, 5, 6, 7, 9]
    assert [one["reason"][:40] for one in errors] == [
        "the value of the column 'bid' 'x' is not"[:40],
        "the line has 2 cells, the header 3",
        "the line is empty",
        "the label '7' is not 1, 0 or -1, nor tru"[:40],
        "a quoted cell does not end in its line, "[:40],
    ]
    stopped = post(client, f"{route}/update", body, {"strict": "true"})
    assert (stopped.status_code, stopped.json()["accepted"]) == (422, 0)
    lines = predicted(post(client, f"{route}/predict", body))
    assert [isinstance(one, float) for one in lines] == [True, False, False, False, True, True, False]
    assert [one["line"] for one in lines if isinstance(one, dict)] == [3, 5, 6, 9]


def test_labels_are_not_looked_at_where_nothing_is_learned(client: httpx.Client, model: str) -> None:
    assert len(predicted(post(client, f"{model}/predict", b"click,a\nmaybe,x\n,y\n"))) == 2
    query = {"label": "hit"}
    assert len(predicted(post(client, f"{model}/predict", b"hit,click,a\n?,1,x\n", query))) == 1


@pytest.mark.parametrize("what", ["update", "predict"])
@pytest.mark.parametrize("body", [b"", b"click,site\n", b"click,site", b"\n\n", b"\xef\xbb\xbfclick,site\n"])
def test_a_header_alone_is_a_table_of_no_rows(
    client: httpx.Client, model: str, what: str, body: bytes
) -> None:
    answer = post(client, f"{model}/{what}", body)
    assert answer.status_code == 200, answer.text
    assert answer.text == "" if what == "predict" else answer.json()["accepted"] == 0


@pytest.mark.parametrize(
    ("body", "query", "status", "said"),
    [
        (
            b"1,news,0.5\n0,sport,2\n",
            {},
            422,
            "the header has '1', 'news', '0.5', and no column is called label",
        ),
        (b"site\nnews\n", {}, 422, "?label=COLUMN. The first line of a table is its header"),
        (b"click,target,a\n1,0,x\n", {}, 422, "the columns 'click' and 'target' are called like a label"),
        (b"click,a,a\n1,x,y\n", {}, 422, "the header has the column 'a' twice"),
        (b"click,a;b\n1,x\n", {}, 422, "the header has ',' and ';' in it"),
        (b"click,a\n1,x\n", {"label": "hit"}, 422, "there is no column 'hit'; the header has click, a"),
        (b"click,a\n1,x\n", {"id": "imp"}, 422, "there is no column 'imp'"),
        (b"click,a\n1,x\n", {"label": "a", "weight": "a"}, 422, "the column 'a' is named twice"),
        (b"click,a\n1,x\n", {"delimiter": "ab"}, 422, "the delimiter is 'ab', of 2 characters"),
        (b"click,a\n1,x\n", {"positive": ""}, 422, "positive is empty"),
        (b"click,a\n1,x\n", {"time": "a", "time_format": "%Y%"}, 422, "which is no pattern of strptime"),
        (b"click,a\n1,x\n", {"time": "a", "time_format": "%Y %Y"}, 422, "which is no pattern of strptime"),
        (b"click,a\n1,x\n", {"time": "a", "time_format": "%Y" * 200}, 422, "has 400 characters"),
        (b"click,a\n1,x\n", {"lable": "a"}, 422, "no query parameter 'lable'; did you mean 'label'"),
        ("click,a\n1,x\n".encode("utf-16"), {}, 422, "the text is UTF-16"),
        (b"click,a\r1,x\r", {}, 422, "lines end in CR alone"),
        (
            gzip.compress(b"click,a\n1,x\n", mtime=0),
            {},
            415,
            "the body is gzip, and no Content-Encoding says so",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_and_says_why(
    client: httpx.Client, model: str, body: bytes, query: dict[str, str], status: int, said: str
) -> None:
    answer = post(client, f"{model}/update", body, query)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text
    assert client.get(model).json()["sequence"] == 0


def test_a_header_that_the_schema_refuses(client: httpx.Client, model: str) -> None:
    path = f"{model}-strict"
    said = {"fields": {"site": "category"}, "default": "refuse"}
    assert client.put(path, json={"bits": 8, "schema": said}).status_code == 201
    for what in ("update", "predict"):
        answer = post(client, f"{path}/{what}", b"click,sites\n1,a\n")
        assert answer.status_code == 422
        assert "'sites' is not in the model's schema" in answer.json()["detail"]
        assert "did you mean 'site'" in answer.json()["detail"]
    assert predicted(post(client, f"{path}/predict", b"click,imp,site\n1,x,a\n", {"id": "imp"}))
    client.delete(path)


@pytest.mark.parametrize(
    ("media", "status", "said"),
    [
        (f"{CSV}; header=absent", 415, "the table has no header; name its columns in their order"),
        (f'{TSV}; charset=utf-8; header="absent"', 415, "by ?columns=click,site,bid, or let its first line"),
        (f"{CSV}; charset=iso-8859-1", 415, "bodies are read as UTF-8, not as 'iso-8859-1'"),
        (
            "text/tsv",
            415,
            f"send application/json, application/x-ndjson, text/x-vw, text/x-libsvm, {CSV}, {TSV}",
        ),
    ],
)
def test_types_that_are_not_read(
    client: httpx.Client, model: str, media: str, status: int, said: str
) -> None:
    for what in ("update", "predict"):
        answer = post(client, f"{model}/{what}", b"click,a\n1,x\n", media=media)
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.text


def test_a_delimiter_is_said_of_csv_alone(client: httpx.Client, model: str) -> None:
    for media, name in ((TSV, "delimiter"), (ARROW, "delimiter"), (ARROW, "columns"), (ARROW, "time_format")):
        answer = post(client, f"{model}/update", b"click\ta\n1\tx\n", {name: "s"}, media)
        said = f"the query has {name}, and {media} tells that itself"
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text
    answer = post(client, f"{model}/update", b"1 | a\n", {"delimiter": "tab"}, "text/x-vw")
    assert (answer.status_code, "the query has delimiter" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize("media", [CSV, f"{CSV}; header=absent", f"{CSV}; header=present"])
def test_a_table_without_a_header_has_its_columns_named(
    client: httpx.Client, model: str, route: str, media: str
) -> None:
    body = table(ROWS).partition(b"\n")[2]
    query = {"columns": "click,site,ad,bid"}
    assert post(client, f"{route}/update", body, query, media).json()["accepted"] == len(ROWS)
    found = predicted(post(client, f"{route}/predict", body, query, media))
    assert found == by_json(client, model)
    wrong = b"x,news,7,0.5\n"
    assert post(client, f"{route}/update", wrong, query, media).json()["errors"][0]["line"] == 1


def test_times_are_written_as_the_query_says(client: httpx.Client, model: str) -> None:
    for how, text in (("s", "1700000000"), ("%d.%m.%Y", "30.11.2026"), ("iso", "2026-11-30T06:00:00Z")):
        body = f"click,at\n1,{text}\n0,soon\n".encode()
        answer = post(client, f"{model}/update", body, {"time": "at", "time_format": how}).json()
        assert (answer["accepted"], [one["line"] for one in answer["errors"]]) == (1, [3]), answer
    answer = post(client, f"{model}/update", b"click,at\n1,2\n", {"time": "at", "time_format": "hours"})
    assert (answer.status_code, "give ms, s, iso, or a pattern" in answer.json()["detail"]) == (422, True)


# -- idempotency keys --------------------------------------------------------------------------------------


def long_table(n: int) -> bytes:
    """Records of three lines each, the line ends in quotes."""
    return b"click,site,text\n" + b"".join(b'%d,s%d,"a\nb%d\n"\n' % (k % 3 == 0, k % 7, k) for k in range(n))


def test_a_repeat_with_a_key_is_learned_from_once(client: httpx.Client, model: str) -> None:
    body = long_table(50)
    first = post(client, f"{model}/update", body, **{"idempotency-key": "k"}).json()
    assert (first["accepted"], first["replayed"]) == (50, 0)
    again = post(client, f"{model}/update", body, **{"idempotency-key": "k"}).json()
    assert again == first | {"replayed": 50}
    for other, query in ((long_table(51), {}), (body, {"label": "click"}), (body, {"weight": "click"})):
        answer = post(client, f"{model}/update", other, query, **{"idempotency-key": "k"})
        assert answer.status_code == 422, answer.text
    assert client.get(model).json()["sequence"] == 50


def test_a_stream_that_broke_off_goes_on_behind_its_last_whole_record(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    """It breaks off within a record; sent again whole, each record counts once."""
    n = 12_000
    body = long_table(n)
    path = "/v1/models/default"
    running = start().until_ready()
    cut = body.index(b"\nb", len(body) // 2) + 1  # behind a line end that stands in quotes
    with socket.create_connection((running.host, running.port)) as connection:
        head = (
            f"POST {path}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: {CSV}\r\n"
            f"idempotency-key: broken\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:cut])
        whole = body.count(b'\n"\n', 0, cut)
        with running.client() as client:
            until(lambda: client.get(path).json()["sequence"] == whole)
        running.kill()
    again = start(tmp_path / "data").until_ready()
    with again.client() as client:
        answer = post(client, f"{path}/update", body, **{"idempotency-key": "broken"}).json()
        assert (answer["accepted"], answer["replayed"], answer["sequence"]) == (n, whole, n)
        answer = post(client, f"{path}/update", body, **{"idempotency-key": "broken"}).json()
        assert (answer["replayed"], answer["sequence"]) == (n, n)


# -- bounds, workers, what training noted ------------------------------------------------------------------


def test_a_record_is_bounded_and_workers_read_tables_as_the_writer_does(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    log, model = tmp_path / "log.csv", tmp_path / "clicks.model"
    rows = b"".join(
        b"%d,%s,s%d\n" % (k % 4 == 0, b"True" if k % 4 == 0 else b"False", k % 5) for k in range(400)
    )
    log.write_bytes(b"click,new,site\n" + rows)
    done = nonzero("train", log, "--model", model, "--bits", "10")
    assert done.returncode == 0, done.stderr
    running = start(workers=2, max_line_bytes=1024, max_features=3).until_ready()
    path = "/v1/models/trained"
    with running.client() as client:
        made = client.put(
            path, content=model.read_bytes(), headers={"content-type": "application/vnd.safetensors"}
        )
        assert made.status_code == 201, made.text
    found = set()
    for _ in range(6):  # connections go to either process
        with running.client() as client:
            # What a table of text writes as True is what JSON has for true: training said so.
            found |= set(predicted(post(client, f"{path}/predict", b"new,site\nTrue,s0\n")))
            asked = client.post(f"{path}/predict", json={"features": {"new": True, "site": "s0"}}).json()
            found.add(asked["predictions"][0]["probability"])
    assert len(found) == 1
    assert found.pop() > 0.8
    with running.client() as client:
        long = b'1,"' + b"x\n" * 600 + b'",s1\n'
        body = b"click,new,site\n1,True,s0\n" + long * 2 + b"0,False,s1\n"
        answer = post(client, f"{path}/update", body).json()
        assert (answer["accepted"], answer["rejected"]) == (2, 2)
        assert [one["line"] for one in answer["errors"]] == [3, 604]
        assert "longer than 1024 bytes" in answer["errors"][0]["reason"]
        header = b"click," + b",".join(b"c%d" % k for k in range(400)) + b"\n"
        refused = post(client, f"{path}/update", header)
        assert (refused.status_code, "the header is longer than 1024 bytes" in refused.text) == (422, True)
        wide = post(client, f"{path}/update", b"click,a,b,c,d\n1,x,x,x,x\n1,x,x,x,\n").json()
        assert (wide["accepted"], wide["errors"][0]["line"]) == (1, 2)


def test_names_and_slices_come_from_tables(start: Callable[..., Any]) -> None:
    running = start(slices="site").until_ready()
    path = "/v1/models/default"
    with running.client() as client:
        post(client, f"{path}/update", b"click^site^bid\n1^news^1\n0^sport^2\n", {"delimiter": "^"})
        post(client, f"{path}/update", b"click\thour\n1\t7\n", media=TSV)
        found = client.get(f"{path}/metrics").json()
    assert {one["value"] for one in found["slices"]["site"]} == {"news", "sport"}
