"""Models: list, read, make, delete; their metrics and snapshots."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Annotated, Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from pydantic import ValidationError
from starlette.responses import StreamingResponse

from nonzero import Schema, SnapshotError
from nonzero.formats.json_bodies import NOT_JSON
from nonzero_service import schemas
from nonzero_service.faults import explained, why_not_json
from nonzero_service.models.data_directory import NAME
from nonzero_service.models.served import ServedModel
from nonzero_service.openapi import answer, problems
from nonzero_service.problems import Problem
from nonzero_service.request_bodies import NEW_MODEL, Body, request_body
from nonzero_service.routes.strict import StrictRoute
from nonzero_service.service import Service
from nonzero_service.settings.schema_text import that_differs
from nonzero_service.wire.decoding import decoder_of
from nonzero_service.wire.headers import JSON, Headers, headers_of, unknown_type
from nonzero_service.wire.intake import Intake, read_whole

__all__ = ["SAFETENSORS", "ModelName", "router"]

SAFETENSORS: Final = "application/vnd.safetensors"
BINARY: Final = {"type": "string", "format": "binary", "description": "A saved model."}
PIECE: Final = 1 << 18

ModelName = Annotated[str, PathParameter(pattern=f"^{NAME}$", description="The model's name.")]


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/v1/models", tags=["models"], route_class=StrictRoute)
    models = service.models

    @routes.get("", responses=problems(422, 503))
    async def list_models() -> schemas.ModelList:
        """List all models, by name."""
        models.check_ready()
        return schemas.ModelList(models=[_state(served) for served in models.all()])

    @routes.get("/{model}", responses=problems(404, 422, 503))
    async def read_model(model: ModelName) -> schemas.ModelState:
        """Read a model's settings, and how much it has learned."""
        return _state(models.get(model))

    @routes.put(
        "/{model}",
        response_model=schemas.ModelState,
        responses={
            200: {"description": "There is such a model with these settings already."},
            201: {"description": "The model was made.", "model": schemas.ModelState},
            **problems(400, 409, 413, 415, 422, 503, 507),
        },
        openapi_extra={
            "requestBody": request_body(NEW_MODEL, Body(SAFETENSORS, BINARY, {})) | {"required": False},
        },
    )
    async def make_model(model: ModelName, request: Request, response: Response) -> schemas.ModelState:
        """Make a model, with settings of its own or from a trained model's file."""
        models.check_ready()
        headers = headers_of(request.scope)
        if headers.media == SAFETENSORS:
            served, made = await _upload(service, model, headers, request), True
        else:
            served, made = await _make(service, model, await _settings(service, headers, request))
        response.status_code = 201 if made else 200
        return _state(served)

    @routes.delete("/{model}", status_code=204, responses=problems(404, 409, 422, 503, 507))
    async def delete_model(model: ModelName) -> None:
        """Delete a model and all that is kept of it."""
        await models.delete(model)

    @routes.get("/{model}/metrics", responses=problems(404, 422, 503))
    async def read_metrics(model: ModelName) -> schemas.Metrics:
        """Read how good the predictions were, each made just before its example was learned from."""
        served = models.get(model)
        metrics = await service.bodies.aside(served.model.metrics)
        slices = {field: [one.described() for one in found] for field, found in served.slices.all().items()}
        return schemas.Metrics.model_validate(
            {
                "model": model,
                "sequence": metrics["examples"],
                "slices": slices,
                "recalibration": served.model.recalibration(),
                "schema": served.fields.described(),
                **metrics,
            }
        )

    @routes.post("/{model}/snapshots", status_code=201, responses=problems(404, 422, 503, 507))
    async def take_snapshot(model: ModelName) -> schemas.Snapshot:
        """Take a snapshot of all that was acknowledged before."""
        taken = await models.get(model).snapshots.take()
        size = taken.snapshot.path.stat().st_size
        return schemas.Snapshot(model=model, sequence=taken.sequence, bytes=size)

    @routes.get(
        "/{model}/snapshots/latest",
        response_class=Response,
        responses=answer("The model, to be loaded or uploaded elsewhere.", {SAFETENSORS: BINARY})
        | problems(404, 422, 503),
    )
    async def download_snapshot(model: ModelName, request: Request) -> Response:
        """Download the newest snapshot."""
        newest = models.get(model).snapshots.newest
        if newest is None:
            raise Problem(404, f"{model!r} has no snapshot yet; POST /v1/models/{model}/snapshots takes one")
        return _download(newest.path, model, bodiless=request.method == "HEAD")

    return routes


def _state(served: ServedModel) -> schemas.ModelState:
    model = served.model
    return schemas.ModelState(
        model=served.name,
        settings=model.settings,
        sequence=model.examples,
        bytes=model.nbytes,
        created=served.config.created,
    )


async def _settings(service: Service, headers: Headers, request: Request) -> schemas.NewModel:
    """Read the JSON settings of a new model; no body asks for nothing."""
    if not headers.media:
        if await read_whole(request.receive, 0) is None:
            raise unknown_type("", JSON, SAFETENSORS)
        return schemas.NewModel()
    if headers.media != JSON:
        raise unknown_type(headers.media, JSON, SAFETENSORS)
    body = await service.bodies.json(headers, request.receive)
    try:
        return schemas.NewModel.model_validate(msgspec.json.decode(body))
    except ValidationError as error:
        known = [name.strip("_") for name in schemas.NewModel.model_fields]
        raise Problem(422, explained(error.errors(), known)) from error
    except NOT_JSON as error:
        raise Problem(400, f"the body is not JSON: {why_not_json(body, error)}") from error


async def _make(service: Service, name: str, wanted: schemas.NewModel) -> tuple[ServedModel, bool]:
    """Make a model, or find that it is there already as it was wanted."""
    there = service.models.find(name)
    if there is not None:
        origin = there.config
        interactions = None if wanted.interactions is None else tuple(wanted.interactions)
        asked = {
            "bits": wanted.bits,
            "learning_rate": wanted.learning_rate,
            "optimizer": wanted.optimizer_text,
            "interactions": interactions,
        }
        differences = [
            f"{key} is {getattr(origin, key)!r}, not {value!r}"
            for key, value in asked.items()
            if value is not None and getattr(origin, key) != value
        ] + _other_fields(there.model.schema, wanted)
        if not differences:
            return there, False
        raise Problem(409, f"there is a model named {name!r} already: its {', its '.join(differences)}")
    made = await service.models.create(
        name,
        bits=wanted.bits,
        learning_rate=wanted.learning_rate,
        optimizer=wanted.optimizer_text,
        interactions=wanted.interactions,
        schema=wanted.said,
        namespace_separator=wanted.namespace_separator,
    )
    return made, True


def _other_fields(stored: Schema, wanted: schemas.NewModel) -> list[str]:
    """Return what is wanted of fields and is not as a model has it."""
    found = []
    if wanted.said is not None:
        have, want = that_differs(stored, Schema.of(wanted.said))
        found += [f"schema has {have}, not {want}"] if have != want else []
    separator = wanted.namespace_separator
    if separator not in (None, stored.namespace_separator):
        found.append(f"namespace_separator is {stored.namespace_separator!r}, not {separator!r}")
    return found


async def _upload(service: Service, name: str, headers: Headers, request: Request) -> ServedModel:
    """Make a model of the file in a request's body."""
    limit = service.settings.max_upload_bytes
    decoder = decoder_of(headers.encoding, text=False)
    size = 0
    service.models.check_free(name)
    with service.models.folder.workplace() as place:
        path: Path = place / "upload"
        with path.open("wb") as file:
            async with Intake(request.receive) as intake:
                while chunks := await intake.take(PIECE):
                    decoder.offer(chunks)
                    while decoder.more:
                        plain = await service.bodies.offload(PIECE, decoder.read)
                        size += sum(map(len, plain))
                        if size > limit:
                            raise Problem(413, f"a model's file has at most {limit} bytes here")
                        await service.bodies.offload(PIECE, file.writelines, plain)
            decoder.finish()
        try:
            return await service.models.create_from_file(name, path)
        except SnapshotError as error:
            raise Problem(422, str(error).replace(str(path), "the file")) from error


def _download(path: Path, model: str, *, bodiless: bool) -> Response:
    """Answer with a file; `bodiless`: without reading it."""
    file = path.open("rb")
    headers = {
        "content-length": str(os.fstat(file.fileno()).st_size),
        "content-disposition": f'attachment; filename="{model}.safetensors"',
    }
    if bodiless:
        file.close()
        return Response(headers=headers, media_type=SAFETENSORS)
    return StreamingResponse(_contents(file), headers=headers, media_type=SAFETENSORS)


async def _contents(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
