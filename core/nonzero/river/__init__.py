"""A model as a classifier of river; ``pip install 'nonzero-ctr[river]'`` brings what it needs."""

try:
    from nonzero.river.classifier import NonzeroClassifier
except ModuleNotFoundError as error:
    if error.name not in ("river", "narwhals"):
        raise
    raise ModuleNotFoundError(
        f"nonzero.river needs {error.name}, which is not installed; pip install 'nonzero-ctr[river]'",
        name=error.name,
    ) from error

__all__ = ["NonzeroClassifier"]
