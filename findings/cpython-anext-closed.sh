#!/usr/bin/env bash
# CPython 3.11.7 and 3.12.1, seen 2026-11-30; 3.13.0 does as expected:
# where a coroutine that awaits `anext(generator)` is closed while the generator waits, the generator is taken to be
# running for ever, and cannot be closed. Expected: GeneratorExit reaches the generator, and it is closed.
#
# Seen:
#   RuntimeError: aclose(): asynchronous generator is already running
set -euo pipefail
python3 - <<'PYTHON'
import asyncio
import sys


async def waits():
    await asyncio.sleep(0)
    yield


async def first(items):
    return await anext(items)


items = waits()
call = first(items)
call.send(None)
call.close()
said = ""
try:
    items.aclose().send(None)
except StopIteration:
    pass
except RuntimeError as error:
    said = str(error)
print(sys.version.split()[0], said or "closed")
assert bool(said) == (sys.version_info < (3, 13)), "it behaves otherwise now"
PYTHON
