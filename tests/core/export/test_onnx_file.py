"""ONNX: onnxruntime predicts what the model does. It needs onnx and onnxruntime."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.export.models import CLOSE, MODELS, model_of, named_rows, rows_for
from nonzero import AdaGrad, Batch, LogisticRegression, formats
from nonzero.errors import InputError
from nonzero.export.golden import random_rows
from nonzero.export.onnx_file import ONNXFile
from nonzero.export.onnx_graph import OPSET, inputs_of
from nonzero.export.onnx_import import MissingONNXError
from real_data import unpacked

PAGE = Path(__file__).parents[3] / "docs/export.md"


@pytest.fixture
def onnx() -> Any:
    return pytest.importorskip("onnx", reason="onnx is not installed: pip install 'nonzero-ctr[onnx]'")


@pytest.fixture
def runtime(onnx: Any) -> Any:  # noqa: ARG001 - what it runs is made by onnx
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install onnxruntime")


def written(model: LogisticRegression) -> bytes:
    file = io.BytesIO()
    ONNXFile(model).write(file)
    return file.getvalue()


def predicted(runtime: Any, model: LogisticRegression, batch: Batch) -> Any:
    session = runtime.InferenceSession(written(model))
    return session.run(["probability"], inputs_of(model, batch))[0]


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_predicts_what_the_model_does(runtime: Any, name: str) -> None:
    """Rows without features, with one twice, unseen ones, a value of 0; new models, and weights of 0."""
    model = model_of(name)
    batch = rows_for(model)
    found = predicted(runtime, model, batch)
    assert (found.dtype, found.shape) == (np.float32, (len(batch),))
    assert np.abs(found - model.predict(batch)).max() <= CLOSE


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_is_one_of_its_opset(onnx: Any, name: str) -> None:
    made = onnx.load_from_string(written(model_of(name)))
    onnx.checker.check_model(made, full_check=True)
    assert [(one.domain, one.version) for one in made.opset_import] == [("", OPSET)]
    assert {node.domain for node in made.graph.node} == {""}
    assert {one.key: one.value for one in made.metadata_props}["digest"] == model_of(name).digest()


@pytest.mark.parametrize(("name", "form"), [("criteo_attribution.csv.gz", "csv"), ("rcv1_small.vw.gz", "vw")])
def test_of_real_data(runtime: Any, name: str, form: str) -> None:
    lines = unpacked(name).splitlines(keepends=True)[:5000]
    batch = formats.parse(b"".join(lines), form)
    for model in (LogisticRegression(bits=18), LogisticRegression(bits=18, optimizer=AdaGrad())):
        model.learn(batch)
        rows = batch.rows(0, min(len(batch), 1000))
        assert np.abs(predicted(runtime, model, rows) - model.predict(rows)).max() <= CLOSE


def test_both_answers_are_outputs_and_the_gate_says_which_is_given(runtime: Any) -> None:
    for name, answer in (("default", "restricted"), ("open gate", "free")):
        model = model_of(name)
        session = runtime.InferenceSession(written(model))
        assert [one.name for one in session.get_outputs()] == ["probability", "free", "restricted"]
        found = dict(
            zip(
                ("probability", "free", "restricted"),
                session.run(None, inputs_of(model, rows_for(model))),
                strict=True,
            )
        )
        assert (found["probability"] == found[answer]).all()
        assert (found["free"] != found["restricted"]).any()


def test_rows_may_be_none_and_have_no_width(runtime: Any) -> None:
    model = model_of("default")
    session = runtime.InferenceSession(written(model))
    [empty] = model.predict(Batch([0, 0], [])).tolist()
    for n, width in ((0, 3), (0, 0), (3, 0), (2, 2)):
        zeros = np.zeros((n, width), np.int64)
        inputs = {"indices": zeros, "fields": zeros, "values": zeros.astype(np.float32)}
        [found] = session.run(["probability"], inputs)
        assert found.tolist() == pytest.approx([empty] * n, abs=CLOSE)


def test_padding_is_whatever_has_the_value_0(runtime: Any) -> None:
    model = model_of("default, by name")
    session = runtime.InferenceSession(written(model))
    inputs = inputs_of(model, Batch.from_dicts(named_rows(20)[0]))
    wider = {
        name: np.pad(array, ((0, 0), (0, 5)), constant_values=array.max()) for name, array in inputs.items()
    }
    wider["values"][:, -5:] = 0
    [narrow], [wide] = (session.run(["probability"], one) for one in (inputs, wider))
    assert np.allclose(narrow, wide, atol=1e-7)


def test_what_is_too_large_stands_beside(onnx: Any, runtime: Any, tmp_path: Path) -> None:
    model = model_of("default, few slots of many")
    made = ONNXFile(model, largest=10_000)
    with pytest.raises(
        InputError, match=r"has 4,\d\d\d,\d\d\d bytes of large constants, .* gets a second one"
    ):
        made.write(io.BytesIO())
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        made.write(file, "model.onnx.data")
    with (tmp_path / "model.onnx.data").open("wb") as file:
        made.write_beside(file)
    assert path.stat().st_size < 20_000 < made.beside == (tmp_path / "model.onnx.data").stat().st_size
    onnx.checker.check_model(path, full_check=True)
    rows = random_rows(model, 100)
    [found] = runtime.InferenceSession(path).run(["probability"], inputs_of(model, rows))
    assert np.abs(found - model.predict(rows)).max() <= CLOSE


def test_touched_slots_alone_are_held_where_that_is_smaller(onnx: Any) -> None:
    sizes = {name: len(written(model_of(name))) for name in MODELS}
    slots = 2**20
    assert sizes["default, few slots of many"] < 4 * slots + 8 * 2**16 + 100_000
    names = {one.name for one in onnx.load_from_string(written(model_of("AdaGrad"))).graph.initializer}
    assert "table" in names
    assert "places" not in names


def test_the_block_of_the_page_runs(runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/export.md", "exec"), {"__name__": "page"})
    assert (tmp_path / "clicks.onnx").exists()


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        MissingONNXError, match=r"onnx, which is not installed: pip install 'nonzero-ctr\[onnx\]'"
    ):
        ONNXFile(model_of("new"))


def test_rows_are_padded_with_their_products() -> None:
    model = model_of("default, interactions")
    batch = Batch.from_dicts([{"site": "s1", "tags": ["t1", "t2"]}, {}])
    inputs = inputs_of(model, batch)
    whole = model.expanded(batch)
    assert inputs["indices"].shape == (2, whole.nnz) == (2, 3 + 2 + 1)
    assert inputs["indices"][0].tolist() == whole.indices.tolist()
    assert inputs["values"][1].tolist() == [0] * 6
    assert set(inputs) == {"indices", "values", "fields"}
    assert set(inputs_of(model_of("AdaGrad"), Batch([0, 0], []))) == {"indices", "values"}
