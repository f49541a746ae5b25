#!/usr/bin/env bash
# pyarrow 26.0.1 (Python 3.11), seen 2026-11-30:
# An array is made of Python's dates and datetimes. Where a date comes first the type becomes date32, and the time of day
# of every datetime behind it is dropped without a word; where a datetime comes first, the date behind it is an error. So
# what a column of objects becomes depends on the order of its rows, and a feature such as the hour can be lost for
# all rows of a batch because of its first one. pandas' columns of objects take the same way.
#
# Seen:
#   date, datetime: date32[day] [datetime.date(2026, 11, 2), datetime.date(2026, 11, 2)]
#   datetime, date: ArrowTypeError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
"$work/venv/bin/python" - <<'PYTHON'
from datetime import date, datetime

import pyarrow

day, moment = date(2026, 11, 2), datetime(2026, 11, 2, 17, 30)
found = pyarrow.array([day, moment])
print("date, datetime:", found.type, found.to_pylist())
said = None
try:
    said = pyarrow.array([moment, day])
except Exception as error:
    said = error
print("datetime, date:", type(said).__name__)
assert found.to_pylist() == [day, day], "it behaves otherwise now"
assert isinstance(said, pyarrow.ArrowTypeError), "it behaves otherwise now"
PYTHON
