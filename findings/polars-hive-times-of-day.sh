#!/usr/bin/env bash
# polars 2.1.0 with pyarrow 26.0.1 (Python 3.11), seen 2026-11-30:
# A log in folders of the time of day, `at=12%3A30/`, as pyarrow writes them, cannot be read by polars, not even its other
# columns. The error tells of CSV, of which there is none, and names neither the folder nor the option that helps: values of
# folders are taken for dates and times by default (`try_parse_hive_dates`), and a time of day is then of a type that is not
# known further on. Dates are read, and moments. Where one folder more is no time, `at=late/`, all can be read, as texts: so
# whether a log can be read depends on which of its folders are there.
#
# Seen:
#   at=12%3A30, at=13%3A30: ComputeError unsupported data type when reading CSV: time when reading CSV
#   the column `click` alone: ComputeError unsupported data type when reading CSV: time when reading CSV
#   without try_parse_hive_dates: ['12:30', '13:30']
#   with at=late: ['12:30', '13:30', 'late']
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 pyarrow==26.0.1
"$work/venv/bin/python" - "$work/log" <<'PYTHON'
import sys

import polars
import pyarrow
import pyarrow.dataset as dataset

place = sys.argv[1]


def write(name, *times):
    log = pyarrow.table({"at": times, "click": [0] * len(times)})
    dataset.write_dataset(
        log, place, format="parquet", partitioning=["at"], partitioning_flavor="hive",
        basename_template=name + "{i}.parquet", existing_data_behavior="overwrite_or_ignore",
    )  # fmt: skip


def read(column="at", **options):
    try:
        return sorted(polars.scan_parquet(place, **options).select(column).collect()[column].to_list())
    except polars.exceptions.ComputeError as error:
        return f"ComputeError {error}".splitlines()[0]


write("times", "12:30", "13:30")
found = [read(), read("click"), read(try_parse_hive_dates=False)]
print("at=12%3A30, at=13%3A30:", found[0])
print("the column `click` alone:", found[1])
print("without try_parse_hive_dates:", found[2])
write("late", "late")
late = read()
print("with at=late:", late)
assert found[0] == found[1] and "unsupported data type" in found[0], "it behaves otherwise now"
assert found[2] == ["12:30", "13:30"] and late == [*found[2], "late"], "it behaves otherwise now"
PYTHON
