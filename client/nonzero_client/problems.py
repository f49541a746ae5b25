"""What the service says is wrong: with a request (RFC 9457), and with a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

NAMED: Final = 100
"""How many refused lines are named, of one answer and of a stream; all are counted."""

SHOWN: Final = 200
"""So many characters are shown of an answer that is no problem of ours."""

_MEMBERS: Final = ("type", "title", "status", "detail", "instance", "request_id", "errors")


@dataclass(frozen=True, slots=True)
class LineFault:
    """A line (of examples in Python: an example) that was refused.

    Parameters
    ----------
    line
        Its number in all that was given, from 1.
    reason
        What is wrong with it.
    status
        Of a label: the status that it would be answered with alone.

    Examples
    --------
    >>> str(LineFault(17, "the label is 2; it is 1, 0 or -1"))
    'line 17: the label is 2; it is 1, 0 or -1'
    """

    line: int
    reason: str
    status: int | None = None

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"

    @classmethod
    def read(cls, members: Mapping[str, Any], numbers: Mapping[int, int] | None = None) -> LineFault:
        """Make one of an answer's member.

        Parameters
        ----------
        members
            As the service has them.
        numbers
            The number in all that was given, by the line of the body; without it they are the same.

        Returns
        -------
        LineFault
            The fault.

        Examples
        --------
        >>> LineFault.read({"line": 2, "reason": "no label"}).line
        2
        """
        line = int(members["line"])
        number = line if numbers is None else numbers[line]
        return cls(number, str(members.get("reason", "")), members.get("status"))


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the service answers it (RFC 9457).

    Parameters
    ----------
    status
        The HTTP status.
    title
        The status in words.
    detail
        What was wrong, the value received, the way out.
    type
        A URI of the kind of problem; ``about:blank`` where the status says it all.
    instance
        The path of the request.
    request_id
        What the service's log calls the request; empty where something else answered.
    errors
        The lines to blame, the first hundred.
    members
        All others, such as ``accepted`` of a stream that broke off.

    Examples
    --------
    >>> Problem(404, "Not Found", "there is no model named 'ads'").detail
    "there is no model named 'ads'"
    """

    status: int
    title: str
    detail: str
    type: str = "about:blank"
    instance: str = ""
    request_id: str = ""
    errors: tuple[LineFault, ...] = ()
    members: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}" if self.detail else f"{self.status} {self.title}"

    @classmethod
    def read(cls, status: int, body: bytes) -> Problem:
        """Make one of an answer, whoever gave it.

        Parameters
        ----------
        status
            Of the answer.
        body
            Its content. Where that is no problem, as a proxy's page, its beginning is the detail.

        Returns
        -------
        Problem
            The problem.

        Examples
        --------
        >>> print(Problem.read(502, b"<h1>Bad Gateway</h1>"))
        502 Bad Gateway: <h1>Bad Gateway</h1>
        """
        try:
            found = json.loads(body)
            members = {name: value for name, value in found.items() if name not in _MEMBERS}
            return cls(
                status=status,
                title=str(found.get("title", _phrase(status))),
                detail=str(found.get("detail", "")),
                type=str(found.get("type", "about:blank")),
                instance=str(found.get("instance", "")),
                request_id=str(found.get("request_id", "")),
                errors=tuple(map(LineFault.read, found.get("errors") or ())),
                members=members,
            )
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            return cls(status, _phrase(status), body.decode(errors="replace").strip()[:SHOWN])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
