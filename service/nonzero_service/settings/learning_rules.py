"""How a model is to learn, as settings say it: its update rules, its interactions, and its schema."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from nonzero.errors import SettingsError
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.interactions import Interactions
from nonzero.model.lanes import lanes_from_text, lanes_to_text
from nonzero.model.table import LANE_COUNTS
from nonzero_service.schema_text import read_schema

AUTO: Final = "auto"


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


Optimizer = Annotated[str, BeforeValidator(read_optimizer)]
"""``"auto"``: eight lanes that need no tuning; else one rule or eight, such as ``ftrl:alpha=0.1,l1=1``."""

InteractionNames = Annotated[tuple[str, ...], BeforeValidator(read_interactions)]
"""Pairs of fields whose features' products are features too, such as ``site*hour``."""

Said = Annotated[dict[str, Any] | None, BeforeValidator(read_schema)]
"""What the fields are; None: nothing is declared."""
