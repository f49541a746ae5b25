"""What is wrong with values that a declared type refuses, in this project's words and not the library's.

Each fault says where, the value that came, and what is taken there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Final

import msgspec

SHOWN: Final = 64
"""So much of a value is repeated, in characters."""

NEAR: Final = 20
"""So many bytes of a body are shown where it stops being JSON."""

PLAIN: Final = {
    "bool": "true or false",
    "byte_size": 'a number of bytes, such as 4096 or "64MiB"',
    "dict": "an object",
    "finite": "a number that is finite",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "model": "an object",
    "path": "a path",
    "string": "text",
    "tuple": "a list",
}
"""What is taken, by the first word of a fault's kind."""

BOUNDED: Final = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of at least {min_length} characters",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
    "union_tag_invalid": "an object whose {discriminator} is one of {expected_tags}",
    "union_tag_not_found": "an object with {discriminator}",
}
"""What is taken where a bound is broken, with the members of its context."""

BYTE: Final = re.compile(r"\(byte (\d+)\)")
HALF_A_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def explained(faults: Iterable[Any], known: Collection[str] = ()) -> str:
    """Say in sentences what is wrong.

    Parameters
    ----------
    faults
        What pydantic's ``errors()`` returns.
    known
        The names of the members that there are.
    """
    sentences = []
    for name, group in groupby(faults, key=lambda fault: fault["loc"][:1]):
        alternatives = list(group)
        # Of a value that may have several forms, what is wrong with the one that it nearly has.
        deepest = max(len(fault["loc"]) for fault in alternatives)
        nearest = [fault for fault in alternatives if len(fault["loc"]) == deepest]
        sentences += _sentences(str(name[0]) if name else "", nearest, known)
    return "; ".join(dict.fromkeys(sentences))


def _sentences(name: str, faults: Sequence[Mapping[str, Any]], known: Collection[str]) -> list[str]:
    by_place: dict[str, list[Mapping[str, Any]]] = {}
    for fault in faults:
        by_place.setdefault(_place(fault["loc"]), []).append(fault)
    return [_sentence(place or name, those, known) for place, those in by_place.items()]


def _sentence(place: str, faults: Sequence[Mapping[str, Any]], known: Collection[str]) -> str:
    kind = faults[0]["type"]
    if kind in ("value_error", "assertion_error"):  # raised by us, in our words
        said = str(faults[0]["ctx"]["error"])
        return f"{place}: {said}" if place else said
    if kind == "extra_forbidden":
        inner = len(faults[0]["loc"]) > 1  # a member of a member: the names are those of the whole
        return f"there is no {place!r} here; {_nearest(place, () if inner else known)}"
    if kind == "missing":
        return f"{place} is missing"
    takes = " or ".join(dict.fromkeys(_taken(fault) for fault in faults))
    return f"{place or 'the body'} is {shown_value(faults[0]['input'])}; give {takes}"


def _place(location: Sequence[Any]) -> str:
    """Name a member: ``optimizer.alpha``, ``interactions[0]``; not the alternatives that were tried."""
    place, tagged = "", False
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif "[" in part or "-" in part or tagged:
            tagged = part.startswith("tagged-union")
        else:
            place += f".{part}" if place else part
    return place


def _taken(fault: Mapping[str, Any]) -> str:
    kind: str = fault["type"]
    if kind in BOUNDED:
        bounds = {name: f"{x:g}" if isinstance(x, float) else x for name, x in fault["ctx"].items()}
        return BOUNDED[kind].format(**bounds)
    first = kind.partition("_")[0]
    return PLAIN.get(kind.removesuffix("_type"), PLAIN.get(first, "another value"))


def _nearest(name: str, known: Collection[str]) -> str:
    nearest = get_close_matches(name[:SHOWN], known, n=1)
    if nearest:
        return f"did you mean {nearest[0]!r}?"
    return f"there are {', '.join(sorted(known))}" if known else "leave it out"


def shown_value(value: Any) -> str:
    """Show a value, cut where it is long."""
    if isinstance(value, dict):
        return "an object" if value else "{}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def why_not_json(body: bytes, error: Exception) -> str:
    """Say why bytes are no JSON, given what decoding them has raised; quick, however many they are."""
    if not body.strip():
        return "it is empty"
    if isinstance(error, RecursionError):
        return "objects or lists are nested too deeply"
    if isinstance(error, UnicodeDecodeError):  # which counts from the start of a string
        return f"byte {_not_utf8(body) + 1} is not UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return "a number in it is beyond what float64 holds"
    found = BYTE.search(str(error))
    place = int(found[1]) if found else len(body)
    near = body[place : place + NEAR].decode(errors="backslashreplace")
    if near:
        return f"it stops being JSON at byte {place + 1}, {near!r}"
    return "half a surrogate pair stands in it" if HALF_A_PAIR.search(body) else "it ends too soon"


def _not_utf8(body: bytes) -> int:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
