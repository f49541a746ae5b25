"""Hooks of schemathesis: which requests it is not to make."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:  # noqa: ARG001 - it is called by name
    """Leave out tables that fit and are slow to make, and what is meant to be refused as a body of text.

    Any text is a body of lines, bad ones perhaps, and none is refused as a whole.
    """
    if isinstance(case.body, dict) and 20 < _number(case.body.get("bits")) < 29:
        return False
    if case.meta is None or not (case.media_type or "").startswith("text/"):
        return True
    body = case.meta.components.get(ParameterLocation.BODY)
    return body is None or body.mode is not GenerationMode.NEGATIVE


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else 0
