"""Models: made, looked at, mended, saved; and whether the service is ready."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

from nonzero_client.answers import (
    Diagnosis,
    History,
    Metrics,
    ModelDetail,
    ModelState,
    Remedied,
    Resumed,
    Snapshot,
    Step,
)
from nonzero_client.asking import JSON, Asking, flag_of, json_of, path_of
from nonzero_client.errors import ClientError, ConflictError, InputError, NotFoundError
from nonzero_client.messages import Answer, FileName, Request, Upload
from nonzero_client.values import encoded

SAFETENSORS: Final = "application/vnd.safetensors"

TRANSFER_SECONDS: Final = 3600.0
"""The deadline of a whole model's file, unless the call says its own."""


class Managing(Asking):
    """Calls about models, and about the service."""

    async def list_models(self, *, deadline: float | None = None) -> list[ModelState]:
        """List all models, by name.

        Parameters
        ----------
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        list of ModelState
            All of them.

        Raises
        ------
        ClientError
            Where it cannot be answered.

        Examples
        --------
        >>> [state["model"] for state in client.list_models()]
        ['default', 'empty']
        """
        answer = await self._exchange.send(Request("GET", "/v1/models"), deadline)
        return cast("list[ModelState]", json_of(answer)["models"])

    async def get_model(self, model: str = "default", *, deadline: float | None = None) -> ModelDetail:
        """Read a model's settings, how much it has learned, and whether it learns now.

        Parameters
        ----------
        model
            The model's name.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        ModelDetail
            The model.

        Raises
        ------
        NotFoundError
            Where there is none.
        ClientError
            For any other end.

        Examples
        --------
        >>> client.get_model("empty")["sequence"]
        0
        """
        return cast("ModelDetail", await self._read(path_of(model), deadline))

    async def create_model(
        self, model: str, settings: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> ModelState:
        """Make a model, or find that it is there already as it is wanted.

        Parameters
        ----------
        model
            Its name.
        settings
            Such as ``{"bits": 20, "schema": {"fields": {"site": "category"}}}``; the service's stand in for
            those that are missing.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        ModelState
            The model.

        Raises
        ------
        ConflictError
            Where there is one with other settings; ``detail`` names what differs.
        ContentError
            Where the settings cannot be used.
        ClientError
            For any other end.

        Examples
        --------
        >>> client.create_model("ads", {"bits": 12})["settings"]["bits"]
        12
        """
        request = Request(
            "PUT", path_of(model), body=encoded(dict(settings or {})), media_type=JSON, changes=True
        )
        return cast("ModelState", json_of(await self._exchange.send(request, deadline)))

    async def import_model(self, model: str, file: FileName, *, deadline: float | None = None) -> ModelState:
        """Make a model of a trained file.

        Parameters
        ----------
        model
            Its name.
        file
            The path of a file that ``nonzero train`` or :meth:`download_snapshot` has written.
        deadline
            Seconds in which it must be answered; None: an hour.

        Returns
        -------
        ModelState
            The model.

        Raises
        ------
        InputError
            Where the file cannot be read.
        ConflictError
            Where there is a model of that name. Where ``outcome_unknown`` is true, it may be this very one.
        ContentError
            Where the file is no model.
        ClientError
            For any other end.

        Examples
        --------
        >>> _ = client.take_snapshot("empty")
        >>> _ = client.download_snapshot("trained.safetensors", model="empty")
        >>> client.import_model("copy", "trained.safetensors")["model"]
        'copy'
        """
        path = Path(file)
        try:
            await self._exchange.driver.aside(lambda: path.open("rb").close())
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        request = Request("PUT", path_of(model), body=Upload(path), media_type=SAFETENSORS, changes=True)
        try:
            answer = await self._exchange.send(request, deadline or TRANSFER_SECONDS)
        except ConflictError as error:
            if error.outcome_unknown:
                error.add_note("It was sent more than once: the model may be what the first sending made.")
            raise
        return cast("ModelState", json_of(answer))

    async def delete_model(self, model: str, *, deadline: float | None = None) -> None:
        """Delete a model and all that is kept of it.

        Parameters
        ----------
        model
            Its name.
        deadline
            Seconds in which it must be answered.

        Raises
        ------
        NotFoundError
            Where there is none.
        ClientError
            For any other end.

        Examples
        --------
        >>> _ = client.create_model("short-lived", {"bits": 10})
        >>> client.delete_model("short-lived")
        """
        try:
            await self._exchange.send(Request("DELETE", path_of(model), changes=True), deadline)
        except NotFoundError as error:
            if not error.outcome_unknown:  # else it was there, and an earlier sending has deleted it
                raise

    async def metrics(self, model: str = "default", *, deadline: float | None = None) -> Metrics:
        """Read how good the predictions were, each made just before its example was learned from.

        Parameters
        ----------
        model
            The model's name.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Metrics
            Over all examples, and under ``recent`` over the last 100,000.

        Raises
        ------
        ClientError
            As for :meth:`get_model`.

        Examples
        --------
        >>> client.metrics("empty")["examples"]
        0
        """
        return cast("Metrics", await self._read(path_of(model, "metrics"), deadline))

    async def history(
        self,
        model: str = "default",
        *,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        step: Step | None = None,
        deadline: float | None = None,
    ) -> History:
        """Read what a model was like, and what happened to it.

        Parameters
        ----------
        model
            The model's name.
        start, end
            From when and until when: a time with its zone, or milliseconds since 1970. Left out: all that
            is kept.
        step
            ``second`` (the last 15 minutes), ``minute``, ``hour``, ``day``, or ``examples`` (the whole
            stream, in at most 256 blocks; without `start` and `end`). Left out: the finest of which at most
            1,500 rows cover what is asked for.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        History
            Rows in the order of the stream, and events.

        Raises
        ------
        InputError
            For a time without a zone.
        ContentError
            For times that are in the wrong order, or beside the step ``examples``.
        ClientError
            As for :meth:`get_model`.

        Examples
        --------
        >>> client.history("empty", step="examples")["rows"]
        []
        """
        asked = {"from": _ms_of(start), "to": _ms_of(end), "step": step}
        query = {name: value for name, value in asked.items() if value is not None}
        answer = await self._exchange.send(Request("GET", path_of(model, "history"), query=query), deadline)
        return cast("History", json_of(answer))

    async def source(self, model: str = "default", *, deadline: float | None = None) -> dict[str, Any]:
        """Read what a model learns from beside requests: which topics, how far it is, what was refused.

        Parameters
        ----------
        model
            The model's name.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        dict
            With ``state`` and ``reason``, ``messages``, ``examples`` and ``refused``, ``lag_messages`` and
            ``lag_seconds``, and the same of each of its ``partitions``.

        Raises
        ------
        NotFoundError
            For a model without a source too.
        ClientError
            As for :meth:`get_model`.

        Examples
        --------
        >>> try:
        ...     client.source("empty")
        ... except NotFoundError as error:
        ...     error.status
        404
        """
        return cast("dict[str, Any]", await self._read(path_of(model, "source"), deadline))

    async def diagnosis(self, model: str = "default", *, deadline: float | None = None) -> Diagnosis:
        """Ask whether a model still learns, and why it is thought so.

        Parameters
        ----------
        model
            The model's name.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Diagnosis
            The verdict of the model and of each field, with the evidence.

        Raises
        ------
        ClientError
            As for :meth:`get_model`.

        Examples
        --------
        >>> client.diagnosis("empty")["verdict"]
        'learning'
        """
        return cast("Diagnosis", await self._read(path_of(model, "diagnosis"), deadline))

    async def remedy(
        self, model: str = "default", *, dry_run: bool = False, deadline: float | None = None
    ) -> Remedied:
        """Apply the remedy that the diagnosis names.

        It is not sent again when its answer is lost: applied twice it is another remedy.

        Parameters
        ----------
        model
            The model's name.
        dry_run
            Whether only to show what it would do.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Remedied
            What it did.

        Raises
        ------
        ConflictError
            Where there is nothing to mend.
        ClientError
            For any other end. Where ``outcome_unknown`` is true, ask for the diagnosis before you repeat it.

        Examples
        --------
        >>> from nonzero_client import ConflictError
        >>> try:
        ...     client.remedy("empty")
        ... except ConflictError as error:
        ...     print(error.status, error.title)
        409 Conflict
        """
        request = Request(
            "POST",
            path_of(model, "remedy"),
            query=flag_of("dry_run", dry_run),
            changes=not dry_run,
            repeatable=dry_run,
        )
        return cast("Remedied", json_of(await self._exchange.send(request, deadline)))

    async def resume(
        self, model: str = "default", *, discard: bool = False, deadline: float | None = None
    ) -> Resumed:
        """Go on learning after the circuit breaker has paused it.

        It is not sent again when its answer is lost.

        Parameters
        ----------
        model
            The model's name.
        discard
            Whether what was held is never learned from; otherwise it is, in order.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Resumed
            How many examples were applied, or discarded.

        Raises
        ------
        ConflictError
            Where learning is not paused.
        ClientError
            For any other end.

        Examples
        --------
        >>> from nonzero_client import ConflictError
        >>> try:
        ...     client.resume("empty")
        ... except ConflictError as error:
        ...     print(error.status, error.title)
        409 Conflict
        """
        path, query = path_of(model, "resume"), flag_of("discard", discard)
        request = Request("POST", path, query=query, changes=True, repeatable=False)
        return cast("Resumed", json_of(await self._exchange.send(request, deadline)))

    async def take_snapshot(self, model: str = "default", *, deadline: float | None = None) -> Snapshot:
        """Have a snapshot taken of all that was acknowledged before.

        Parameters
        ----------
        model
            The model's name.
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        Snapshot
            The examples that it holds, and its size.

        Raises
        ------
        ClientError
            As for :meth:`get_model`.

        Examples
        --------
        >>> client.take_snapshot("empty")["sequence"]
        0
        """
        request = Request("POST", path_of(model, "snapshots"), changes=True)
        return cast("Snapshot", json_of(await self._exchange.send(request, deadline)))

    async def download_snapshot(
        self, file: FileName, *, model: str = "default", deadline: float | None = None
    ) -> int:
        """Download the newest snapshot into a file, which is there when it is whole.

        Parameters
        ----------
        file
            Its path; one that is there is replaced.
        model
            The model's name.
        deadline
            Seconds in which it must be answered; None: an hour.

        Returns
        -------
        int
            The size of the file, in bytes.

        Raises
        ------
        NotFoundError
            Where there is no such model, or no snapshot of it yet.
        InputError
            Where the file cannot be written.
        ClientError
            For any other end.

        Examples
        --------
        >>> _ = client.take_snapshot("empty")
        >>> client.download_snapshot("model.safetensors", model="empty") > 0
        True
        """
        aside = self._exchange.driver.aside
        path = Path(file)
        part = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
        request = Request("GET", path_of(model, "snapshots", "latest"))
        try:
            sink = await aside(lambda: part.open("xb"))
            try:
                with sink:
                    await self._exchange.send(replace(request, sink=sink), deadline or TRANSFER_SECONDS)
                size = part.stat().st_size
                await aside(lambda: part.replace(path))
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            if isinstance(error, ClientError):
                raise
            raise InputError(f"{path} cannot be written: {error.strerror}") from error
        return size

    # -- readiness -------------------------------------------------------------------------------------

    async def is_ready(self, *, deadline: float | None = None) -> bool:
        """Ask once whether the service is ready.

        Parameters
        ----------
        deadline
            Seconds in which it must be answered.

        Returns
        -------
        bool
            Whether it is; False too where there is no answer.

        Examples
        --------
        >>> client.is_ready()
        True
        """
        found = await self._exchange.once(Request("GET", "/readyz"), deadline)
        return isinstance(found, Answer) and found.ok

    async def wait_until_ready(self, *, deadline: float | None = None) -> None:
        """Wait until the service is ready, as after a start.

        Parameters
        ----------
        deadline
            Seconds to wait at most; None: as the client says.

        Raises
        ------
        UnavailableError, TimedOutError
            Where it is not ready by then.

        Examples
        --------
        >>> client.wait_until_ready(deadline=60)
        """
        await self._exchange.send(Request("GET", "/readyz"), deadline)


def _ms_of(time: datetime | int | None) -> str | None:
    """Return a time as a query has it."""
    if time is None:
        return None
    if not isinstance(time, datetime):
        return str(time)
    if time.tzinfo is None:
        raise InputError(f"{time} has no time zone: give it one, such as datetime.now(UTC) has")
    return str(round(time.timestamp() * 1000))
