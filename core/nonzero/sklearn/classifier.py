"""NonzeroClassifier: scikit-learn's interface to a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nonzero.batches.batch import Batch
from nonzero.errors import BatchError, InputError, SettingsError
from nonzero.fields.schema import Schema
from nonzero.frames.batches import batch_of_frame
from nonzero.frames.rows import ROWS, is_frame
from nonzero.kernels.rules.optimizers import Rule
from nonzero.model.logistic_regression import LogisticRegression
from nonzero.sklearn.matrices import batch_of_matrix
from nonzero.sklearn.targets import clicks_of, labels_of, two_classes, weights_of

BELOW_ONE: Final = 1 - 2.0**-25
"""Half way between 1 and the float32 before it: what a probability of 1 is taken for, in log-odds."""


class NonzeroClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression over sparse features for two classes, learned one example at a time.

    It is :class:`nonzero.LogisticRegression` as a scikit-learn estimator, for pipelines, searches and
    calibration. Without an optimizer there is nothing to tune. The same rows in the same order give the same
    model, to the bit: there is no random state.

    Parameters
    ----------
    bits
        log2 of the number of slots, 1 to 30: a matrix has at most so many columns, and named features are
        hashed into them.
    optimizer, scaled, interactions, recalibrated
        As for :class:`nonzero.LogisticRegression`. Interactions are of named features.
    schema, default
        What named features are, as for :class:`nonzero.LogisticRegression`.
    epochs
        How often :meth:`fit` goes through the rows. :meth:`partial_fit` does once.

    Attributes
    ----------
    classes_
        The two labels, in order. The second is what the model calls a click.
    model_
        The :class:`nonzero.LogisticRegression`. Its ``metrics()`` say how good the predictions were, each
        made just before its row was learned from; its ``save`` writes a file that the service takes.
    named_
        Whether features have names: X was a DataFrame, or mappings. Where they have none, column ``j`` is the
        slot ``j``: nothing is hashed, and no two columns share a slot.
    n_features_in_
        The number of columns; not where X was mappings.
    feature_names_in_
        object[columns]: the names of the columns, where X was a DataFrame.

    Notes
    -----
    A DataFrame whose columns are not all named by texts is taken as an array.

    Examples
    --------
    >>> clicks = [{"site": "news", "bid": 0.5}, {"site": "blog", "bid": 2}] * 20
    >>> model = NonzeroClassifier(bits=18).fit(clicks, ["yes", "no"] * 20)
    >>> model.predict([{"site": "blog"}, {"site": "news"}]).tolist()
    ['no', 'yes']
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> pipeline = make_pipeline(StandardScaler(), NonzeroClassifier(bits=10))
    >>> bool(cross_val_score(pipeline, X, y).mean() > 0.96)
    True
    """

    classes_: NDArray[Any]
    model_: LogisticRegression
    named_: bool
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __init__(
        self,
        bits: int = 22,
        optimizer: Rule | Sequence[Rule] | None = None,
        scaled: bool | None = None,
        interactions: Sequence[str] = (),
        recalibrated: bool = False,
        schema: Schema | Mapping[str, Any] | None = None,
        default: str | None = None,
        epochs: int = 1,
    ) -> None:
        self.bits = bits
        self.optimizer = optimizer
        self.scaled = scaled
        self.interactions = interactions
        self.recalibrated = recalibrated
        self.schema = schema
        self.default = default
        self.epochs = epochs

    # -- learning --------------------------------------------------------------------------------------

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from nothing.

        Parameters
        ----------
        X
            Shape (n, columns): an array or a scipy.sparse matrix of numbers, at most 1e6 in magnitude; or a
            DataFrame, each column a feature by name, read by the schema; or n mappings of features. Rows are
            learned from in their order.
        y
            Labels of two classes, shape (n,).
        sample_weight
            Importance weights, shape (n,), from 0 (counted, not learned from) to 1e6. None: each is 1. One
            step is made for a row of weight 2, and two for a row that comes twice.

        Returns
        -------
        NonzeroClassifier
            Itself.

        Raises
        ------
        ValueError
            For settings out of their range, values that are no features, labels of other than two classes,
            and weights that are all 0.

        Examples
        --------
        >>> NonzeroClassifier(bits=10).fit([[0.5], [2.0]], [1, 0]).model_
        LogisticRegression(bits=10, lanes=8, examples=2)
        """
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, Integral) or self.epochs < 1:
            raise SettingsError(f"epochs is {self.epochs!r}; fit goes through the rows once or more often")
        model = self._new_model()
        rows = self._rows(X, begin=True)
        labels = labels_of(y, X)
        classes = two_classes(labels, "y")
        weights = weights_of(sample_weight, labels)
        if weights is not None and not weights.any():
            raise BatchError("sample_weight is zero in every row: there is nothing to learn from")
        batch = self._batch(model, rows, clicks_of(labels, classes), weights)
        for _ in range(int(self.epochs)):
            model.learn(batch)
        self.classes_, self.model_ = classes, model
        return self

    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from more rows, once.

        Parameters
        ----------
        X, y, sample_weight
            As for :meth:`fit`. `y` may lack a class, and weights may all be 0.
        classes
            The two labels: needed by the first call, unless :meth:`fit` was called before.

        Returns
        -------
        NonzeroClassifier
            Itself.

        Raises
        ------
        ValueError
            As :meth:`fit`; for a first call without classes, and for other classes than those of the first.

        Examples
        --------
        >>> model = NonzeroClassifier(bits=10).partial_fit([[0.5]], [1], classes=[0, 1])
        >>> model.partial_fit([[2.0]], [0]).model_.examples
        2
        """
        begin = not hasattr(self, "model_")
        if classes is not None:
            known = two_classes(classes, "classes")
            if not begin and not np.array_equal(known, self.classes_):
                raise InputError(f"classes is {known}, and was {self.classes_} before; fit begins anew")
        elif begin:
            raise InputError("the first call of partial_fit has no classes; give both labels, such as [0, 1]")
        else:
            known = self.classes_
        model = self._new_model() if begin else self.model_
        rows = self._rows(X, begin=begin)
        labels = labels_of(y, X)
        batch = self._batch(model, rows, clicks_of(labels, known), weights_of(sample_weight, labels))
        model.learn(batch)
        self.classes_, self.model_ = known, model
        return self

    def _new_model(self) -> LogisticRegression:
        """Return a model that has learned nothing; this is where settings are checked."""
        bits = int(self.bits) if isinstance(self.bits, np.integer) else self.bits  # a search may give NumPy's
        return LogisticRegression(
            bits,
            optimizer=self.optimizer,
            scaled=self.scaled,
            interactions=self.interactions,
            recalibrated=self.recalibrated,
            schema=self.schema,
            default=self.default,
        )

    # -- predicting ------------------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class.

        Parameters
        ----------
        X
            As for :meth:`fit`. What was learned by name may be asked with a DataFrame as with mappings.

        Returns
        -------
        float64[n, 2]
            In the order of `classes_`.

        Raises
        ------
        NotFittedError
            Where nothing was learned yet.
        ValueError
            For other columns than those of :meth:`fit`, and values that are no features.

        Examples
        --------
        >>> NonzeroClassifier(bits=10).fit([[0.5], [2.0]], [1, 0]).predict_proba([[0.0]]).round(1).tolist()
        [[0.5, 0.5]]
        """
        clicks = self._probabilities(X)
        return np.stack([1 - clicks, clicks], axis=1)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the log-odds of the second class.

        Parameters
        ----------
        X
            As for :meth:`predict_proba`.

        Returns
        -------
        float64[n]
            From -50 to 17.3: beyond that a float32 is no probability below 1.

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`predict_proba`.

        Examples
        --------
        >>> model = NonzeroClassifier(bits=10).fit([[0.5], [2.0]] * 20, [1, 0] * 20)
        >>> (model.decision_function([[0.5], [2.0]]) > 0).tolist()
        [True, False]
        """
        clicks = np.minimum(self._probabilities(X), BELOW_ONE)
        return np.log(clicks) - np.log1p(-clicks)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the more probable class of each row; of two alike the first.

        Parameters
        ----------
        X
            As for :meth:`predict_proba`.

        Returns
        -------
        array of shape (n,)
            Labels, each one of `classes_`.

        Raises
        ------
        NotFittedError, ValueError
            As :meth:`predict_proba`.

        Examples
        --------
        >>> NonzeroClassifier(bits=10).fit([[0.5], [2.0]] * 20, ["a", "b"] * 20).predict([[2.0]]).tolist()
        ['b']
        """
        more_probable = (self._probabilities(X) > 0.5).astype(np.intp)
        return self.classes_[more_probable]

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of the second class of each row."""
        check_is_fitted(self)
        return self.model_.predict(self._batch(self.model_, self._rows(X))).astype(np.float64)

    def get_feature_names(self) -> NDArray[Any]:
        """Return the names of the columns.

        Returns
        -------
        object[n_features_in_]
            `feature_names_in_`, or ``x0``, ``x1`` and so on where columns have no names.

        Raises
        ------
        NotFittedError
            Where nothing was learned yet.
        ValueError
            Where X was mappings: they have no columns.

        Examples
        --------
        >>> NonzeroClassifier(bits=10).fit([[0.5, 1], [2.0, 0]], [1, 0]).get_feature_names().tolist()
        ['x0', 'x1']
        """
        check_is_fitted(self)
        if hasattr(self, "feature_names_in_"):
            return self.feature_names_in_
        if self.named_:
            raise InputError("the model was fitted on mappings, which may name any features")
        return np.array([f"x{j}" for j in range(self.n_features_in_)], object)

    # -- rows ------------------------------------------------------------------------------------------

    def _rows(self, X: Any, *, begin: bool = False) -> Any:
        """Return a checked matrix or, where features have names, a frame, or what gives mappings."""
        if _are_mappings(X):
            if begin:
                self.named_ = True
                for name in ("n_features_in_", "feature_names_in_"):
                    self.__dict__.pop(name, None)
            elif not self.named_:
                raise InputError(
                    f"X is mappings of features, and the model was fitted on {self.n_features_in_} columns "
                    "without names; give so many"
                )
            return X
        if is_frame(X) and (begin or self.named_):
            if begin or hasattr(self, "n_features_in_"):  # what mappings taught may be asked by any frame
                validate_data(self, X, reset=begin, skip_check_array=True)
            if begin:
                self.named_ = hasattr(self, "feature_names_in_")
            if self.named_:
                return X
        elif begin:
            self.named_ = False
        return self._named_rows(X) if self.named_ else self._matrix(X, begin=begin)

    def _named_rows(self, X: Any) -> Iterator[dict[str, Any]]:
        """Name the columns of an array as those of the DataFrame were that the model was fitted on."""
        if not hasattr(self, "feature_names_in_"):
            raise InputError(
                "X has no names, and the model was fitted on mappings; give mappings, or a DataFrame"
            )
        array = validate_data(self, X, reset=False, dtype=None, ensure_all_finite=False)
        names = self.feature_names_in_.tolist()
        for start in range(0, len(array), ROWS):
            yield from (dict(zip(names, row, strict=True)) for row in array[start : start + ROWS].tolist())

    def _matrix(self, X: Any, *, begin: bool) -> Any:
        """Return a matrix of numbers that has no more columns than the table has slots."""
        finite = not issparse(X)  # of a sparse one the batch looks at each value anyhow
        matrix = validate_data(self, X, accept_sparse="csr", ensure_all_finite=finite, reset=begin)
        if not begin:
            return matrix
        for name in ("schema", "default", "interactions"):
            if given := getattr(self, name):
                raise SettingsError(
                    f"{name} is {given!r:.60}, which is about features by name, and the columns of X have "
                    "none; give a DataFrame, or mappings"
                )
        columns = matrix.shape[1]
        if columns > 2**self.bits:
            raise SettingsError(
                f"X has {columns} columns, and bits={self.bits} makes a table of {2**self.bits} slots; "
                f"set bits={(columns - 1).bit_length()}, or fewer columns"
            )
        return matrix

    def _batch(
        self,
        model: LogisticRegression,
        rows: Any,
        labels: NDArray[np.bool_] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> Batch:
        """Make a batch of what :meth:`_rows` returned."""
        if self.named_ and is_frame(rows):
            return batch_of_frame(rows, labels, weights, model.schema)
        if self.named_:
            return Batch.from_dicts(rows, labels, weights, schema=model.schema)
        return batch_of_matrix(rows, labels, weights)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.dict = True
        tags.classifier_tags.multi_class = False
        return tags


def _are_mappings(X: Any) -> bool:
    """Tell whether X is a sequence of mappings, by its first."""
    if not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1 or isinstance(X, Mapping | str | bytes):
        return False
    return isinstance(next(iter(X), None), Mapping)
