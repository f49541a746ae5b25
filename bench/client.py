"""The other end of the wire for bulk work, a process of its own: ``python -m bench.client upload|pipe``."""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from pathlib import Path

BUFFER = 1 << 18


def upload(port: int, path: str, file: Path, kind: str) -> dict[str, float]:
    """Send a file as the body of one request; return the seconds until it was answered.

    The answer is read while the body is sent, as of predictions it is long.
    """
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as server, file.open("rb") as body:
        size = file.stat().st_size
        pieces: list[bytes] = []
        reading = threading.Thread(target=lambda: pieces.extend(iter(lambda: server.recv(BUFFER), b"")))
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        server.sendall(f"{head}content-type: {kind}\r\ncontent-length: {size}\r\n\r\n".encode())
        reading.start()
        server.sendfile(body)
        reading.join()
    if not pieces or not pieces[0].startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(b"".join(pieces)[:1000].decode())
    return {"seconds": time.perf_counter() - start}


def pipe(port: int, file: Path) -> dict[str, float]:
    """Send a file to VW's daemon and read its predictions meanwhile; return how many, and the seconds."""
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
    parser.add_argument("what", choices=("upload", "pipe"))
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--path", default="/")
    parser.add_argument("--type", default="text/x-vw")
    chosen = parser.parse_args()
    if chosen.what == "upload":
        print(json.dumps(upload(chosen.port, chosen.path, chosen.file, chosen.type)))
    else:
        print(json.dumps(pipe(chosen.port, chosen.file)))


if __name__ == "__main__":
    main()
