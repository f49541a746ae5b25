"""What the bare library lacks: a command that needs the service says how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nonzero.errors import NonzeroError

__all__ = ["MissingExtraError", "service_extra"]


class MissingExtraError(NonzeroError):
    """The service's own requirements are not installed."""


@contextmanager
def service_extra(command: str) -> Iterator[None]:
    """Import what only the service needs.

    Raises
    ------
    MissingExtraError
        Where a package is missing; it names the package and how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in {"nonzero", "nonzero_service"}:
            raise  # a file of our own: no extra would bring it
        raise MissingExtraError(
            f"`nonzero {command}` needs the service, and {error.name} is not installed: "
            "pip install 'nonzero[service]'"
        ) from error
