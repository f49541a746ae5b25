#!/usr/bin/env bash
# pyarrow 26.0.1 (Python 3.11), seen 2026-11-30:
# `read_dictionary` asks for a column of texts as a dictionary, which is what whoever hashes categories wants: each text
# once. The documentation names no encoding for which that does not hold. Of pages that are DELTA_BYTE_ARRAY, an
# encoding for texts that writers of Parquet's second version choose, such a column cannot be read at all; without the
# option it can, and as a dictionary of dictionary-encoded or plain pages too. So a reader of other people's files must
# look at each column's encodings before it may ask.
#
# Seen:
#   PLAIN, read_dictionary: 3 rows of dictionary<values=string, indices=int32, ordered=0>
#   DELTA_BYTE_ARRAY: 3 rows of string
#   DELTA_BYTE_ARRAY, read_dictionary: OSError, Not yet implemented: DecodeArrow of DictAccumulator ...
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$work/venv/bin/python" - "$work/sites.parquet" <<'PYTHON'
import sys

import pyarrow
import pyarrow.parquet as parquet

path = sys.argv[1]
sites = pyarrow.table({"site": ["news", "newspaper", "news"]})


def rows(encoding, **options):
    parquet.write_table(sites, path, use_dictionary=False, column_encoding={"site": encoding})
    column = parquet.ParquetFile(path, **options).read().column("site")
    return f"{len(column)} rows of {column.type}"


print("PLAIN, read_dictionary:", rows("PLAIN", read_dictionary=["site"]))
print("DELTA_BYTE_ARRAY:", rows("DELTA_BYTE_ARRAY"))
said = None
try:
    print(rows("DELTA_BYTE_ARRAY", read_dictionary=["site"]))
except Exception as error:
    said = error
print(f"DELTA_BYTE_ARRAY, read_dictionary: {type(said).__name__}, {said}")
assert isinstance(said, OSError) and "Not yet implemented" in str(said), "it behaves otherwise now"
PYTHON
