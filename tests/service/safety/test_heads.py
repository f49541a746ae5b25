"""What is no request, or could be read in two ways, is refused, and nothing after it is read.

The table of request smuggling: each line is sent with a second request behind it, which must not be answered
where the first is refused.
"""

from __future__ import annotations

import time

import pytest

from nonzero_service.settings import Settings
from service.conftest import ServiceProcess
from service.safety.raw import AUTHORIZED, ask

POST = b"POST /v1/models/default/predict HTTP/1.1\r\ncontent-type: application/json\r\n" + AUTHORIZED
KEEP_ALIVE = Settings.model_fields["keep_alive_seconds"].default
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
BODY = b'{"features": {"a": "b"}}'
SIZED = b"content-length: %d\r\n" % len(BODY)
CHUNKED = b"transfer-encoding: chunked\r\n"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
SECOND = GET + b"connection: close\r\n\r\n"

REFUSED = {
    # lengths that two servers could read in two ways (CL.TE, TE.CL, TE.TE)
    "content-length, then transfer-encoding": (400, POST + SIZED + CHUNKED + b"\r\n" + CHUNKS),
    "transfer-encoding, then content-length": (400, POST + CHUNKED + SIZED + b"\r\n" + CHUNKS),
    "two lengths": (400, POST + SIZED + b"content-length: 3\r\n\r\n" + BODY),
    "one length twice": (400, POST + SIZED + SIZED + b"\r\n" + BODY),
    "a list of lengths": (400, POST + b"content-length: 24, 24\r\n\r\n" + BODY),
    "a signed length": (400, POST + b"content-length: +24\r\n\r\n" + BODY),
    "a negative length": (400, POST + b"content-length: -1\r\n\r\n" + BODY),
    "a length in base 16": (400, POST + b"content-length: 0x18\r\n\r\n" + BODY),
    "a length of two words": (400, POST + b"content-length: 2 4\r\n\r\n" + BODY),
    "an empty length": (400, POST + b"content-length:\r\n\r\n" + BODY),
    "a length beyond 64 bits": (400, POST + b"content-length: 99999999999999999999\r\n\r\n" + BODY),
    "an unknown coding": (400, POST + b"transfer-encoding: xchunked\r\n\r\n" + CHUNKS),
    "a coding before chunked": (400, POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS),
    "a coding after chunked": (400, POST + b"transfer-encoding: chunked, identity\r\n\r\n" + CHUNKS),
    "identity": (400, POST + b"transfer-encoding: identity\r\n\r\n" + CHUNKS),
    "chunked twice": (400, POST + CHUNKED + CHUNKED + b"\r\n" + CHUNKS),
    "chunked behind a vertical tab": (400, POST + b"transfer-encoding: \x0bchunked\r\n\r\n" + CHUNKS),
    "chunked in a folded line": (400, POST + b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKS),
    "a space before the colon": (400, POST + b"transfer-encoding : chunked\r\n\r\n" + CHUNKS),
    "chunks of HTTP/1.0": (400, POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS),
    # lines
    "a folded line": (400, GET + b"a: b\r\n c\r\n\r\n"),
    "NUL in a value": (400, GET + b"a: b\x00c\r\n\r\n"),
    "NUL in a name": (400, GET + b"a\x00: b\r\n\r\n"),
    "NUL in the target": (400, b"GET /healthz\x00 HTTP/1.1\r\nhost: x\r\n\r\n"),
    "bytes beyond ASCII in the target": (400, b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n"),
    "bare line feeds": (400, b"GET /healthz HTTP/1.1\nhost: x\n\n"),
    "a bare line feed in a header": (400, GET + b"a: b\ntransfer-encoding: chunked\r\n\r\n"),
    "a bare carriage return": (400, GET + b"a: b\rc: d\r\n\r\n"),
    "a line without a colon": (400, GET + b"abc\r\n\r\n"),
    "a header without a name": (400, GET + b": abc\r\n\r\n"),
    "a space before the method": (400, b" " + GET + b"\r\n"),
    "a space in the target": (400, b"GET /healthz x HTTP/1.1\r\nhost: x\r\n\r\n"),
    "no slash before the path": (400, b"GET healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)),
    # hosts
    "no host": (400, b"GET /healthz HTTP/1.1\r\n\r\n"),
    "two hosts": (400, GET + b"host: y\r\n\r\n"),
    "one host twice": (400, GET + b"host: x\r\n\r\n"),
    "a host with a path": (400, b"GET /healthz HTTP/1.1\r\nhost: x/y\r\n\r\n"),
    "a list of hosts": (400, b"GET /healthz HTTP/1.1\r\nhost: x y\r\n\r\n"),
    "a host with a user": (400, b"GET /healthz HTTP/1.1\r\nhost: a@x\r\n\r\n"),
    "two origins": (400, GET + b"origin: http://x\r\norigin: http://y\r\n\r\n"),
    "two tokens": (400, POST + b"authorization: Bearer a-token-for-admin\r\n" + SIZED + b"\r\n" + BODY),
    "two types": (400, POST + b"content-type: text/x-vw\r\n" + SIZED + b"\r\n" + BODY),
    # versions and methods
    "HTTP/0.9": (505, b"GET /healthz\r\n\r\n"),
    "HTTP/1.2": (400, b"GET /healthz HTTP/1.2\r\nhost: x\r\n\r\n"),
    "HTTP/2.0": (505, b"GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n"),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http in lower case": (400, b"GET /healthz http/1.1\r\nhost: x\r\n\r\n"),
    "CONNECT": (400, b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n"),
    "CONNECT to a path": (400, b"CONNECT /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi"),
    "an unknown method": (400, b"STEAL /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
    # floods
    "a long target": (431, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"),
    "a long header": (431, GET + b"a: " + b"b" * 20_000 + b"\r\n\r\n"),
    "many headers": (431, GET + b"".join(b"a%d: b\r\n" % n for n in range(60)) + b"\r\n"),
    "a header without an end": (431, GET + b"a: " + b"b" * 500_000),
    "a header's name without an end": (431, GET + b"a" * 500_000),
    "empty lines without an end": (431, b"\r\n" * 250_000),
    # chunks
    "a chunk's size that is no number": (400, POST + CHUNKED + b"\r\nzz\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk's size with 0x": (400, POST + CHUNKED + b"\r\n0x18\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a negative chunk": (400, POST + CHUNKED + b"\r\n-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a space behind a chunk's size": (400, POST + CHUNKED + b"\r\n18 \r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk longer than its size": (400, POST + CHUNKED + b"\r\n17\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk shorter than its size": (400, POST + CHUNKED + b"\r\n19\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk that ends in a line feed": (400, POST + CHUNKED + b"\r\n18\n" + BODY + b"\r\n0\r\n\r\n"),
    "a line feed in a chunk's extension": (
        400,
        POST + CHUNKED + b"\r\n18;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
    ),
    "a chunk beyond 64 bits": (400, POST + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n" + BODY),
    "a chunk's extension without an end": (431, POST + CHUNKED + b"\r\n18;" + b"a" * 500_000),
    "a trailer without an end": (431, POST + CHUNKED + b"\r\n0\r\na: " + b"b" * 500_000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(narrow: ServiceProcess, name: str) -> None:
    status, sent = REFUSED[name]
    [answer] = ask(narrow.port, sent + SECOND)
    assert answer.status == status, answer
    assert answer.problem()["detail"]


TAKEN = {
    "a body with its length": POST + SIZED + b"\r\n" + BODY,
    "a body in chunks": POST + CHUNKED + b"\r\n" + CHUNKS,
    "chunks with an extension": POST + CHUNKED + b"\r\n18;a=b\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a trailer": POST + CHUNKED + b"\r\n18\r\n" + BODY + b"\r\n0\r\ncontent-type: text/html\r\n\r\n",
    "an absolute target": b"GET http://example.org/healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    "a host with a port": b"GET /healthz HTTP/1.1\r\nhost: [::1]:8000\r\n\r\n",
    "an empty host": b"GET /healthz HTTP/1.1\r\nhost:\r\n\r\n",
    "a body that nobody expects": GET + b"content-length: 5\r\n\r\nhello",
    "empty lines before a request": b"\r\n\r\n" + GET + b"\r\n",
    "a request for 100 Continue": POST + SIZED + b"expect: 100-continue\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_taken_and_so_is_what_follows(narrow: ServiceProcess, name: str) -> None:
    first, second = ask(narrow.port, TAKEN[name] + SECOND)
    assert first.status == second.status == 200
    assert second.body == b'{"status":"ok"}'


@pytest.mark.parametrize("name", ["a body with its length", "a body in chunks", "a trailer"])
def test_bytes_may_come_one_by_one(narrow: ServiceProcess, name: str) -> None:
    sent = TAKEN[name] + SECOND
    first, second = ask(narrow.port, *(sent[j : j + 1] for j in range(len(sent))), pause=0.0005)
    assert first.status == second.status == 200


@pytest.mark.parametrize("trailer", [b"connection: close\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n"])
@pytest.mark.parametrize("path", [b"/default/", b"/none/"])
def test_a_trailer_may_end_the_connection_and_no_more(
    service: ServiceProcess, path: bytes, trailer: bytes
) -> None:
    """It is answered, and either the next request is, or the connection ends: nobody waits."""
    request = (
        POST.replace(b"/default/", path) + CHUNKED + b"\r\n18\r\n" + BODY + b"\r\n0\r\n" + trailer + b"\r\n"
    )
    begun = time.monotonic()
    sent = [part.replace(b"host: x", b"host: localhost") for part in (request, SECOND)]
    first, *_ = ask(service.port, *sent, pause=0.05)
    assert first.status == (200 if path == b"/default/" else 404)
    assert time.monotonic() - begun < KEEP_ALIVE / 2  # after which an idle connection is closed


def test_answers_come_in_the_order_of_the_requests(narrow: ServiceProcess) -> None:
    """A bad request does not overtake the good ones that were sent ahead of it."""
    predict = POST + SIZED + b"\r\n" + BODY
    *good, bad = ask(narrow.port, predict + GET + b"\r\n" + predict + b"GET /healthz\r\n\r\n" + SECOND)
    assert [answer.status for answer in good] == [200, 200, 200]
    assert [b"probability" in answer.body for answer in good] == [True, False, True]
    assert bad.problem()["status"] == 505


def test_few_requests_may_be_sent_ahead(narrow: ServiceProcess) -> None:
    *good, last = ask(narrow.port, (GET + b"\r\n") * 200)
    assert {answer.status for answer in good} == {200}
    assert 60 <= len(good) < 200
    assert last.problem()["status"] == 429


def test_an_early_answer_does_not_take_a_body_for_a_request(narrow: ServiceProcess) -> None:
    """The body of a refused request, itself a request, is passed over."""
    smuggled = GET + b"\r\n"
    length = b"content-length: %d\r\n\r\n" % len(smuggled)
    post = POST.replace(b"default", b"none")
    first, second = ask(narrow.port, post + length, smuggled + SECOND, pause=0.1)
    assert (first.status, second.status) == (404, 200)
    assert second.headers["connection"] == "close"


def test_who_was_not_told_to_send_a_body_is_not_read_further(narrow: ServiceProcess) -> None:
    post = POST.replace(b"default", b"none")
    [answer] = ask(
        narrow.port, post + b"content-length: 48\r\nexpect: 100-continue\r\n\r\n", SECOND, pause=0.1
    )
    assert answer.status == 404
