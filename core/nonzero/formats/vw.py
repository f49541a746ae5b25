"""Vowpal Wabbit's text: ``label importance 'tag |namespace:weight feature:value feature |...``.

Lines are read as VW 9 reads them:

- The label is 1, or 0 or -1, or is missing; then an importance weight; then an initial prediction, which must
  be 0 (Nonzero has none). What stands before a tab is passed over.
- The last word before the first ``|`` is the tag, and so the row's id, if it starts with ``'`` or touches the
  ``|``.
- Spaces and tabs stand between features. A feature without a value has 1; a namespace's weight multiplies its
  values; a value of 0 is no nonzero. A feature whose name is missing (``:0.5``) is named by its number in its
  namespace, counted from 0 over such features. ``f:text`` is the feature ``f^text``.

A feature ``f`` of the namespace ``ns`` is named ``ns^f`` (or ``ns=f``), and its field is ``ns``. In the
default namespace it is named ``f``; its field is ``site`` where it is called ``site=news``, else the field
of the empty name: features like words would otherwise make as many fields as there are words. Names are
bytes, hashed as they are.

Where VW warns and guesses, the line is an error: a malformed value, a line without a ``|``.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.hashing import NAMES_AT_ONCE, field_of, index_of
from nonzero.errors import InputError, SettingsError
from nonzero.formats.numbers import label_of, number_of, shown, value_of, weight_of
from nonzero.formats.reading import Format
from nonzero.formats.rows import Row, Rows
from nonzero.formats.vw_lines import KNOWN_BITS, read_lines

__all__ = ["VowpalWabbit"]

NAME: Final = re.compile(rb"[^ \t|:]*")
VALUE: Final = re.compile(rb"[^ \t|]*")
STRING_VALUE: Final = re.compile(rb"[^ \t]*")
NUMERIC: Final = re.compile(rb"[+-]?(\d|\.\d|inf|nan)", re.IGNORECASE)


class VowpalWabbit(Format):
    """Vowpal Wabbit's text.

    Parameters
    ----------
    namespace_separator
        What joins a namespace and a feature in the feature's name: ``^``, as VW's audit prints it, or ``=``,
        which makes ``|site news`` the same feature as ``{"site": "news"}``.
    """

    name = "vw"

    def __init__(self, namespace_separator: str = "^") -> None:
        if namespace_separator not in ("^", "="):
            raise SettingsError(f"namespace_separator is {namespace_separator!r}; it is '^' or '='")
        self.separator = namespace_separator.encode()
        self._known = np.zeros((2**KNOWN_BITS, 3), np.uint64)
        self._names = np.zeros(4 * NAMES_AT_ONCE, np.uint64)

    def alike(self) -> VowpalWabbit:
        """Return another; it learns beginnings of names of its own."""
        return VowpalWabbit(self.separator.decode())

    def read(self, data: NDArray[np.uint8], end: int, rows: Rows) -> int:
        """Parse whole lines by compiled code."""
        return int(read_lines(data, end, rows, self.separator[0], self._known, self._names))

    def parse_line(self, line: bytes) -> Row:
        """Parse one line in Python."""
        head, bar, body = line.removeprefix(b"\xef\xbb\xbf").partition(b"|")
        if not bar:
            raise InputError(f"there is no '|' before the features in {shown(line)}; write '1 | a b'")
        if b"\r" in line:
            raise InputError("a carriage return stands inside the line")
        label, weight, tag = _parse_head(head)
        indices: list[int] = []
        values: list[float] = []
        fields: list[int] = []
        for namespace, name, number, text in _parse_body(body):
            value = value_of(number, text)
            if value:
                indices.append(index_of(namespace + self.separator + name if namespace else name))
                values.append(value)
                fields.append(field_of(namespace or name[: max(name.find(b"="), 0)]))
        return Row(indices, values, fields, label, weight, tag)


def _parse_head(head: bytes) -> tuple[float, float, str | None]:
    """Read label, importance weight and tag: what stands before the first ``|``."""
    head = head[head.find(b"\t") + 1 :]
    words = [word for word in head.split(b" ") if word]
    tag = None
    if words and (words[-1].startswith(b"'") or not head.endswith(b" ")):
        try:
            tag = words.pop().removeprefix(b"'").decode() or None
        except UnicodeDecodeError as error:
            raise InputError(f"the tag {shown(error.object)} is not UTF-8") from error
    if len(words) > 3:
        raise InputError(
            f"{shown(head)} has more than a label, an importance weight and an initial prediction"
        )
    if len(words) == 3 and number_of(words[2], "the initial prediction"):
        raise InputError(f"the initial prediction {shown(words[2])} is not 0; Nonzero has none, leave it out")
    label = label_of(words[0]) if words else float("nan")
    return label, weight_of(words[1]) if len(words) > 1 else 1.0, tag


def _parse_body(body: bytes) -> list[tuple[bytes, bytes, float, bytes]]:  # noqa: C901
    """Read what stands after the first ``|``, as (namespace, name, value, the value's text)."""
    found: list[tuple[bytes, bytes, float, bytes]] = []
    j = 0
    while True:
        namespace = _match(NAME, body, j)
        j += len(namespace)
        scale, nameless = 1.0, 0
        if body[j : j + 1] == b":":
            text = _match(VALUE, body, j + 1)
            if not namespace:
                raise InputError(f"a namespace without a name has the weight {shown(text)}")
            scale = number_of(text, f"the weight of the namespace {shown(namespace)}")
            j += 1 + len(text)
        while body[j : j + 1] in (b" ", b"\t"):
            j += 1
            name = _match(NAME, body, j)
            j += len(name)
            number, text = 1.0, b"1"
            if body[j : j + 1] == b":":
                text = _match(VALUE, body, j + 1)
                if not text:
                    raise InputError(f"the feature {shown(name)} has no value after its ':'")
                if not name:
                    name, nameless = b"%d" % nameless, nameless + 1
                if NUMERIC.match(text):
                    number = number_of(text, f"the value of the feature {shown(name)}")
                else:
                    text = _match(STRING_VALUE, body, j + 1)
                    name += b"^" + text
                j += 1 + len(text)
            elif not name:
                continue
            found.append((namespace, name, number * scale, text))
        if j == len(body):
            return found
        j += 1


def _match(pattern: re.Pattern[bytes], text: bytes, j: int) -> bytes:
    """Return what a pattern that matches anything matches from `j` on."""
    match = pattern.match(text, j)
    return match.group() if match else b""
