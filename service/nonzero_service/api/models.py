"""Models: list, read, make, delete; how good they are, what ails them, and what goes on after a pause."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import Request, Response
from pydantic import ValidationError

from nonzero import Schema
from nonzero.formats.json_bodies import NOT_JSON
from nonzero.model.lanes import lanes_to_text
from nonzero_service.api import schemas
from nonzero_service.api.framework import CurrentService, ModelName
from nonzero_service.api.snapshots import upload
from nonzero_service.bodies.body_reader import read_whole
from nonzero_service.bodies.content import Content, content_of, unknown_type
from nonzero_service.faults import explained, why_not_json
from nonzero_service.history.events import paused_text
from nonzero_service.media_types import JSON, SAFETENSORS
from nonzero_service.models.attribution import Attribution
from nonzero_service.models.challenger import Challenger
from nonzero_service.models.model_config import ModelConfig, NewModelSettings
from nonzero_service.models.series import IMPRESSIONS, LABELS
from nonzero_service.models.served import ServedModel
from nonzero_service.problems import Problem
from nonzero_service.schema_text import that_differs
from nonzero_service.service import Service
from nonzero_service.writer.entries import remedy_entry
from nonzero_service.writer.pause import PauseState
from nonzero_service.writer.sequences import sequence_by, sequence_of

LEARNS: Final = schemas.LearningWire(paused=False, since=None, reason=None, held=0)
"""Most models are so: a list of 1,000 has one of it."""


async def list_models(service: CurrentService) -> schemas.ModelList:
    """List all models, by name."""
    service.models.check_ready()
    return schemas.ModelList(models=[_state(served) for served in service.models.all_readable()])


async def read_model(model: ModelName, service: CurrentService) -> schemas.ModelDetail:
    """Read a model's settings, how much it has learned, and whether it learns now."""
    served = service.models.get_readable(model)
    late_labels = None
    if isinstance(served, ServedModel) and served.attribution.impressions.segments.next_number:
        late_labels = _late_labels(served.attribution)
    return schemas.ModelDetail(
        **_state(served).model_dump(),
        mixture=schemas.MixtureWire(
            shares=served.model.shares.tolist(), lanes=[lanes_to_text([one]) for one in served.model.lanes]
        ),
        late_labels=late_labels,
        replica=_replica(service, served),
        topics=_topics(service, served),
    )


async def make_model(
    model: ModelName, request: Request, response: Response, service: CurrentService
) -> schemas.ModelState:
    """Make a model, with settings of its own or from a trained model's file."""
    service.models.check_ready()
    content = content_of(request.scope)
    served: ServedModel | Challenger
    if content.media == SAFETENSORS:
        served, made = await upload(service, model, content, request.receive), True
    else:
        served, made = await _make(service, model, await _settings(service, content, request))
    response.status_code = 201 if made else 200
    return _state(served)


async def delete_model(model: ModelName, service: CurrentService) -> None:
    """Delete a model and all that is kept of it."""
    await service.models.delete(model)


async def read_metrics(model: ModelName, service: CurrentService) -> schemas.MetricsWire:
    """Read how good the predictions were, each made just before its example was learned from."""
    served = service.models.get_readable(model)
    read = served.model
    metrics = await service.bodies.aside(read.metrics)
    answered, slices = None, {}
    if isinstance(served, ServedModel):  # a challenger answers nobody's impressions
        attribution = served.attribution
        if attribution.impressions.segments.next_number:
            answered = await service.bodies.aside(attribution.served)
        slices = {field: [one.described() for one in found] for field, found in served.slices.all().items()}
    return schemas.MetricsWire.model_validate(
        {
            "model": model,
            "sequence": sequence_by(read.notes, metrics["examples"]),
            "served": answered,
            "slices": slices,
            "recalibration": read.recalibration(),
            "schema": served.fields.described(),
            **metrics,
        }
    )


async def diagnose(model: ModelName, service: CurrentService) -> schemas.Diagnosis:
    """Say whether the model and each field is learning, converged, starved, idle or unknown, and why."""
    served = service.models.get_readable(model)
    found = await served.learner.run(
        lambda: served.model.diagnose(served.names.all(), served.parts.journal.time_ms)
    )
    return schemas.Diagnosis.model_validate({"model": model, "schema": served.fields.described(), **found})


async def mend(model: ModelName, service: CurrentService, dry_run: bool = False) -> schemas.Remedied:
    """Apply the remedy that the diagnosis names, or show what it would do."""
    served = service.models.get(model)
    diagnosis = await served.learner.run(served.model.diagnose)
    remedy = diagnosis["remedy"]
    if remedy is None or "action" not in remedy:
        raise Problem(
            409, f"there is nothing to mend: the model is {diagnosis['verdict']} ({diagnosis['reason']})"
        )
    if dry_run:
        effect = await served.learner.run(lambda: served.model.apply_remedy(remedy, dry_run=True))
    else:
        effect = await served.learner.change(remedy_entry(remedy), lambda: served.model.apply_remedy(remedy))
    return schemas.Remedied(model=model, remedy=remedy, sequence=served.sequence, **effect)


async def resume_learning(
    model: ModelName, service: CurrentService, *, discard: bool = False
) -> schemas.ResumedWire:
    """Go on learning after the circuit breaker: apply what was held, in order, or discard it."""
    resumed = await service.models.get(model).learner.resume(discard=discard)
    return schemas.ResumedWire(model=model, **resumed._asdict())


async def set_clock(model: ModelName, service: CurrentService) -> schemas.ClockSetWire:
    """Set the clock of the model's journal by the machine's, where they are apart: that must be right."""
    done = await service.models.get(model).clock.set()
    return schemas.ClockSetWire(model=model, **done._asdict())


def _learning(pause: PauseState) -> schemas.LearningWire:
    since_ms, reason = pause.since_ms, pause.reason
    if pause.since is None:
        return LEARNS
    return schemas.LearningWire(
        paused=True, since=since_ms, reason=paused_text(reason or {}), held=pause.examples
    )


def _late_labels(attribution: Attribution) -> schemas.LateLabelsWire:
    counts, impressions = attribution.impressions.counts, attribution.impressions
    joined, ended = counts["joined"], counts["ended"]
    return schemas.LateLabelsWire(
        waiting=impressions.pending,
        joined_share=joined / (joined + ended) if joined + ended else None,
        outage=attribution.silence().is_outage,
        labels={name: counts[name] for name in LABELS},
        predictions={name: counts[name] for name in IMPRESSIONS if name != "refused"},
    )


def _replica(service: Service, served: ServedModel | Challenger) -> schemas.ReplicaWire | None:
    replica = served.replica if isinstance(served, ServedModel) else None
    if replica is None or service.node is None:
        return None
    membership = service.node.membership
    leader = membership.heard
    return schemas.ReplicaWire(
        node=membership.node,
        # One that takes over itself learns nothing yet, and follows nobody any more.
        follows=None if leader is None or leader.node == membership.node else leader.node,
        lag_examples=replica.lag_examples,
        lag_seconds=round(replica.lag_seconds, 3),
    )


def _topics(service: Service, served: ServedModel | Challenger) -> list[str]:
    """Return what the settings have a model read; they are the same on the node that reads."""
    if isinstance(served, Challenger):
        return []
    return [topic for one in service.settings.source if one.model == served.name for topic in one.topics]


def _state(served: ServedModel | Challenger) -> schemas.ModelState:
    model, origin = served.model, served.config.origin
    return schemas.ModelState(
        model=served.name,
        settings={**model.settings, **served.config.labelling},
        sequence=sequence_of(model),
        bytes=model.nbytes,
        created=served.config.created,
        follows=None if origin is None else origin.champion,
        followers=[]
        if isinstance(served, Challenger)
        else [one.name for one in served.dependents.challengers],
        learning=_learning(served.parts.learner.pause),  # a challenger pauses with its champion
    )


async def _settings(service: Service, content: Content, request: Request) -> schemas.NewModel:
    """Read the JSON settings of a new model; no body asks for nothing."""
    if not content.media:
        if await read_whole(request.receive, 0) is None:
            raise unknown_type("", request.scope["target"].route.accepts)
        return schemas.NewModel()
    if content.media != JSON:
        raise unknown_type(content.media, request.scope["target"].route.accepts)
    body = await service.bodies.json(content, request.receive)
    try:
        return schemas.NewModel.model_validate(msgspec.json.decode(body))
    except ValidationError as error:
        known = [name.strip("_") for name in schemas.NewModel.model_fields]
        raise Problem(422, explained(error.errors(), known)) from error
    except NOT_JSON as error:
        raise Problem(400, f"the body is not JSON: {why_not_json(body, error)}") from error


async def _make(
    service: Service, name: str, wanted: schemas.NewModel
) -> tuple[ServedModel | Challenger, bool]:
    """Make a model, or find that it is there already as it was wanted."""
    own: NewModelSettings = {
        "bits": wanted.bits,
        "learning_rate": wanted.learning_rate,
        "optimizer": wanted.optimizer_text,
        "interactions": None if wanted.interactions is None else tuple(wanted.interactions),
        "negatives": wanted.negatives,
        "attribution_seconds": wanted.attribution_seconds,
        "correction_seconds": wanted.correction_seconds,
    }
    there = service.models.find_readable(name)
    if there is not None:
        differences = [
            f"{key} is {getattr(there.config, key)!r}, not {value!r}"
            for key, value in own.items()
            if value is not None and getattr(there.config, key) != value
        ]
        differences += _other_fields(there.model.schema, wanted) + _other_origin(there.config, wanted)
        if not differences:
            return there, False
        raise Problem(409, f"there is a model named {name!r} already: its {', its '.join(differences)}")
    own |= {"schema": wanted.said, "namespace_separator": wanted.namespace_separator}
    if wanted.follows is not None:
        if service.models.find_readable(wanted.follows) is None:
            raise Problem(
                409, f"follows: there is no model named {wanted.follows!r}; GET /v1/models lists them"
            )
        start = wanted.start or "nothing"
        return await service.models.create_challenger(name, wanted.follows, start, own), True
    return await service.models.create(name, **own), True


def _other_origin(stored: ModelConfig, wanted: schemas.NewModel) -> list[str]:
    """Return what is wanted of whom it follows and is not as a model has it."""
    origin = stored.origin
    follows = None if origin is None else origin.champion
    found = [] if wanted.follows == follows else [f"follows is {follows!r}, not {wanted.follows!r}"]
    if origin is not None and wanted.start not in (None, origin.start):
        found.append(f"start is {origin.start!r}, not {wanted.start!r}")
    return found


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
