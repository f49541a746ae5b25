"""Hooks of schemathesis: which requests it is not to make, and how it sends a body of lines."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext, SerializationContext
from schemathesis.core.parameters import ParameterLocation

from nonzero_service.media_types import STREAMS


@schemathesis.serializer(*STREAMS)
def send_lines(context: SerializationContext, value: Any) -> bytes:  # noqa: ARG001 - it is called by name
    """Send lines as they are: the description has them as text."""
    return str(value).encode(errors="replace")


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:  # noqa: ARG001 - it is called by name
    """Leave out tables that fit and are slow to make, and what is meant to be refused and need not be.

    Any text is a body of lines, bad ones perhaps, and none is refused as a whole. Nor is a
    sequence to wait for, which the configuration sets: a large one would be waited for.
    """
    if isinstance(case.body, dict) and 20 < _number(case.body.get("bits")) < 29:
        return False
    lines = (case.media_type or "").startswith("text/") or case.media_type == "application/x-ndjson"
    if case.meta is None:
        return True
    head = case.meta.components.get(ParameterLocation.HEADER)
    if head is not None and head.mode is GenerationMode.NEGATIVE and not case.path.endswith("/update"):
        return False
    if not lines:
        return True
    body = case.meta.components.get(ParameterLocation.BODY)
    return body is None or body.mode is not GenerationMode.NEGATIVE


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
