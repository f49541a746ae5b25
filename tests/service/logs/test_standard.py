"""What others say in the standard library's ways comes to the same log, without what it would quote."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SECRET = "Zq7-secret"

PROGRAM = f"""
import asyncio, gc, logging, sys, threading, warnings
import structlog
from nonzero_service import logs

SECRET = {SECRET!r}.upper().title()  # no constant of what follows
logs.configure("debug", sys.argv[1], worker=3)

class Failing:
    def __init__(self, secret): self.secret = secret
    def __repr__(self): return self.secret
    def __del__(self): raise ValueError(self.secret)

def fail(secret):
    copied = secret
    raise ValueError(copied)

async def work(secret):
    fail(secret)

async def main(new_loop):
    loop = asyncio.get_running_loop()
    loop.call_soon(fail, SECRET)
    task = loop.create_task(work(SECRET))
    await asyncio.sleep(0.01)
    del task
    future = loop.create_future()
    future.set_exception(ValueError(SECRET))
    del future
    gc.collect()
    await asyncio.sleep(0.01)

asyncio.run(main(None))
import uvloop
uvloop.run(main(None))
thread = threading.Thread(target=fail, args=(SECRET,), name="one")
thread.start()
thread.join()
kept = Failing(SECRET)
del kept
warnings.warn(SECRET)
log = logging.getLogger("uvicorn.error")
log.error(ValueError(SECRET))
log.error("failed: %s", ValueError(SECRET))
log.error("failed: %d and %d", "one")
try:
    fail(SECRET)
except ValueError as error:
    log.exception("Exception in ASGI application\\n")
    structlog.get_logger("x").exception("the service failed", error=error)
structlog.get_logger("x").info("odd", value="\\udc80", other=object())
fail(SECRET)
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_is_quoted_and_nothing_is_lost(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, form], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert SECRET.lower() not in said.lower()
    for event in (
        "Exception in callback",
        "Task exception was never retrieved",
        "Future exception was never retrieved",
        "a thread failed",
        "an error could not be raised",
        "a library warns",
        "failed: ValueError",
        "Exception in ASGI application",
        "the service failed",
        "odd",
        "the process failed",
    ):
        assert event in said, said
    if form == "json":
        lines = [json.loads(line) for line in said.splitlines()]
        assert all(line["worker"] == 3 for line in lines)
        failed = [line for line in lines if line["event"] == "the process failed"]
        assert [frame["name"] for frame in failed[0]["exception"][0]["frames"]] == ["<module>", "fail"]
    assert "Traceback" not in said
    assert "Logging error" not in said
