"""LogisticRegression: checks, then one kernel call."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nonzero.batches.batch import Batch, check_batch
from nonzero.batches.checking import first_unlabelled
from nonzero.diagnostics.confidence import uncertainty
from nonzero.diagnostics.diagnosis import diagnose
from nonzero.diagnostics.explanation import Explanation, take_apart
from nonzero.diagnostics.remedy import rescale
from nonzero.diagnostics.weights import mean_weights
from nonzero.errors import BatchError, ReadOnlyError, SettingsError, SnapshotError
from nonzero.fields.schema import Schema
from nonzero.formats.row_arrays import NAMED, VALUED
from nonzero.kernels.evidence.arrays import RESTARTS, forget
from nonzero.kernels.progress import LOSS, POSITIVE, RECENT, WEIGHT, Progress
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.batch_rows import NO_FIELDS, NO_VALUES
from nonzero.model.display import model_html
from nonzero.model.formula import Formula, formula_of
from nonzero.model.inputs import Inputs
from nonzero.model.interactions import check_declared
from nonzero.model.kernel_calls import KernelCalls
from nonzero.model.lanes import lanes_of
from nonzero.model.learned_state import LearnedState
from nonzero.model.packed import Packed, PackedRows
from nonzero.model.places import Places
from nonzero.model.restoring import check_restored, pack, unpack
from nonzero.model.settings import (
    VERSION,
    ModelSettings,
    arguments_of,
    check_expected,
    checked_version,
    table_size,
)
from nonzero.model.table import Table
from nonzero.model.table_rows import TableRows
from nonzero.persistence import snapshot
from nonzero.persistence.shared import SharedState
from nonzero.sources.places import Remote
from nonzero.statistics import progressive
from nonzero.statistics.recalibration import apply_map, describe_recalibration, learn_map, new_recalibration


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
        2**bits``; less, where few slots are touched.
    optimizer
        None: the eight default lanes. One :class:`~nonzero.AdaGrad`, :class:`~nonzero.FTRL` or
        :class:`~nonzero.DualAveraging`: a single lane. Eight of them, of any rules: these, mixed.
    scaled
        Whether values are taken in units of their field's root mean square, which the model learns
        (:mod:`nonzero.kernels.scales`). None: only where the lanes are the default ones, so that a model
        with an optimizer of its own follows that optimizer's formula to the letter.
    interactions
        Pairs of fields, such as ``site*hour``, whose features' products are features too
        (:mod:`nonzero.model.interactions`).
    recalibrated
        Whether a monotone map of the predictions is learned from how they turned out, and :meth:`predict`
        gives what it makes of them (:mod:`nonzero.statistics.recalibration`). What :meth:`learn` returns, and
        :meth:`metrics` tell, is without it.
    schema
        The kind of each field, ``"category"``, ``"number"`` or ``"ignore"``, by its name or a ``*`` pattern;
        or a :class:`~nonzero.Schema`. Whatever reads examples for the model obeys it.
    default
        What all other fields are: ``"infer"`` (each value is judged by itself), ``"category"``,
        ``"number"`` or ``"refuse"``.
    namespace_separator
        ``"="``: the feature ``f`` of the namespace ``ns`` of VW text is ``ns=f``, as ``{"ns": "f"}`` is.
        ``"^"``: it is ``ns^f``, as it is for models that were stored before there was this setting.
    version
        Which release's rules of scales and lanes the model goes by
        (:data:`nonzero.model.settings.VERSION`): for a model that is to learn as an older one did.

    Attributes
    ----------
    recalibrating
        Whether :meth:`predict` maps its predictions, where there is a map; no part of the learned state.
    notes
        What whoever saves the model wants kept beside it, as JSON holds it; no part of the learned state.

    Raises
    ------
    SettingsError
        For settings out of their range, and for an interaction with a field that the schema ignores or
        refuses.

    See Also
    --------
    nonzero.kernels.rules.optimizers : the formula of the steps.
    nonzero.kernels.mixture : the formula of the mixture, and its bound.

    Examples
    --------
    >>> model = LogisticRegression(bits=18)
    >>> for _ in range(20):
    ...     p = model.learn_one({"site": "news"}, 1)
    ...     q = model.learn_one({"site": "blog"}, 0)
    >>> model.predict_one({"site": "news"}) > 0.8 > 0.2 > model.predict_one({"site": "blog"})
    True
    >>> model = LogisticRegression(bits=18, schema={"ad": "category", "id": "ignore"}, default="refuse")
    >>> model.predict_one({"ad": 7, "id": "r-1"}) == model.predict_one({"ad": "7"})
    True
    """

    def __init__(
        self,
        bits: int = 22,
        optimizer: Rule | Sequence[Rule] | None = None,
        scaled: bool | None = None,
        interactions: Sequence[str] = (),
        recalibrated: bool = False,
        schema: Schema | Mapping[str, Any] | None = None,
        default: str | None = None,
        namespace_separator: str | None = None,
        version: int = VERSION,
    ) -> None:
        said = Schema.of(schema, default, namespace_separator)
        lanes = lanes_of(optimizer, checked_version(version))
        self._settings = ModelSettings(
            bits,
            lanes,
            optimizer is None if scaled is None else scaled,
            tuple(interactions),
            recalibrated,
            said,
            version,
        )
        self._kept = self._settings.kept
        self._state = LearnedState(self._settings)
        self._inputs = Inputs(self._state, interactions)
        check_declared(self.interactions, said)
        self._kernels = KernelCalls(self._kept, self._state)
        self.shared: SharedState | None = None
        """The memory that other processes read the model from, if there is any."""
        self._learning = threading.RLock()
        self.recalibrating = recalibrated
        self.notes: dict[str, Any] = {}

    # -- settings --------------------------------------------------------------------------------------

    @property
    def bits(self) -> int:
        """log2 of the number of slots."""
        return self._settings.bits

    @property
    def lanes(self) -> tuple[Rule, ...]:
        """The rules that learn side by side: one, or eight."""
        return self._settings.lanes

    @property
    def scaled(self) -> bool:
        """Whether values are taken in units of their field's root mean square."""
        return self._settings.scaled

    @property
    def version(self) -> int:
        """Which release's rules the model goes by: see :data:`nonzero.model.settings.VERSION`."""
        return self._settings.version

    @property
    def interactions(self) -> tuple[str, ...]:
        """The pairs of fields whose features' products are features too."""
        return self._settings.interactions

    @property
    def schema(self) -> Schema:
        """What each field is. Hand it to whatever reads examples for the model: then all formats agree."""
        return self._settings.schema

    @property
    def settings(self) -> dict[str, Any]:
        """What the model was made with, as JSON holds it."""
        return self._settings.to_dict()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a new model of :attr:`settings`.

        Parameters
        ----------
        settings
            As :attr:`settings` of another model gives them.

        Returns
        -------
        LogisticRegression
            A model of these settings that has learned nothing.

        Raises
        ------
        SettingsError
            For settings that are missing, unknown or out of their range.

        Examples
        --------
        >>> model = LogisticRegression(bits=10, interactions=["site*hour"])
        >>> LogisticRegression.from_settings(model.settings).interactions
        ('site*hour',)
        """
        return cls(**arguments_of(settings))

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
            The probability of each example, from 0 to 1, just before it was learned from.

        Raises
        ------
        BatchError
            For an example without a label or an index outside the table; nothing is learned then.
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> model.learn(Batch.from_dicts([{"site": "news"}, {"site": "blog"}], labels=[1, 0])).shape
        (2,)
        """
        self.check(batch)
        return self.learn_checked(batch, time_ms)

    def check(self, batch: Batch) -> None:
        """Raise what :meth:`learn` would, and learn nothing.

        Parameters
        ----------
        batch
            The examples.

        Raises
        ------
        BatchError
            For an example without a label or an index outside the table.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> model.check(Batch.from_dicts([{"site": "news"}], labels=[1]))
        >>> try:
        ...     model.check(Batch.from_dicts([{"site": "news"}]))
        ... except BatchError as error:
        ...     print(error)
        row 0 has no label; give 0 or 1, or call predict
        """
        check_batch(batch)
        row = first_unlabelled(batch.labels)
        if row >= 0:
            raise BatchError(f"row {row} has no label; give 0 or 1, or call predict")
        batch.check_slots(self.bits)

    def learn_checked(self, batch: Batch, time_ms: int | None = None) -> NDArray[np.float32]:
        """Learn from a batch that :meth:`check` accepts, without checking it again.

        Parameters
        ----------
        batch, time_ms
            As for :meth:`learn`.

        Returns
        -------
        float32[n]
            As :meth:`learn` returns.

        Raises
        ------
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> model, batch = LogisticRegression(bits=10), Batch.from_dicts([{"site": "news"}], labels=[1])
        >>> model.check(batch)
        >>> model.learn_checked(batch).tolist()
        [0.5]
        """
        self._check_writable()
        out = np.empty(len(batch), np.float32)
        with self._learning:  # two threads that learn at once would make one model of neither's stream
            for piece, found in self._inputs.pieces(batch, out):
                places = self._state.table.standing[1]
                if places is not None and not places.has_room(piece.nnz):
                    self._spread()
                self._kernels.learn(self._inputs.scaled(piece, learning=True), piece, time_ms, found)
            if self._state.recalibration is not None:
                learn_map(self._state.recalibration, out, batch.labels, batch.weights)
        return out

    def predict(self, batch: Batch) -> NDArray[np.float32]:
        """Predict each example.

        Safe beside one thread that learns: it may see an example half applied, never a number that is not
        finite.

        Parameters
        ----------
        batch
            The examples; their labels are not looked at.

        Returns
        -------
        float32[n]
            The probability of a click, from 0 to 1, for each.

        Raises
        ------
        BatchError
            For an index outside the table.

        Examples
        --------
        >>> LogisticRegression(bits=10).predict(Batch.from_dicts([{"site": "news"}, {}])).tolist()
        [0.5, 0.5]
        """
        check_batch(batch).check_slots(self.bits)
        out = np.empty(len(batch), np.float32)
        for piece, found in self._inputs.pieces(batch, out):
            self._kernels.predict(self._inputs.scaled(piece), found)
        return self._mapped(out)

    def _mapped(self, out: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put predictions through the learned map, in place, where they are to be served by it."""
        if self.recalibrating and self._state.recalibration is not None:
            apply_map(self._state.recalibration, out)
        return out

    def expanded(self, batch: Batch) -> Batch:
        """Return a batch with the products of the model's interactions, as the model takes it.

        Parameters
        ----------
        batch
            The examples.

        Returns
        -------
        Batch
            The same rows with more nonzeros; equal to `batch` for a model without interactions.

        Examples
        --------
        >>> model = LogisticRegression(bits=10, interactions=["site*hour"])
        >>> model.expanded(Batch.from_dicts([{"site": "news", "hour": "9"}]))
        Batch(1 examples, 3 nonzeros)
        """
        return Batch.concatenate([*self._inputs.expanded(batch)])

    def expanded_nnz(self, batch: Batch) -> int:
        """Return how many nonzeros a batch has with the products of the model's interactions.

        Parameters
        ----------
        batch
            The examples.

        Returns
        -------
        int
            Those of :meth:`expanded`, without making them.

        Examples
        --------
        >>> model = LogisticRegression(bits=10, interactions=["site*hour"])
        >>> model.expanded_nnz(Batch.from_dicts([{"site": "news", "hour": "9"}]))
        3
        """
        return self._inputs.nonzeros(batch)

    def predict_body(self, body: bytes) -> float | None:
        """Predict the one example in a request's JSON body, in a third of the time that its batch would take.

        Parameters
        ----------
        body
            JSON text: ``{"features": {...}}``, read by the model's schema.

        Returns
        -------
        float or None
            The probability of a click. None where the body has to be read, and predicted, by itself: it is
            something else than one example, or wrong; it has an id, or a slot outside the table; its features
            are multiplied, or its values scaled.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> model.predict_body(b'{"features": {"site": "news"}}')
        0.5
        >>> model.predict_body(b'{"examples": []}') is None
        True
        """
        from nonzero.formats.json_bodies import read_body  # here, because files of other formats need no JSON

        found = read_body(body, self.schema)
        if found is None:
            return None
        rows, flags, largest_slot = found
        if flags & (NAMED | VALUED) or largest_slot >= 2**self.bits or not self._inputs.are_as_given:
            return None
        out = np.empty(1, np.float32)
        self._kernels.predict((rows.indptr[:2], rows.indices, NO_VALUES, 0, NO_FIELDS, 0), out)
        return float(self._mapped(out)[0])

    def slots_of(self, batch: Batch) -> Iterator[NDArray[np.uint32]]:
        """Yield the slots that a batch names, those of its products too, some examples at a time.

        Parameters
        ----------
        batch
            The examples.

        Yields
        ------
        uint32[nnz of some examples]
            Slots, from 0 to ``2**bits - 1``, in the order of the nonzeros.

        Examples
        --------
        >>> [slots.tolist() for slots in LogisticRegression(bits=10).slots_of(Batch([0, 2], [7, 9]))]
        [[7, 9]]
        """
        for piece in self._inputs.expanded(batch):
            yield piece.indices & np.uint32(self._state.table.slots - 1)

    def scaled_values(self, batch: Batch) -> NDArray[np.float32]:
        """Return the values as the model takes them at present, in units of their fields.

        They are what weights multiply; the values themselves for a model that does not scale them. Products
        of interactions are not added: see :meth:`expanded`.

        Parameters
        ----------
        batch
            The examples.

        Returns
        -------
        float32[nnz]
            A value of each nonzero.

        Examples
        --------
        >>> model = LogisticRegression(bits=10, scaled=False)
        >>> model.scaled_values(Batch.from_dicts([{"site": "news", "bid": 0.5}])).tolist()
        [1.0, 0.5]
        """
        return self._inputs.values(batch)

    def learn_one(self, features: Mapping[str, Any], label: float, weight: float = 1.0) -> float:
        """Learn from one example, read by the model's schema.

        Parameters
        ----------
        features
            As for :meth:`Batch.from_dicts <nonzero.Batch.from_dicts>`.
        label
            0 or 1.
        weight
            The example's importance, from 0 (counted, not learned from) to 1e6.

        Returns
        -------
        float
            Its probability just before.

        Raises
        ------
        BatchError
            For a value that is no feature, a label that is none, or a weight out of its range.
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> LogisticRegression(bits=10).learn_one({"site": "news", "bid": 0.5}, 1)
        0.5
        """
        from nonzero.formats.json_dicts import batch_of_example  # here, as in predict_body

        return float(self.learn(batch_of_example(features, label, weight, self.schema))[0])

    def predict_one(self, features: Mapping[str, Any]) -> float:
        """Predict one example, read by the model's schema.

        Parameters
        ----------
        features
            As for :meth:`Batch.from_dicts <nonzero.Batch.from_dicts>`.

        Returns
        -------
        float
            The probability of a click, from 0 to 1.

        Raises
        ------
        BatchError
            For a value that is no feature.

        Examples
        --------
        >>> LogisticRegression(bits=10).predict_one({"site": "news"})
        0.5
        """
        return float(self.predict(Batch.from_dicts([features], schema=self.schema))[0])

    # -- looking inside --------------------------------------------------------------------------------

    @property
    def examples(self) -> int:
        """The number of examples learned from, those of importance weight 0 included."""
        return self._state.examples

    @property
    def weight(self) -> float:
        """The summed importance weight of the examples learned from."""
        return float(self._state.progress.sums[WEIGHT])

    @property
    def clicks(self) -> float:
        """The summed importance weight of the clicks among them."""
        return float(self._state.progress.sums[POSITIVE])

    @property
    def restarts(self) -> int:
        """How often lanes began anew after a change in what comes."""
        return int(self._state.evidence.counters[RESTARTS])

    @property
    def nbytes(self) -> int:
        """The memory of the table, in bytes, when all of it is touched."""
        return self._state.table.nbytes

    @property
    def shares(self) -> NDArray[np.float32]:
        """float32[lanes]: how much each lane counts in the mixture; they sum to 1."""
        return self._state.mixture

    @property
    def lane_losses(self) -> NDArray[np.float64]:
        """float64[lanes]: each lane's own summed log loss, in nats; 0 for a single lane."""
        return self._state.progress.lane_losses.copy()

    @property
    def weights(self) -> NDArray[np.float32]:
        """float32[slots + 1]: the lanes' weights averaged by the mixture, in log-odds; the intercept last."""
        weights = np.zeros(self._state.table.slots + 1, np.float32)
        for slots in self.rows.touched().numbers():
            weights[slots] = mean_weights(
                self._kept, self.rows.at(slots), self._state.learned, self._state.averaging
            )
        return weights

    @property
    def log_loss(self) -> float | None:
        """The mean log loss of the whole stream, in nats, as in :meth:`metrics`; None before it begins."""
        return float(self._state.progress.sums[LOSS]) / self.weight if self.weight else None

    def formula(self) -> Formula:
        """Return what predictions are made of beside the table, as it is now.

        Returns
        -------
        Formula
            The lanes' shares and what combines them, the scales of values, and the map of the predictions.

        Examples
        --------
        >>> LogisticRegression(bits=10).formula().shares.tolist()[:2]
        [0.125, 0.125]
        """
        with self._learning:
            return formula_of(self._state, self._kept, self.recalibrating)

    def metrics(self, recent: bool = True) -> dict[str, Any]:
        """Return how good the predictions were, each made just before its example was learned from.

        Parameters
        ----------
        recent
            Whether to look at the last 100,000 examples too, which takes a millisecond.

        Returns
        -------
        dict
            As JSON holds it: ``examples``, ``weight``, ``log_loss`` (mean, in nats), ``auc``, ``auc_error``,
            ``normalized_entropy``, ``calibration``; under ``recent`` the same of the last 100,000 examples,
            and their ``clicks``. None where a figure is not defined.

        See Also
        --------
        nonzero.statistics.progressive.describe : each figure, and its source.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> before = model.learn(Batch.from_dicts([{"site": "news"}, {"site": "blog"}], labels=[1, 0]))
        >>> found = model.metrics()
        >>> found["examples"], found["recent"]["examples"]
        (2, 2)
        """
        return progressive.describe(self._state.progress, recent)

    def seen(self, since: Progress | None = None) -> Progress:
        """Return what :meth:`metrics` are made of, as it is at this moment.

        Parameters
        ----------
        since
            What :meth:`seen` returned before: then only what came after it is in.

        Returns
        -------
        Progress
            A copy, without the last examples themselves.

        See Also
        --------
        nonzero.statistics.progressive.describe : makes figures of it.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> before = model.learn_one({"site": "news"}, 1)
        >>> monday = model.seen()
        >>> before = model.learn_one({"site": "news"}, 0)
        >>> int(model.seen().counts[0]), int(model.seen(since=monday).counts[0])
        (2, 1)
        """
        return progressive.since(self._state.progress, since)

    def last(self, n: int) -> NDArray[np.float32]:
        """Return what became of the last examples, the oldest first.

        Parameters
        ----------
        n
            How many; those of more than 100,000 examples ago, or of before the first, are not there.

        Returns
        -------
        float32[m, 4]
            Of each the probability just before it was learned from, its log loss in nats, label and weight.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> before = model.learn_one({"site": "news"}, 1, weight=2)
        >>> model.last(10).round(2).tolist()
        [[0.5, 0.6899999976158142, 1.0, 2.0]]
        """
        n = min(n, RECENT, self.examples)
        places = np.arange(self.examples - n, self.examples) % RECENT
        rows: NDArray[np.float32] = self._state.progress.recent[places]
        return rows

    def begin_recalibration(self) -> None:
        """Learn a map of the predictions from now on; where one is learned already, nothing changes.

        Nobody is served by it before :attr:`recalibrating` is set.

        Raises
        ------
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> model.begin_recalibration()
        >>> model.recalibration()["slope"], model.recalibrating
        (1.0, False)
        """
        self._check_writable()
        if self._state.recalibration is None:
            self._state.recalibration = new_recalibration()
            self._settings = dataclasses.replace(self._settings, recalibrated=True)

    def recalibration(self) -> dict[str, Any] | None:
        """Return the map of the predictions, and what it gains.

        Returns
        -------
        dict or None
            As JSON holds it: ``slope`` and ``offset`` of the map, and the mean log loss in nats and the
            calibration with it and without it. None for a model that learns no map.

        See Also
        --------
        nonzero.statistics.recalibration.describe_recalibration : the figures.

        Examples
        --------
        >>> LogisticRegression(bits=10).recalibration() is None
        True
        >>> LogisticRegression(bits=10, recalibrated=True).recalibration()["slope"]
        1.0
        """
        learned = self._state.recalibration
        return None if learned is None else describe_recalibration(learned)

    def explain(self, batch: Batch) -> Explanation:
        """Take the prediction of a batch of one example apart.

        Parameters
        ----------
        batch
            The one example.

        Returns
        -------
        Explanation
            Each nonzero's share of the log-odds, and what else made the prediction.

        Raises
        ------
        BatchError
            For a batch of other than one example, or an index outside the table.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> before = model.learn_one({"site": "news"}, 1)
        >>> bool(model.explain(Batch.from_dicts([{"site": "news"}])).contributions[0] > 0)
        True
        """
        if len(batch) != 1:
            raise BatchError(f"there are {len(batch)} examples; explain takes one")
        probability, whole = float(self.predict(batch)[0]), self.expanded(batch)
        rows = self.table.rows[np.append(self._slots(whole), -1)]
        return take_apart(
            probability,
            self._kept,
            rows,
            self.scaled_values(whole),
            self._verdicts(whole),
            self._state.learned,
            self.shares,
            self._state.averaging,
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

    def uncertainty(self, batch: Batch) -> NDArray[np.float32]:
        """Return how far one more example could move each prediction.

        Parameters
        ----------
        batch
            The examples; their labels are not looked at.

        Returns
        -------
        float32[n]
            In log-odds, at least 0.

        Raises
        ------
        BatchError
            For an index outside the table.

        See Also
        --------
        nonzero.diagnostics.confidence.uncertainty : the formula and its source.

        Examples
        --------
        >>> model, batch = LogisticRegression(bits=10), Batch.from_dicts([{"site": "news"}], labels=[1])
        >>> before, learned = model.uncertainty(batch), model.learn(batch)
        >>> bool(model.uncertainty(batch)[0] < before[0])
        True
        """
        batch.check_slots(self.bits)
        out = np.empty(len(batch), np.float32)
        for piece, found in self._inputs.pieces(batch, out):
            found[:] = uncertainty(
                piece.indptr,
                self._slots(piece),
                self.scaled_values(piece),
                self.table.rows,
                self._kept,
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
        nonzero.diagnostics.diagnosis : what the verdicts mean, and how honest the intervals are.

        Examples
        --------
        >>> found = LogisticRegression(bits=10).diagnose()
        >>> found["verdict"], found["examples"], found["remedy"]
        ('learning', 0, None)
        """
        aged = self._state.groups[1, : len(self.lanes)]
        named = [*names, *self.interactions]
        return diagnose(
            self._state.evidence, self._kept, aged, self._state.standing, self._state.learned, named, now_ms
        )

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
        ReadOnlyError
            For a model that is mapped from another process's memory, unless it is a dry run.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> before = model.learn_one({"site": "news"}, 1)
        >>> effect = model.apply_remedy({"action": "rescale", "factor": 0.01}, dry_run=True)
        >>> effect["coordinates"], effect["applied"]
        (2, False)
        """
        if not dry_run:
            self._check_writable()
        effect = rescale(self.table.accumulators, self._kept, remedy, dry_run)
        if not dry_run:
            forget(self._state.evidence)
        return effect

    # -- copies, shared memory, files ------------------------------------------------------------------

    @property
    def table(self) -> Table:
        """Weights and accumulators, the largest part of what is learned; every row is where its slot is.

        To ask for it takes the memory of all rows where few were touched so far.
        """
        self._spread()
        return self._state.table

    @property
    def rows(self) -> TableRows:
        """The table by its touched rows, wherever they stand: for what shall take memory in proportion."""
        return TableRows(self._state.table)

    def _spread(self) -> None:
        """Put every row of the table where its slot is."""
        if self._state.table.places is not None:
            with self._learning:
                self._state.table.spread()
                self._kernels = KernelCalls(self._kept, self._state)

    def digest(self) -> str:
        """Return a digest of the whole learned state and its settings: equal digests, equal models.

        When it was learned is no part of it: the same stream gives the same digest at any time.

        Returns
        -------
        str
            Hexadecimal.

        Examples
        --------
        >>> one, other = LogisticRegression(bits=10), LogisticRegression(bits=10)
        >>> one.digest() == other.digest()
        True
        >>> before = one.learn_one({"site": "news"}, 1)
        >>> one.digest() == other.digest()
        False
        """
        return snapshot.digest_of(self._state.timeless(), self.settings)

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
        ReadOnlyError
            For a model that is mapped from another process's memory.

        Examples
        --------
        >>> one, other = LogisticRegression(bits=10), LogisticRegression(bits=10)
        >>> before = other.learn_one({"site": "news"}, 1)
        >>> one.copy_from(other)
        >>> one.digest() == other.digest()
        True
        """
        if self.settings != other.settings:
            raise SettingsError(f"a model of {other.settings} cannot be copied into one of {self.settings}")
        self._check_writable()
        if slots:
            self._spread()
            other._spread()
        self._state.copy_from(other._state, slots=slots)
        self.notes = dict(other.notes)

    # -- copy, pickle ----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Return what :mod:`copy`, pickle and joblib take of the model: settings, notes and what was learned.

        Learning waits meanwhile. A model in shared memory becomes one of its own.
        """
        with self._learning:
            return {
                "settings": self.settings,
                "notes": dict(self.notes),
                "recalibrating": self.recalibrating,
                "arrays": pack(self._state),
            }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Make the model of what :meth:`__getstate__` returned.

        Raises
        ------
        SettingsError, ValueError
            For what no model has returned.
        """
        type(self).__init__(self, **arguments_of(state["settings"]))
        unpack(self._state, state["arrays"], self._kept)
        self._kernels = KernelCalls(self._kept, self._state)  # its table may have been spread
        self.notes, self.recalibrating = dict(state["notes"]), bool(state["recalibrating"])

    def _check_writable(self) -> None:
        """Refuse to change what is another process's."""
        if self._state.table.readable_only:
            raise ReadOnlyError(
                "this model is mapped from the memory of the process that learns, and can only be read here; "
                "let that process learn, or take a copy of its own with copy.copy(model)"
            )

    def share(self) -> SharedState:
        """Move the learned state into memory that other processes can read; again: return that memory.

        While it is moved it is there twice.

        Returns
        -------
        SharedState
            Its ``descriptor`` is what other processes :meth:`attach` to. ``withdraw()`` tells them to use the
            memory no more; ``close()`` closes the descriptor alone.

        Raises
        ------
        OSError
            Where there is not so much memory.

        See Also
        --------
        attach : what the others do with its descriptor.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> reader = LogisticRegression.attach(model.share().descriptor)
        >>> before = model.learn_one({"site": "news"}, 1)
        >>> reader.predict_one({"site": "news"}) == model.predict_one({"site": "news"})
        True
        """
        if self.shared is None:
            with self._learning:
                self._spread()
                self._use(SharedState.create(self.settings, self._state.arrays(), self.notes))
        assert self.shared is not None  # noqa: S101 - it was made just now, or before
        return self.shared

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Return the model that another process has shared, to predict with what it learns.

        It can be asked everything, and not learn: its memory is mapped for reading. The descriptor may be
        closed then. Its notes are those of the time when it was shared first.

        Parameters
        ----------
        descriptor
            The file descriptor of the memory, as the other process passed it on:
            ``share().descriptor`` there.

        Returns
        -------
        LogisticRegression
            A model that follows the other's learning.

        Raises
        ------
        OSError
            Where the descriptor is not of a shared model.

        Examples
        --------
        >>> model = LogisticRegression(bits=10)
        >>> LogisticRegression.attach(model.share().descriptor).bits
        10
        """
        shared = SharedState.attach(descriptor)
        model = cls.from_settings(shared.settings)
        model._use(shared, readable_only=True)
        model.notes = shared.notes
        return model

    def _use(self, shared: SharedState, *, readable_only: bool = False) -> None:
        """Keep what is learned in shared memory from now on."""
        self._state.use(shared.arrays, readable_only=readable_only)
        self.shared = shared
        self._kernels = KernelCalls(self._kept, self._state)

    def save(self, path: str | os.PathLike[str] | Remote) -> str:
        """Write the model and its notes to a file, whole or not at all.

        It is the model of one moment: a thread that would learn meanwhile waits.

        Parameters
        ----------
        path
            The file, or its URL in an object store; one that is there is replaced, and a link stays one. Its
            format is safetensors; it holds the rows of the table that were touched, so that its size is in
            proportion to them.

        Returns
        -------
        str
            The digest of the file's contents; :meth:`digest` is that of the learned state alone.

        Raises
        ------
        OSError
            Where the disk refuses.
        StoreError
            Where the store does; there is the old file then, or none.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = LogisticRegression(bits=10).save(f"{folder}/clicks.safetensors")
        ...     LogisticRegression.load(f"{folder}/clicks.safetensors", bits=10)
        LogisticRegression(bits=10, lanes=8, examples=0)
        """
        with self._learning:
            return snapshot.write(path, self._state.kept(), {"settings": self.settings, "notes": self.notes})

    def packed(self, *, copied: bool = True) -> Packed:
        """Return what was learned until now, to be saved while the model learns on.

        It takes time and memory in proportion to what was touched, and a look at all of the table.

        Parameters
        ----------
        copied
            False for a model that learns nothing until it is saved: nothing is copied then.

        Returns
        -------
        Packed
            Its ``write(path)`` writes what :meth:`load` reads.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> model = LogisticRegression(bits=10)
        >>> before, packed = model.digest(), model.packed()
        >>> p = model.learn_one({"site": "news"}, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed.write(Path(folder, "clicks"))
        ...     LogisticRegression.load(Path(folder, "clicks")).digest() == before
        True
        """
        with self._learning:
            kept = self._state.kept()
            arrays: snapshot.WrittenArrays = kept
            if copied:
                arrays = {
                    name: array.copy() if isinstance(array, np.ndarray) else PackedRows(array)
                    for name, array in kept.items()
                }
            return Packed(self.settings, dict(self.notes), self.examples, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | Remote, **expected: Any) -> Self:
        """Read a model that :meth:`save` wrote.

        Parameters
        ----------
        path
            The file, or its URL.
        expected
            Settings that it should have: ``bits``, ``optimizer``, ``scaled``, ``interactions``,
            ``recalibrated``, ``schema``, ``default``, ``namespace_separator`` as for the constructor.

        Returns
        -------
        LogisticRegression
            A model with the digest of the one that was saved.

        Raises
        ------
        FileNotFoundError
            Where there is no such file.
        SnapshotError
            For a file that is damaged or no saved model.
        SettingsError
            Where a stored setting differs from the one expected; the message names each difference.
        StoreError
            Where a store refuses it.
        OSError, MemoryError
            Where there is not the memory for it, or no descriptor.

        Examples
        --------
        >>> import tempfile
        >>> model = LogisticRegression(bits=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = model.save(f"{folder}/clicks.safetensors")
        ...     LogisticRegression.load(f"{folder}/clicks.safetensors").digest() == model.digest()
        True
        """
        made: list[tuple[Self, snapshot.Arrays, Places | None]] = []

        def begin(metadata: dict[str, Any], rows: Mapping[str, int]) -> snapshot.Arrays:
            bits, _ = table_size(metadata["settings"])
            if rows["table"] != 2**bits + 1:  # before memory is taken for it
                raise ValueError(f"its table has {rows['table']} rows, of such settings it has {2**bits + 1}")
            model = cls.from_settings(metadata["settings"])
            model.notes = dict(metadata["notes"])
            kept = model._state.kept()
            made.append((model, kept, model._state.table.places))
            return kept

        snapshot.read(path, begin)
        [(model, kept, places)] = made
        if places is not model._state.table.places:  # it was spread
            model._kernels = KernelCalls(model._kept, model._state)
        try:
            check_restored(model._state, model._kept, kept)
        except ValueError as error:
            raise SnapshotError(f"{path} does not hold a model of this version: {error!r}") from error
        if expected:
            check_expected(path, model.settings, expected)
        return model

    def __repr__(self) -> str:
        return f"LogisticRegression(bits={self.bits}, lanes={len(self.lanes)}, examples={self.examples})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: settings, figures and the verdict of the diagnosis."""
        return model_html(self._settings, self.metrics(), self.diagnose())
