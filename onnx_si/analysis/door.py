"""What a model is given beside the image: values of its other inputs, copies for a batch of fixed size."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import InputError, UnsupportedModel, UsageError
from onnx_si.graph import Model, TensorInfo
from onnx_si.graph.doorway import around, repeated, with_constants
from onnx_si.ground.budget import excess
from onnx_si.ground.files import read_arrays
from onnx_si.ground.layout import Layout, with_sizes
from onnx_si.ground.words import did_you_mean
from onnx_si.maps.trace import input_layout
from onnx_si.runtime.session import Deployed, input_type

OTHERS = 2  # batches whose other images are noise, against the one of copies
SAME = 1e-4  # share of its largest value by which an output may differ in a batch
FREE_SIZE = 64
COPIES = 4  # of a batch that are held at the same time
Array = NDArray[Any]


def with_inputs(model: Model, given: Mapping[str, Any] | None) -> Model:
    """The model with values of inputs beside the image as constants.

    Parameters
    ----------
    model : Model
    given : mapping of str to number, array, text or path, or None
        A text is numbers separated by commas, or the path of a .npy file.

    Raises
    ------
    UsageError, InputError
        If there is no such input, nothing is left for the image, or a value does not fit.
    """
    if not given:
        return model
    declared = {info.name: info for info in model.inputs}
    for name in given:
        if name not in declared:
            raise UsageError(
                f"input {name}: no such input{did_you_mean(name, declared)}; the model has {list(declared)}"
            )
    if len(given) == len(declared):
        raise UsageError(
            f"input {', '.join(given)}: these are all inputs of the model; one must be the image"
        )
    return with_constants(model, {name: _value(declared[name], value) for name, value in given.items()})


def _value(info: TensorInfo, given: Any) -> Array:
    """A value in the type and shape of its input."""
    array = _array(info.name, given)
    element = onnx.TensorProto.DataType.keys()
    known = info.type.upper() in element
    kind = onnx.TensorProto.DataType.Value(info.type.upper()) if known else onnx.TensorProto.STRING
    if array.dtype.kind not in "biuf" or kind == onnx.TensorProto.STRING:
        raise InputError(f"input '{info.name}' is {info.type}; only numbers can be given")
    made = array.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    if made.dtype.kind in "biu" and not np.array_equal(made.astype(np.float64), array.astype(np.float64)):
        raise InputError(f"input '{info.name}' takes {info.type}; the value given is none")
    return _shaped(info, made)


def is_file(given: Any) -> bool:
    """Whether an input's value is told by a file: a path, or a text that is no numbers."""
    return isinstance(given, os.PathLike) or (isinstance(given, str) and _numbers(given) is None)


def _numbers(text: str) -> Array | None:
    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError:
        return None


def _array(name: str, given: Any) -> Array:
    if isinstance(given, str) and (stated := _numbers(given)) is not None:
        return stated
    if is_file(given):
        found = read_arrays(given)
        if isinstance(found, dict):
            if len(found) != 1:
                raise InputError(f"{given}: holds {len(found)} arrays; the input '{name}' takes one")
            (found,) = found.values()
        return found
    return np.asarray(given)


def _shaped(info: TensorInfo, array: Array) -> Array:
    """In the declared shape; one number fills it, and a row of as many as it has is laid out in it."""
    wanted = info.shape
    if wanted is None:
        return array
    if array.ndim == len(wanted) and all(
        not isinstance(want, int) or want == have for want, have in zip(wanted, array.shape, strict=True)
    ):
        return array
    full = tuple(size if isinstance(size, int) else 1 for size in wanted)
    if array.size == 1:
        return np.full(full, array.reshape(-1)[0])
    if array.ndim == 1 and array.size == np.prod(full):
        return array.reshape(full)
    raise InputError(f"input '{info.name}' has shape {wanted}, its value {array.shape}; give one that fits")


def one_image(model: Model, wanted: str | None, sizes: Mapping[str, int]) -> tuple[Model, Layout | None, str]:
    """A model that takes a fixed number of images at a time as one that takes one, how its input is read, and
    what to tell of it.

    The image is repeated in front, and the first of each output is read.

    Parameters
    ----------
    model : Model
    wanted : str or None
        The layout that the user asked for.
    sizes : mapping of str to int
        Of free axes.

    Raises
    ------
    UnsupportedModel
        If an output for one image depends on the others, or that can't be found out.
    """
    info = model.inputs[0] if len(model.inputs) == 1 else None
    if info is None or not info.shape:
        return model, None, ""
    layout = input_layout(model, info, wanted)
    count = info.shape[0]
    if not layout.axes.startswith("N") or not isinstance(count, int) or count <= 1:
        return model, None, ""
    outputs = _each_alone(model, info, layout, sizes, count)
    shape = (1, *info.shape[1:])
    made = around(model, info.name, shape, repeated(count), {name: {0: 1} for name in outputs})
    return (
        made,
        layout,
        f"batch of {count}: the model takes so many images; the image is repeated, the first one read",
    )


def _each_alone(
    model: Model, info: TensorInfo, layout: Layout, sizes: Mapping[str, int], count: int
) -> list[str]:
    """The outputs that have a part for each image; found out in the runtime, with other images beside it."""
    shape = tuple(
        size if isinstance(size, int) else FREE_SIZE for size in with_sizes(info.shape or (), layout, sizes)
    )
    if why := excess(COPIES * 8 * math.prod(shape)):
        raise UnsupportedModel(f"the model takes {count} images at a time, of shape {shape}: {why}")
    whole = not issubclass(input_type(model, info.name), np.floating)
    names = tuple(output.name for output in model.outputs)
    rng = np.random.default_rng(0)

    def drawn() -> Array:
        values = rng.normal(size=shape)
        return np.rint(np.clip(64 + 20 * values, 0, 127)) if whole else values

    runtime, first = Deployed(Model(proto=model.file), info.name, names), drawn()[:1]
    alone = runtime.run(np.repeat(first, count, axis=0))
    parts = [name for name, value in zip(names, alone, strict=True) if value.ndim and len(value) == count]
    for _ in range(OTHERS):
        mixed = runtime.run(np.concatenate([first, drawn()[1:]]))
        for name, own, other in zip(names, alone, mixed, strict=True):
            if name in parts and not np.allclose(
                own[0], other[0], rtol=0, atol=SAME * float(np.abs(own).max(initial=0.0)), equal_nan=True
            ):
                raise UnsupportedModel(
                    f"the model takes {count} images at a time, and its output '{name}' for one depends on "
                    "the others; export it with a batch of one, or after model.eval()"
                )
    if not parts:
        raise UnsupportedModel(
            f"the model takes {count} images at a time, and no output has a part for each; export it with a "
            "batch of one, or a free one"
        )
    return parts


def at_door(
    model: Model, inputs: Mapping[str, Any] | None, layout: str | None, sizes: Mapping[str, int] | None
) -> "Door":
    """The model as one that takes one image and nothing else."""
    made, read_as, told = one_image(with_inputs(model, inputs), layout, sizes or {})
    return Door(made, read_as, (told,) if told else ())


@dataclass(frozen=True)
class Door:
    """A model that takes one image; how its input is read, where that was told by the file itself and its
    graph has changed; what to tell.
    """

    model: Model
    layout: Layout | None = None
    told: tuple[str, ...] = ()
