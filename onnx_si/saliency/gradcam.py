"""Saliency method `gradcam`: feature maps weighted by the score's mean gradient, as a graph transform."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable
from onnx_si.graph import Editor, Model
from onnx_si.layout import Layout
from onnx_si.line.program import Program
from onnx_si.saliency.backward import differentiate, has_gradient, reached
from onnx_si.saliency.backward.nodes import reshaped
from onnx_si.saliency.channels import channel_axes
from onnx_si.saliency.maps import (
    SaliencyMap,
    View,
    name_map,
    resize_map,
    single_precision,
    tensor_layout,
    weighted_channels,
)
from onnx_si.saliency.scores import Scores, find_scores, seed


@dataclass(frozen=True)
class Layer:
    """The feature maps: their tensor, its shape, and which of its axes holds the channels."""

    tensor: str
    shape: tuple[int, ...]
    channel_axis: int

    @property
    def size(self) -> tuple[int, ...]:
        """In space."""
        return tuple(n for axis, n in enumerate(self.shape) if axis not in (0, self.channel_axis))


def find_layer(model: Model, scores: Scores, view: View, name: str = "") -> Layer:
    """The tensor of a name, or the last one between image and scores that has channels and space.

    Which axis holds the channels follows from the ops in front: a convolution's second one does, and a
    Transpose moves it.

    Raises
    ------
    SaliencyUnavailable
        If there is no such tensor.
    """
    program = scores.program
    flows = reached(model, program, scores.tensor, program.input)
    if not flows:
        raise SaliencyUnavailable(
            f"the scores '{scores.tensor}' only jump with the image: their gradient is zero; choose occlusion"
        )
    channels = _channel_axes(flows, program)
    fitting = [
        Layer(tensor, program.values[tensor].shape, axis)
        for tensor, axis in channels.items()
        if tensor != scores.tensor and program.values[tensor].size > program.values[tensor].shape[axis]
    ]
    if name:
        return _named(name, flows, channels, program, view, scores)
    if not fitting:
        raise SaliencyUnavailable(
            "no layer for Grad-CAM: between image and scores no convolution or pooling gives feature maps; "
            "name a tensor with gradcam:NAME, or choose gradient"
        )
    return fitting[-1]


def _named(
    name: str,
    flows: Mapping[str, onnx.NodeProto],
    channels: Mapping[str, int],
    program: Program,
    view: View,
    scores: Scores,
) -> Layer:
    if name not in flows or name == scores.tensor:
        known = ", ".join(f"'{tensor}'" for tensor in list(channels)[-5:])
        raise SaliencyUnavailable(
            f"'{name}' is no tensor between the image and the scores '{scores.tensor}' that a gradient flows "
            f"through{f'; the last feature maps are {known}' if known else ''}"
        )
    shape = program.values[name].shape
    if name in channels:
        return Layer(name, shape, channels[name])
    axis = tensor_layout(shape, view).channel_axis
    if axis is None:
        raise SaliencyUnavailable(f"'{name}' of shape {shape} has no channels to be weighted")
    return Layer(name, shape, axis)


def _channel_axes(flows: Mapping[str, onnx.NodeProto], program: Program) -> dict[str, int]:
    """The axis of the channels of every tensor (1, ...) with an image's axes where its nodes tell.

    What a smooth op gives is no layer: the map would not be exact.
    """
    found = channel_axes(flows.values())
    shapes = {
        tensor: program.values[tensor].shape
        for tensor, node in flows.items()
        if tensor in found and has_gradient(node.op_type, node.domain)
    }
    return {
        tensor: found[tensor]
        for tensor, shape in shapes.items()
        if len(shape) == len(program.shape) and len(shape) >= 3 and shape[0] == 1
    }


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
    layer = find_layer(model, scores, view, name)
    editor = Editor(model)
    start = seed(editor, scores, target)
    slope = differentiate(editor, model, scores.program, scores.tensor, start, layer.tensor)
    features, slope = (
        _channels_first(editor, tensor, layer) for tensor in (single_precision(editor, layer.tensor), slope)
    )
    weighted = editor.add("Mul", [features, editor.add("GlobalAveragePool", [slope])])
    ones = np.ones(layer.shape[layer.channel_axis], np.float32)
    total = weighted_channels(editor, weighted, Layout("NC" + "DHW"[-len(layer.size) :], ""), ones)
    positive = reshaped(editor, editor.add("Relu", [total]), layer.size)
    notes = [f"feature maps '{layer.tensor}' of {layer.size}"]
    if layer.size != view.space:
        notes[0] += f", resized ({view.resize}) to {view.space} pixels"
    public = name_map(editor, resize_map(editor, positive, layer.size, view))
    method = f"gradcam:{name}" if name else "gradcam"
    shown = target if scores.classes > 1 else 0
    return SaliencyMap(editor.finish(), public, public, "", method, shown, tuple(notes))


def _channels_first(editor: Editor, tensor: str, layer: Layer) -> str:
    rank, axis = len(layer.shape), layer.channel_axis
    if axis == 1:
        return tensor
    return editor.add("Transpose", [tensor], perm=[0, axis, *(a for a in range(1, rank) if a != axis)])
