"""What scikit-learn hands over beside X: labels of any kind, classes, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from nonzero.errors import InputError


def labels_of(y: Any, X: Any) -> NDArray[Any]:
    """Return a label for each row of X.

    Raises
    ------
    ValueError
        For labels that are none, or are missing, and for another number of them.
    """
    if y is None:
        raise InputError("NonzeroClassifier requires y to be passed, but the target y is None")
    labels: NDArray[Any] = column_or_1d(y, warn=True)
    assert_all_finite(labels, input_name="y")
    check_consistent_length(X, labels)
    if labels.dtype.kind not in "biu":  # others are classes without a further look
        check_classification_targets(labels)
    return labels


def two_classes(given: Any, name: str) -> NDArray[Any]:
    """Return the two classes that there are, in order.

    Raises
    ------
    InputError
        For more, or fewer.
    """
    found: NDArray[Any] = np.unique(column_or_1d(given))
    if len(found) > 2:
        raise InputError(
            f"Only binary classification is supported. The type of the target is {type_of_target(given)}: "
            f"{name} has {len(found)} classes; OneVsRestClassifier tells each from the rest"
        )
    if len(found) < 2:
        raise InputError(f"{name} has one class, {found.tolist()}, and a model tells two apart")
    return found


def clicks_of(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which labels are the second class.

    Raises
    ------
    InputError
        For a label that is neither.
    """
    clicks: NDArray[np.bool_] = labels == classes[1]
    known = clicks | (labels == classes[0])
    if not known.all():
        row = int(np.argmin(known))
        [label] = labels[row : row + 1].tolist()
        raise InputError(f"row {row} has the label {label!r}; the classes are {classes.tolist()}")
    return clicks


def weights_of(sample_weight: Any, labels: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return a weight for each label; None where each is 1.

    Raises
    ------
    ValueError
        For what is no number, and for another number of them.
    """
    if sample_weight is None:
        return None
    weights: NDArray[np.float64] = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weights.shape != labels.shape:
        raise InputError(f"sample_weight has the shape {weights.shape}; one weight a row is {labels.shape}")
    return weights
