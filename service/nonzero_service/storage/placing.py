"""Entries become rows: their positions, sequences, time and digests follow from what stands before them."""

from __future__ import annotations

from collections.abc import Sequence

from nonzero_service.storage.keys import chained_keys, packed_records
from nonzero_service.storage.rows import MAX_BODY, Entry, chained, check_kind
from nonzero_service.storage.tables import Tip

__all__ = ["placed"]


def placed(
    entries: Sequence[Entry], tip: Tip, now_ms: int
) -> tuple[Tip, list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Give entries their place behind the tip; return the new tip, and what to insert into rows and keys.

    `now_ms` is the journal's clock, which stands in every row but those that set it.

    Raises
    ------
    ValueError
        For no entries, and for a body that is too long.
    UnknownKindError
        For a kind or version that could not be read again.
    """
    if not entries:
        raise ValueError("an append needs at least one entry")
    time_ms = max(now_ms, tip.time_ms)
    position, sequence, digest, keys_digest = tip.position, tip.sequence, tip.digest, tip.keys_digest
    rows: list[tuple[object, ...]] = []
    keys: list[tuple[object, ...]] = []
    for entry in entries:
        position += 1
        check_kind(entry.kind, entry.version, position)
        if len(entry.body) > MAX_BODY:
            raise ValueError(
                f"a body of {len(entry.body)} bytes is longer than {MAX_BODY}; append it as several"
            )
        if entry.time_ms is not None:
            time_ms = entry.time_ms
        if entry.keys:
            records = packed_records(entry.keys)
            keys_digest = chained_keys(keys_digest, position, time_ms, records)
            keys.append((position, time_ms, records, keys_digest))
        place = (position, sequence, entry.count, entry.kind, entry.version, time_ms, keys_digest)
        digest = chained(digest, *place, entry.body)
        rows.append((*place, digest, entry.body))
        sequence += entry.count
    return Tip(position, sequence, time_ms, digest, keys_digest), rows, keys
