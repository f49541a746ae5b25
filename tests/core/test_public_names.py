"""Nothing that Python code does to a model through its public names ends the process.

Each attempt runs in a child process, which must end by itself: with an exception that it reports, or without
one. What it did is then followed by learning, predicting, explaining, saving and copying.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fork_server import fork_server
from nonzero import Batch

CHILD = """
import copy, os, sys, warnings
import numpy as np
from core.streams import random_batch
from nonzero import AdaGrad, Batch, LogisticRegression

warnings.simplefilter("ignore")
KINDS = {"eight": {}, "one": {"optimizer": AdaGrad(0.2)}, "crossed": {"interactions": ["a*b"]}}

def made(kind):
    if kind == "attached":
        writer = LogisticRegression(bits=6)
        writer.learn(random_batch(1, n=20))
        model = LogisticRegression.attach(writer.share().descriptor)
        model.writer = writer
        return model
    model = LogisticRegression(bits=6, **KINDS[kind])
    model.learn(random_batch(1, n=20))
    return model

def use(model):
    batch = random_batch(2, n=70)
    one = batch.rows(0, 1)
    for action in (
        lambda: model.learn(batch), lambda: model.learn_checked(batch), lambda: model.predict(batch),
        lambda: model.explain(one), lambda: model.uncertainty(batch), lambda: model.metrics(),
        lambda: model.diagnose(), lambda: model.weights, lambda: model.digest(),
        lambda: model.apply_remedy({"action": "rescale", "factor": 0.5}),
        lambda: model.begin_recalibration(), lambda: model.learn(batch), lambda: model.predict(batch),
        lambda: model.table.take(), lambda: model.table.take_ahead(1 << 22), lambda: model.share(),
        lambda: copy.deepcopy(model).learn(batch), lambda: model.copy_from(LogisticRegression(bits=6)),
        lambda: model.save("m"),
        lambda: model.predict_body(b'{"features": {"a": "b"}}'),
    ):
        attempt(action)

JUNK = (None, -1, 10**9, "x", np.zeros((2, 2), np.float32), lambda *_: 7)

def attributes(thing):
    return [name for name in dir(thing) if not name.startswith("_")]

def attempt(action):
    try:
        action()
    except Exception:
        return False
    return True

def set_every(kind, part):
    for name in attributes(part(made(kind))):
        model = made(kind)
        for junk in JUNK:
            if name == "bits" and isinstance(junk, int):
                junk = min(junk, 10**4)  # 2**bits is Python's own number: one of a billion bits takes a while
            if attempt(lambda: setattr(part(model), name, junk)):
                use(model)
        if attempt(lambda: delattr(part(model), name)):
            use(model)

def spoil(kind, part):
    # What an array that can be had allows to be done to it, in place.
    for name in attributes(part(made(kind))):
        model = made(kind)
        for what in (
            lambda a: a.__setitem__(Ellipsis, np.nan), lambda a: a.__setitem__(Ellipsis, 1e30),
            lambda a: a.__setitem__(Ellipsis, -1), lambda a: setattr(a, "shape", (-1,)),
            lambda a: a.resize(1, refcheck=False), lambda a: setattr(a, "dtype", np.uint8),
            lambda a: setattr(a, "strides", (0,) * a.ndim), lambda a: a.sort(),
        ):
            if attempt(lambda: what(getattr(part(model), name))):
                use(model)

def call_every(kind, part):
    for name in attributes(part(made(kind))):
        model = made(kind)
        for arguments in [(junk,) * n for junk in JUNK for n in range(3)]:
            attempt(lambda: getattr(part(model), name)(*arguments))
        use(model)

PARTS = {"model": lambda m: m, "table": lambda m: m.table, "shared": lambda m: m.shared}
how, kind, part, place = sys.argv[1:]
os.chdir(place)  # models are saved under names of junk, too
{"set": set_every, "spoil": spoil, "call": call_every}[how](kind, PARTS[part])
print("alive")
"""


@pytest.mark.sampled(2)
@pytest.mark.parametrize("how", ["set", "spoil", "call"])
@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("eight", "model"),
        ("one", "table"),
        ("crossed", "table"),
        ("attached", "model"),
        ("attached", "shared"),
    ],
)
def test_the_process_lives(tmp_path: Path, how: str, kind: str, part: str) -> None:
    printed, said = tmp_path / "stdout", tmp_path / "stderr"
    for stream in (printed, said):
        stream.touch()
    child = fork_server().fork(
        "fork_server:run_program",
        ["/dev/null", printed, said],
        program=CHILD,
        arguments=[how, kind, part, str(tmp_path)],
    )
    assert child.run() == 0, said.read_text()[-2000:]
    assert printed.read_text().splitlines()[-1] == "alive"


def test_a_batch_stays_what_was_checked() -> None:
    indptr, values = np.array([0, 2]), np.array([1.0, 2.0], np.float32)
    batch = Batch(indptr, [1, 2], values, [1])
    for array in (batch.indptr, batch.indices, batch.values, batch.labels, batch.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9  # type: ignore[index]
    indptr[1] = 10**9
    assert batch.indptr[1] == 2
