"""Where a model comes from: when it was made, and with which settings; kept beside its journal."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from nonzero import AdaGrad, LogisticRegression, Schema, SnapshotError
from nonzero.rules.optimizers import Rule
from nonzero_service.journal.files import write_durably
from nonzero_service.models.learning_rules import AUTO, optimizer_of

__all__ = ["Origin", "file_digest", "origin_of"]

FILE: Final = "model.json"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """When a model was made, and with which settings."""

    created: datetime
    bits: int
    learning_rate: Literal["auto"] | float | None = None
    """None for a model that came as a file: it brings the settings of its lanes."""
    optimizer: str = AUTO
    """As :mod:`nonzero_service.models.learning_rules` has it; auto where there is a learning rate."""
    interactions: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    """What the fields are, as :meth:`nonzero.Schema.to_dict` has it; None where nothing is declared."""
    namespace_separator: str = "^"
    """As for :class:`nonzero.Schema`. What was made before there was this setting goes by the older names."""
    own: frozenset[str] = frozenset()
    """The settings that were asked for when it was made; the others were the service's."""

    file: str | None = None
    """The :func:`file_digest` of the file that it came as; None of one without, or that an older release
    made."""

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
    def lanes(self) -> int:
        """How many lanes such a model has."""
        one = isinstance(self.learning_rate, float) or isinstance(optimizer_of(self.optimizer), Rule)
        return 1 if one else 8

    def write(self, directory: Path) -> None:
        """Write it into a model's directory."""
        write_durably(directory / FILE, msgspec.json.encode(self))


def file_digest(file: Path) -> str:
    """Return a digest of a file's bytes, in hex.

    Raises
    ------
    OSError
        Where it cannot be read.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()


def origin_of(path: Path) -> Origin:
    """Read when and how the model of a directory was made.

    Raises
    ------
    SnapshotError
        Where it is no model's directory.
    OSError
        Where it cannot be read.
    """
    try:
        return msgspec.json.decode((path / FILE).read_bytes(), type=Origin)
    except (FileNotFoundError, IsADirectoryError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{path} is not the directory of a model: {error}; move it away") from error
