"""Saliency method `gradcam`: feature maps weighted by the score's mean gradient, as a graph transform."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable
from onnx_si.graph import Editor, Model, read_by
from onnx_si.ground.layout import Layout
from onnx_si.maps.appended import reshaped
from onnx_si.maps.backward import differentiate, has_gradient, reached
from onnx_si.maps.map import (
    SaliencyMap,
    View,
    in_image_order,
    name_map,
    resize_map,
    single_precision,
    weighted_channels,
)
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.scores import Scores, find_scores, seed
from onnx_si.maps.token_layer import token_layer
from onnx_si.maps.tokens import Row, features_of, on_grid
from onnx_si.maps.trace import channel_axes, trace
from onnx_si.program.program import Program
from onnx_si.rules.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The feature maps: their tensor, its shape, which of its axes holds the channels, and those of space in
    the image's order; `notes` say why it is this one where there are several. Of a tensor of tokens `row` is
    the axis that they stand on, `grid` their size in space.
    """

    tensor: str
    shape: tuple[int, ...]
    channel_axis: int
    space: tuple[int, ...]
    notes: tuple[str, ...] = ()
    row: Row | None = None
    grid: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """In space."""
        return self.grid or tuple(self.shape[axis] for axis in self.space)


def find_layer(model: Model, image: NDArray[np.float64], scores: Scores, view: View, name: str = "") -> Layer:
    """The tensor of a name, or the last one between image and scores that has channels and space.

    Which axis holds the channels follows from the ops in front: a convolution's second one does, and a
    Transpose moves it. Of several last ones, on branches side by side, it is the one with the most nodes in
    front of it, in whatever order the file has them.

    Raises
    ------
    SaliencyUnavailable
        If there is no such tensor, or two branches are alike.
    """
    program = scores.program
    flows = reached(model, program, scores.tensor, program.input)
    if not flows:
        raise SaliencyUnavailable(
            f"the scores '{scores.tensor}' only jump with the image: their gradient is zero; choose occlusion"
        )
    traced = trace(model, image, (scores.tensor,))
    channels = _channel_axes(flows, program, view, traced)
    if name:
        return _named(name, flows, channels, program, view, scores, traced)
    tokens = token_layer(flows, program, traced, scores.tensor, view)
    fitting = {
        tensor: layer
        for tensor, axis in channels.items()
        if tensor != scores.tensor and program.values[tensor].size > program.values[tensor].shape[axis]
        if (layer := _layer(tensor, program.values[tensor].shape, axis, view, traced)) is not None
    }
    if tokens is not None and fitting.keys() <= _in_front(flows, tokens):
        return _of_tokens(tokens, program, traced, view)
    if not fitting:
        raise SaliencyUnavailable(
            "no layer for Grad-CAM: between image and scores no convolution or pooling gives feature maps; "
            "name a tensor with gradcam:NAME, or choose gradient"
        )
    return _last(fitting, flows)


def _in_front(flows: Mapping[str, onnx.NodeProto], tensor: str) -> set[str]:
    """Every tensor that one is computed from."""
    found = {tensor}
    for name, node in reversed(list(flows.items())):
        if name in found:
            found.update(read_by(node))
    return found - {tensor}


def _of_tokens(tensor: str, program: Program, traced: Mapping[str, Axes], view: View) -> Layer:
    """Feature maps whose places stand in a row.

    Raises
    ------
    SaliencyUnavailable
        If they do not.
    """
    found = features_of(traced.get(tensor), view)
    if found is None:
        raise SaliencyUnavailable(f"'{tensor}' holds no row of tokens with channels")
    row, channel = found
    left_out = f"; {len(row.others)} tokens that are no place are left out" if len(row.others) else ""
    note = (f"its {row.length} tokens are put back on their grid{left_out}",)
    return Layer(
        tensor=tensor,
        shape=program.values[tensor].shape,
        channel_axis=channel,
        space=(),
        notes=note,
        row=row,
        grid=row.in_order(view)[0],
    )


def _layer(
    tensor: str, shape: tuple[int, ...], axis: int, view: View, traced: Mapping[str, Axes]
) -> Layer | None:
    """Feature maps, with their axes of space as the nodes tell; None where these are no image's."""
    space = tuple(a for a in range(1, len(shape)) if a != axis)
    if tensor not in traced:
        return Layer(tensor=tensor, shape=shape, channel_axis=axis, space=space)
    try:
        layout = read_tensor(shape, view, traced[tensor]).layout
    except SaliencyUnavailable:
        return None
    if layout.channel_axis != axis:
        return None
    return Layer(tensor=tensor, shape=shape, channel_axis=axis, space=in_image_order(layout))


def _last(fitting: Mapping[str, Layer], flows: Mapping[str, onnx.NodeProto]) -> Layer:
    """The layer that no other one is computed from; of several, the deepest."""
    depth: dict[str, int] = {}
    for tensor, node in flows.items():
        depth[tensor] = 1 + max((depth.get(name, 0) for name in read_by(node)), default=0)
    inside = set[str]()
    for tensor, node in reversed(list(flows.items())):
        if tensor in fitting or tensor in inside:
            inside.update(read_by(node))
    last = [tensor for tensor in fitting if tensor not in inside]
    deepest = [tensor for tensor in last if depth[tensor] == max(depth[other] for other in last)]
    if len(deepest) > 1:
        names = " and ".join(f"'{tensor}'" for tensor in sorted(deepest))
        raise SaliencyUnavailable(
            f"the branches {names} are equally deep, and each could be the layer of Grad-CAM: choose with "
            "gradcam:NAME"
        )
    (chosen,) = deepest
    others = ", ".join(f"'{tensor}'" for tensor in sorted(last) if tensor != chosen)
    note = f"layer '{chosen}': the deepest of {len(last)} branches; gradcam:NAME takes another ({others})"
    return replace(fitting[chosen], notes=(note,) if others else ())


def _named(
    name: str,
    flows: Mapping[str, onnx.NodeProto],
    channels: Mapping[str, int],
    program: Program,
    view: View,
    scores: Scores,
    traced: Mapping[str, Axes],
) -> Layer:
    if name not in flows or name == scores.tensor:
        known = ", ".join(f"'{tensor}'" for tensor in list(channels)[-5:])
        raise SaliencyUnavailable(
            f"'{name}' is no tensor between the image and the scores '{scores.tensor}' that a gradient flows "
            f"through{f'; the last feature maps are {known}' if known else ''}"
        )
    shape = program.values[name].shape
    layer = _layer(name, shape, channels[name], view, traced) if name in channels else None
    if layer is not None:
        return layer
    if features_of(traced.get(name), view) is not None:
        return _of_tokens(name, program, traced, view)
    layout = read_tensor(shape, view, traced.get(name)).layout
    if layout.channel_axis is None:
        raise SaliencyUnavailable(f"'{name}' of shape {shape} has no channels to be weighted")
    return Layer(tensor=name, shape=shape, channel_axis=layout.channel_axis, space=in_image_order(layout))


def _channel_axes(
    flows: Mapping[str, onnx.NodeProto], program: Program, view: View, traced: Mapping[str, Axes]
) -> dict[str, int]:
    """The axis of the channels of every tensor (1, ...) with an image's axes where its nodes tell.

    What an op without a gradient rule gives is no layer.
    """
    found = channel_axes(flows.values())
    result: dict[str, int] = {}
    for tensor, node in flows.items():
        shape = program.values[tensor].shape
        if has_gradient(node.op_type, node.domain) and len(shape) == len(view.space) + 2 and shape[0] == 1:
            axis = found.get(tensor, _told_channels(shape, view, traced.get(tensor)))
            result.update({} if axis is None else {tensor: axis})
    return result


def _told_channels(shape: tuple[int, ...], view: View, axes: Axes | None) -> int | None:
    """The one axis that is no axis of the image, where all of these are told."""
    try:
        reading = None if axes is None else read_tensor(shape, view, axes)
    except SaliencyUnavailable:
        return None
    return None if reading is None or reading.strides is None else reading.layout.channel_axis


def gradcam(
    model: Model, image: NDArray[np.float64], target: int | str, view: View, name: str = ""
) -> SaliencyMap:
    """Append a gradient-weighted class activation map.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    target : int or "predicted"
        The class.
    view : View
    name : str
        Tensor of the feature maps; by default the last one with channels and space.

    Raises
    ------
    SaliencyUnavailable
        If the model has no class scores or no such tensor.
    UnsupportedOp
        With every node between it and the scores that has no gradient rule.
    UsageError
        If there is no such class.

    Source
    ------
    Selvaraju et al., "Grad-CAM", ICCV 2017, equations 1 and 2.
    """
    scores = find_scores(model, image, view)
    layer = find_layer(model, image, scores, view, name)
    editor = Editor(model)
    start = seed(editor, scores, target)
    slope = differentiate(editor, model, scores.program, scores.tensor, start, layer.tensor)
    features, slope = (
        _channels_first(editor, tensor, layer, view)
        for tensor in (single_precision(editor, layer.tensor), slope)
    )
    size = layer.size
    weighted = editor.add("Mul", [features, editor.add("GlobalAveragePool", [slope])])
    ones = np.ones(layer.shape[layer.channel_axis], np.float32)
    total = weighted_channels(editor, weighted, Layout("NC" + "DHW"[-len(size) :], ""), ones)
    positive = reshaped(editor, editor.add("Relu", [total]), size)
    notes = [f"feature maps '{layer.tensor}' of {size}", *layer.notes, *scores.notes]
    if size != view.space:
        notes[0] += f", resized ({view.resize}) to {view.space} pixels"
    public = name_map(editor, resize_map(editor, positive, size, view))
    method = f"gradcam:{name}" if name else "gradcam"
    shown = target if scores.classes > 1 else 0
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=public,
        link="",
        method=method,
        target=shown,
        notes=tuple(notes),
    )


def _channels_first(editor: Editor, tensor: str, layer: Layer, view: View) -> str:
    if layer.row is not None:
        count = layer.shape[layer.channel_axis]
        return on_grid(editor, tensor, layer.row, layer.channel_axis, count, view)
    order = [0, layer.channel_axis, *layer.space]
    return tensor if order == sorted(order) else editor.add("Transpose", [tensor], perm=order)
