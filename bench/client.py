"""The other end of the wire: ``python -m bench.client load|upload|pipe``, a process that prints JSON.

It does as little as it can for each answer, so that the server is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
BUFFER = 1 << 18


class Asking(asyncio.Protocol):
    """One connection that asks anew as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], deadline: float, seconds: list[float]) -> None:
        self.requests = requests
        self.deadline = deadline
        self.seconds = seconds
        self.ended = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.ask()

    def ask(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = LENGTH.search(head + b"\r\n")
        if length is None or not head.startswith(b"HTTP/1.1 200 "):
            self.ended.set_exception(ConnectionError(self.received.decode()))
            self.transport.close()
        elif len(body) >= int(length[1]):
            now = time.perf_counter()
            self.seconds.append(now - self.started)
            self.received = b""
            if now < self.deadline:
                self.ask()
            else:
                self.ended.set_result(None)
                self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError("the server hung up"))


async def load(
    port: int, path: str, bodies: list[bytes], connections: int, seconds: float
) -> dict[str, float]:
    """Ask over so many connections for so many seconds."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: "
    asked = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
    requests = itertools.cycle(asked)
    taken: list[float] = []
    start = time.perf_counter()
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(lambda: Asking(requests, start + seconds, taken), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(asking.ended for _, asking in pairs))
    p50, p99 = np.percentile(taken, (50, 99))
    return {"requests": len(taken), "seconds": time.perf_counter() - start, "p50": p50, "p99": p99}


def upload(port: int, path: str, file: Path) -> dict[str, float]:
    """Send a file as the body of one request; return the bytes and seconds until it was answered."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as server, file.open("rb") as body:
        size = file.stat().st_size
        head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n"
        server.sendall(f"{head}content-type: text/x-vw\r\ncontent-length: {size}\r\n\r\n".encode())
        server.sendfile(body)
        answer = b"".join(iter(lambda: server.recv(BUFFER), b""))
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(answer.decode())
    return {"bytes": size, "seconds": time.perf_counter() - start}


def pipe(port: int, file: Path) -> dict[str, float]:
    """Send a file to VW's daemon, and read its predictions meanwhile."""
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as server, file.open("rb") as body:
        received = 0

        def read() -> None:
            nonlocal received
            for data in iter(lambda: server.recv(BUFFER), b""):
                received += data.count(b"\n")

        reading = threading.Thread(target=read)
        reading.start()
        server.sendfile(body)
        server.shutdown(socket.SHUT_WR)
        reading.join()
    return {"answers": received, "seconds": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.client", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/")
    what = parser.add_subparsers(dest="what", required=True)
    loading = what.add_parser("load")
    loading.add_argument("bodies", type=Path, help="a body a line")
    loading.add_argument("--connections", type=int, required=True)
    loading.add_argument("--seconds", type=float, required=True)
    for name in ("upload", "pipe"):
        what.add_parser(name).add_argument("file", type=Path)
    chosen = parser.parse_args()
    if chosen.what == "load":
        bodies = chosen.bodies.read_bytes().splitlines()
        result = uvloop.run(load(chosen.port, chosen.path, bodies, chosen.connections, chosen.seconds))
    elif chosen.what == "upload":
        result = upload(chosen.port, chosen.path, chosen.file)
    else:
        result = pipe(chosen.port, chosen.file)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
