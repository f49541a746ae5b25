"""A model in memory that processes share: written by one, read by all."""

from __future__ import annotations

import mmap
import os
import resource
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from core.streams import random_batch
from nonzero import AdaGrad, LogisticRegression
from nonzero.persistence.shared import SharedState

OPTIMIZERS = pytest.mark.parametrize("optimizer", [None, AdaGrad(0.1)], ids=["eight lanes", "one lane"])


@OPTIMIZERS
def test_what_is_learned_is_there_at_once_for_those_who_attached(optimizer: Any) -> None:
    model, alone = (LogisticRegression(bits=6, optimizer=optimizer) for _ in range(2))
    model.learn(random_batch(1))
    alone.learn(random_batch(1))
    reader = LogisticRegression.attach(model.share().descriptor)
    for seed in (2, 3):
        batch = random_batch(seed)
        np.testing.assert_array_equal(reader.predict(batch), alone.predict(batch))
        np.testing.assert_array_equal(model.learn(batch), alone.learn(batch))
        assert reader.examples == alone.examples
    assert model.digest() == alone.digest() == reader.digest()
    assert reader.settings == alone.settings
    assert reader.metrics() == alone.metrics()


def test_a_remedy_and_a_copy_are_seen_too() -> None:
    model, other = LogisticRegression(bits=6), LogisticRegression(bits=6)
    reader = LogisticRegression.attach(model.share().descriptor)
    model.learn(random_batch(1))
    model.apply_remedy({"action": "rescale", "factor": 0.01})
    assert reader.digest() == model.digest()
    other.learn(random_batch(2))
    model.copy_from(other)
    assert reader.digest() == other.digest()


def test_sharing_again_is_the_same_memory() -> None:
    model = LogisticRegression(bits=6)
    assert model.share() is model.share()


def test_withdrawn_memory_is_known_as_such_and_may_still_be_read() -> None:
    model = LogisticRegression(bits=6)
    model.learn(random_batch(1))
    shared = model.share()
    descriptor = shared.descriptor
    reader = LogisticRegression.attach(descriptor)
    assert reader.shared is not None
    assert not reader.shared.withdrawn
    shared.withdraw()
    assert reader.shared.withdrawn
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    with pytest.raises(ValueError, match="no descriptor"):
        _ = shared.descriptor
    batch = random_batch(2)
    np.testing.assert_array_equal(reader.predict(batch), model.predict(batch))


def test_others_can_map_it_for_reading_only() -> None:
    shared = LogisticRegression(bits=6).share()
    with pytest.raises(PermissionError):
        mmap.mmap(shared.descriptor, 4096)
    with pytest.raises(PermissionError):
        os.ftruncate(shared.descriptor, 4096)


def test_a_write_of_those_who_attached_ends_the_process() -> None:
    shared = LogisticRegression(bits=6).share()
    code = "import sys; from nonzero.persistence.shared import SharedState\n"
    code += "SharedState.attach(int(sys.argv[1])).arrays['table'][0, 0] = 1\n"
    done = subprocess.run(
        [sys.executable, "-c", code, str(shared.descriptor)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=[shared.descriptor],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -11, done.stderr


def test_memory_is_taken_when_it_is_made() -> None:
    """Were it sparse, a full memory would be noticed by a write, which ends the process."""
    state = SharedState.create({}, {"a": np.zeros(1 << 20, np.uint8)})
    assert os.fstat(state.descriptor).st_blocks * 512 >= 1 << 20


def test_want_of_memory_is_an_error_and_the_model_stays_as_it_was() -> None:
    model = LogisticRegression(bits=6)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 12, before[1]))  # a file in memory is a file
    try:
        with pytest.raises(OSError, match="File too large"):
            model.share()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert model.shared is None
    model.learn(random_batch(1))
