"""A request that offers another protocol (``Upgrade``) is answered as if it had not (RFC 9110, 7.8)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nonzero_service.http.receiving import LONG
from service.conftest import ServiceProcess
from service.safety.raw import Answer, answers, ask, connect, read_all
from service.safety.test_heads import BODY, CHUNKED, CHUNKS, GET, POST, REFUSED, SIZED
from thoroughly import examples

OFFERS = {
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
    "websocket": b"upgrade: websocket\r\nconnection: keep-alive, Upgrade\r\nsec-websocket-version: 13\r\n",
    "TLS": b"Connection: upgrade\r\nUpgrade: TLS/1.2, h2c\r\n",
}

LINES = b"1 | a b\nnonsense\n0 | c\n"
STREAM = POST.replace(b"predict", b"update").replace(b"application/json", b"text/x-vw")
LONG_LINES = b"1 | a b c d e f g h\n" * (LONG // 16)

REQUESTS = {
    "a length": POST + SIZED + b"\r\n" + BODY,
    "chunks": POST + CHUNKED + b"\r\n" + CHUNKS,
    "a trailer": POST + CHUNKED + b"\r\n18\r\n" + BODY + b"\r\n0\r\nconnection: x\r\nupgrade: y\r\n\r\n",
    "a stream": STREAM + b"content-length: %d\r\n\r\n" % len(LINES) + LINES,
    "a stream of which nothing is learned": STREAM + b"content-length: 9\r\n\r\nnonsense\n",
    "no body": GET + b"\r\n",
    "an empty body": POST + b"content-length: 0\r\n\r\n",
    "a body that nobody expects": GET + b"content-length: 5\r\n\r\nhello",
    "a model that is not there": POST.replace(b"default", b"none") + SIZED + b"\r\n" + BODY,
    "no token": (POST + SIZED + b"\r\n" + BODY).replace(b"Bearer", b"Barer"),
    "a bad chunk": POST + CHUNKED + b"\r\nzz\r\n",
}
LAST = POST + SIZED + b"connection: close\r\n\r\n" + BODY


def offering(request: bytes, offer: bytes) -> bytes:
    """Return a request that offers a protocol beside."""
    return request.replace(b"host: x\r\n", b"host: x\r\n" + offer, 1)


def told(found: Sequence[Answer]) -> list[tuple[int, object, object]]:
    """Return what answers say, but for what each has of its own."""
    own = ("request_id", "sequence")
    bodies = [json.loads(answer.body) if answer.body else None for answer in found]
    for body in bodies:
        if isinstance(body, dict):
            for name in own:
                body.pop(name, None)
            body.pop("predictions", None)
    return [
        (answer.status, answer.headers.get("connection"), body)
        for answer, body in zip(found, bodies, strict=True)
    ]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("name", REQUESTS)
def test_the_answer_is_the_same(narrow: ServiceProcess, name: str, offer: str) -> None:
    sent = REQUESTS[name] + REQUESTS["a stream"] + LAST
    assert told(ask(narrow.port, offering(sent, OFFERS[offer]))) == told(ask(narrow.port, sent))


@pytest.mark.parametrize("name", ["a length", "chunks", "a stream", "no body", "a trailer"])
def test_bytes_may_come_one_by_one(narrow: ServiceProcess, name: str) -> None:
    sent = offering(REQUESTS[name], OFFERS["h2c"])
    found = ask(narrow.port, *(sent[j : j + 1] for j in range(len(sent))), LAST, pause=0.0005)
    assert [answer.status for answer in found] == [200, 200]


@settings(max_examples=examples(60))
@given(
    names=st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1, max_size=4),
    offers=st.lists(st.sampled_from(["", *OFFERS]), min_size=4, max_size=4),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
@example(names=["a length", "no body"], offers=["h2c", "h2c", "", ""], cuts=[0.5])
def test_wherever_the_bytes_are_cut(
    narrow: ServiceProcess, names: list[str], offers: list[str], cuts: list[float]
) -> None:
    plain = [REQUESTS[name] for name in names] + [LAST]
    offered = [
        offering(one, OFFERS.get(offer, b"")) for one, offer in zip(plain, [*offers, ""], strict=False)
    ]
    sent = b"".join(offered)
    places = [0, *sorted(int(cut * len(sent)) for cut in cuts), len(sent)]
    parts = [sent[start:stop] for start, stop in pairwise(places) if start < stop]
    assert told(ask(narrow.port, *parts, pause=0.001)) == told(ask(narrow.port, b"".join(plain)))


def test_a_long_body_is_learned_from(narrow: ServiceProcess) -> None:
    """It goes past the parser, and what follows is a request again."""
    head = offering(STREAM, OFFERS["h2c"]) + b"content-length: %d\r\n\r\n" % len(LONG_LINES)
    for parts in (
        [head + LONG_LINES + LAST],
        [head, LONG_LINES, LAST],
        [head[:-1], head[-1:] + LONG_LINES, LAST],
    ):
        first, second = ask(narrow.port, *parts, pause=0.05)
        assert json.loads(first.body)["accepted"] == LONG_LINES.count(b"\n")
        assert second.status == 200


@pytest.mark.parametrize("framing", [SIZED + b"\r\n", CHUNKED + b"\r\n"])
def test_who_waits_for_100_continue_gets_it(narrow: ServiceProcess, framing: bytes) -> None:
    with connect(narrow.port) as connection:
        head = offering(POST, OFFERS["h2c"]) + b"connection: close\r\nexpect: 100-continue\r\n"
        connection.sendall(head + framing)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY if framing.startswith(SIZED) else CHUNKS)
        [answer] = answers(read_all(connection))
    assert answer.status == 200


def test_what_could_be_read_in_two_ways_is_refused_as_before(narrow: ServiceProcess) -> None:
    for name, (status, sent) in REFUSED.items():
        if len(sent) > 10_000 or b"host: x\r\n" not in sent:
            continue
        for offer in OFFERS.values():
            [answer] = ask(narrow.port, offering(sent, offer) + LAST)
            assert answer.status == status, name


def test_a_key_is_not_spent_on_an_empty_body(narrow: ServiceProcess) -> None:
    length = b"content-length: %d\r\n" % len(LINES)
    key = b"idempotency-key: an-offer\r\nconnection: close\r\n"
    for offer, replayed in ((OFFERS["h2c"], 0), (b"", 2), (OFFERS["TLS"], 2)):
        sent = offering(STREAM, offer) + length + key + b"\r\n" + LINES
        [answer] = ask(narrow.port, sent)
        said = json.loads(answer.body)
        assert (said["accepted"], said["rejected"], said["replayed"]) == (2, 1, replayed)


@pytest.mark.parametrize("how", [["--data-binary", "@-"], ["-X", "POST", "-T", "-"]])
def test_curl_that_would_rather_speak_http_2(client: httpx.Client, model: str, how: list[str]) -> None:
    if shutil.which("curl") is None or "HTTP2" not in run("curl", "--version"):
        pytest.skip("no curl with HTTP/2 is installed")
    url = f"{client.base_url}{model}/update"
    said = run("curl", "-s", "--http2", url, "-H", "content-type: text/x-vw", *how, sent=LINES)
    assert json.loads(said)["accepted"] == 2


JAVA = """
import java.net.URI;
import java.net.http.*;

public class Learn {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).header("content-type", "text/x-vw")
            .POST(HttpRequest.BodyPublishers.ofString("1 | a\\n0 | b\\n")).build();
        for (int i = 0; i < 3; i++)
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
}
"""


def test_the_client_of_java_as_it_comes(client: httpx.Client, model: str, tmp_path: Path) -> None:
    if shutil.which("java") is None:
        pytest.skip("no Java is installed")
    source = tmp_path / "Learn.java"
    source.write_text(JAVA)
    said = run("java", str(source), f"{client.base_url}{model}/update").splitlines()
    assert [json.loads(line)["accepted"] for line in said] == [2, 2, 2]


def run(*command: str, sent: bytes = b"") -> str:
    return subprocess.run(command, input=sent, capture_output=True, check=True, timeout=60).stdout.decode()
