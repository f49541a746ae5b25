"""A model as a file of ONNX; where it is too large for one, as two."""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from nonzero import LogisticRegression, __version__
from nonzero.errors import InputError
from nonzero.export.onnx_graph import OPSET, predicting
from nonzero.export.onnx_import import import_onnx
from nonzero.export.onnx_nodes import Nodes

IR_VERSION: Final = 7
"""Of the file, as it was when its operators were new."""

LARGEST: Final = 2**31 - 2**20
"""Bytes of constants in a file at most: a message of Protocol Buffers has less than 2 GB."""

SMALL: Final = 1 << 12
"""Bytes of a constant that always stands in the file itself."""

_DOCUMENTATION: Final = (
    "Click probabilities. indices: the whole hash of each feature's name, or a slot. values: 0 is padding. "
    "fields, where it is an input: the number of each feature's field, 0 for none. Products of interactions "
    "must be among the features. See docs/export.md of Nonzero."
)


class ONNXFile:
    """A model, ready to be written.

    Parameters
    ----------
    model
        The model.
    largest
        Bytes of constants beyond which the larger ones stand in a file of their own. None: as many as one
        file has room for.

    Attributes
    ----------
    digest
        The model's.
    beside
        Bytes of the file beside; 0 where everything is in one.

    Raises
    ------
    MissingONNXError
        Where the package onnx is not installed.
    """

    def __init__(self, model: LogisticRegression, largest: int | None = None) -> None:
        self._onnx = import_onnx()
        self._largest = LARGEST if largest is None else largest
        self._nodes = Nodes(self._onnx)
        self._settings = json.dumps(model.settings)
        self.digest = model.digest()
        predicting(self._nodes, model, model.formula())
        arrays = self._nodes.arrays
        whole = sum(array.nbytes for array in arrays.values())
        self._outside = {
            name: array for name, array in arrays.items() if whole > self._largest and array.nbytes > SMALL
        }
        self.beside = sum(array.nbytes for array in self._outside.values())

    opset: Final = OPSET
    """The version of the operators in it."""

    def write(self, file: BinaryIO, beside: str = "") -> None:
        """Write the graph, and with it all constants that do not stand in a file of their own.

        Parameters
        ----------
        file
            To write to.
        beside
            The name of that file, which is looked for in the same directory.

        Raises
        ------
        InputError
            Where there must be one, and it has no name.
        """
        if self.beside and not beside:
            raise InputError(
                f"the model has {self.beside:,} bytes of large constants, and one file of ONNX has room for "
                f"{self._largest:,}; write it to a file whose name ends in .onnx, which gets a second one"
            )
        helper, offset, constants = self._onnx.helper, 0, []
        for name, array in self._nodes.arrays.items():
            if name in self._outside:
                constants.append(self._reference(name, array, beside, offset))
                offset += array.nbytes
            else:
                constants.append(self._onnx.numpy_helper.from_array(array, name))
        graph = self._nodes.graph("nonzero", constants)
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="nonzero",
            producer_version=__version__,
            doc_string=_DOCUMENTATION,
        )
        helper.set_model_props(made, {"digest": self.digest, "settings": self._settings})
        file.write(made.SerializeToString())

    def write_beside(self, file: BinaryIO) -> None:
        """Write the constants that stand in a file of their own."""
        for array in self._outside.values():
            file.write(np.ascontiguousarray(array).data)

    def _reference(self, name: str, array: NDArray[Any], place: str, offset: int) -> Any:
        """Return a tensor whose numbers stand elsewhere."""
        tensor = self._onnx.TensorProto(name=name, dims=array.shape)
        tensor.data_type = self._onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.data_location = self._onnx.TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", str(offset)), ("length", str(array.nbytes))):
            tensor.external_data.add(key=key, value=value)
        return tensor
