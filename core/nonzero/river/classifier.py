"""NonzeroClassifier: river's interface to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.base import MiniBatchClassifier
from river.base.typing import ClfTarget
from river.utils import dataframe

from nonzero.batches.batch import Batch
from nonzero.fields.schema import Schema
from nonzero.formats.json_dicts import batch_of_example, batch_of_features
from nonzero.frames.batches import batch_of_frame
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.logistic_regression import LogisticRegression


class NonzeroClassifier(MiniBatchClassifier):
    """Logistic regression over sparse features for labels that are True or False.

    It is :class:`nonzero.LogisticRegression` as river knows a model: it stands in pipelines and in
    ``progressive_val_score``. Without an optimizer there is nothing to tune, and nothing to scale.

    Parameters
    ----------
    bits
        log2 of the number of slots that features are hashed into, 1 to 30.
    optimizer, scaled, interactions, recalibrated, schema, default
        As for :class:`nonzero.LogisticRegression`.

    Attributes
    ----------
    model
        The :class:`nonzero.LogisticRegression`.

    Raises
    ------
    SettingsError
        For settings out of their range.

    Notes
    -----
    river's features have no order. They are taken in the alphabetical order of their names, so that whoever
    has them in another gets the same bits.

    Examples
    --------
    >>> from river import evaluate, metrics
    >>> clicks = [({"site": "news", "bid": 0.5}, True), ({"site": "blog", "bid": 2}, False)] * 20
    >>> evaluate.progressive_val_score(clicks, NonzeroClassifier(bits=18), metrics.Accuracy())
    Accuracy: 92.50%
    """

    def __init__(
        self,
        bits: int = 22,
        optimizer: Rule | Sequence[Rule] | None = None,
        scaled: bool | None = None,
        interactions: Sequence[str] | None = None,
        recalibrated: bool = False,
        schema: Schema | Mapping[str, Any] | None = None,
        default: str | None = None,
    ) -> None:
        self.bits = bits
        self.optimizer = optimizer
        self.scaled = scaled
        self.interactions = interactions or None  # river clones no empty tuple: see findings/
        self.recalibrated = recalibrated
        self.schema = schema
        self.default = default
        self.model = LogisticRegression(
            bits, optimizer, scaled, interactions or (), recalibrated, schema, default
        )

    @classmethod
    def _unit_test_params(cls) -> Any:
        yield {"bits": 10}

    def learn_one(self, x: Mapping[Any, Any], y: Any, w: float = 1.0) -> None:
        """Learn from one example.

        Parameters
        ----------
        x
            Features by name, as for :meth:`nonzero.Batch.from_dicts`.
        y
            True or False, or 1 or 0.
        w
            The example's importance, from 0 (counted, not learned from) to 1e6.

        Raises
        ------
        BatchError
            For a value that is no feature, a label that is none, or a weight out of its range.

        Examples
        --------
        >>> NonzeroClassifier(bits=10).learn_one({"site": "news"}, True)
        """
        self.model.learn(batch_of_example(x, y, w, self.model.schema, in_order=True))

    def predict_proba_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[ClfTarget, float]:  # noqa: ARG002
        """Return the probability of each label; nothing is changed.

        Parameters
        ----------
        x
            As for :meth:`learn_one`.
        kwargs
            What a stream has beside features; not looked at.

        Returns
        -------
        dict
            The probabilities of False and True.

        Raises
        ------
        BatchError
            For a value that is no feature.

        Examples
        --------
        >>> NonzeroClassifier(bits=10).predict_proba_one({"site": "news"})
        {False: 0.5, True: 0.5}
        """
        p = float(self.model.predict(batch_of_features((x,), self.model.schema, in_order=True))[0])
        return {False: 1 - p, True: p}

    def learn_many(self, X: Any, y: Any, w: Any = 1.0) -> None:
        """Learn from the rows of a DataFrame, one after another: as :meth:`learn_one` would, and faster.

        Parameters
        ----------
        X
            A DataFrame of pandas, Polars, or another that narwhals knows. What is missing is no feature.
        y
            A series of labels.
        w
            A weight, or a series of weights.

        Raises
        ------
        BatchError
            As :meth:`learn_one`; nothing is learned then.

        Examples
        --------
        >>> import polars
        >>> model = NonzeroClassifier(bits=10)
        >>> model.learn_many(polars.DataFrame({"site": ["news", "blog"]}), polars.Series([True, False]))
        >>> model.model.examples
        2
        """
        labels = np.asarray(y)
        weights = np.broadcast_to(np.asarray(w, np.float64), labels.shape)
        self.model.learn(self._batch(X, labels, weights))

    def predict_proba_many(self, X: Any) -> Any:
        """Return the probability of each label, for each row of a DataFrame.

        Parameters
        ----------
        X
            As for :meth:`learn_many`.

        Returns
        -------
        DataFrame
            Of the kind of `X`. Its columns are False and True, or their texts where names are texts.

        Raises
        ------
        BatchError
            For a value that is no feature.

        Examples
        --------
        >>> import polars
        >>> NonzeroClassifier(bits=10).predict_proba_many(polars.DataFrame({"site": ["news"]})).rows()
        [(0.5, 0.5)]
        """
        p = self._probabilities(X)
        return dataframe.to_native_frame({False: 1 - p, True: p}, like=dataframe.into_frame(X))

    def predict_many(self, X: Any) -> Any:
        """Return the more probable label of each row of a DataFrame; of two alike False.

        Parameters
        ----------
        X
            As for :meth:`learn_many`.

        Returns
        -------
        Series
            Of booleans, of the kind of `X`.

        Raises
        ------
        BatchError
            For a value that is no feature.

        Examples
        --------
        >>> import polars
        >>> NonzeroClassifier(bits=10).predict_many(polars.DataFrame({"site": ["news"]})).to_list()
        [False]
        """
        labels = self._probabilities(X) > 0.5
        return dataframe.to_native_series(labels, name="prediction", like=dataframe.into_frame(X))

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        return self.model.predict(self._batch(X)).astype(np.float64)

    def _batch(
        self,
        X: Any,
        labels: NDArray[Any] | None = None,
        weights: NDArray[Any] | None = None,
    ) -> Batch:
        return batch_of_frame(X, labels, weights, self.model.schema, in_order=True)
