"""What a model is made with, as JSON holds it; and whether that is what someone expects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nonzero.errors import SettingsError, SnapshotError
from nonzero.fields.schema import Schema
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.lanes import kept_as, lanes_from_settings, lanes_of, lanes_to_settings
from nonzero.model.table import check_size
from nonzero.persistence import snapshot
from nonzero.sources.places import Remote

VERSION: Final = 3
"""The rules of scales and lanes that new models go by. A stored model keeps its own, and so its bits.

1: those of release 0.1. 2: learned scales recover from a mad beginning. 3: the default lanes are Kalman
filters and AdaGrad, combined by :mod:`nonzero.kernels.newton`.
"""

_RECOVERING: Final = 2
"""The first version whose scales recover."""

_OLDEST: Final[Mapping[str, Any]] = {
    "interactions": [],
    "recalibrated": False,
    "schema": Schema().to_dict(),
    "namespace_separator": "^",
    "version": 1,
}
"""What settings mean that say nothing of it: those that were stored before there was such a setting.

A setting that is as it always was is left out. So models and journals that are older have the settings, and
with them the digests, that they were stored with.
"""


@dataclass(frozen=True)
class ModelSettings:
    """The settings of a model.

    Parameters
    ----------
    bits, scaled, interactions, recalibrated, version
        As of :class:`~nonzero.LogisticRegression`.
    lanes
        The rules: one, or eight.
    schema
        What each field is, with the way in which namespaces are joined to features.
    """

    bits: int
    lanes: tuple[Rule, ...]
    scaled: bool
    interactions: tuple[str, ...]
    recalibrated: bool
    schema: Schema
    version: int

    @property
    def recovering(self) -> bool:
        """Whether a field's scale recovers where later values contradict its beginning."""
        return self.version >= _RECOVERING

    @property
    def kept(self) -> tuple[Rule, ...]:
        """The rules by which the table keeps its numbers."""
        return kept_as(self.lanes)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON holds them; those that are as they always were are left out."""
        settings: dict[str, Any] = {
            "bits": self.bits,
            "lanes": lanes_to_settings(self.lanes),
            "scaled": self.scaled,
        }
        since = {
            "interactions": list(self.interactions),
            "recalibrated": self.recalibrated,
            "schema": self.schema.to_dict(),
            "namespace_separator": self.schema.namespace_separator,
            "version": self.version,
        }
        return settings | {name: value for name, value in since.items() if value != _OLDEST[name]}


def checked_version(version: int) -> int:
    """Return a version that this release knows.

    Raises
    ------
    SettingsError
        For any other.
    """
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        raise SettingsError(
            f"the model's version is {version!r}, and this release knows 1 to {VERSION}; use a newer release"
        )
    return version


def arguments_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model of :meth:`ModelSettings.to_dict` is made with.

    Raises
    ------
    SettingsError
        For settings that are missing, unknown or out of their range.
    """
    if set(settings) - set(_OLDEST) != {"bits", "lanes", "scaled"}:
        raise SettingsError(
            f"a model's settings are 'bits', 'lanes', 'scaled' and, where it has any, {', '.join(_OLDEST)}, "
            f"not {sorted(settings)}"
        )
    given = {**_OLDEST, **settings}
    return given | {"optimizer": lanes_from_settings(given.pop("lanes"))}


def table_size(settings: Mapping[str, Any]) -> tuple[int, int]:
    """Return the bits and the lanes of the table that a model of such settings has.

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
    path: str | os.PathLike[str] | Remote, settings: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Compare stored settings with what a caller expects, named as for the constructor.

    Raises
    ------
    SettingsError
        For an unknown setting, and where they differ: the message names each difference.
    """
    wanted, stored = dict(expected), {**_OLDEST, **settings}
    if "optimizer" in wanted:
        wanted["lanes"] = lanes_to_settings(lanes_of(wanted.pop("optimizer"), stored["version"]))
    if "interactions" in wanted:
        wanted["interactions"] = list(wanted["interactions"])
    if "schema" in wanted or "default" in wanted:
        said = wanted.pop("schema", stored["schema"]["fields"])
        wanted["schema"] = Schema.of(said, wanted.pop("default", None)).to_dict()
    unknown = sorted(set(wanted) - set(stored))
    if unknown:
        raise SettingsError(
            f"a model has no setting {unknown}; its settings are bits, optimizer, scaled, interactions, "
            "recalibrated, schema, default, namespace_separator and version"
        )
    differences = [
        f"{name} is {stored[name]!r}, expected {value!r}"
        for name, value in wanted.items()
        if stored[name] != value
    ]
    if differences:
        raise SettingsError(f"{path} was saved with other settings: {'; '.join(differences)}")


def size_of(path: str | os.PathLike[str] | Remote) -> tuple[int, int]:
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
