"""The configuration of a model: when it was made, and with which settings; a file beside its journal."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

import msgspec

from nonzero import AdaGrad, LogisticRegression, Schema, SnapshotError
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.interactions import check_declared
from nonzero_service.impressions.rules import Negatives
from nonzero_service.journal.files import write_durably
from nonzero_service.schema_text import read_schema, that_differs
from nonzero_service.settings import Settings
from nonzero_service.settings.learning_rules import AUTO, optimizer_of
from nonzero_service.writer.challenger_origin import ChallengerOrigin

FILE: Final = "model.json"


LABELLING: Final = ("negatives", "attribution_seconds", "correction_seconds")
"""The service's settings that say what becomes of a new model's impressions."""

LEARNING: Final = ("bits", "learning_rate", "optimizer", "interactions", "namespace_separator", *LABELLING)
"""The service's settings that a model is made with, beside its schema."""


class NewModelSettings(TypedDict, total=False):
    """Settings that may be asked for when a model is made; None is as if it was not there."""

    bits: int | None
    learning_rate: Literal["auto"] | float | None
    optimizer: str | None
    """As :mod:`nonzero_service.settings.learning_rules` has it."""
    interactions: Sequence[str] | None
    schema: Mapping[str, Any] | None
    namespace_separator: str | None
    negatives: Negatives | None
    """When impressions are learned from."""
    attribution_seconds: float | None
    correction_seconds: float | None


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a model was made, and with which settings."""

    created: datetime
    bits: int
    learning_rate: Literal["auto"] | float | None = None
    """None for a model that came as a file: it brings the settings of its lanes."""
    optimizer: str = AUTO
    """As :mod:`nonzero_service.settings.learning_rules` has it; auto where there is a learning rate."""
    interactions: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    """What the fields are, as :meth:`nonzero.Schema.to_dict` has it; None where nothing is declared."""
    namespace_separator: str = "^"
    """As for :class:`nonzero.Schema`. What was made before there was this setting goes by the older names."""
    negatives: Negatives = "at_end"
    """When impressions are learned from. What was made before there was this setting keeps the older way."""
    attribution_seconds: float | None = None
    """How long an impression waits for its label; None where the service's setting says it, as it did for
    what was made before this was a model's."""
    correction_seconds: float | None = None
    """How long after that a click is still learned from; None as above."""
    own: frozenset[str] = frozenset()
    """The settings that were asked for when it was made; the others were the service's."""

    origin: ChallengerOrigin | None = msgspec.field(default=None, name="following")
    """How it began, where it is a challenger."""

    file: str | None = None
    """The :func:`file_digest` of the file that it came as; None of one without, or that an older release
    made."""

    @classmethod
    def of(cls, settings: Settings, own: NewModelSettings) -> ModelConfig:
        """Return the configuration of a model that is made now.

        Parameters
        ----------
        settings
            The service's.
        own
            The model's own; those that are None were not asked for.

        Raises
        ------
        SettingsError
            For an interaction with a field that the schema ignores or refuses.
        """
        asked: dict[str, Any] = {key: value for key, value in own.items() if value is not None}
        if asked.keys() & {"learning_rate", "optimizer"}:  # each stands in the other's place
            asked = {"learning_rate": AUTO, "optimizer": AUTO} | asked
        if "interactions" in asked:
            asked["interactions"] = tuple(asked["interactions"])
        if "schema" in asked:
            asked["schema"] = read_schema(asked["schema"])
        config = cls(created=datetime.now(UTC), own=frozenset(asked), **(_of_service(settings) | asked))
        check_declared(config.interactions, config.said)
        return config

    def differences(self, settings: Settings) -> dict[str, tuple[Any, Any]]:
        """Return what the service's settings would have other: of each what is stored, and what is set.

        What was asked for when the model was made is not among it.
        """
        pairs: dict[str, tuple[Any, Any]] = {"schema": that_differs(self.said, settings.said)}
        wanted = _of_service(settings)
        if self.learning_rate is not None:
            pairs |= {key: (getattr(self, key), wanted[key]) for key in LEARNING}
        else:  # a file brings its own
            pairs = {} if settings.schema_ is None else pairs
            pairs |= {key: (getattr(self, key), wanted[key]) for key in LABELLING}
        if self.attribution_seconds is None:  # the service's are what goes for it
            pairs = {key: pair for key, pair in pairs.items() if key not in LABELLING}
        return {key: (a, b) for key, (a, b) in pairs.items() if key not in self.own and a != b}

    def new_model(self) -> LogisticRegression:
        """Make a model of these settings, which has learned nothing."""
        rate = self.learning_rate
        optimizer = AdaGrad(rate) if isinstance(rate, float) else optimizer_of(self.optimizer)
        return LogisticRegression(self.bits, optimizer, interactions=self.interactions, schema=self.said)

    @property
    def said(self) -> Schema:
        """What the fields are."""
        return Schema.of(self.schema, None, self.namespace_separator)

    @property
    def labelling(self) -> dict[str, Any]:
        """The settings that say what becomes of impressions, as far as they are the model's own."""
        if self.attribution_seconds is None:
            return {}
        return {key: getattr(self, key) for key in LABELLING}

    @property
    def starts_after(self) -> int | None:
        """The last position of its champion's journal that a challenger has learned nothing from."""
        return None if self.origin is None else self.origin.position

    @property
    def lanes(self) -> int:
        """How many lanes such a model has."""
        one = isinstance(self.learning_rate, float) or isinstance(optimizer_of(self.optimizer), Rule)
        return 1 if one else 8

    @property
    def text(self) -> str:
        """What stands in its file."""
        return msgspec.json.encode(self).decode()

    def write(self, directory: Path) -> None:
        """Write it into a model's directory."""
        write_durably(directory / FILE, self.text.encode())


def labelling_of(settings: Settings) -> dict[str, Any]:
    """Return the service's settings that say what becomes of a new model's impressions."""
    return {key: getattr(settings, key) for key in LABELLING}


def _of_service(settings: Settings) -> dict[str, Any]:
    """Return the service's settings that a model is made with."""
    return {key: getattr(settings, key) for key in LEARNING} | {"schema": settings.schema_}


def file_digest(file: Path) -> str:
    """Return a digest of a file's bytes, in hex.

    Raises
    ------
    OSError
        Where it cannot be read.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()


def config_of(path: Path) -> ModelConfig:
    """Read when and how the model of a directory was made.

    Raises
    ------
    SnapshotError
        Where it is no model's directory.
    OSError
        Where it cannot be read.
    """
    try:
        return msgspec.json.decode((path / FILE).read_bytes(), type=ModelConfig)
    except (FileNotFoundError, IsADirectoryError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{path} is not the directory of a model: {error}; move it away") from error
