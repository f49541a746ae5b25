"""Saved models: whole or not at all, in proportion to what was touched, and every changed bit is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.saved import Stored, forge, stored_in
from nonzero import LogisticRegression, SnapshotError
from nonzero.persistence import snapshot
from nonzero.persistence.rows import ArrayRows

TOUCHED = [0, 1, 63, 64, 700, 999]


def arrays() -> dict[str, Any]:
    """Arrays of both kinds, and of both fills."""
    table, filled = np.zeros((1000, 4), np.float32), np.full(2048, -1, np.int16)
    table[TOUCHED, 2] = [1, 2, 3, -0.0, 5, 6]  # the bits of -0 are not those of 0
    filled[[3, 2047]] = 7
    whole = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([7, 2**40])}
    return {**whole, "filled": ArrayRows(filled, -1), "table": ArrayRows(table)}


def empty() -> dict[str, Any]:
    """The same arrays, as nothing has touched them."""
    whole = {"a": np.zeros((3, 4), np.float32), "b": np.zeros(2, np.int64)}
    filled = ArrayRows(np.full(2048, -1, np.int16), -1)
    return {**whole, "filled": filled, "table": ArrayRows(np.zeros((1000, 4), np.float32))}


def dense(found: dict[str, Any]) -> dict[str, Any]:
    return {name: one.array if isinstance(one, ArrayRows) else one for name, one in found.items()}


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    into = empty()
    metadata = snapshot.read(path, lambda *_: into)
    return dense(into), metadata


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    digest = snapshot.write(path, arrays(), {"bits": 3})
    found, metadata = read(path)
    assert metadata == {"bits": 3} == snapshot.read_metadata(path)
    for name, array in dense(arrays()).items():
        assert found[name].tobytes() == array.tobytes()
        assert found[name].dtype == array.dtype
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]
    assert snapshot.write(tmp_path / "again", arrays(), {"bits": 3}) == digest


def test_it_is_safetensors_that_hold_the_touched_rows(tmp_path: Path) -> None:
    snapshot.write(tmp_path / "model", arrays(), {})
    tensors, _, rows = stored_in(tmp_path / "model")
    assert rows == {"filled": 64, "table": 1000}
    np.testing.assert_array_equal(tensors["table.blocks"], [0, 1, 10, 15])
    assert [f"{mask:b}" for mask in tensors["table.masks"]] == [
        f"1{'0' * 61}11", "1", f"1{'0' * 60}", f"1{'0' * 39}"
    ]  # fmt: skip
    np.testing.assert_array_equal(tensors["table.rows"], dense(arrays())["table"][TOUCHED])
    assert tensors["filled.rows"].shape == (2, 32)


def test_the_digest_of_arrays_does_not_depend_on_how_they_are_kept() -> None:
    assert snapshot.digest_of(arrays(), {"bits": 3}) == snapshot.digest_of(dense(arrays()), {"bits": 3})


def outcome(path: Path) -> str:
    """The digest of what is read, or that it was refused."""
    try:
        return snapshot.digest_of(*read(path))
    except SnapshotError:
        return "refused"


@pytest.mark.parametrize(
    "bits", [1, pytest.param(8, marks=pytest.mark.soak)], ids=["one of each byte", "all"]
)
def test_a_flipped_bit_is_named_or_harmless(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "model.safetensors"
    snapshot.write(path, arrays(), {"bits": 3})
    digest, whole = outcome(path), path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    rng = np.random.default_rng(0)
    in_header = rng.choice(begin * 8, 300, replace=False)
    in_numbers = (
        rng.permuted(np.tile(np.arange(8), (len(whole) - begin, 1)), axis=1)[:, :bits]
        + 8 * np.arange(begin, len(whole))[:, None]
    ).ravel()
    outcomes = []
    for place in [*in_header, *in_numbers]:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        outcomes.append(outcome(path))
    assert {*outcomes} <= {digest, "refused"}
    assert {*outcomes[300:]} == {"refused"}
    path.write_bytes(whole)
    assert outcome(path) == digest != "refused"


def put(name: str, numbers: Any, dtype: str) -> Callable[[Stored], None]:
    def change(stored: Stored) -> None:
        stored.tensors[name] = np.array(numbers, dtype)

    return change


def more(stored: Stored) -> None:
    stored.tensors["c"] = np.zeros(3)


def less(stored: Stored) -> None:
    del stored.tensors["table.masks"]


def whole_beside(stored: Stored) -> None:
    stored.tensors["table"] = np.zeros((1000, 4), np.float32)


def fewer_rows(stored: Stored) -> None:
    stored.tensors["table.rows"] = stored.tensors["table.rows"][1:]


def wider_rows(stored: Stored) -> None:
    stored.tensors["table.rows"] = np.zeros((6, 8), np.float32)


def other_length(stored: Stored) -> None:
    stored.rows["table"] = 2**40


def no_length(stored: Stored) -> None:
    del stored.rows["table"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("table.blocks", [0, 1, 10, 16], "u4"), "names row 1063 of 1000"),
        (put("table.blocks", [0, 1, 10, 2**32 - 1], "u4"), "of 1000"),
        (put("table.blocks", [0, 10, 10, 15], "u4"), "twice"),
        (put("table.blocks", [1, 0, 10, 15], "u4"), "ascending"),
        (put("table.blocks", [0, 1, 10], "u4"), "3 blocks and 4 words"),
        (put("table.blocks", [[0, 1], [10, 15]], "u4"), "table.blocks is"),
        (put("table.blocks", [0, 1, 10, 15], "i8"), "table.blocks is int64"),
        (put("table.masks", [7, 0, 7, 1], "u8"), "without a row"),
        (put("table.masks", [7, 1, 1, 1 << 40], "u8"), "names row 1000 of 1000"),
        (put("table.masks", [2**64 - 1, 1, 1, 1], "u8"), "not float32"),
        (put("a", np.zeros((3, 5)), "f4"), "a is float32"),
        (put("a", np.zeros((3, 4)), "f8"), "a is float64"),
        (put("a", 1, "f4"), "a is float32"),
        (more, "too much"),
        (less, "lacks, table.masks"),
        (whole_beside, "too much"),
        (fewer_rows, "table.rows is"),
        (wider_rows, "table.rows is"),
        (other_length, "table has 1099511627776 rows"),
        (no_length, "table"),
    ],
)
def test_what_no_writer_writes_is_refused_by_name(
    tmp_path: Path, change: Callable[[Stored], None], reason: str
) -> None:
    snapshot.write(tmp_path / "model", arrays(), {})
    stored = stored_in(tmp_path / "model")
    forge(tmp_path / "forged", stored)
    assert outcome(tmp_path / "forged") == outcome(tmp_path / "model") != "refused"
    change(stored)
    forge(tmp_path / "forged", stored)
    with pytest.raises(SnapshotError, match=reason):
        read(tmp_path / "forged")


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"not a model" * 99])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(SnapshotError):
        read(path)


def test_a_format_of_later_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model"
    snapshot.write(path, arrays(), {})
    path.write_bytes(path.read_bytes().replace(b'"nonzero-2"', b'"nonzero-3"'))
    with pytest.raises(SnapshotError, match="format 'nonzero-3'"):
        read(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    snapshot.write(path, arrays(), {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SnapshotError):
        read(path)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    snapshot.write(path, arrays(), {"old": True})
    with pytest.raises(TypeError):
        snapshot.write(path, arrays(), {"bad": object()})
    with pytest.raises(OSError, match="nowhere"):
        snapshot.write(tmp_path / "nowhere" / "model", arrays(), {})
    assert read(path)[1] == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "monday", tmp_path / "newest"
    link.symlink_to(target)
    model = LogisticRegression(bits=4)
    for _ in range(2):  # one that leads nowhere yet, and one that leads to a file
        model.learn_one({"site": "news"}, 1)
        model.save(link)
        assert link.is_symlink()
        assert LogisticRegression.load(target).digest() == model.digest()


def test_no_such_file() -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(Path("nowhere"))
