"""Making a challenger: what may differ from its champion, and where in the journal it starts."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from nonzero import Schema
from nonzero.model.interactions import check_declared
from nonzero_service.errors import ChallengerSettingsError
from nonzero_service.journal.files import make_directory
from nonzero_service.models.model_config import ModelConfig, NewModelSettings
from nonzero_service.models.promotions import promotions_in
from nonzero_service.models.served import ServedModel
from nonzero_service.schema_text import that_differs
from nonzero_service.settings.learning_rules import AUTO
from nonzero_service.writer.challenger_origin import Beginning, ChallengerOrigin, OwnPolicy
from nonzero_service.writer.entries import start_of
from nonzero_service.writer.sequences import sequence_of

RULES: Final = ("learning_rate", "optimizer")


class _At(NamedTuple):
    """Where a challenger starts."""

    position: int
    sequence: int
    held_since: int | None
    recalibrated: bool


async def challenger_of(champion: ServedModel, own: NewModelSettings, start: Beginning) -> ModelConfig:
    """Return the configuration of a challenger that is made now; what it does not say is its champion's.

    Parameters
    ----------
    champion
        Whom it is to follow.
    own
        What was asked for; those that are None were not.
    start
        From the present position on, or from the whole journal.

    Raises
    ------
    ChallengerSettingsError
        Where it asks for what its champion's rows do not hold.
    SettingsError
        For an interaction with a field that the schema ignores or refuses.
    """
    asked: dict[str, Any] = {key: value for key, value in own.items() if value is not None}
    _check_alike(champion, asked)
    ours: dict[str, Any] = {key: asked[key] for key in ("bits", *RULES, "interactions") if key in asked}
    if "interactions" in ours:
        ours["interactions"] = tuple(ours["interactions"])
    if ours.keys() & set(RULES):  # each stands in the other's place
        ours = {"learning_rate": AUTO, "optimizer": AUTO} | ours
    changes = ours | {"created": datetime.now(UTC), "own": frozenset(ours), "file": None}
    config = msgspec.structs.replace(champion.config, **changes)
    check_declared(config.interactions, champion.model.schema)
    policy = _policy_of(champion, asked)
    if policy is None and start == "refold" and await asyncio.to_thread(_had_another, champion):
        rules = champion.attribution.impressions.rules  # from the first row on
        policy = OwnPolicy(rules.negatives, rules.attribution_ms, rules.correction_ms)
    if policy is not None:
        changes = {"negatives": policy.negatives, "own": config.own | {"negatives"}}
        config = msgspec.structs.replace(config, **changes)
    at = await _place_of(champion, start)
    origin = ChallengerOrigin(
        champion=champion.name,
        id=uuid.uuid4().hex,
        start=start,
        position=at.position,
        before=at.sequence,
        held_since=at.held_since,
        settings=_settings(champion, config, ours) | {"recalibrated": at.recalibrated},
        policy=policy,
    )
    if not at.recalibrated:
        del origin.settings["recalibrated"]
    return msgspec.structs.replace(config, origin=origin)


def begin_challenger(config: ModelConfig, directory: Path) -> None:
    """Write what a new challenger starts from."""
    config.write(directory)
    make_directory(directory / "snapshots")


def _settings(champion: ServedModel, config: ModelConfig, ours: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the model that has learned nothing, as the library has them."""
    settings = {**champion.model.settings, "bits": config.bits}
    if "interactions" in ours:
        settings["interactions"] = list(config.interactions)
    if ours.keys() & set(RULES):
        of_rules = config.new_model().settings
        settings |= {key: of_rules[key] for key in ("lanes", "scaled", "version") if key in of_rules}
    if not settings.get("interactions"):
        settings.pop("interactions", None)
    return settings


async def _place_of(champion: ServedModel, start: Beginning) -> _At:
    """Return where a challenger starts; the rows from there on are held as long as snapshots are."""
    learner, journal = champion.learner, champion.stored.journal
    if start == "nothing":
        return await learner.run(
            lambda: _At(
                learner.applier.position,
                sequence_of(learner.model),
                learner.applier.held_since,
                learner.model.recalibration() is not None,
            )
        )
    first = journal.first_position
    if first > 1:
        raise ChallengerSettingsError(
            f"the journal of {champion.name!r} holds the rows from position {first} only, and a refold needs "
            'them from the first: start the challenger from "nothing"; or serve with --journal-retention '
            "all, for models that are made from then on"
        )
    opening = start_of(next(journal.read(1)))
    if opening.examples:
        raise ChallengerSettingsError(
            f"{champion.name!r} came as a trained file of {opening.examples} examples, which its journal "
            'does not hold: start the challenger from "nothing"'
        )
    return _At(0, 0, None, bool(opening.settings.get("recalibrated")))


def _check_alike(champion: ServedModel, asked: dict[str, Any]) -> None:
    """Refuse what must be as the champion has it, and is asked for otherwise."""
    schema, name = champion.model.schema, champion.name
    if asked.get("schema") is not None:
        have, want = that_differs(schema, Schema.of(asked["schema"]))
        if have != want:
            raise ChallengerSettingsError(
                f"schema: {name!r} has {have}, not {want}. The journal holds rows that were read and hashed "
                "by its schema, so a challenger has the same: leave it out, or make a model of its own"
            )
    separator = asked.get("namespace_separator", schema.namespace_separator)
    if separator != schema.namespace_separator:
        raise ChallengerSettingsError(
            f"namespace_separator: {name!r} has {schema.namespace_separator!r}, not {separator!r}. The "
            "journal holds names that were joined by it and hashed: leave it out, or make a model of its own"
        )


def _policy_of(champion: ServedModel, asked: dict[str, Any]) -> OwnPolicy | None:
    """Return when a challenger learns from impressions, where that is not when its champion does.

    Windows are the champion's: both are compared by what came in them.
    """
    rules, name = champion.attribution.impressions.rules, champion.name
    ours = {
        "attribution_seconds": rules.attribution_ms / 1000,
        "correction_seconds": rules.correction_ms / 1000,
    }
    for key, own in ours.items():
        if key in asked and asked[key] != own:
            raise ChallengerSettingsError(
                f"{key}: {name!r} has {own!r}, not {asked[key]!r}. Both are compared by the clicks that "
                "came in one window: leave it out, or make a model of its own and send it the same"
            )
    wanted = asked.get("negatives", rules.negatives)
    if wanted == rules.negatives:
        return None
    if wanted != "window":
        raise ChallengerSettingsError(
            f"negatives: {name!r} has {rules.negatives!r}, not {wanted!r}. Which impressions are learned "
            "from before their windows end is decided when they come, and its journal has its own decision: "
            'ask for "window", '
            "leave it out, or make a model of its own and send it the same"
        )
    return OwnPolicy(wanted, rules.attribution_ms, rules.correction_ms)


def _had_another(champion: ServedModel) -> bool:
    """Whether a promotion has changed a champion's policy: at that row not all of what it learned fits."""
    promotions = promotions_in(champion.stored.journal).values()
    return any(promotion.impressions is not None for _, promotion in promotions)
