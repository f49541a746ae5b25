"""The compiled hash is XXH3, as the library for it has it, for ids of every length."""

from __future__ import annotations

import numpy as np
import xxhash

from nonzero.batches.ids import Ids
from nonzero_service.impressions.hashes import hashes_of


def test_ids_of_every_length_hash_as_the_library_hashes_them() -> None:
    rng = np.random.default_rng(1)
    text = "".join(map(chr, rng.choice([*range(32, 127), 0xE9, 0x3C0, 0x1F600], 40_000)))
    names = [text[at : at + size] for size in range(1, 256) for at in (0, 7 * size, 20_000 + size)]
    ids = Ids.of(names)
    rows = np.arange(len(ids))
    expected = [xxhash.xxh3_64_intdigest(name.encode()) for name in names]
    assert hashes_of(ids, rows).tolist() == expected
    assert hashes_of(ids, rows[::-5].copy()).tolist() == expected[::-5]
