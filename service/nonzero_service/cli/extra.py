"""Commands that need more than the library say which package is missing and how to install it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nonzero.errors import NonzeroError


class MissingExtraError(NonzeroError):
    """The packages that the service needs are not installed."""


@contextmanager
def service_extra(command: str) -> Iterator[None]:
    """Explain a failed import within the block.

    Parameters
    ----------
    command
        The command that needs what is imported.

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
            "pip install 'nonzero-ctr[service]'"
        ) from error
