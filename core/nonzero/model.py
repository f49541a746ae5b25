"""LogisticRegression: checks, then one kernel call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from nonzero import diagnosis, kernels, snapshot
from nonzero.batch import Batch
from nonzero.confidence import uncertainty
from nonzero.errors import BatchError, SettingsError, SnapshotError
from nonzero.evidence.arrays import (
    RESTARTS,
    Evidence,
    comparable,
    forget,
    group_masks,
    new_evidence,
    without_clock,
)
from nonzero.explanation import Explanation, take_apart
from nonzero.formats.rows import NAMED, VALUED
from nonzero.interactions import Interactions
from nonzero.optimizers import AdaGrad, Rule, rates_of
from nonzero.pages import allocate
from nonzero.progressive import EXAMPLES, LEARNED, LOSS, WEIGHT, Progress, describe, new_progress
from nonzero.reading import mean_weights
from nonzero.recalibration import (
    Recalibration,
    apply,
    check_map,
    describe_recalibration,
    learn_map,
    new_recalibration,
)
from nonzero.remedy import rescale
from nonzero.restoring import check_state
from nonzero.scales import AT_ONCE, VALUES, Scales, count_ones, new_scales, scale
from nonzero.settings import arguments_of, check_expected, lanes_of, settings_of
from nonzero.settling import new_pending
from nonzero.shared import SharedState
from nonzero.table import Table, as_lanes

__all__ = ["LogisticRegression"]

NO_VALUES: Final = np.ones(1, np.float32)
NO_FIELDS: Final = np.zeros(1, np.uint16)


def _arrays(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], int]:
    """Return a batch as kernels take it, with a mask for values' positions: 0 where every value is 1."""
    if batch.values is None:
        return batch.indptr, batch.indices, NO_VALUES, 0
    return batch.indptr, batch.indices, batch.values, -1


def _fields(batch: Batch) -> tuple[NDArray[np.uint16], int]:
    """Return a batch's fields as kernels take them, with a mask for their positions."""
    return (NO_FIELDS, 0) if batch.fields is None else (batch.fields, -1)


class LogisticRegression:
    r"""Logistic regression over sparse features, learned one example at a time by AdaGrad.

    .. math::

        p = \frac{1}{1 + \exp(-m)}, \qquad m = w_0 + \sum_i w_i x_i

    Only the coordinates that an example names are read or written. Without an optimizer the model runs eight
    learners of different rates side by side, one cache line a slot, and mixes their probabilities by how well
    each has predicted so far: there is no learning rate to tune. With one, it runs that learner alone, at 8
    bytes a slot.

    Parameters
    ----------
    bits
        log2 of the number of slots, 1 to 30. Eight lanes take ``64 * 2**bits`` bytes, one takes ``8 *
        2**bits``.
    optimizer
        None: the eight default lanes. One :class:`~nonzero.AdaGrad`, :class:`~nonzero.FTRL` or
        :class:`~nonzero.DualAveraging`: a single lane. Eight of them, of any rules: these, mixed.
    scaled
        Whether values are taken in units of their field's root mean square, which the model learns
        (:mod:`nonzero.scales`). None: only where the lanes are the default ones, so that a model with an
        optimizer of its own follows that optimizer's formula to the letter.
    interactions
        Pairs of fields, such as ``site*hour``, whose features' products are features too
        (:mod:`nonzero.interactions`).
    recalibrated
        Whether a monotone map of the predictions is learned from how they turned out, and :meth:`predict`
        gives what it makes of them (:mod:`nonzero.recalibration`). What :meth:`learn` returns, and
        :meth:`metrics` tell, is without it.

    Attributes
    ----------
    recalibrating
        Whether :meth:`predict` maps its predictions, where there is a map; no part of the learned state.
    notes
        What whoever saves the model wants kept beside it, as JSON holds it; no part of the learned state.
    shared
        The memory that other processes read the model from, if there is any.

    Raises
    ------
    SettingsError
        For settings out of their range.

    See Also
    --------
    nonzero.optimizers : the formula of the steps.
    nonzero.mixture : the formula of the mixture, and its bound.

    Examples
    --------
    >>> model = LogisticRegression(bits=18)
    >>> for _ in range(20):
    ...     p = model.learn_one({"site": "news"}, 1)
    ...     q = model.learn_one({"site": "blog"}, 0)
    >>> model.predict_one({"site": "news"}) > 0.8 > 0.2 > model.predict_one({"site": "blog"})
    True
    """

    def __init__(
        self,
        bits: int = 22,
        optimizer: Rule | Sequence[Rule] | None = None,
        scaled: bool | None = None,
        interactions: Sequence[str] = (),
        recalibrated: bool = False,
    ) -> None:
        self.lanes = lanes_of(optimizer)
        n = len(self.lanes)
        self.table = Table(bits, n)
        hyperparameters, shares, groups = rates_of(self.lanes), allocate(1, 2 * n), allocate(2, 2 * n)
        rates = allocate(*hyperparameters.shape)
        rates[:] = hyperparameters
        shares[0, :n] = 1 / n
        groups[:] = group_masks(self.lanes)
        self._pending = new_pending(n)  # of examples that are learned from now
        self._rates, self._shares, self._groups = as_lanes(rates), as_lanes(shares), as_lanes(groups)
        self._rows = as_lanes(self.table.rows)
        self._progress: Progress = new_progress(n)
        self._evidence: Evidence = new_evidence(n, comparing=n > 1 and comparable(self.lanes))
        self.scaled = optimizer is None if scaled is None else scaled
        self._scales: Scales | None = new_scales() if self.scaled else None
        self._interactions = Interactions(interactions) if len(interactions) else None
        self._recalibration: Recalibration | None = new_recalibration() if recalibrated else None
        self.recalibrating = recalibrated
        self.notes: dict[str, Any] = {}
        self.shared: SharedState | None = None
        self._choose_kernels()

    def _choose_kernels(self) -> None:
        """Take the kernels of AdaGrad alone, or those of every rule, which are compiled when first needed."""
        self._read: tuple[Any, ...] = (self._rows, self._shares)
        loops: Any = kernels
        if not all(isinstance(lane, AdaGrad) for lane in self.lanes):
            from nonzero.rules import kernels as loops

            self._read += (self._rates, self._progress.counts)
        one = len(self.lanes) == 1
        self._learn_kernel = loops.learn_one if one else loops.learn_eight
        self._predict_kernel = loops.predict_one if one else loops.predict_eight

    # -- learning and predicting -----------------------------------------------------------------------

    def learn(self, batch: Batch, time_ms: int | None = None) -> NDArray[np.float32]:
        """Learn from each example in turn.

        Parameters
        ----------
        batch
            The examples.
        time_ms
            When, in milliseconds since 1970, for what the diagnosis says of time. None: it does without.

        Returns
        -------
        float32[n]
            The probability of each example just before it was learned from.

        Raises
        ------
        BatchError
            For an example without a label or an index outside the table; nothing is learned then.
        """
        self.check(batch)
        return self.learn_checked(batch, time_ms)

    def check(self, batch: Batch) -> None:
        """Raise what :meth:`learn` would, and learn nothing."""
        unlabelled = np.isnan(batch.labels)
        if unlabelled.any():
            row = int(np.flatnonzero(unlabelled)[0])
            raise BatchError(f"row {row} has no label; give 0 or 1, or call predict")
        batch.check_slots(self.bits)

    def learn_checked(self, batch: Batch, time_ms: int | None = None) -> NDArray[np.float32]:
        """Learn from a batch that :meth:`check` accepts."""
        out = np.empty(len(batch), np.float32)
        for piece, found in self._pieces(batch, out):
            self._learn_kernel(
                *self._taken(piece, learning=True),
                *_fields(piece),
                piece.labels,
                piece.weights,
                self._rows,
                self._rates,
                self._shares,
                self._groups,
                self._progress,
                self._evidence,
                -1 if time_ms is None else time_ms,
                self._pending,
                found,
            )
        if self._recalibration is not None:
            learn_map(self._recalibration, out, batch.labels, batch.weights)
        return out

    def predict(self, batch: Batch) -> NDArray[np.float32]:
        """Return float32[n]: the probability of a click for each example.

        Safe beside one thread that learns: it may see an example half applied, never a number that is not
        finite.

        Raises
        ------
        BatchError
            For an index outside the table.
        """
        batch.check_slots(self.bits)
        out = np.empty(len(batch), np.float32)
        for piece, found in self._pieces(batch, out):
            self._predict_kernel(*self._taken(piece), *self._read, found)
        return self._mapped(out)

    def _mapped(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put predictions through the learned map, in place, where they are to be served by it."""
        if self._recalibration is not None and self.recalibrating:
            apply(self._recalibration, out)
        return out

    def _pieces(self, batch: Batch, out: NDArray[np.float32]) -> Iterable[tuple[Batch, NDArray[np.float32]]]:
        """Return a batch as the model takes it, some rows at a time, and of `out` the part of each."""
        return ((batch, out),) if self._interactions is None else self._interactions.pieces(batch, out)

    def expanded(self, batch: Batch) -> Batch:
        """Return a batch with the products of the model's interactions, as the model takes it."""
        return Batch.concatenate(
            [piece for piece, _ in self._pieces(batch, np.empty(len(batch), np.float32))]
        )

    def predict_body(self, body: bytes) -> float | None:
        """Predict the one example in a request's JSON body, in a third of the time.

        None where it has to be read, and predicted, by itself: it is something else than one example, or
        wrong; it has an id, or a slot outside the table; its features are multiplied, or its values scaled.
        """
        from nonzero.formats.ndjson import read_body  # here, because files of other formats need no JSON

        found = read_body(body)
        if found is None:
            return None
        rows, flags, largest_slot = found
        if flags & (NAMED | VALUED) or largest_slot >= 2**self.bits:
            return None
        if self._interactions is not None or (self._scales is not None and self._scales.learned[VALUES]):
            return None
        out = np.empty(1, np.float32)
        self._predict_kernel(rows.indptr[:2], rows.indices, NO_VALUES, 0, *self._read, out)
        return float(self._mapped(out)[0])

    def _taken(
        self, batch: Batch, learning: bool = False
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32], int]:
        """Return a batch as kernels take it: its values scaled where the model learns their scale."""
        arrays = _arrays(batch)
        if self._scales is None:
            return arrays
        if batch.values is None and not self._scales.learned[VALUES]:
            if learning:
                count_ones(*arrays, *_fields(batch), batch.weights, self._scales)
            return arrays
        out = np.empty(batch.nnz, np.float32)
        known = np.empty((2, AT_ONCE))  # the call's own: several threads may predict
        scale(*arrays, *_fields(batch), batch.weights, learning, self._scales, known, out)
        return batch.indptr, batch.indices, out, -1

    def slots_of(self, batch: Batch) -> Iterator[NDArray[np.uint32]]:
        """Yield the slots that a batch names, those of its products too, some examples at a time."""
        for piece, _ in self._pieces(batch, np.empty(len(batch), np.float32)):
            yield piece.indices & np.uint32(self.table.slots - 1)

    def scaled_values(self, batch: Batch) -> NDArray[np.float32]:
        """Return float32[nnz]: the values as the model takes them at present, in units of their fields.

        They are what weights multiply; the values themselves for a model that does not scale them. Products
        of interactions are not added: see :meth:`expanded`.
        """
        _, _, values, mask = self._taken(batch)
        return values if mask else np.ones(batch.nnz, np.float32)

    def learn_one(self, features: Mapping[str, Any], label: float, weight: float = 1.0) -> float:
        """Learn from one example; return its probability just before."""
        return float(self.learn(Batch.from_dicts([features], [label], [weight]))[0])

    def predict_one(self, features: Mapping[str, Any]) -> float:
        """Return the probability of a click for one example."""
        return float(self.predict(Batch.from_dicts([features]))[0])

    # -- looking inside --------------------------------------------------------------------------------

    @property
    def bits(self) -> int:
        """log2 of the number of slots."""
        return self.table.bits

    @property
    def examples(self) -> int:
        """The number of examples learned from, those of importance weight 0 included."""
        return int(self._progress.counts[EXAMPLES])

    @property
    def restarts(self) -> int:
        """How often lanes began anew after a change in what comes."""
        return int(self._evidence.counters[RESTARTS])

    @property
    def interactions(self) -> tuple[str, ...]:
        """The pairs of fields whose features' products are features too."""
        return () if self._interactions is None else self._interactions.names

    @property
    def nbytes(self) -> int:
        """The memory of the table, in bytes."""
        return self.table.nbytes

    @property
    def shares(self) -> NDArray[np.float32]:
        """float32[lanes]: how much each lane counts in the mixture; they sum to 1."""
        shares: NDArray[np.float32] = self._shares.rows[0, : len(self.lanes)]
        return shares / np.float32(shares.sum())

    @property
    def lane_losses(self) -> NDArray[np.float64]:
        """float64[lanes]: each lane's own summed log loss, in nats; 0 for a single lane."""
        return self._progress.lane_losses.copy()

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32[slots + 1]: the lanes' weights averaged by the mixture, in log-odds; the intercept last."""
        return mean_weights(self.lanes, self.table.rows, self._learned, self.shares)

    @property
    def log_loss(self) -> float | None:
        """The mean log loss of the whole stream, in nats, as in :meth:`metrics`; None before it begins."""
        weight = float(self._progress.sums[WEIGHT])
        return float(self._progress.sums[LOSS]) / weight if weight else None

    def metrics(self, recent: bool = True) -> dict[str, Any]:
        """Return the progressive validation so far: see :func:`nonzero.progressive.describe`."""
        return describe(self._progress, recent)

    def begin_recalibration(self) -> None:
        """Learn a map of the predictions from now on; where one is learned already, nothing changes.

        Nobody is served by it before :attr:`recalibrating` is set.
        """
        if self._recalibration is None:
            self._recalibration = new_recalibration()

    def recalibration(self) -> dict[str, Any] | None:
        """Return the map of the predictions, and what it gains; None for a model that learns none.

        See Also
        --------
        nonzero.recalibration.describe_recalibration : the figures.
        """
        return None if self._recalibration is None else describe_recalibration(self._recalibration)

    def explain(self, batch: Batch) -> Explanation:
        """Take the prediction of a batch of one example apart.

        Raises
        ------
        BatchError
            For a batch of other than one example, or an index outside the table.
        """
        if len(batch) != 1:
            raise BatchError(f"there are {len(batch)} examples; explain takes one")
        probability, whole = float(self.predict(batch)[0]), self.expanded(batch)
        rows = self.table.rows[np.append(self._slots(whole), -1)]
        return take_apart(
            probability,
            self.lanes,
            rows,
            self.scaled_values(whole),
            self._verdicts(whole),
            self._learned,
            self.shares,
        )

    def _verdicts(self, batch: Batch) -> tuple[str, ...]:
        """Return what the diagnosis says of each nonzero's field."""
        fields = np.zeros(batch.nnz, np.uint16) if batch.fields is None else batch.fields
        found = self.diagnose()["fields"]
        return tuple(
            found.get(f"field {number}", {"verdict": "unknown"})["verdict"] for number in fields.tolist()
        )

    def _slots(self, batch: Batch) -> NDArray[np.intp]:
        """Return the rows of the table that a batch names."""
        return (batch.indices & np.uint32(self.table.slots - 1)).astype(np.intp)

    @property
    def _learned(self) -> int:
        """The number of examples learned from, without those of importance weight 0."""
        return int(self._progress.counts[LEARNED])

    def uncertainty(self, batch: Batch) -> NDArray[np.float32]:
        """Return float32[n]: how far one more example could move each prediction, in log-odds.

        Raises
        ------
        BatchError
            For an index outside the table.

        See Also
        --------
        nonzero.confidence.uncertainty : the formula and its source.
        """
        batch.check_slots(self.bits)
        out = np.empty(len(batch), np.float32)
        for piece, found in self._pieces(batch, out):
            found[:] = uncertainty(
                piece.indptr,
                self._slots(piece),
                self.scaled_values(piece),
                self.table.rows,
                self.lanes,
                self.shares,
            )
        return out

    def diagnose(self, names: Iterable[str] = (), now_ms: int | None = None) -> dict[str, Any]:
        """Say whether the model, and each field, is learning, converged, starved, idle or unknown, and why.

        Parameters
        ----------
        names
            Names of fields, so that the answer can speak of them; a field is kept as a hash.
        now_ms
            The present, in milliseconds since 1970, for what is idle. None: the last clock that learning was
            given.

        Returns
        -------
        dict
            As JSON holds it: ``verdict``, ``reason``, ``examples``, ``evidence``, ``fields`` (the same of
            each field) and ``remedy`` (None where nothing is to mend), which :meth:`apply_remedy` takes.

        See Also
        --------
        nonzero.diagnosis : what the verdicts mean, and how honest the intervals are.
        """
        aged = self._groups.rows[1, : len(self.lanes)]
        named = [*names, *self.interactions]
        return diagnosis.diagnose(self._evidence, self.lanes, aged, self.shares, self._learned, named, now_ms)

    def apply_remedy(self, remedy: Mapping[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Make the accumulators of some lanes smaller, as a diagnosis named it; or say what that would do.

        The same model and remedy give the same bits: a remedy can be journalled like an update. What was
        written down about the lanes is forgotten, so that the next diagnosis speaks of them as they are then.

        Parameters
        ----------
        remedy
            ``{"action": "rescale", "factor": 0.01, "lanes": [0, 1]}``; without ``lanes``, all of them.
        dry_run
            Whether to change nothing.

        Returns
        -------
        dict
            ``lanes``: for each, the intercept's effective rate before and after. ``coordinates``: how many
            have accumulators that would change. ``applied``.

        Raises
        ------
        SettingsError
            For a remedy that is none, or of lanes that do not follow AdaGrad.
        """
        effect = rescale(self.table, self.lanes, remedy, dry_run)
        if not dry_run:
            forget(self._evidence)
        return effect

    # -- the whole state -------------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, Any]:
        """What the model was made with, as JSON holds it."""
        recalibrated = self._recalibration is not None
        return settings_of(self.bits, self.lanes, self.scaled, self.interactions, recalibrated)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a new model of :attr:`settings`.

        Raises
        ------
        SettingsError
            For settings that are missing, unknown or out of their range.
        """
        return cls(**arguments_of(settings))

    def _state(self) -> dict[str, NDArray[Any]]:
        """Return every array that learning writes, by name."""
        state = {"table": self.table.rows, "shares": self._shares.rows, "groups": self._groups.rows}
        state |= self._progress._asdict()
        state |= {f"evidence_{name}": array for name, array in self._evidence._asdict().items()}
        if self._scales is not None:
            state |= {f"scale_{name}": array for name, array in self._scales._asdict().items()}
        if self._recalibration is not None:
            arrays = self._recalibration._asdict()
            state |= {f"recalibration_{name}": array for name, array in arrays.items()}
        return state

    def digest(self) -> str:
        """Return a hex digest of the whole learned state and its settings: equal digests, equal models.

        When it was learned is no part of it: the same stream gives the same digest at any time.
        """
        timeless = {f"evidence_{name}": array for name, array in without_clock(self._evidence).items()}
        return snapshot.digest_of(self._state() | timeless, self.settings)

    def copy_from(self, other: LogisticRegression, *, slots: bool = True) -> None:
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
        mine = self._state()
        for name, array in other._state().items():
            first = 0 if slots or name != "table" else self.table.slots
            np.copyto(mine[name][first:], array[first:])
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
            self.shared = SharedState.create(self.settings, self._state())
            self._use(self.shared.arrays)
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
        model._use(shared.arrays)
        model.shared = shared
        return model

    def _use(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Keep the learned state in these arrays from now on."""
        self.table.rows = state["table"]
        self._rows = as_lanes(self.table.rows)
        self._shares, self._groups = as_lanes(state["shares"]), as_lanes(state["groups"])
        self._progress = Progress(*(state[name] for name in Progress._fields))
        self._evidence = Evidence(*(state[f"evidence_{name}"] for name in Evidence._fields))
        if self._scales is not None:
            self._scales = Scales(*(state[f"scale_{name}"] for name in Scales._fields))
        if self._recalibration is not None:
            self._recalibration = Recalibration(
                *(state[f"recalibration_{name}"] for name in Recalibration._fields)
            )
        self._choose_kernels()

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
        return snapshot.write(path, self._state(), {"settings": self.settings, "notes": self.notes})

    @classmethod
    def load(cls, path: str | os.PathLike[str], **expected: Any) -> Self:
        """Read a model that :meth:`save` wrote.

        Parameters
        ----------
        path
            The file.
        expected
            Settings that it should have: ``bits``, ``optimizer``, ``scaled``, ``interactions``,
            ``recalibrated`` as for the constructor.

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
            state = model._state()
            for name, array in state.items():
                if tensors[name].dtype != array.dtype:
                    raise ValueError(f"{name} is {tensors[name].dtype}, not {array.dtype}")
                array[:] = tensors[name].reshape(array.shape)
            check_state(state, model.table, model.lanes, model._progress, model._evidence, model._scales)
            if model._recalibration is not None:
                check_map(model._recalibration)
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise SnapshotError(f"{path} does not hold a model of this version: {error!r}") from error
        check_expected(path, model.settings, expected)
        return model

    def __repr__(self) -> str:
        return f"LogisticRegression(bits={self.bits}, lanes={len(self.lanes)}, examples={self.examples})"
