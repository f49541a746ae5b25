"""A graph of ONNX in the making: its inputs, constants, nodes and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Nodes:
    """What a graph is made of; each method returns the name of a value.

    Parameters
    ----------
    onnx
        The package.

    Attributes
    ----------
    arrays
        The constants by name.
    """

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._nodes: list[Any] = []
        self.arrays: dict[str, NDArray[Any]] = {}

    def input(self, name: str, dtype: DTypeLike, shape: Sequence[str]) -> str:
        """Add an input, whose dimensions have names."""
        self._inputs.append(self._onnx.helper.make_tensor_value_info(name, self._type(dtype), shape))
        return name

    def output(self, name: str, value: str) -> None:
        """Make a value of one dimension, float32[rows], an output; it gets the name."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        info = self._onnx.helper.make_tensor_value_info(name, self._type(np.float32), ["rows"])
        self._outputs.append(info)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, array: NDArray[Any] | np.generic, name: str | None = None) -> str:
        """Add a constant."""
        name = name or f"constant_{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(array).reshape(np.shape(array))
        return name

    def number(self, value: float) -> str:
        """Add a float64."""
        return self.constant(np.float64(value))

    def axes(self, axis: int) -> str:
        """Add a list of one axis."""
        return self.constant(np.array([axis], np.int64))

    def columns(self, value: str, start: int, stop: int) -> str:
        """Return some columns of a matrix."""
        return self.op("Slice", value, self.axes(start), self.axes(stop), self.axes(1))

    def float32(self, value: str) -> str:
        """Round to float32."""
        return self.op("Cast", value, to=self._type(np.float32))

    def float64(self, value: str) -> str:
        """Widen to float64."""
        return self.op("Cast", value, to=self._type(np.float64))

    def graph(self, name: str, constants: Sequence[Any]) -> Any:
        """Return the graph, with its constants as tensors.

        Parameters
        ----------
        name
            The graph's.
        constants
            A tensor for each of `arrays`.
        """
        return self._onnx.helper.make_graph(self._nodes, name, self._inputs, self._outputs, constants)

    def _type(self, dtype: DTypeLike) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
