"""Snapshots: a model's file, taken, sent and received."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Final

from fastapi import Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive

from nonzero import SnapshotError
from nonzero_service.api import schemas
from nonzero_service.api.framework import CurrentService, ModelName
from nonzero_service.bodies.body_reader import BodyReader
from nonzero_service.bodies.content import Content
from nonzero_service.bodies.decoding import decoder_of
from nonzero_service.media_types import SAFETENSORS
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import Problem
from nonzero_service.service import Service

FILE_PIECE: Final = 1 << 18
"""So many bytes of a file are read or written at once."""


async def take_snapshot(model: ModelName, service: CurrentService) -> schemas.SnapshotWire:
    """Take a snapshot of all that was acknowledged before."""
    taken = await service.models.get_readable(model).snapshots.take()
    size = taken.snapshot.path.stat().st_size
    return schemas.SnapshotWire(model=model, sequence=taken.sequence, bytes=size)


async def download_snapshot(model: ModelName, request: Request, service: CurrentService) -> Response:
    """Download the newest snapshot."""
    newest = service.models.get_readable(model).snapshots.newest
    if newest is None:
        raise Problem(404, f"{model!r} has no snapshot yet; POST /v1/models/{model}/snapshots takes one")
    return _download(newest.path, model, bodiless=request.method == "HEAD")


async def upload(service: Service, name: str, content: Content, receive: Receive) -> ServedModel:
    """Make a model of the file in a request's body."""
    limit = service.settings.max_upload_bytes
    decoder = decoder_of(content.encoding, text=False)
    size = 0
    service.models.check_free(name)
    with service.models.folder.workplace() as place:
        path: Path = place / "upload"
        with path.open("wb") as file:
            async with BodyReader(receive) as reader:
                while chunks := await reader.take(FILE_PIECE):
                    decoder.offer(chunks)
                    while decoder.more:
                        plain = await service.bodies.offload(FILE_PIECE, decoder.read)
                        size += sum(map(len, plain))
                        if size > limit:
                            raise Problem(413, f"a model's file has at most {limit} bytes here")
                        await service.bodies.offload(FILE_PIECE, file.writelines, plain)
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
        while piece := file.read(FILE_PIECE):
            yield piece
