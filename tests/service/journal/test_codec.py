"""What a journal's row does not decode to is the journal's error; the coding is tested with the library."""

from __future__ import annotations

import pytest

from core.streams import random_batch
from nonzero.batches.codec import encode_batch
from nonzero_service.journal.codec import decode_batch
from nonzero_service.journal.errors import BodyError, StorageError


def test_a_body_is_its_batch_and_a_wrong_one_an_error_of_the_store() -> None:
    batch = random_batch(1)
    body = encode_batch(batch)
    assert (decode_batch(body).indices == batch.indices).all()
    assert issubclass(BodyError, StorageError)
    for wrong, said in ((body[:-1], "ends inside one of its columns"), (body[:10], "at least 24 bytes")):
        with pytest.raises(BodyError, match=said):
            decode_batch(wrong)
