"""The models that are served, found by their names.

What changes a model is sent to the model itself. A challenger is only read: so each way to find them is there
twice, for models alone and for all that is readable.
"""

from __future__ import annotations

from nonzero_service.errors import (
    ChallengerError,
    ClosedError,
    IsChallengerError,
    ModelExistsError,
    NotReadyError,
    UnknownModelError,
)
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.challengers import Challengers
from nonzero_service.models.served import ServedModel


class ServedModels:
    """Finds the models of a service, and their challengers; used on the event loop.

    Parameters
    ----------
    challengers
        The challengers that are served.
    busy
        The names of models that are being made or removed.
    """

    def __init__(self, challengers: Challengers, busy: set[str]) -> None:
        self.ready = False
        self._closing = False
        self._served: dict[str, ServedModel] = {}
        self._challengers = challengers
        self._busy = busy

    def get(self, name: str) -> ServedModel:
        """Return a model by its name.

        Raises
        ------
        UnknownModelError
            Where there is none.
        NotReadyError
            While the stored models are being opened.
        ClosedError
            When they are being closed.
        IsChallengerError
            For a challenger: it is only read.
        """
        served = self._served.get(name)
        if served is not None and self.ready:
            return served
        if name in self._challengers and self.ready:
            champion = self._challengers[name].champion.name
            raise IsChallengerError(
                f"{name!r} follows {champion!r} and learns what that learns: send this to {champion!r}"
            )
        self.check_ready()
        if self._closing:
            raise ClosedError("the service is stopping; come again when it has been started anew")
        raise UnknownModelError(
            f"there is no model named {name!r}; GET /v1/models lists them, PUT /v1/models/{{name}} makes one"
        )

    def get_readable(self, name: str) -> ServedModel | Challenger:
        """Return a model by its name, to be read; challengers too.

        Raises
        ------
        UnknownModelError, NotReadyError, ClosedError
            As for :meth:`get`.
        """
        if self.ready:
            if (served := self._served.get(name)) is not None:
                return served  # first, as most are read so
            if (challenger := self._challengers.get(name)) is not None:
                return challenger
        return self.get(name)

    def challenger(self, champion: str, name: str) -> Challenger:
        """Return the challenger of some name of a model.

        Raises
        ------
        ChallengerError
            Where that has none of this name.
        """
        served = self.get(champion)
        for one in served.dependents.challengers:
            if one.name == name:
                return one
        names = ", ".join(repr(one.name) for one in served.dependents.challengers) or "nobody"
        raise ChallengerError(f"{name!r} does not follow {champion!r}; {names} does")

    def find(self, name: str) -> ServedModel | None:
        """Return a model by its name; None where there is none, or it is a challenger."""
        return self._served.get(name)

    def find_readable(self, name: str) -> ServedModel | Challenger | None:
        """Return a model or a challenger by its name; None where there is none."""
        return self._served.get(name) or self._challengers.get(name)

    def all(self) -> list[ServedModel]:
        """Return every model, by name; challengers are not among them."""
        return [self._served[name] for name in sorted(self._served)]

    def all_readable(self) -> list[ServedModel | Challenger]:
        """Return every model and every challenger, by name."""
        found: dict[str, ServedModel | Challenger] = {**self._served, **self._challengers}
        return [found[name] for name in sorted(found)]

    def check_ready(self) -> None:
        """Raise :class:`NotReadyError` while the stored models are being opened."""
        if not self.ready:
            raise NotReadyError("the service is still opening its models; try again in a second")

    def check_current(self) -> None:
        """Raise :class:`NotReadyError` where what is read here is older than is allowed."""

    def check_free(self, name: str) -> None:
        """Raise :class:`ModelExistsError` where a name is taken."""
        if name in self._served or name in self._challengers or name in self._busy:
            raise ModelExistsError(
                f"there is a model named {name!r} already; DELETE it first, or take another name"
            )
