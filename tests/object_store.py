"""An S3 server on loopback, started once; and a store of our own whose answers break, change and wait."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from unittest import mock
from urllib.request import Request, urlopen

import pytest

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")

ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "the-secret-key",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
}


class ObjectStore:
    """A bucket of moto's server, as commands and the test see it."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.url = f"s3://{bucket}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": self.endpoint}

    @property
    def client(self) -> Any:
        """boto3's client: what is in the store is not asked of what is tested."""
        import boto3

        return boto3.client("s3", endpoint_url=self.endpoint)

    def put(self, key: str, data: bytes) -> str:
        """Store a file; return its URL."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data)
        return f"{self.url}/{key}"

    def get(self, key: str) -> bytes:
        """Return a file's bytes."""
        body: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def keys(self) -> list[str]:
        """Return the names of all files."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def has(self, key: str) -> bool:
        """Tell whether there is a file of a name."""
        return key in self.keys()

    def uploads(self) -> list[Any]:
        """Return the uploads that were begun and neither finished nor given up."""
        return list(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))


@contextmanager
def strictly(store: ObjectStore, *actions: str) -> Iterator[dict[str, str]]:
    """Have the server look who asks; yields the keys, by variables, of one who may do some things alone.

    Parameters
    ----------
    store
        Whose server; all of its buckets look then, and :attr:`ObjectStore.client` may do nothing.
    actions
        Such as ``s3:PutObject``.
    """
    import boto3

    iam, user = boto3.client("iam", endpoint_url=store.endpoint), f"user-{store.bucket}"
    iam.create_user(UserName=user)
    rule = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
    iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName=user)["AccessKey"]

    def look_behind(requests: float) -> None:
        body = str(requests).encode()
        plain = {"Content-Type": "text/plain"}  # that of a form would have it read as one
        with urlopen(Request(f"{store.endpoint}/moto-api/reset-auth", body, plain)) as answer:
            assert answer.status == 200

    look_behind(0)
    try:
        yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    finally:
        look_behind(math.inf)


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto's server in a thread; yields its endpoint."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def forget_stores() -> None:
    """Have fsspec open its stores anew: they keep the endpoint and the credentials that they began with."""
    import s3fs
    from fsspec.implementations.http import HTTPFileSystem

    s3fs.S3FileSystem.clear_instance_cache()
    HTTPFileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's server, once for all tests of a process."""
    pytest.importorskip("moto")
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def object_store(s3_endpoint: str, request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """An empty bucket, which this process and those that it starts find by their environment."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    store = ObjectStore(s3_endpoint, f"logs-{name}")
    with mock.patch.dict(os.environ, store.environment):
        store.client.create_bucket(Bucket=store.bucket)
        forget_stores()
        yield store
    forget_stores()


class Asked:
    """A request that came in."""

    def __init__(self, method: str, path: str, start: int | None) -> None:
        self.method = method
        self.path = path
        self.start = start
        self.sent = 0


class OwnStore:
    """A server of files with ranges and ETags, as much of S3 as reading needs.

    Attributes
    ----------
    files
        Its files, by the path of the URL.
    fault
        Called with each request, before it is answered. What it returns is done: a status is answered, a
        float below 1 cuts the answer at that part of it, None lets it be.
    asked
        All requests so far.
    rate
        Bytes a second that an answer comes at; None: as fast as it can.
    ranges
        Whether it gives parts of files.
    tells_changes
        Whether it compares what a request says of the file's version.
    delay
        Seconds before an answer.
    most
        So many requests it has answered at once, at most.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fault: Callable[[Asked], int | float | None] = lambda _: None
        self.asked: list[Asked] = []
        self.rate: float | None = None
        self.ranges = True
        self.code = ""
        self.delay = 0.0
        self.tells_changes = True
        self.under_way = 0
        self.most = 0
        self.lock = threading.Lock()

    def bytes_sent(self) -> int:
        """Return how many bytes of files went out."""
        return sum(one.sent for one in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: OwnStore

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # who reads it may go at any time
            super().handle()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        store = self.store
        path = self.path.partition("?")[0]
        found = _RANGE.match(self.headers.get("Range", "")) if store.ranges else None
        asked = Asked(self.command, path, int(found[1]) if found else None)
        with store.lock:
            store.asked.append(asked)
        fault = store.fault(asked)
        data = store.files.get(path)
        if isinstance(fault, int) and not isinstance(fault, bool):
            self._refuse(fault, body=body)
            return
        if data is None:
            self._refuse(404, body=body)
            return
        tag = f'"{hashlib.md5(data[:1024]).hexdigest()}"'
        if store.tells_changes and self.headers.get("If-Match", tag) != tag:
            self._refuse(412, body=body)
            return
        with store.lock:
            store.under_way += 1
            store.most = max(store.most, store.under_way)
        time.sleep(store.delay)
        start, end = 0, len(data)
        if found:
            start, end = int(found[1]), min(int(found[2] or len(data)) + 1, len(data))
        self.send_response(206 if found else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(end - start))
        if found:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        self.end_headers()
        if isinstance(fault, float):
            end = start + int((end - start) * fault)
            self.close_connection = True
        if body:
            self._send(memoryview(data)[start:end], asked)
        with store.lock:
            store.under_way -= 1

    def _send(self, data: memoryview, asked: Asked) -> None:
        step = 1 << 18
        for place in range(0, len(data), step):
            part = data[place : place + step]
            try:
                self.wfile.write(part)
            except OSError:
                return
            asked.sent += len(part)
            if self.store.rate is not None:
                time.sleep(len(part) / self.store.rate)

    def _refuse(self, status: int, *, body: bool) -> None:
        code = self.store.code or {404: "NoSuchKey", 503: "SlowDown", 412: "PreconditionFailed"}.get(
            status, ""
        )
        why = "At least one of the pre-conditions you specified did not hold"
        text = f"<Error><Code>{code}</Code><Message>{why}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)


@contextmanager
def own_store(certificate: tuple[Path, Path] | None = None) -> Iterator[tuple[OwnStore, str]]:
    """Run a store of our own; yields it and its address. With a certificate and its key it speaks TLS."""
    store = OwnStore()
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield store, f"{scheme}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
