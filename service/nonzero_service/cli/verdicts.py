"""A diagnosis as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

UNITS: Final = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def diagnosis_text(found: Mapping[str, Any]) -> str:
    """Return the verdicts of a diagnosis, and what they rest on, in lines."""
    lines = [f"diagnosis: {found['verdict']}", f"  {found['reason']}"]
    lines += [f"  {line}" for line in _evidence(found["evidence"])]
    remedy = found["remedy"]
    if remedy is not None:
        lines.append(f"  remedy: {_remedy(remedy)}")
    if found["fields"]:
        lines += ["", *_fields(found["fields"])]
    return "\n".join(lines)


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    difference = evidence.get("loss_difference")
    if difference:
        yield (
            f"loss beyond that of lanes whose rate is alive: {difference['mean']:+.5f} nats an example "
            f"({difference['low']:+.5f} to {difference['high']:+.5f}), of the last {difference['examples']:,}"
        )
    rates = evidence.get("learning_rate")
    if rates and rates["now"] is not None:
        start, now, alive = (f"{rates[key]:.3g}" for key in ("start", "now", "live"))
        yield f"learning rate: {start} at the start, {now} now; of a lane whose rate is alive {alive}"
    if evidence.get("half_life"):
        yield f"half of a remaining error is gone after {_lasting(evidence['half_life'])}"
    if evidence.get("stalled_additions") is not None:
        yield f"additions to accumulators too small for float32: {evidence['stalled_additions']:.1%}"
    gained = evidence.get("gained")
    if gained and gained["examples"]:
        yield (
            f"gained by moving to the live lanes: {gained['nats'] / gained['examples']:.5f} nats an example "
            f"over the last {gained['examples']:,}"
        )
    starts = evidence.get("new_starts")
    if starts and starts["times"]:
        last = starts["last_at_example"]
        yield f"new starts after a change: {starts['times']}, the last at example {last:,}"


def _remedy(remedy: Mapping[str, Any]) -> str:
    if "setting" in remedy:
        settings = ", ".join(f"{name} = {value}" for name, value in remedy["setting"].items())
        return f"a model with {settings}: {remedy['why']}"
    lanes = ", ".join(str(lane) for lane in remedy["lanes"])
    return f"{remedy['action']} lane {lanes} by {remedy['factor']:.3g}: {remedy['why']}"


def _fields(fields: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    width = max(12, *(len(name) for name in fields))
    heading = "verdict    rate: start, now, alive      an error halves in              last seen"
    yield f"{'field':<{width}}  {heading}"
    for name, field in fields.items():
        rates = field.get("learning_rate")
        shown = " ".join(f"{rates[key]:<8.3g}" for key in ("start", "now", "live")) if rates else ""
        half_life = _lasting(field["half_life"]) if field.get("half_life") else ""
        seen = field.get("last_seen")
        ago = f"{seen['examples_ago']:,} examples ago" if seen else ""
        yield f"{name:<{width}}  {field['verdict']:<9}  {shown:<27}  {half_life:<30}  {ago}".rstrip()


def _lasting(half_life: Mapping[str, float | None]) -> str:
    text = f"{half_life['examples']:,.0f} examples"
    if half_life["hours"] is None:
        return text
    seconds = half_life["hours"] * 3600
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= 1.5 * size), UNITS[-1])
    return f"{text}, {seconds / size:.2g} {unit}"
