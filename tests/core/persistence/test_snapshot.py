"""Saved models: whole or not at all, and every changed bit is noticed."""

from typing import Any

import numpy as np
import pytest

from nonzero import SnapshotError
from nonzero.persistence import snapshot

TENSORS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([7, 2**40])}


def test_round_trip(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    digest = snapshot.write(path, TENSORS, {"bits": 3})
    tensors, metadata = snapshot.read(path)
    assert metadata == {"bits": 3}
    assert digest == snapshot.digest_of(tensors, metadata)
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].dtype == array.dtype
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def outcome(path: Any) -> Any:
    """The digest of what is read, or that it was refused."""
    try:
        return snapshot.digest_of(*snapshot.read(path))
    except SnapshotError:
        return "refused"


def test_every_flipped_bit_is_named_or_harmless(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    digest = snapshot.write(path, TENSORS, {"bits": 3})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole) * 8, 300, replace=False):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        assert outcome(path) in (digest, "refused")


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"not a model" * 99])
def test_a_file_that_is_no_model_is_refused(tmp_path: Any, content: Any) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(SnapshotError):
        snapshot.read(path)


def test_a_truncated_file_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    snapshot.write(path, TENSORS, {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SnapshotError):
        snapshot.read(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    snapshot.write(path, TENSORS, {"old": True})
    with pytest.raises(TypeError):
        snapshot.write(path, TENSORS, {"bad": object()})
    with pytest.raises(OSError, match="nowhere"):
        snapshot.write(tmp_path / "nowhere" / "model", TENSORS, {})
    assert snapshot.read(path)[1] == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        snapshot.read("nowhere")
