"""A map that a tensor of the file is already, but for its type and shape: taken without a second session."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Cast = Callable[[NDArray[Any]], NDArray[Any]]
FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})


@dataclass(frozen=True)
class View:
    """What one tensor becomes: another type, then another shape (None: its own)."""

    casts: tuple[Cast, ...]
    shape: tuple[int, ...] | None

    def __call__(self, value: NDArray[Any]) -> NDArray[Any]:
        """Of the tensor."""
        return self._of(value, ())

    def of_each(self, stack: NDArray[Any]) -> NDArray[Any]:
        """Of each of several of them, stacked."""
        return self._of(stack, (len(stack),))

    def _of(self, value: NDArray[Any], before: tuple[int, ...]) -> NDArray[Any]:
        for cast in self.casts:
            value = cast(value)
        return value if self.shape is None else value.reshape(*before, *self.shape)


def view_of(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, onnx.TensorProto], start: str, end: str
) -> View | None:
    """What one tensor becomes on its way through nodes that change nothing but its type and shape.

    Parameters
    ----------
    nodes : sequence of NodeProto
        In their order.
    constants : dict
    start, end : str

    Returns
    -------
    callable or None
        None where a node does more, or asks for a part of another shape.
    """
    casts, shape, name = list[Cast](), None, start
    for node in nodes:
        if node.domain not in ("", "ai.onnx") or node.input[0] != name:
            return None
        match node.op_type:
            case "Identity":
                pass
            case "Cast":
                cast = _cast(node)
                if cast is None:
                    return None
                casts.append(cast)
            case "Reshape" if node.input[1] in constants:
                shape = tuple(int(size) for size in numpy_helper.to_array(constants[node.input[1]]).tolist())
                if min(shape, default=1) <= 0:  # 0 and -1 ask for parts of the other shape
                    return None
            case _:
                return None
        name = node.output[0]
    return View(tuple(casts), shape) if name == end else None


def _cast(node: onnx.NodeProto) -> Cast | None:
    """To single or double precision: there every runtime rounds alike."""
    to = next((int(a.i) for a in node.attribute if a.name == "to"), None)
    if to not in FLOATS:
        return None
    kind = helper.tensor_dtype_to_np_dtype(to)

    def cast(value: NDArray[Any]) -> NDArray[Any]:
        if value.dtype == kind:
            return value
        with np.errstate(over="ignore"):  # infinite then, as in the runtime
            return np.asarray(value, kind)

    return cast
