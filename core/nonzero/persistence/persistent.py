"""What a model is made of, and how that is copied, shared between processes, saved and restored."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

from nonzero.errors import SettingsError, SnapshotError
from nonzero.features.inputs import Inputs
from nonzero.fields.schema import Schema
from nonzero.loops.calls import Loops
from nonzero.persistence import snapshot
from nonzero.persistence.restoring import restore
from nonzero.persistence.settings import arguments_of, check_expected, lanes_of, settings_of
from nonzero.persistence.shared import SharedState
from nonzero.rules.optimizers import Rule
from nonzero.state.learned import State

__all__ = ["Persistent"]


class Persistent:
    """A model's settings and its learned state; its parameters are :class:`~nonzero.LogisticRegression`'s."""

    def __init__(
        self,
        bits: int,
        optimizer: Rule | Sequence[Rule] | None,
        scaled: bool | None,
        interactions: Sequence[str],
        recalibrated: bool,
        schema: Schema,
    ) -> None:
        self._schema = schema
        self.lanes = lanes_of(optimizer)
        self.scaled = optimizer is None if scaled is None else scaled
        self.state = State(bits, self.lanes, self.scaled, recalibrated)
        self.table = self.state.table
        self.notes: dict[str, Any] = {}
        self.shared: SharedState | None = None
        self._inputs = Inputs(self.state, interactions)
        self._loops = Loops(self.lanes, self.state)

    @property
    def bits(self) -> int:
        """log2 of the number of slots."""
        return self.table.bits

    @property
    def interactions(self) -> tuple[str, ...]:
        """The pairs of fields whose features' products are features too."""
        return self._inputs.interactions

    @property
    def schema(self) -> Schema:
        """What each field is: hand it to whatever reads examples for the model, and the doors agree."""
        return self._schema

    @property
    def settings(self) -> dict[str, Any]:
        """What the model was made with, as JSON holds it."""
        recalibrated = self.state.recalibration is not None
        return settings_of(self.bits, self.lanes, self.scaled, self.interactions, recalibrated, self._schema)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a new model of :attr:`settings`.

        Raises
        ------
        SettingsError
            For settings that are missing, unknown or out of their range.
        """
        return cls(**arguments_of(settings))

    def digest(self) -> str:
        """Return a hex digest of the whole learned state and its settings: equal digests, equal models.

        When it was learned is no part of it: the same stream gives the same digest at any time.
        """
        return snapshot.digest_of(self.state.timeless(), self.settings)

    def copy_from(self, other: Persistent, *, slots: bool = True) -> None:
        """Take over the whole learned state of a model with the same settings, and its notes.

        Parameters
        ----------
        other
            The model.
        slots
            Whether the table's slots too; they are nearly all of it.

        Raises
        ------
        SettingsError
            Where the settings differ.
        """
        if self.settings != other.settings:
            raise SettingsError(f"a model of {other.settings} cannot be copied into one of {self.settings}")
        self.state.copy_from(other.state, slots=slots)
        self.notes = dict(other.notes)

    def share(self) -> SharedState:
        """Move the learned state into memory that other processes can read; again: return that memory.

        While it is moved it is there twice.

        Raises
        ------
        OSError
            Where there is not so much memory.

        See Also
        --------
        attach : what the others do with its descriptor.
        """
        if self.shared is None:
            shared = SharedState.create(self.settings, self.state.arrays())
            self._use(shared)
            return shared
        return self.shared

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Return the model that another process has shared, to predict with what it learns.

        It can be asked everything; to let it learn ends the process, because its memory is mapped for
        reading. The descriptor may be closed then. Its notes are not shared.

        Raises
        ------
        OSError
            Where the descriptor is not of a shared model.
        """
        shared = SharedState.attach(descriptor)
        model = cls.from_settings(shared.settings)
        model._use(shared)
        return model

    def _use(self, shared: SharedState) -> None:
        """Keep what is learned in shared memory from now on."""
        self.state.use(shared.arrays)
        self.shared = shared
        self._loops = Loops(self.lanes, self.state)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write the model and its notes to a file, whole or not at all.

        Returns
        -------
        str
            The digest of the file's contents; :meth:`digest` is that of the learned state alone.

        Raises
        ------
        OSError
            Where the disk refuses.
        """
        return snapshot.write(path, self.state.arrays(), {"settings": self.settings, "notes": self.notes})

    @classmethod
    def load(cls, path: str | os.PathLike[str], **expected: Any) -> Self:
        """Read a model that :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.
        expected
            Settings that it should have: ``bits``, ``optimizer``, ``scaled``, ``interactions``,
            ``recalibrated``, ``schema``, ``default``, ``namespace_separator`` as for the constructor.

        Raises
        ------
        FileNotFoundError
            Where there is no such file.
        SnapshotError
            For a file that is damaged or no saved model.
        SettingsError
            Where a stored setting differs from the one expected; the message names each difference.
        """
        tensors, metadata = snapshot.read(path)
        try:
            model = cls.from_settings(metadata["settings"])
            model.notes = dict(metadata["notes"])
            restore(model.state, tensors, model.lanes)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise SnapshotError(f"{path} does not hold a model of this version: {error!r}") from error
        check_expected(path, model.settings, expected)
        return model
