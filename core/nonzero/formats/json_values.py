"""JSON as it was written: objects whose names may stand twice, numbers by their digits."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn, TypeGuard

from nonzero.errors import InputError

SHOWN: Final = 40
"""So much of a value is shown in a message, in characters."""


class Members(list[tuple[str, Any]]):
    """A JSON object, its members in order: a name may stand in it twice."""


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _refuse_constant(text: str) -> NoReturn:
    raise InputError(f"{text} is no JSON number; leave the feature out")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=Members, parse_float=Number, parse_int=Number, parse_constant=_refuse_constant
)


def decode(text: bytes) -> Any:
    """Decode JSON into Members, lists, str, Number, bool and None.

    Raises
    ------
    InputError
        Where it is not JSON in UTF-8.
    """
    try:
        return _decoder.decode(text.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start + 1} is not UTF-8: {text[error.start : error.end]!r}") from error
    except json.JSONDecodeError as error:
        near = error.doc[error.pos : error.pos + SHOWN]
        where = f"at character {error.pos + 1}, {near!r}" if near else "at the end"
        raise InputError(f"this is not JSON: {error.msg} {where}") from error
    except RecursionError as error:
        raise InputError(
            "objects or lists are nested too deeply; an example has lists of strings at most"
        ) from error


def shown_value(value: Any) -> str:
    """Show a decoded value: cut where it is long."""
    if isinstance(value, Members):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    text = str(value) if isinstance(value, Number) else repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a decoded value is a string."""
    return isinstance(value, str) and not isinstance(value, Number)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a list."""
    return isinstance(value, list) and not isinstance(value, Members)


def check_text(text: str, what: str) -> None:
    r"""Refuse half a surrogate pair, which ``\ud800`` writes and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} holds half a surrogate pair: {shown_value(text)}") from error
