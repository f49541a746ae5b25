#!/usr/bin/env bash
# pyarrow 26.0.1, polars 2.1.0, DuckDB 2.0.1, fastparquet 2026.9.0 (with pandas 3.1.1, Python 3.11), seen 2026-11-30:
# A log is in folders that are named by a category, `site=0012/`, as Hive and Spark write it. A category is a text, and a
# folder says nothing of its type, so each reader guesses. That they guess is documented. But of the same folders each takes
# other categories for one: pyarrow those that are the same decimal or hexadecimal integer, polars the same floating point
# number, DuckDB hexadecimal integers alone (so that `0012` stays), fastparquet spans of time too. None says a word, though
# two folders of one parent that are read as the same value cannot be meant, and what is counted and learned differs by
# the library that read the log. A type helps, where one may be given: `partitioning` with a schema, `hive_schema`,
# `hive_types`.
#
# Seen (two folders of each pair are read as one category or two):
#               0012, 12 0x10, 16 1e3, 1000 1d, 24h
#   pyarrow          one      one       two     two
#   polars           one      two       one     two
#   duckdb           two      one       two     two
#   fastparquet      one    error       one     one
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 fastparquet==2026.9.0 pandas==3.1.1
"$work/venv/bin/python" - "$work" <<'PYTHON'
import pathlib
import sys

import duckdb
import fastparquet
import polars
import pyarrow
import pyarrow.dataset as dataset

work = pathlib.Path(sys.argv[1])
PAIRS = (("0012", "12"), ("0x10", "16"), ("1e3", "1000"), ("1d", "24h"))
for number, pair in enumerate(PAIRS):
    log = pyarrow.table({"site": pair, "click": [0, 1]})
    dataset.write_dataset(log, work / f"log{number}", format="parquet", partitioning=["site"], partitioning_flavor="hive")
    assert sorted(path.name for path in (work / f"log{number}").iterdir()) == sorted(f"site={name}" for name in pair)


def by_duckdb(place):
    query = f"SELECT site FROM read_parquet('{place}/*/*.parquet', hive_partitioning = true)"
    return [site for [site] in duckdb.sql(query).fetchall()]


READERS = {
    "pyarrow": lambda place: dataset.dataset(place, partitioning="hive").to_table()["site"].to_pylist(),
    "polars": lambda place: polars.read_parquet(f"{place}/", hive_partitioning=True)["site"].to_list(),
    "duckdb": by_duckdb,
    "fastparquet": lambda place: fastparquet.ParquetFile(str(place)).to_pandas()["site"].tolist(),
}


def seen(read, place):
    try:
        sites = read(place)
    except ValueError:
        return "error"
    assert len(sites) == 2
    return ("one", "two")[len(set(sites)) - 1]


found = {name: [seen(read, work / f"log{number}") for number in range(len(PAIRS))] for name, read in READERS.items()}
print(" " * 11, *map("{0[0]}, {0[1]}".format, PAIRS))
for name, columns in found.items():
    print(f"{name:11}", *(f"{column:>{len(', '.join(pair))}}" for column, pair in zip(columns, PAIRS, strict=True)))
assert found == {
    "pyarrow": ["one", "one", "two", "two"],
    "polars": ["one", "two", "one", "two"],
    "duckdb": ["two", "one", "two", "two"],
    "fastparquet": ["one", "error", "one", "one"],
}, "it behaves otherwise now"
PYTHON
