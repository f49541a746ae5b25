"""Files of models: the same model again, in proportion to what was touched, those of older releases too."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.saved import stored_in
from core.streams import random_batch
from nonzero import FTRL, AdaGrad, Batch, LogisticRegression, SnapshotError
from waiting import until

OLDER = Path(__file__).parents[1] / "persistence/data/format_1.zip"
"""What 0.3 saved in the format nonzero-1: models of 64 slots, and what their digests and predictions were."""

BESIDE = 16 << 10
"""Bytes of a file that do not grow with the touched rows: settings, histogram, sums, where tensors lie."""

MODELS: dict[str, dict[str, Any]] = {
    "eight lanes": {},
    "version 1": {"version": 1},
    "version 2": {"version": 2},
    "one lane": {"optimizer": AdaGrad(0.1)},
    "another rule": {"optimizer": FTRL(0.1, l1=0.01)},
    "products": {"interactions": ["a*b"]},
    "with a map": {"recalibrated": True},
}


def older() -> dict[str, Any]:
    with zipfile.ZipFile(OLDER) as stored:
        found: dict[str, Any] = json.loads(stored.read("digests.json"))
        return found


@pytest.mark.parametrize("name", older())
def test_a_file_of_the_format_before_is_the_same_model(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(OLDER) as stored:
        path = Path(stored.extract(name, tmp_path))
    model = LogisticRegression.load(path)
    assert model.digest() == older()[name]["digest"]
    assert model.predict(random_batch(6, n=20)).tolist() == older()[name]["predicted"]
    model.save(tmp_path / "again")
    again = LogisticRegression.load(tmp_path / "again")
    assert (again.digest(), again.notes) == (model.digest(), model.notes)
    assert (tmp_path / "again").stat().st_size < 2 * BESIDE < path.stat().st_size / 40
    more = random_batch(7, n=300)
    np.testing.assert_array_equal(model.learn(more), again.learn(more))
    assert again.digest() == model.digest()


def test_every_flipped_bit_of_the_format_before_is_noticed(tmp_path: Path) -> None:
    with zipfile.ZipFile(OLDER) as stored:
        path = Path(stored.extract("one lane", tmp_path))
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.choice(len(content) * 8, 40, replace=False):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(SnapshotError):
            LogisticRegression.load(path)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("bits", [1, 5, 6, 12, 19])
@pytest.mark.parametrize("settings", MODELS.values(), ids=MODELS)
def test_a_saved_model_is_the_model(tmp_path: Path, settings: Any, bits: int) -> None:
    model = LogisticRegression(bits=bits, **settings)
    for seed in range(3):
        model.learn(random_batch(seed, n=300, slots=2**bits, weighted=True), 10**12 + seed)
        rows = [{"a": f"a{j % 5}", "b": f"b{j % 3}", "c": j / 7} for j in range(90)]
        model.learn(Batch.from_dicts(rows, labels=[j % 4 == 0 for j in range(90)]))
    model.notes["position"] = 7
    model.save(tmp_path / "model")
    again = LogisticRegression.load(tmp_path / "model")
    assert (again.digest(), again.notes, again.metrics()) == (model.digest(), model.notes, model.metrics())
    assert again.diagnose() == model.diagnose()
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    more = random_batch(8, slots=2**bits)
    np.testing.assert_array_equal(again.learn(more), model.learn(more))
    assert again.digest() == model.digest()


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("settings", "row"), [({}, 64), ({"optimizer": AdaGrad(0.1)}, 8)], ids=["eight lanes", "one lane"]
)
@pytest.mark.parametrize("touched", [0, 5, 3000, 60_000, 300_000])
def test_a_file_is_in_proportion_to_the_touched_rows(
    tmp_path: Path, settings: Any, row: int, touched: int
) -> None:
    model = LogisticRegression(bits=22, **settings)
    slots = np.random.default_rng(touched).choice(2**22, touched, replace=False)
    if touched:
        model.learn(Batch([0, touched // 2, touched], slots, labels=[1, 0]))
    model.save(tmp_path / "model")
    size, blocks = (tmp_path / "model").stat().st_size, np.unique(slots // 64).size
    rows = touched + (touched > 0)
    assert stored_in(tmp_path / "model").tensors["table.rows"].shape == (rows, row // 4)
    assert rows * row <= size <= rows * row + 12 * (blocks + 1) + BESIDE


def test_what_learning_has_to_remember_is_in_proportion_to_the_examples(tmp_path: Path) -> None:
    model = LogisticRegression(bits=12)
    model.save(tmp_path / "new")
    assert (tmp_path / "new").stat().st_size < BESIDE // 2
    for seed in range(4):
        model.learn(Batch.from_dicts([{"site": "news"}] * 250, labels=[j % 2 for j in range(250)]))
        model.save(tmp_path / f"after {seed}")
    sizes = [(tmp_path / f"after {seed}").stat().st_size for seed in range(4)]
    assert max(np.diff(sizes)) < 250 * 16 + 4096  # a row of the window each, and what the diagnosis keeps
    assert sizes[-1] < 1000 * 16 + 2 * BESIDE


MEMORY = """
import resource, sys
from nonzero import LogisticRegression
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
{}
print(peak() - before)
"""


def memory_of(code: str) -> int:
    """Return the bytes that a process's peak of memory grows by."""
    command = [sys.executable, "-c", MEMORY.format(code)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_memory_is_in_proportion_to_the_touched_rows(tmp_path: Path) -> None:
    """The table of 2**22 slots is of 256 MiB, of which 19 are touched, in all of its pages."""
    rng = np.random.default_rng(1)
    slots = rng.choice(2**22, 300_000, replace=False).astype(np.uint32)
    np.save(tmp_path / "slots.npy", slots)
    learned = memory_of(
        f"""
import numpy as np
from nonzero import Batch
slots = np.load({str(tmp_path / "slots.npy")!r})
model = LogisticRegression()
for some in np.split(slots, 10):
    model.learn(Batch(np.arange(0, some.size + 1, 100), some, labels=np.arange(some.size // 100) % 2))
model.save({str(tmp_path / "model")!r})
"""
    )
    size = (tmp_path / "model").stat().st_size
    assert 19 << 20 < size < 21 << 20
    read = memory_of(f"model = LogisticRegression.load({str(tmp_path / 'model')!r})")
    asked = memory_of(
        f"print(LogisticRegression.load({str(tmp_path / 'model')!r}).digest(), file=sys.stderr)"
    )
    # The rows; 16 MiB that say where each stands; of a file that is read, its pages.
    assert learned < size + (48 << 20)
    assert read < 2 * size + (32 << 20)
    assert asked < 2 * size + (48 << 20)


def test_a_new_model_takes_next_to_nothing(tmp_path: Path) -> None:
    new = str(tmp_path / "model")
    assert memory_of(f"LogisticRegression().save({new!r}); LogisticRegression.load({new!r})") < 24 << 20


def test_one_that_learns_while_it_is_saved_is_saved_as_it_was_at_one_moment(tmp_path: Path) -> None:
    model = LogisticRegression(bits=12)
    ended = threading.Event()

    def learn() -> None:
        while not ended.is_set():
            model.learn(random_batch(model.examples, slots=4096))

    learner = threading.Thread(target=learn)
    learner.start()
    for _ in range(20):
        model.save(tmp_path / "model")
        saved = LogisticRegression.load(tmp_path / "model")
    ended.set()
    learner.join()
    again = LogisticRegression(bits=12)
    while again.examples < saved.examples:
        again.learn(random_batch(again.examples, slots=4096))
    assert again.digest() == saved.digest()


SAVING = """
import sys
import numpy as np
from core.streams import random_batch
from nonzero import LogisticRegression
model = LogisticRegression(bits=18)
while True:
    model.learn(random_batch(model.examples, n=2000, slots=2**18))
    model.save(sys.argv[1])
    print(model.digest(), flush=True)
"""


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.soak)])
def test_a_kill_leaves_the_old_file_or_the_new(tmp_path: Path, kills: int) -> None:
    path = tmp_path / "model"
    rng = np.random.default_rng(3)
    for _ in range(kills):
        path.unlink(missing_ok=True)
        command = [sys.executable, "-c", SAVING, str(path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        ) as saving:
            until(path.exists)
            time.sleep(rng.uniform(0, 0.3))  # at any moment of a write
            saving.send_signal(signal.SIGKILL)
            assert saving.stdout is not None
            told = saving.stdout.read().split()
        model = LogisticRegression.load(path)
        assert model.examples in (2000 * len(told), 2000 * (len(told) + 1))
        if model.examples == 2000 * len(told):
            assert model.digest() == told[-1]
