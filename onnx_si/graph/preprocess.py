"""Affine preprocessing as part of the graph, so that noise stays in the image file's own units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import UsageError
from onnx_si.graph import Editor, Model
from onnx_si.graph.inline import renamed
from onnx_si.ground.layout import Layout

CLIP_BY_INPUTS = 11  # opset from which on a Clip's limits are inputs


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """model input = (resized image * scale - mean) / std, mean and std for all channels or one each.

    With a window (centre, width) the image is clipped to it before all else.

    `resize` has a matrix (new size, old size) for every axis whose size changes.
    """

    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    window: tuple[float, ...] | None = None
    resize: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.resize) or {self.scale, self.mean, self.std, self.window} != {None}


def applied(steps: Preprocessing, image: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The preprocessing outside the model, in the image's own precision: what the file itself is given."""

    def values(numbers: tuple[float, ...]) -> NDArray[Any]:
        shape = [1] * image.ndim
        if len(numbers) > 1 and layout.channel_axis is not None:
            shape[layout.channel_axis] = len(numbers)
        return np.array(numbers, image.dtype).reshape(shape)

    result = image
    if steps.window is not None:
        result = np.clip(result, *(values((end,)) for end in ends(steps.window)))
    for axis, matrix in steps.resize.items():
        result = np.moveaxis(np.moveaxis(result, axis, -1) @ matrix.T.astype(image.dtype), -1, axis)
    if steps.scale is not None:
        result = result * values((steps.scale,))
    if steps.mean is not None:
        result = result - values(steps.mean)
    if steps.std is not None:
        result = result / values(steps.std)
    return result


def ends(window: tuple[float, ...]) -> tuple[float, float]:
    """What a window of centre and width clips to."""
    centre, width = window
    return centre - width / 2, centre + width / 2


def with_preprocessing(model: Model, input_name: str, layout: Layout, steps: Preprocessing) -> Model:
    """Prepend the preprocessing; the new model's input has the same name and takes the raw image.

    Raises
    ------
    UsageError
        If a factor is zero or not finite, or the number of values is neither one nor that of the channels.
    """
    if not steps or steps == Preprocessing(scale=1.0):
        return model
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    editor = Editor(model.with_proto(proto))
    inner = editor.fresh("preprocessed")
    for node in editor.proto.graph.node:
        node.CopyFrom(renamed(node, {input_name: inner}))  # branches and loop bodies read it by name
    original = list(editor.proto.graph.node)
    declared = next(v for v in editor.proto.graph.input if v.name == input_name)
    dims = [d.dim_value for d in declared.type.tensor_type.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(declared.type.tensor_type.elem_type)
    channels = dims[layout.channel_axis] if layout.channel_axis is not None else 1

    def values(name: str, numbers: tuple[float, ...]) -> str:
        if len(numbers) not in (1, channels or len(numbers)) or not np.isfinite(numbers).all():
            raise UsageError(f"{name} {numbers}; give one number, or one for each of the {channels} channels")
        shape = [1] * len(dims)
        if len(numbers) > 1 and layout.channel_axis is not None:
            shape[layout.channel_axis] = len(numbers)
        try:
            stored = np.array(numbers, dtype).reshape(shape)
        except (OverflowError, ValueError) as error:
            raise UsageError(f"{name} {numbers}; the model's input is {dtype}, which does not") from error
        return editor.constant(stored)

    tensor = input_name
    if steps.window is not None:
        low, high = ends(steps.window)
        if model.opset < CLIP_BY_INPUTS:
            tensor = editor.add("Clip", [tensor], min=low, max=high)
        else:
            limits = [editor.constant(np.array(end, dtype)) for end in (low, high)]
            tensor = editor.add("Clip", [tensor, *limits])
    for axis, matrix in steps.resize.items():
        declared.type.tensor_type.shape.dim[axis].dim_value = matrix.shape[1]
        order = [a for a in range(len(dims)) if a != axis] + [axis]
        moved = editor.add("Transpose", [tensor], perm=order)
        resized = editor.add("MatMul", [moved, editor.constant(matrix.T.astype(dtype))])
        tensor = editor.add("Transpose", [resized], perm=[order.index(a) for a in range(len(dims))])
    if steps.scale is not None:
        if not steps.scale:
            raise UsageError("scale 0 makes every image the same")
        tensor = editor.add("Mul", [tensor, values("scale", (steps.scale,))])
    if steps.mean is not None:
        tensor = editor.add("Sub", [tensor, values("mean", steps.mean)])
    if steps.std is not None:
        if not all(steps.std):
            raise UsageError(f"std {steps.std}; zero is not allowed")
        tensor = editor.add("Div", [tensor, values("std", steps.std)])
    editor.add("Identity", [tensor], output=inner)
    added = list(editor.proto.graph.node)[len(original) :]
    del editor.proto.graph.node[:]
    editor.proto.graph.node.extend([*added, *original])
    return editor.finish()
