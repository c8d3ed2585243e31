"""A model's outputs by this project's own handlers, in float64."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray

from onnx_si.domains.as_typed import values_as_typed
from onnx_si.errors import InputError, WrongType
from onnx_si.graph import Loadable, as_model
from onnx_si.ground.words import shown
from onnx_si.program.program import bind
from onnx_si.rules.rules import Disputed

NOTHING = ""  # the name of no tensor: every input is a constant


def evaluate(model: Loadable, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    """Evaluate a model without onnxruntime.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
    inputs : mapping of str to array
        A value for every input; the first floating-point one (else the first of numbers) is carried through
        the handlers, the others are constants.

    Returns
    -------
    dict of str to float64 array
        Every declared output; truth values and integers as numbers, text as an array of strings.

    Raises
    ------
    InputError
        If an input has no value, or one that is no real number (or text).
    UnsupportedOp
        If an output needs a node that has no handler.

    Warns
    -----
    RuntimeWarning
        Of a node that runtimes compute otherwise than the ONNX package's own cases, which are followed.
    """
    model = as_model(model)
    if not isinstance(inputs, Mapping):
        raise WrongType(f"inputs: a value for each input by its name, not {shown(inputs)}")
    declared = {value.name: value.type for value in model.proto.graph.input}
    names = [info.name for info in model.inputs]
    missing, strange = sorted(set(names) - inputs.keys()), sorted(inputs.keys() - declared.keys())
    if missing or strange or not names:
        raise InputError(
            f"inputs without a value: {missing}, values without an input: {strange}; inputs: {names}"
        )
    arrays = {name: _numbers(value, name, declared[name]) for name, value in inputs.items()}
    numeric = [info.name for info in model.inputs if info.type != "string"]
    carried = next((info.name for info in model.inputs if info.is_floating), next(iter(numeric), NOTHING))
    given = {name: value for name, value in arrays.items() if name != carried}
    outputs = tuple(info.name for info in model.outputs)
    image = np.asarray(inputs.get(carried, 0.0))
    program = bind(model, image, outputs, input_name=carried, given=given)
    program.require_values()
    for step in program.evaluation:
        if isinstance(step.rule, Disputed):
            message = f"node '{step.node}' ({step.op}): {step.rule.reason}"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
    values = values_as_typed(program, image)
    return {name: _spelled(values[name], program.words.get(name)) for name in outputs}


def _spelled(value: NDArray[np.float64], words: tuple[str, ...] | None) -> NDArray[Any]:
    """A copy of an output; of text, its words."""
    return np.array(value) if words is None else np.array(words, dtype=object)[value.astype(np.intp)]


def _numbers(values: ArrayLike, name: str, declared: onnx.TypeProto) -> NDArray[Any]:
    """A value in the type of its input."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"the value of '{name}' is no array ({error}); only tensors are inputs") from error
    kind = declared.tensor_type.elem_type or onnx.TensorProto.FLOAT
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
    if kind == onnx.TensorProto.STRING and all(isinstance(value, str) for value in array.flat):
        return array.astype(object)
    if dtype.kind in "OSUc" or (array.dtype != dtype and array.dtype.kind not in "iubf"):
        raise InputError(
            f"the input '{name}' takes {dtype}, its value is {array.dtype}; only real numbers (or text) fit"
        )
    if dtype.kind in "iub" and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise InputError(f"the input '{name}' takes {dtype}, its value is {array.dtype}; convert it")
    return array.astype(dtype)
