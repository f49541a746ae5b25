"""How a model is to learn, as settings say it: its update rules, its interactions, and its schema."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from nonzero.errors import SettingsError
from nonzero.features.interactions import Interactions
from nonzero.fields.schema import Schema
from nonzero.rules.optimizers import Rule, lanes_from_text, lanes_to_text
from nonzero.state.table import LANE_COUNTS

__all__ = [
    "AUTO",
    "InteractionNames",
    "Optimizer",
    "Said",
    "optimizer_of",
    "read_interactions",
    "read_optimizer",
    "read_schema",
    "that_differs",
]

AUTO: Final = "auto"

NAMED: Final = 5
"""So many differences of two schemas are told."""


def read_optimizer(text: Any) -> str:
    """Return text that names one rule, or eight with spaces between, with every hyperparameter named.

    Raises
    ------
    SettingsError
        For a rule or a hyperparameter that is unknown or out of its range, and for another number of rules.
    """
    if text == AUTO:
        return AUTO
    lanes = lanes_from_text(str(text))
    if len(lanes) not in LANE_COUNTS:
        raise SettingsError(f"there are {len(lanes)} rules in {text!r}; a model has 1 or 8")
    return lanes_to_text(lanes)


def optimizer_of(text: str) -> Rule | tuple[Rule, ...] | None:
    """Return what text names, as a model takes it."""
    if text == AUTO:
        return None
    lanes = lanes_from_text(text)
    return lanes[0] if len(lanes) == 1 else lanes


def read_interactions(value: Any) -> tuple[str, ...]:
    """Return pairs of fields: a list of them, or text with commas between.

    Raises
    ------
    SettingsError
        For a pair that is none.
    """
    names = [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise SettingsError(f"{value!r} is no list of pairs of fields, such as site*hour")
    return Interactions(names).names


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


Optimizer = Annotated[str, BeforeValidator(read_optimizer)]
"""``"auto"``: eight lanes that need no tuning; else one rule or eight, such as ``ftrl:alpha=0.1,l1=1``."""

InteractionNames = Annotated[tuple[str, ...], BeforeValidator(read_interactions)]
"""Pairs of fields whose features' products are features too, such as ``site*hour``."""

Said = Annotated[dict[str, Any] | None, BeforeValidator(read_schema)]
"""What the fields are; None: nothing is declared."""
