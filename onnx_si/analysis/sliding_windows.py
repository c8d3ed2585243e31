"""Sliding windows: a model that takes a part of an image, as one that takes all of it."""

import numpy as np
import onnx

from onnx_si.analysis.padding import gaps_at
from onnx_si.errors import InputError, SaliencyUnavailable, UsageError
from onnx_si.graph import Model
from onnx_si.graph.window_copies import Output, Windows, in_windows
from onnx_si.ground.layout import Layout
from onnx_si.maps import View
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.trace import trace
from onnx_si.program.program import bind

MOST_NODES = 40_000  # of all windows together

Shape = tuple[int, ...]


def slid(
    model: Model,
    name: str,
    shape: Shape,
    layout: Layout,
    sides: tuple[int, ...],
    overlap: float,
    wanted: str | None = None,
) -> Model:
    """The model on windows of an image of a shape, its maps blended.

    Parameters
    ----------
    model : Model
    name : str
        Of the input.
    shape : tuple of int
        Of what the model is given of a whole image.
    layout : Layout
    sides : tuple of int
        Of a window, one for each axis of space or one for all.
    overlap : float
        Share of a window's side by which neighbours overlap.
    wanted : str, optional
        A tensor inside the model that is blended too.

    Raises
    ------
    UsageError, InputError
        If windows don't fit the image or the model, are too many, or no output is a map.
    """
    axes = layout.spatial_axes
    size = sides * len(axes) if len(sides) == 1 else sides
    if len(size) != len(axes):
        raise UsageError(f"--window-size {size}; give one side, or one for each of {len(axes)} axes of space")
    whole = layout.spatial_shape(shape)
    if any(side > full for side, full in zip(size, whole, strict=True)):
        raise InputError(f"--window-size {size} is larger than the image's {whole}; give a smaller one")
    _require_taken(model, name, axes, size)
    part = tuple(dict(zip(axes, size, strict=True)).get(axis, n) for axis, n in enumerate(shape))
    gaps = gaps_at(model, part)
    if gaps:
        raise InputError(
            f"--window-size {size} does not fit: node '{gaps[0].node}' ({gaps[0].op}): {gaps[0].reason}"
        )
    windows = Windows.over(whole, size, overlap)
    count = windows.number * len(model.proto.graph.node)
    if count > MOST_NODES:
        raise UsageError(
            f"{windows.number} windows of {len(model.proto.graph.node)} nodes are more than "
            f"{MOST_NODES} nodes: give a larger --window-size, or a smaller --overlap"
        )
    batch = layout.axes.index("N") if "N" in layout.axes else None
    return in_windows(model, name, axes, windows, _maps(model, part, layout, size, wanted), batch)


def _require_taken(model: Model, name: str, axes: Shape, size: Shape) -> None:
    declared = next(info.shape for info in model.inputs if info.name == name) or ()
    fixed = [declared[axis] for axis in axes]
    if any(isinstance(have, int) and have != side for have, side in zip(fixed, size, strict=True)):
        raise InputError(f"--window-size {size}: the model takes images of {tuple(fixed)}, give that")


def _maps(model: Model, part: Shape, layout: Layout, size: Shape, wanted: str | None) -> dict[str, Output]:
    """The outputs, and the tensor that is wanted, that are a map of a window's own size.

    Raises
    ------
    UsageError
        If there is none.
    """
    names = tuple(info.name for info in model.outputs if info.is_floating)
    made = {tensor for node in model.proto.graph.node for tensor in node.output}
    if wanted in made - {info.name for info in model.outputs}:
        names = (*names, str(wanted))
    image = np.zeros(part)
    values, followed = bind(model, image, names).values, trace(model, image, names)
    types = {value.name: value.type.tensor_type.elem_type for value in model.proto.graph.output}
    found = {}
    for name in names:
        try:
            reading = read_tensor(values[name].shape, View(shape=part, layout=layout), followed.get(name))
        except (KeyError, SaliencyUnavailable):
            continue
        if reading.size == size:
            letters = reading.layout.axes
            places = tuple(letters.index(layout.axes[axis]) for axis in layout.spatial_axes)
            found[name] = Output(types.get(name, onnx.TensorProto.FLOAT), values[name].shape, places)
    if not found:
        raise UsageError("--window-size: no output of the model is a map of numbers over a window")
    return found
