"""What a model is made with, as JSON holds it; and whether that is what someone expects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nonzero.errors import SettingsError, SnapshotError
from nonzero.persistence import snapshot
from nonzero.rules.optimizers import DEFAULT_LANES, Rule, lanes_from_settings, lanes_to_settings
from nonzero.state.table import check_size

__all__ = ["arguments_of", "check_expected", "lanes_of", "settings_of", "size_of", "table_size"]


def lanes_of(optimizer: Rule | Sequence[Rule] | None) -> tuple[Rule, ...]:
    """Return the lanes that an optimizer stands for: None is the default ones."""
    if optimizer is None:
        return DEFAULT_LANES
    return (optimizer,) if isinstance(optimizer, Rule) else tuple(optimizer)


def settings_of(
    bits: int, lanes: Sequence[Rule], scaled: bool, interactions: Sequence[str], recalibrated: bool
) -> dict[str, Any]:
    """Return settings as JSON holds them; interactions and recalibration only where there are any."""
    settings: dict[str, Any] = {"bits": bits, "lanes": lanes_to_settings(lanes), "scaled": scaled}
    if interactions:
        settings["interactions"] = list(interactions)
    return settings | ({"recalibrated": True} if recalibrated else {})


def arguments_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model of :func:`settings_of` is made with.

    Raises
    ------
    SettingsError
        For settings that are missing, unknown or out of their range.
    """
    if set(settings) - {"interactions", "recalibrated"} != {"bits", "lanes", "scaled"}:
        raise SettingsError(
            "a model's settings are 'bits', 'lanes', 'scaled' and, where it has any, 'interactions' and "
            f"'recalibrated', not {sorted(settings)}"
        )
    given = dict(settings)
    return given | {"optimizer": lanes_from_settings(given.pop("lanes"))}


def table_size(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the bits and the lanes of the table that a model of :func:`settings_of` has.

    Raises
    ------
    SettingsError
        For settings that are missing, unknown or out of their range.
    """
    arguments = arguments_of(settings)
    bits, lanes = arguments["bits"], len(arguments["optimizer"])
    check_size(bits, lanes)
    return bits, lanes


def check_expected(
    path: str | os.PathLike[str], settings: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Compare stored settings with what a caller expects, named as for the constructor.

    Raises
    ------
    SettingsError
        For an unknown setting, and where they differ: the message names each difference.
    """
    wanted, stored = dict(expected), {"interactions": [], "recalibrated": False} | dict(settings)
    if "optimizer" in wanted:
        wanted["lanes"] = lanes_to_settings(lanes_of(wanted.pop("optimizer")))
    if "interactions" in wanted:
        wanted["interactions"] = list(wanted["interactions"])
    unknown = sorted(set(wanted) - set(stored))
    if unknown:
        raise SettingsError(
            f"a model has no setting {unknown}; its settings are bits, optimizer, scaled, interactions and "
            "recalibrated"
        )
    differences = [
        f"{name} is {stored[name]!r}, expected {value!r}"
        for name, value in wanted.items()
        if stored[name] != value
    ]
    if differences:
        raise SettingsError(f"{path} was saved with other settings: {'; '.join(differences)}")


def size_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return how large the table of a saved model is, without reading it: its bits, and its lanes.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    SnapshotError
        For a file that is no saved model, or has settings that none can have.
    """
    metadata = snapshot.read_metadata(path)
    try:
        return table_size(metadata["settings"])
    except (KeyError, ValueError, TypeError) as error:
        raise SnapshotError(f"{path} does not hold a model of this version: {error!r}") from error
