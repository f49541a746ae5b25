"""Candidates over a shared context, as JSON: ``{"shared": example, "candidates": [example, ...]}``.

Each candidate stands for the whole example that its own members and the shared ones make: the shared features
first, then its own; then slots, the shared ones first. What an example has else, label, weight and id, each
candidate has for itself. A time that is shared is that of each candidate without one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from nonzero.batches.batch import Batch
from nonzero.batches.candidates import check_shared, joined
from nonzero.batches.joining import RowsOf, join_rows, size_of
from nonzero.errors import BatchError, FormatError, named
from nonzero.fields.lookup import EVENTS
from nonzero.fields.schema import Schema, untracked
from nonzero.formats.json_bodies import NOT_JSON, Bounded, any_number, decoded_body
from nonzero.formats.json_sequences import LEFT_ALONE
from nonzero.formats.json_values import decode, shown_value
from nonzero.formats.json_workspace import Workspace, own_workspace
from nonzero.formats.row_arrays import NAMED, VALUED, summarize

SPACE: Final = rb"[ \t\r]*"
SHARED: Final = SPACE + b'"shared"' + SPACE + b":" + SPACE
CANDIDATES: Final = SPACE + b'"candidates"' + SPACE + b":" + SPACE + rb"\[" + SPACE
SHARED_FIRST: Final = re.compile(SPACE + rb"\{" + SHARED)
CANDIDATES_FIRST: Final = re.compile(SPACE + rb"\{" + CANDIDATES)
CANDIDATES_SECOND: Final = re.compile(CANDIDATES)
SHARED_SECOND: Final = re.compile(rb"\]" + SPACE + b"," + SHARED)
END_OF_SHARED: Final = re.compile(rb"\}" + SPACE)
END_OF_CANDIDATES: Final = re.compile(rb"\]" + SPACE + rb"\}" + SPACE)

BEGINNING: Final = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"(?:shared|candidates)"[ \t\r\n]*:')

MEMBERS: Final = ("shared", "candidates")

_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


class CandidateRows(NamedTuple):
    """What a body holds; nothing is joined yet, so that whoever reads it can bound what that takes.

    Parameters
    ----------
    shared
        One example.
    own
        The candidates, without what they share.
    """

    shared: Batch
    own: Batch

    @property
    def nonzeros(self) -> int:
        """How many nonzeros the whole examples have."""
        return self.own.nnz + len(self.own) * self.shared.nnz

    def whole(self) -> Batch:
        """Return the whole examples.

        Returns
        -------
        Batch
            One a candidate, in their order.
        """
        return joined(self.shared, self.own)


def has_candidates(body: bytes) -> bool:
    """Whether a body says that it is ``{"shared": ..., "candidates": [...]}``."""
    return BEGINNING.match(body) is not None


def parse_candidates(body: bytes, schema: Schema = untracked, bounded: Bounded = any_number) -> CandidateRows:
    """Read ``{"shared": example, "candidates": [example, ...]}``, the members in either order.

    Parameters
    ----------
    body
        The body.
    schema
        What the fields are; conflicts are added to its own, those of what is shared once.
    bounded
        Told how many candidates there are, before they are read; what it raises is raised.

    Raises
    ------
    FormatError
        Where anything is wrong. Every bad candidate is among its ``lines``, numbered from 1; there are none
        where something else is wrong.

    Examples
    --------
    >>> body = b'{"shared": {"features": {"site": "news"}}, "candidates": [{"features": {"ad": "7"}}]}'
    >>> parse_candidates(body).whole().nnz
    2
    """
    line = body.replace(b"\n", b"\t")
    workspace = own_workspace(schema)
    found = _read(line, workspace)
    if found is None:
        workspace.fields.drop()
        return _parse_any(line, schema, bounded)
    workspace.fields.take()
    batch = workspace.sequence_batch(found.size)
    return CandidateRows(batch.rows(found.shared, found.shared + 1), batch.rows(found.first, found.end))


def read_joined(body: bytes, schema: Schema, most: int, *, grouped: bool = True) -> Batch | None:
    """Read a body whose candidates are to be predicted at once: what they share is copied once.

    Parameters
    ----------
    body
        The body.
    schema
        What the fields are.
    most
        How many nonzeros the whole examples may have.
    grouped
        Whether the fields of nonzeros are wanted; where there are values they are there in any case.

    Returns
    -------
    Batch | None
        The whole examples without their times; labels and weights belong to the thread until it reads again.
        None where :func:`parse_candidates` has to read the body: where it is long, unusual or wrong, where
        anything has an id or is a slot, and where there are conflicts, which that counts.
    """
    workspace = own_workspace(schema)
    found = _read(body.replace(b"\n", b"\t"), workspace)
    if workspace.fields.events[EVENTS]:
        workspace.fields.drop()
        return None
    if found is None:
        return None
    rows = workspace.rows
    flags, largest_slot = summarize(rows, found.size)
    shared, own = (
        RowsOf(rows.indptr[start : stop + 1], rows.indices, rows.values, -1, rows.fields, -1)
        for start, stop in ((found.shared, found.shared + 1), (found.first, found.end))
    )
    if flags & NAMED or largest_slot >= 0 or size_of(shared, own) > most:
        return None
    valued = bool(flags & VALUED)
    made = join_rows(shared, own, valued=valued, grouped=valued or grouped)
    labels, weights = (column[found.first : found.end] for column in (rows.labels, rows.weights))
    values = made.values if valued else None
    fields = made.fields if valued or grouped else None
    alike = int(shared.indptr[1] - shared.indptr[0])
    return Batch.trusted(
        made.indptr, made.indices, values, labels, weights, fields, largest_slot=-1, shared=alike
    )


class _Rows(NamedTuple):
    """Where the rows of a body are: what is shared, and the candidates."""

    shared: int
    first: int
    end: int

    @property
    def size(self) -> int:
        return max(self.shared + 1, self.end)


def _read(line: bytes, workspace: Workspace) -> _Rows | None:
    """Read a body, in which there is no newline, by compiled code; None where it is unusual or wrong."""
    workspace.hold(line)
    found = _shared_first(line, workspace) or _candidates_first(line, workspace)
    rows = workspace.rows
    if found is not None and rows.ids[found.shared, 0] < 0:
        label = rows.labels[found.shared]
        if label != label and rows.weights[found.shared] == 1:
            return found
    return None


def _shared_first(line: bytes, workspace: Workspace) -> _Rows | None:
    if (opening := SHARED_FIRST.match(line)) is None:
        return None
    behind, at, _ = workspace.sequence(opening.end())
    between = CANDIDATES_SECOND.match(line, at) if behind == 1 else None
    if between is None:
        return None
    end, at = _listed(line, between.end(), workspace, 1)
    return _Rows(0, 1, end) if end > 0 and END_OF_CANDIDATES.fullmatch(line, at) else None


def _candidates_first(line: bytes, workspace: Workspace) -> _Rows | None:
    if (opening := CANDIDATES_FIRST.match(line)) is None:
        return None
    end, at = _listed(line, opening.end(), workspace, 0)
    between = SHARED_SECOND.match(line, at) if 0 <= end < workspace.rows.plain.size else None
    if between is None:
        return None
    behind, at, more = workspace.sequence(between.end(), end)
    if behind != end + 1 or more or not END_OF_SHARED.fullmatch(line, at):
        return None
    return _Rows(end, 0, end)


def _listed(line: bytes, at: int, workspace: Workspace, row: int) -> tuple[int, int]:
    """Read a list of examples; return the row behind the last, or LEFT_ALONE, and where the list ends."""
    if not line.startswith(b"{", at):
        return row, at
    end, at, more = workspace.sequence(at, row)
    return (LEFT_ALONE if more else end), at


def _parse_any(line: bytes, schema: Schema, bounded: Bounded) -> CandidateRows:
    """Read a body of whatever form, in which there is no newline."""
    shared_text, own_texts = _taken_apart(line)
    bounded(len(own_texts))
    workspace = own_workspace(schema)
    shared, wrong = workspace.read_all([shared_text])
    own, errors = ([], []) if wrong else workspace.read_all(own_texts)
    workspace.fields.take()
    if wrong:
        raise FormatError(f'"shared": {wrong[0].reason}')
    if errors:
        raise FormatError(named(errors, "candidate"), tuple(errors))
    try:
        check_shared(shared[0])
    except BatchError as error:
        raise FormatError(f'"shared": {error}') from error
    return CandidateRows(shared[0], Batch.concatenate(own))


def _taken_apart(line: bytes) -> tuple[bytes, list[bytes]]:
    """Return the text of what is shared, and that of each candidate, without decoding what is within."""
    try:
        texts = {name: bytes(text) for name, text in _members.decode(line).items()}
    except NOT_JSON as error:
        decoded_body(line)  # says where it is wrong, or that it is no object
        raise FormatError(f"this is not JSON: {error}") from error
    for name in texts:
        if name not in MEMBERS:
            raise FormatError(
                f'{shown_value(name)} stands beside "shared" and "candidates"; send nothing else, and '
                'features within, {"shared": {"features": {}}, "candidates": [{"features": {}}]}'
            )
    if "shared" not in texts:
        raise FormatError('there is no "shared"; give "shared": {"features": {}} for none')
    if "candidates" not in texts:
        raise FormatError('there are no "candidates"; give a list of examples, without what they share')
    if not _is_made_of(line, texts):
        raise FormatError('"shared" or "candidates" stands twice, or with escapes; send either once')
    try:
        return texts["shared"], [bytes(one) for one in _list.decode(texts["candidates"])]
    except NOT_JSON as error:
        found = shown_value(decode(texts["candidates"]))
        raise FormatError(f'"candidates" is {found}, not a list') from error


def _is_made_of(line: bytes, texts: dict[str, bytes]) -> bool:
    """Whether a body holds these two members and nothing else: of a name that stands twice, one is there."""
    at = 0
    for before, (name, text) in zip((rb"\{", b","), texts.items(), strict=True):
        begun = re.compile(SPACE + before + SPACE + b'"' + name.encode() + b'"' + SPACE + b":" + SPACE)
        found = begun.match(line, at)
        if found is None or not line.startswith(text, found.end()):
            return False
        at = found.end() + len(text)
    return re.compile(SPACE + rb"\}" + SPACE).fullmatch(line, at) is not None
