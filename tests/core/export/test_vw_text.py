"""VW text of a model: weights that add up, in the form that Vowpal Wabbit itself writes."""

from __future__ import annotations

import importlib.util
import io
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.export.models import CLOSE, model_of
from core.streams import random_batch
from nonzero import FTRL, AdaGrad, DualAveraging, LogisticRegression, formats
from nonzero.export.slot_names import SlotNames
from nonzero.export.vw_text import left_out, write_vw
from nonzero.formats.named_rows import read_named
from nonzero.kernels.rules.optimizers import Rule

PAGE = Path(__file__).parents[3] / "docs/export.md"
needs_vowpal = pytest.mark.skipif(
    importlib.util.find_spec("vowpalwabbit") is None,
    reason="vowpalwabbit is not installed; make soak installs it",
)
HEAD = 11
LOG = b"1 |site news |bid b:0.5\n-1 |site blog | plain x:3\n1 |site news | plain |num 4:2\n"


def text_of(model: LogisticRegression, names: SlotNames | None = None, top: int | None = None) -> list[str]:
    file = io.BytesIO()
    write_vw(model, file, names, top)
    return file.getvalue().decode().splitlines()


def weights_in(lines: list[str]) -> dict[str, float]:
    """Read what users' scripts read: the last two parts of each line behind the head."""
    assert re.fullmatch(r":\d", lines[HEAD - 1])
    return {name: float(weight) for name, weight in (line.rsplit(":", 1) for line in lines[HEAD:])}


@pytest.mark.parametrize("rule", [AdaGrad(0.5), FTRL(l1=0.5), DualAveraging()], ids=lambda rule: rule.name)
def test_of_one_lane_the_sum_is_the_models(rule: Rule) -> None:
    model = LogisticRegression(bits=8, optimizer=rule)
    model.learn(random_batch(0, slots=2**8))
    weights = weights_in(text_of(model))
    batch = random_batch(1, n=100, slots=2**8)
    values = batch.explicit_values()
    for r, p in enumerate(model.predict(batch).tolist()):
        span = range(batch.indptr[r], batch.indptr[r + 1])
        margin = weights["256"] + sum(weights.get(str(batch.indices[j]), 0) * values[j] for j in span)
        assert 1 / (1 + math.exp(-margin)) == pytest.approx(p, rel=0, abs=CLOSE)
    assert [*left_out(model)] == []


def test_of_eight_lanes_weights_are_averaged_and_that_is_said() -> None:
    model = model_of("default, by name")
    weights = weights_in(text_of(model))
    assert {int(slot): np.float32(weight) for slot, weight in weights.items()} == {
        slot: pytest.approx(model.weights[slot], abs=1e-6) for slot in np.flatnonzero(model.weights)
    }
    said = [*left_out(model), *left_out(model_of("default, recalibrated"))]
    assert [
        sum(what in line for line in said) for what in ("eight lanes", "root mean square", "the map")
    ] == [2, 2, 1]
    assert len([*left_out(LogisticRegression(bits=4))]) == 1


def test_the_largest_alone() -> None:
    model = model_of("default")
    largest = np.argsort(-np.abs(model.weights[:-1]))[:3]
    assert set(weights_in(text_of(model, top=3))) == {*map(str, largest.tolist()), "1024"}


def named(model: LogisticRegression, log: bytes) -> list[str]:
    names = SlotNames(model, np.arange(2**model.bits))
    for found in read_named([log], formats.reader("vw", schema=model.schema)):
        names.look(found.rows)
    return text_of(model, names)


def learned(log: bytes, **settings: object) -> LogisticRegression:
    model = LogisticRegression(bits=18, optimizer=AdaGrad(), **settings)  # type: ignore[arg-type]
    model.learn(formats.parse(log, "vw", schema=model.schema))
    return model


def test_names_are_words() -> None:
    model = learned(b"1 |url http=//a|b% x^y*z\xc3\xbc\n".replace(b"|b%", b"%b"))
    names = {line.rsplit(":", 2)[0] for line in named(model, b"1 |url http=//a%b x^y*z\xc3\xbc\n")[HEAD:]}
    assert names == {"url^http=//a%25b", "url^x%5Ey%2Az\xfc", "Constant"}


def test_features_that_share_a_slot_have_a_line_each() -> None:
    model = LogisticRegression(bits=1, optimizer=AdaGrad(), schema={})
    log = b"1 |s a b c d\n"
    model.learn(formats.parse(log, "vw"))
    lines = named(model, log)[HEAD:-1]
    assert sorted(line.split(":")[0] for line in lines) == ["s^a", "s^b", "s^c", "s^d"]
    assert len({line.split(":")[1] for line in lines}) <= 2


def vowpal(directory: Path, log: bytes, *options: str) -> tuple[list[str], list[str]]:
    """Let Vowpal Wabbit write its readable model and its inverted hashes."""
    (directory / "log.vw").write_bytes(log)
    said = (
        f"-d {directory}/log.vw --loss_function logistic --link logistic -b 18 --predict_only_model --quiet "
        f"--readable_model {directory}/readable --invert_hash {directory}/inverted {' '.join(options)}"
    )
    program = "import sys; from vowpalwabbit import Workspace; Workspace(sys.argv[1]).finish()"
    subprocess.run([sys.executable, "-c", program, said], check=True, capture_output=True)
    readable, inverted = ((directory / name).read_text().splitlines() for name in ("readable", "inverted"))
    return readable, inverted


@needs_vowpal
def test_vowpal_wabbit_writes_the_same_head_and_lines_of_the_same_form(tmp_path: Path) -> None:
    model = learned(LOG)
    readable, inverted = vowpal(tmp_path, LOG)
    for ours, theirs in ((text_of(model), readable), (named(model, LOG), inverted)):
        heads = [
            [line for line in lines[:HEAD] if not line.startswith("Checksum: ")] for lines in (ours, theirs)
        ]
        assert heads[0] == heads[1]
        weights = [weights_in(lines) for lines in (ours, theirs)]
        parts = [[name.count(":") for name in one] for one in weights]
        assert parts[0] == parts[1]


@needs_vowpal
@pytest.mark.parametrize(
    ("interactions", "options"), [([], []), (["site*num"], ["-q", "sn"])], ids=["features", "products"]
)
def test_vowpal_wabbit_names_features_alike(
    tmp_path: Path, interactions: list[str], options: list[str]
) -> None:
    model = learned(LOG, interactions=interactions)
    _, inverted = vowpal(tmp_path, LOG, *options)
    names = [
        {name.rsplit(":", 1)[0] for name in weights_in(lines)} for lines in (named(model, LOG), inverted)
    ]
    assert names[0] == names[1]
    assert ("site^news*num^4" in names[0]) == bool(interactions)


def test_the_head_is_that_of_the_page() -> None:
    block = PAGE.read_text().partition("    Version ")[2].partition("    :0\n")[0]
    assert "".join(f"    {line}\n" for line in text_of(learned(LOG))[: HEAD - 1]) == f"    Version {block}"
