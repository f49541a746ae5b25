"""Schemas as files and settings have them, and how two of them differ."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from nonzero import Schema, SettingsError

NAMED: Final = 5
"""So many differences are told."""


def read_schema(value: Any) -> dict[str, Any] | None:
    """Return what the fields are, as :meth:`nonzero.Schema.to_dict` has it; None where nothing is declared.

    Parameters
    ----------
    value
        The path of a JSON file, JSON text that begins with ``{``, or what either holds.

    Raises
    ------
    SettingsError
        Where the file cannot be read, or it says something else than what fields are.
    """
    if isinstance(value, str | os.PathLike) and str(value):
        value = _json_of(str(value))
    said = Schema.of(value or None).to_dict()
    return None if said == Schema().to_dict() else said


def _json_of(given: str) -> Any:
    inline = given.lstrip().startswith("{")
    try:
        return json.loads(given if inline else Path(given).read_bytes())
    except OSError as error:
        raise SettingsError(
            f"the schema's file cannot be read: {error}; give the path of a JSON file, or JSON"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{'the schema' if inline else given} is not JSON: {error}") from error


def that_differs(stored: Schema, wanted: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of two schemas is not the same, of each by name; of fields the first five.

    A field that one of them does not declare is None there.
    """
    names = [
        name
        for name in sorted({*stored.fields, *wanted.fields})
        if stored.fields.get(name) != wanted.fields.get(name)
    ]
    found = tuple({name: one.fields.get(name) for name in names[:NAMED]} for one in (stored, wanted))
    parts: list[dict[str, Any]] = [{"fields": fields} if fields else {} for fields in found]
    for part, one in zip(parts, (stored, wanted), strict=True):
        if stored.default != wanted.default:
            part["default"] = one.default
    return parts[0], parts[1]
