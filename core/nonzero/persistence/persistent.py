"""What a model is made of, and how that is copied, shared between processes, saved and restored."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

from nonzero.errors import ReadOnlyError, SettingsError, SnapshotError
from nonzero.features.inputs import Inputs
from nonzero.fields.schema import Schema
from nonzero.loops.calls import Loops
from nonzero.persistence import snapshot
from nonzero.persistence.restoring import restore
from nonzero.persistence.settings import (
    RECOVERING,
    arguments_of,
    check_expected,
    checked_version,
    lanes_of,
    settings_of,
    table_size,
)
from nonzero.persistence.shared import SharedState
from nonzero.rules.optimizers import Rule
from nonzero.state.learned import State
from nonzero.state.table import Table

__all__ = ["Persistent"]


class Persistent:
    """A model's settings and its learned state; its parameters are :class:`~nonzero.LogisticRegression`'s."""

    recalibrating: bool
    """Whether predictions go through the learned map, where there is one."""

    def __init__(
        self,
        bits: int,
        optimizer: Rule | Sequence[Rule] | None,
        scaled: bool | None,
        interactions: Sequence[str],
        recalibrated: bool,
        schema: Schema,
        version: int,
    ) -> None:
        self._schema = schema
        self._lanes = lanes_of(optimizer)
        self._scaled = optimizer is None if scaled is None else scaled
        self._version = checked_version(version)
        self._state = State(bits, self._lanes, self._scaled, recalibrated, recovering=version >= RECOVERING)
        self._bits = bits
        self.notes: dict[str, Any] = {}
        self._shared: SharedState | None = None
        self._learning = threading.RLock()
        self._inputs = Inputs(self._state, interactions)
        self._loops = Loops(self._lanes, self._state)

    @property
    def bits(self) -> int:
        """log2 of the number of slots."""
        return self._bits

    @property
    def lanes(self) -> tuple[Rule, ...]:
        """The rules that learn side by side: one, or eight."""
        return self._lanes

    @property
    def scaled(self) -> bool:
        """Whether values are taken in units of their field's root mean square."""
        return self._scaled

    @property
    def version(self) -> int:
        """Which release's rules the model goes by: see :data:`nonzero.persistence.settings.VERSION`."""
        return self._version

    @property
    def table(self) -> Table:
        """Weights and accumulators, the largest part of what is learned."""
        return self._state.table

    @property
    def shared(self) -> SharedState | None:
        """The memory that other processes read the model from, if there is any."""
        return self._shared

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
        recalibrated = self._state.recalibration is not None
        return settings_of(
            self.bits,
            self.lanes,
            self.scaled,
            self.interactions,
            recalibrated,
            self._schema,
            self._version,
        )

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
        return snapshot.digest_of(self._state.timeless(), self.settings)

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
        self._check_writable()
        self._state.copy_from(other._state, slots=slots)
        self.notes = dict(other.notes)

    # -- copy, pickle ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return what :mod:`copy`, pickle and joblib take of the model: settings, notes and all arrays.

        Learning waits meanwhile. A model in shared memory becomes one of its own.
        """
        with self._learning:
            arrays = {name: array.copy() for name, array in self._state.arrays().items()}
            return {
                "settings": self.settings,
                "notes": dict(self.notes),
                "recalibrating": self.recalibrating,
                "arrays": arrays,
            }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Make the model of what :meth:`__getstate__` returned.

        Raises
        ------
        SettingsError, ValueError
            For what no model has returned.
        """
        type(self).__init__(self, **arguments_of(state["settings"]))
        restore(self._state, state["arrays"], self._lanes)
        self.notes, self.recalibrating = dict(state["notes"]), bool(state["recalibrating"])

    def _check_writable(self) -> None:
        """Refuse to change what is another process's."""
        if self.table.readable_only:
            raise ReadOnlyError(
                "this model is mapped from the memory of the process that learns, and can only be read here; "
                "let that process learn, or take a copy of its own with copy.copy(model)"
            )

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
            with self._learning:
                self._use(SharedState.create(self.settings, self._state.arrays()))
        assert self._shared is not None  # noqa: S101 - it was made just now, or before
        return self._shared

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Return the model that another process has shared, to predict with what it learns.

        It can be asked everything, and not learn: its memory is mapped for reading. The descriptor may be
        closed then. Its notes are not shared.

        Raises
        ------
        OSError
            Where the descriptor is not of a shared model.
        """
        shared = SharedState.attach(descriptor)
        model = cls.from_settings(shared.settings)
        model._use(shared, readable_only=True)
        return model

    def _use(self, shared: SharedState, *, readable_only: bool = False) -> None:
        """Keep what is learned in shared memory from now on."""
        self._state.use(shared.arrays, readable_only=readable_only)
        self._shared = shared
        self._loops = Loops(self._lanes, self._state)

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
        return snapshot.write(path, self._state.arrays(), {"settings": self.settings, "notes": self.notes})

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
        OSError, MemoryError
            Where there is not the memory for it, or no descriptor.
        """
        tensors, metadata = snapshot.read(path)
        try:
            bits, lanes = table_size(metadata["settings"])
            if tensors["table"].shape != (shape := (2**bits + 1, 2 * lanes)):  # before memory is taken for it
                raise ValueError(f"its table is {tensors['table'].shape}, of such settings it is {shape}")
            model = cls.from_settings(metadata["settings"])
            model.notes = dict(metadata["notes"])
            restore(model._state, tensors, model.lanes)
        except (KeyError, ValueError, TypeError) as error:
            raise SnapshotError(f"{path} does not hold a model of this version: {error!r}") from error
        check_expected(path, model.settings, expected)
        return model
