"""A model as an estimator of scikit-learn; ``pip install 'nonzero-ctr[sklearn]'`` brings what it needs."""

try:
    from nonzero.sklearn.classifier import NonzeroClassifier
except ModuleNotFoundError as error:
    if error.name not in ("sklearn", "narwhals"):
        raise
    raise ModuleNotFoundError(
        f"nonzero.sklearn needs {error.name}, which is not installed; pip install 'nonzero-ctr[sklearn]'",
        name=error.name,
    ) from error

__all__ = ["NonzeroClassifier"]
