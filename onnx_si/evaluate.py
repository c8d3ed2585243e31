"""A model's outputs by this project's own handlers, in float64."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onnx_si.errors import InputError
from onnx_si.graph import Model
from onnx_si.line.program import bind


def evaluate(model: Model, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Evaluate a model without onnxruntime.

    Parameters
    ----------
    model : Model
    inputs : mapping of str to array
        A value for every input; the first floating-point one is carried through the handlers, the others
        are constants.

    Returns
    -------
    dict of str to float64 array
        Every declared output; truth values and integers as numbers.

    Raises
    ------
    InputError
        If an input has no value, or one that is no real number.
    UnsupportedOp
        If an output needs a node that has no handler.
    """
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    names = [info.name for info in model.inputs]
    missing = [name for name in names if name not in arrays]
    if missing or not arrays:
        raise InputError(f"no value for the inputs {missing}; given were {sorted(arrays)}")
    texts = [name for name in names if arrays[name].dtype.kind in "OSUTc"]
    if texts:
        raise InputError(
            f"the inputs {texts} hold {arrays[texts[0]].dtype}; only real numbers can be evaluated"
        )
    carried = next((name for name in names if arrays[name].dtype.kind == "f"), names[0])
    given = {name: value for name, value in arrays.items() if name != carried}
    outputs = tuple(info.name for info in model.outputs)
    program = bind(model, arrays[carried], outputs, input_name=carried, given=given)
    program.require_values()
    return {name: program.values[name] for name in outputs}
