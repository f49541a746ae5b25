#!/usr/bin/env bash
# pyarrow 26.0.1 (Python 3.11), seen 2026-11-30:
# `pyarrow.json.read_json` says of its types: "JSON numbers convert to int64, falling back to float64 if a non-integer is
# encountered". It falls back for an integer too, where that does not fit int64: one such id, in any block of a file, makes
# doubles of the ids of the whole log, and those beside each other above 2^53 become one id, also where they were exact
# before. Nothing is said; uint64, which holds them all, is taken where a schema asks for it. Unsigned 64-bit hashes of users
# and clicks are such ids.
#
# Seen (10,000 ids, each another):
#   ids from 2^53: int64, 10000 different
#   and one of 2^63 behind them: double, 5002 different
#   the same with a schema of uint64: uint64, 10001 different
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
import io

import pyarrow
from pyarrow import json


def read(ids, schema=None):
    lines = "".join(f'{{"id": {number}}}\n' for number in ids).encode()
    options = json.ParseOptions(explicit_schema=schema)
    column = json.read_json(io.BytesIO(lines), json.ReadOptions(block_size=16_384), options)["id"]
    return f"{column.type}, {len(column.unique())} different"


ids = [2**53 + number for number in range(10_000)]
found = [read(ids), read([*ids, 2**63]), read([*ids, 2**63], pyarrow.schema({"id": pyarrow.uint64()}))]
print("ids from 2^53:", found[0])
print("and one of 2^63 behind them:", found[1])
print("the same with a schema of uint64:", found[2])
assert found == ["int64, 10000 different", "double, 5002 different", "uint64, 10001 different"], "it behaves otherwise now"
PYTHON
