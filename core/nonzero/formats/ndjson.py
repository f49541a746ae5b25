"""Examples as JSON: an example a line, the body of a request, and features given as Python dicts.

An example is an object::

    {"features": {"site": "news", "bid": 0.5, "tags": ["a", "b"]}, "label": 1, "weight": 1.0, "id": "imp-1"}
    {"indices": [3, 17], "values": [1.0, 0.5], "label": 0, "time": 1700000000000}

- ``"site": "news"`` is the feature ``site=news`` with value 1, ``"bid": 0.5`` is ``bid`` with value 0.5, and
  ``"tags"`` makes ``tags=a`` and ``tags=b``; true is 1; false, 0 and null are no nonzero. So it is where the
  schema declares nothing of the field; a declared category takes numbers and truths as texts, and a declared
  number texts that are numbers. A feature's field is the name before ``=``. A name that stands twice counts
  twice.
- ``indices`` are slots, from 0 to 2**31, each with a value, or all with 1. An example may have ``features``
  and ``indices``; the features come first then.
- ``label`` is 0 or 1 (-1, true and false are read too); ``weight`` is from 0 to 1e6; ``id`` a string of up to
  255 characters; ``time`` whole milliseconds since 1970. Each may be left out, or null.

JSON is read strictly (RFC 8259): UTF-8, no NaN, no half surrogate pairs. Any other member is an error, and so
is one that stands twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nonzero.fields.hashing import NAME_WORDS
from nonzero.fields.schema import Schema
from nonzero.formats.assembly import PlainRow
from nonzero.formats.expected import Expected
from nonzero.formats.format import Format
from nonzero.formats.json_examples import read_examples
from nonzero.formats.json_plain import row_of
from nonzero.formats.json_text import MARGIN
from nonzero.formats.row_arrays import RowArrays


class NDJSON(Format):
    """Examples as JSON, one a line.

    Parameters
    ----------
    schema
        What the fields are: a :class:`~nonzero.Schema`, or what it is made of. None: nothing is declared.
    """

    name = "ndjson"

    def __init__(self, schema: Schema | Mapping[str, Any] | None = None) -> None:
        super().__init__(schema)
        self._scratch = np.empty(0, np.uint8)
        self._expected = Expected()
        self._names = np.empty(NAME_WORDS, np.uint32)

    def alike(self) -> NDJSON:
        """Return another, with a scratch of its own."""
        return NDJSON(self.schema)

    def read(self, data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        """Parse whole lines by compiled code."""
        if self._scratch.size < end + MARGIN:
            self._scratch = np.empty(data.size + MARGIN, np.uint8)
        known = self._expected.of(self.schema)
        return int(read_examples(data, end, self._scratch, rows, known, self._names, self.fields.table))

    def parse_line(self, line: bytes) -> PlainRow:
        """Parse one line in Python."""
        return row_of(line, self.fields)
