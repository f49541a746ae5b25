"""Vowpal Wabbit's text: ``label importance 'tag |namespace:weight feature:value feature |...``.

Lines are read as VW 9 reads them:

- The label is 1, or 0 or -1, or is missing; then an importance weight; then an initial prediction, which must
  be 0 (Nonzero has none). What stands before a tab is passed over.
- The last word before the first ``|`` is the tag, and so the row's id, if it starts with ``'`` or touches the
  ``|``.
- Spaces and tabs stand between features. A feature without a value has 1; a namespace's weight multiplies its
  values; a value of 0 is no nonzero. A feature whose name is missing (``:0.5``) is named by its number in its
  namespace, counted from 0 over such features.
- ``f:text`` is the feature ``f=text`` with value 1, whatever the namespace's weight, and ``:text`` is
  ``=text``. A text that is a number without its digits (``-``, ``.``, ``e5``) is the number 0.
- A blank line is no example.

A feature ``f`` of the namespace ``ns`` is named ``ns=f``, and its field is ``ns``: ``|site news`` is
``{"site": "news"}``. So ``|ns f:text`` is ``ns=f=text``. In the default namespace it is named ``f``; its
field is ``site`` where it is called ``site=news``, else the field of the empty name: words would otherwise
make as many fields as there are words. Names are bytes, hashed as they are.

Where the namespace separator is ``^``, names and text values are what they always are in older models. Names
are ``ns^f``, ``f^text`` and ``ns^f^text``. A namespace's weight multiplies its text values too. A text that
is a number without its digits is a text as any other, and ``:text`` is counted and numbered as ``:0.5`` is.

A feature without a value or text of its own obeys the kind of its field, which is the namespace, or in the
default one what stands before its ``=``. Of a number ``|bid 0.5`` is the feature ``bid`` with value 0.5
(times the namespace's weight), and a word that is no number is an error; of what is ignored nothing is a
feature. With a value, ``|bid x:2``, it is always the feature ``bid=x`` with that value.

Where VW guesses, the line is an error: a malformed value, a line without a ``|``. All that is read otherwise
than by VW stands in ``docs/vw.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nonzero.errors import InputError, SettingsError
from nonzero.fields.counts import ContradictionError
from nonzero.fields.hashing import NAME_WORDS
from nonzero.fields.known import CATEGORY, IGNORE, INFER, NUMBER
from nonzero.fields.schema import SEPARATORS, Schema
from nonzero.formats.assembly import PlainRow
from nonzero.formats.expected import Expected
from nonzero.formats.format import Format
from nonzero.formats.numbers import label_of, number_of, shown, value_of, weight_of
from nonzero.formats.reading import BYTE_ORDER_MARK
from nonzero.formats.row_arrays import RowArrays
from nonzero.formats.vw_lines import read_lines

NAME: Final = re.compile(rb"[^ \t|:]*")
VALUE: Final = re.compile(rb"[^ \t|]*")
STRING_VALUE: Final = re.compile(rb"[^ \t]*")
NUMERIC: Final = re.compile(rb"[+-]?(\d|\.\d|inf|nan)", re.IGNORECASE)
WITHOUT_DIGITS: Final = re.compile(rb"-?\.?([eE]-?\d*)?")


class VowpalWabbit(Format):
    """Vowpal Wabbit's text.

    Parameters
    ----------
    schema
        What the fields are: a :class:`~nonzero.Schema`, or what it is made of. None: nothing is declared.
    namespace_separator
        What joins a namespace and a feature in the feature's name: ``=``, which makes ``|site news`` the same
        feature as ``{"site": "news"}``, or ``^``, as VW's audit prints it. None: the schema's.
    """

    name = "vw"
    in_place = True

    def __init__(
        self, schema: Schema | Mapping[str, Any] | None = None, namespace_separator: str | None = None
    ) -> None:
        super().__init__(schema)
        separator = self.schema.namespace_separator if namespace_separator is None else namespace_separator
        if separator not in SEPARATORS:
            raise SettingsError(f"namespace_separator is {separator!r}; it is '=' or '^'")
        self.separator = separator.encode()
        self._expected = Expected()
        self._names = np.zeros(NAME_WORDS, np.uint32)

    def alike(self) -> VowpalWabbit:
        """Return another; it learns beginnings of names of its own."""
        return VowpalWabbit(self.schema, self.separator.decode())

    def read(self, data: NDArray[np.uint8], end: int, rows: RowArrays) -> int:
        """Parse whole lines by compiled code."""
        known = self._expected.of(self.schema)
        return int(read_lines(data, end, rows, self.separator[0], known, self._names, self.fields.table))

    def skips(self, line: bytes) -> bool:
        """Tell whether a line is blank."""
        return not line.removeprefix(BYTE_ORDER_MARK).strip()

    def parse_line(self, line: bytes) -> PlainRow:
        """Parse one line in Python."""
        head, bar, body = line.removeprefix(BYTE_ORDER_MARK).partition(b"|")
        if not bar:
            raise InputError(f"there is no '|' before the features in {shown(line)}; write '1 | a b'")
        if b"\r" in line:
            raise InputError("a carriage return stands inside the line")
        label, weight, tag = _parse_head(head)
        row = PlainRow(label=label, weight=weight, id=tag)
        came: list[tuple[bytes, int]] = []
        for namespace, name, number, scale, text in _parse_body(body, self.separator):
            field = namespace or name[: max(name.find(b"="), 0)]
            kind = self.fields.kind_of(field) if field else INFER
            if kind == IGNORE:
                continue
            whole = namespace + self.separator + name if namespace else name
            if text is None:
                if kind == NUMBER:
                    word = name if namespace else name[len(field) + 1 :]
                    number, text, whole = _number_of(word, field), word, field
                elif kind == INFER and field:
                    came.append((field, CATEGORY))
            row.add_named(whole, value_of(number * scale, text or b"1"), field)
        self.fields.came(came)
        return row


def _number_of(word: bytes, field: bytes) -> float:
    """Read the word that is the value of a number's field."""
    named = field.decode(errors="backslashreplace")
    try:
        return number_of(word, "the word")
    except InputError as error:
        raise ContradictionError(
            f"the feature {named!r} is a number, says the schema: {error}", named
        ) from error


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


def _parse_body(  # noqa: C901
    body: bytes, separator: bytes
) -> list[tuple[bytes, bytes, float, float, bytes | None]]:
    """Read what stands after the first ``|``: namespace, name, value, what multiplies it, value as text.

    There is no text where there is only a name.
    """
    found: list[tuple[bytes, bytes, float, float, bytes | None]] = []
    older = separator == b"^"
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
            number, unit, value = 1.0, scale, None
            if body[j : j + 1] == b":":
                value = _match(VALUE, body, j + 1)
                if not value:
                    raise InputError(f"the feature {shown(name)} has no value after its ':'")
                is_number = NUMERIC.match(value) is not None
                if not is_number:
                    value = _match(STRING_VALUE, body, j + 1)
                j += 1 + len(value)
                is_zero = not (is_number or older) and WITHOUT_DIGITS.fullmatch(value) is not None
                if not name and (is_number or is_zero or older):
                    name, nameless = b"%d" % nameless, nameless + 1
                if is_number:
                    number = number_of(value, f"the value of the feature {shown(name)}")
                elif is_zero:
                    number = 0.0
                else:
                    name += separator + value
                    if not older:
                        unit = 1.0
                        if not namespace:
                            value = None  # it is the word f=text
            elif not name:
                continue
            found.append((namespace, name, number, unit, value))
        if j == len(body):
            return found
        j += 1


def _match(pattern: re.Pattern[bytes], text: bytes, j: int) -> bytes:
    """Return what a pattern that matches anything matches from `j` on."""
    match = pattern.match(text, j)
    return match.group() if match else b""
