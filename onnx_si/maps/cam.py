"""Saliency method `cam`: class activation map (Zhou et al., CVPR 2016) as a graph transform.

Found behind a global average (GlobalAveragePool, ReduceMean over space, an AveragePool of the whole map, or a
ReduceSum, divided by a number or not) whose result goes to one Gemm or MatMul: map = sum over channels of the
class's weight times the feature map, without bias.
"""

import math
import operator
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.ground.layout import Layout
from onnx_si.maps.map import (
    SaliencyMap,
    View,
    in_order,
    name_map,
    resize_map,
    single_precision,
    weighted_channels,
)
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.scores import SeveralScores, back, behind_scores, choose_scores, unnamed
from onnx_si.maps.trace import trace
from onnx_si.program.program import bind
from onnx_si.rules.registry import traits_of
from onnx_si.rules.traits import IN_ORDER, IN_PLACE, Average, Combination, Traits

SCALES = frozenset({Combination.PRODUCT, Combination.QUOTIENT})


@dataclass(frozen=True, kw_only=True)
class Head:
    """Where class scores come from: the feature map, weights (classes, channels) and the scores' tensor."""

    features: str
    layout: Layout
    shape: tuple[int, ...]
    size: tuple[int, ...]
    weights: NDArray[np.float64]
    scores: str
    scores_rank: int
    notes: tuple[str, ...] = ()


def find_head(model: Model, image: NDArray[np.float64], view: View | None = None) -> Head:
    """Find the head of a classifier that allows a CAM: of its class scores where several outputs could be.

    Raises
    ------
    SaliencyUnavailable
        If no output of the model is computed that way; the message says what was found.
    """
    names, notes = _outputs(model, image, view)
    rank = image.ndim if view is None else len(view.space) + 2
    reasons = []
    for name in names:
        found = _trace(model, image, name, rank)
        if isinstance(found, Head):
            return replace(found, notes=notes)
        reasons.append(f"'{name}': {found}")
    raise SaliencyUnavailable("no CAM: " + "; ".join(reasons))


def _outputs(
    model: Model, image: NDArray[np.float64], view: View | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The outputs whose heads are looked at, and why."""
    names = tuple(info.name for info in model.outputs)
    if view is None or (len(names) == 1 and not view.scores):
        return names, ()
    if view.scores:
        made = {name for node in model.proto.graph.node for name in node.output}
        if view.scores not in made:
            raise unnamed(view.scores, made)
        return (view.scores,), ()
    try:
        chosen = choose_scores(model, image, view)
    except SeveralScores:
        raise
    except SaliencyUnavailable:
        return names, ()
    return chosen.outputs, chosen.notes


def _trace(model: Model, image: NDArray[np.float64], output: str, axes: int) -> Head | str:
    """Walk back from an output; a text says where the pattern breaks."""
    makers = {name: node for node in model.proto.graph.node for name in node.output}
    scores = back(makers, output, behind_scores)
    node, added = makers.get(scores), None
    if node is not None and traits_of(node).combines is Combination.SUM:
        for name, other in (node.input, reversed(node.input)):
            maker = makers.get(back(makers, name, _in_place))
            if maker is not None and _is_product(maker):
                node, added = maker, other
                break
    if node is None or not _is_product(node):
        return f"its scores come from {node.op_type if node else 'no op'}, not from Gemm or MatMul"
    pooled = back(makers, node.input[0], _in_order)
    pool, factor = _unscaled(makers, pooled)
    if pool is None or traits_of(pool).averages is None:
        source = pool.op_type if pool else "the image"
        return f"the input of {node.op_type} comes from {source}, not from a global average"
    features = pool.input[0]
    offsets = tuple(name for name in (*node.input[2:], added) if name)
    axes_names = tuple(name for name in pool.input[1:] if name)
    wanted = (features, pooled, *node.input[:2], scores, *offsets, *axes_names, *factor)
    program = bind(model, image, wanted)
    if any(name not in program.values for name in program.outputs):
        return "an op in front of it can't be evaluated: " + "; ".join(map(str, program.findings))
    changing = {program.input, *(instruction.output for instruction in program.instructions)}
    if node.input[1] in changing:
        return f"the weights of {node.op_type} depend on the image"
    if changing & set(offsets):
        return f"{node.op_type} is not all of the scores: something else that depends on the image is added"
    if changing & set(factor) or not all(_positive_number(program.values[name]) for name in factor):
        return f"{pool.op_type} is scaled by something else than one positive number"
    shape = program.values[features].shape
    if len(shape) != axes:
        return f"{pool.op_type} averages {shape}, which does not have the image's axes"
    layout = _pooled_layout(shape, _averaged_axes(pool, shape, [program.values[name] for name in axes_names]))
    if layout is None:
        return f"{pool.op_type} averages {shape} to {program.values[pooled].shape}, not over all of space"
    if math.prod(layout.spatial_shape(shape)) == 1:
        return f"the features {shape} in front of {pool.op_type} are one position, no map"
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    weights = program.values[node.input[1]] * attributes.get("alpha", 1.0)
    weights = weights if attributes.get("transB") else weights.T
    channels = shape[layout.channel_axis or 0]
    if weights.ndim != 2 or weights.shape[1] != channels:
        return f"weights of shape {weights.shape} for {channels} channels"
    rank = program.values[scores].ndim
    if program.values[scores].size != weights.shape[0]:
        return f"scores of shape {program.values[scores].shape} for {weights.shape[0]} classes"
    return Head(
        features=features,
        layout=layout,
        shape=shape,
        size=layout.spatial_shape(shape),
        weights=weights,
        scores=scores,
        scores_rank=rank,
    )


def _in_place(traits: Traits) -> bool:
    return traits.moves in IN_PLACE


def _in_order(traits: Traits) -> bool:
    return traits.moves in IN_ORDER


def _is_product(node: onnx.NodeProto) -> bool:
    return traits_of(node).combines is Combination.MATRIX_PRODUCT


def _unscaled(
    makers: dict[str, onnx.NodeProto], tensor: str
) -> tuple[onnx.NodeProto | None, tuple[str, ...]]:
    """The op that makes a tensor, or the average in front of a product or quotient with its other tensor."""
    node = makers.get(tensor)
    combines = None if node is None else traits_of(node).combines
    if node is not None and combines in SCALES:
        for name, other in (node.input, reversed(node.input))[: 1 if combines is Combination.QUOTIENT else 2]:
            maker = makers.get(back(makers, name, _in_order))
            if maker is not None and traits_of(maker).averages is not None:
                return maker, (other,)
    return node, ()


def _positive_number(value: NDArray[np.float64]) -> bool:
    return value.size == 1 and value.item() > 0


def _averaged_axes(
    pool: onnx.NodeProto, shape: tuple[int, ...], axes_inputs: list[NDArray[np.float64]]
) -> tuple[int, ...]:
    """Axes that an average runs over all of; none where a window leaves something out."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in pool.attribute}
    space = tuple(range(2, len(shape)))
    averages = traits_of(pool).averages
    if averages is Average.SPACE:
        return space
    if averages is Average.WINDOWS:
        kernel = attributes["kernel_shape"]  # with ceil_mode it may be larger than what it averages
        whole = all(map(operator.ge, kernel, shape[2:])) and not any(attributes.get("pads", ()))
        whole &= set(attributes.get("dilations", (1,))) == {1}
        return space if whole else ()
    axes = attributes.get("axes", ()) or tuple(
        int(axis) for values in axes_inputs for axis in np.ravel(values)
    )
    return tuple(sorted(axis % len(shape) for axis in axes))


def _pooled_layout(shape: tuple[int, ...], averaged: tuple[int, ...]) -> Layout | None:
    """Channels first or last, told by the axes that are averaged."""
    rank = len(shape)
    if rank < 3 or shape[0] != 1:
        return None
    names = "DHW"[-(rank - 2) :]
    if averaged == tuple(range(2, rank)):
        return Layout(f"NC{names}", "channels first")
    if averaged == tuple(range(1, rank - 1)):
        return Layout(f"N{names}C", "channels last")
    return None


def cam(model: Model, image: NDArray[np.float64], target: int | str, view: View) -> SaliencyMap:
    """Append a class activation map.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    target : int or "predicted"
        The class; the predicted one is recomputed by the graph itself: the choice is part of the selection.
    view : View

    Raises
    ------
    SaliencyUnavailable
        If the head does not allow a CAM.
    UsageError
        If there is no such class.
    """
    head = _turned(model, image, view, find_head(model, image, view))
    classes = head.weights.shape[0]
    editor = Editor(model)
    features, shape, layout = in_order(
        editor, single_precision(editor, head.features), head.shape, head.layout
    )
    head = replace(head, layout=layout, size=layout.spatial_shape(shape))
    notes = head.notes
    if isinstance(target, int):
        if not 0 <= target < classes:
            raise UsageError(f"target {target}: the model has {classes} classes, numbered from 0")
        class_map = weighted_channels(editor, features, head.layout, head.weights[target].astype(np.float32))
    elif classes == 1:
        class_map = weighted_channels(editor, features, head.layout, head.weights[0].astype(np.float32))
    else:
        class_map = _predicted(editor, head, features)
    flat = editor.add("Reshape", [class_map, editor.constant(np.array(head.size, np.int64))])
    if head.size != view.space:
        notes += (f"the map of {head.size} is resized ({view.resize}) to {view.space} pixels",)
    public = name_map(editor, resize_map(editor, flat, head.size, view))
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=public,
        link="",
        method="cam",
        target=target if classes > 1 else 0,
        notes=notes,
    )


def _turned(model: Model, image: NDArray[np.float64], view: View, head: Head) -> Head:
    """The head with its axes of space named as the nodes tell, which may have turned the image.

    Raises
    ------
    SaliencyUnavailable
        If they tell that these are not the image's axes.
    """
    axes = trace(model, image, (head.features,)).get(head.features)
    if axes is None:
        return head
    reading = read_tensor(head.shape, view, axes)
    if reading.layout.channel_axis != head.layout.channel_axis:
        raise SaliencyUnavailable(
            f"no CAM: '{head.features}' of shape {head.shape} is averaged over axes that are not the image's"
        )
    return replace(head, layout=reading.layout)


def _predicted(editor: Editor, head: Head, features: str) -> str:
    """The map of whichever class has the largest score."""
    index = editor.add("ArgMax", [head.scores], axis=head.scores_rank - 1, keepdims=0)
    flat = editor.add("Reshape", [index, editor.constant(np.array([1], np.int64))])
    weights = editor.add("Gather", [editor.constant(head.weights.astype(np.float32)), flat], axis=0)
    channels = head.weights.shape[1]
    shape = [1] * (len(head.size) + 2)
    shape[head.layout.channel_axis or 0] = channels
    shaped = editor.add("Reshape", [weights, editor.constant(np.array(shape, np.int64))])
    weighted = editor.add("Mul", [features, shaped])
    return weighted_channels(editor, weighted, head.layout, np.ones(channels, np.float32))
