#!/usr/bin/env bash
# DuckDB 2.0.1 (its Python package, Python 3.11), seen 2026-11-30:
# `read_json` looks at 20,480 lines to find types, as is documented, and what does not fit further down is an error, as for a
# text behind numbers. But not always: of a field that was null so far every later value is read as null, and of one that was
# an integer so far, later fractions are rounded. So where the first hours of a click log have no conversions, or only whole
# bids, the rest is lost without a word, and `COPY` to Parquet keeps it so. `sample_size = -1` reads all lines first.
#
# Seen (of the last line, behind 20,480 others; the same with sample_size = -1):
#   null, then "a": None; 'a'
#   null, then 7: None; 7
#   1, then 0.25: 0; 0.25
#   1, then "a": InvalidInputException; '"a"'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
"$work/venv/bin/python" - "$work/log.ndjson" <<'PYTHON'
import pathlib
import sys

import duckdb

path = pathlib.Path(sys.argv[1])


def last(first, late, options=""):
    lines = [f'{{"line": {line}, "value": {first}}}\n' for line in range(20_480)]
    path.write_text("".join(lines) + f'{{"line": 20480, "value": {late}}}\n')
    try:
        [[value]] = duckdb.sql(f"SELECT value FROM read_json('{path}'{options}) WHERE line = 20480").fetchall()
    except duckdb.Error as error:
        return type(error).__name__
    return repr(value)


found = []
for first, late in (("null", '"a"'), ("null", "7"), ("1", "0.25"), ("1", '"a"')):
    found.append((last(first, late), last(first, late, ", sample_size = -1")))
    print(f"{first}, then {late}:", "; ".join(found[-1]))
assert [sampled for sampled, _ in found] == ["None", "None", "0", "InvalidInputException"], "it behaves otherwise now"
assert [whole for _, whole in found][:3] == ["'a'", "7", "0.25"], "it behaves otherwise now"
PYTHON
