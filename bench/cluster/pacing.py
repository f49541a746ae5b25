"""The other end of the wire for updates that come at a pace: ``python -m bench.cluster.pacing``.

Says for each request when it was answered, by the machine's steady clock, and with which ``sequence``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

DEFAULT = "/v1/models/default"


async def send(
    port: int, bodies: list[bytes], kind: str, every: float, begun: float, seconds: float
) -> list[tuple[float, float, int]]:
    """Send bodies by one connection, one each `every` seconds; return (sent, answered, sequence) of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {DEFAULT}/update HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: "
    done, due, number = [], begun, 0
    while due < begun + seconds:
        await asyncio.sleep(max(due - time.monotonic(), 0))
        body = bodies[number % len(bodies)]
        sent = time.monotonic()
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        status = answer.partition(b"\r\n")[0]
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        said = await reader.readexactly(int(length.partition(b":")[2]))
        if b" 200 " not in status:
            raise ConnectionError(said.decode())
        done.append((sent, time.monotonic(), int(json.loads(said)["sequence"])))
        due, number = max(due + every, time.monotonic() - 1), number + 1
    writer.close()
    return done


async def send_all(chosen: argparse.Namespace) -> list[tuple[float, float, int]]:
    """Send by all connections, by turns."""
    lines = chosen.file.read_bytes().splitlines()
    groups = [lines[i : i + chosen.group] for i in range(0, len(lines), chosen.group)]
    bodies = [b"\n".join(group) for group in groups]
    kind = "application/json" if chosen.group == 1 else "application/x-ndjson"
    every = chosen.connections * chosen.group / chosen.rate if chosen.rate else 0.0
    start = time.monotonic() + 0.1
    sending = [
        send(
            chosen.port,
            bodies[i :: chosen.connections],
            kind,
            every,
            start + i * every / chosen.connections,
            chosen.seconds,
        )
        for i in range(chosen.connections)
    ]
    return sorted(one for some in await asyncio.gather(*sending) for one in some)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster.pacing", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path, help="NDJSON")
    parser.add_argument("--rate", type=float, default=0, help="examples a second; 0: as many as may be")
    parser.add_argument("--group", type=int, default=1, help="examples in a request")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    print(json.dumps(asyncio.run(send_all(parser.parse_args()))))


if __name__ == "__main__":
    main()
