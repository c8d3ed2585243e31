"""Class maps: the region is where one channel of a map is the largest, as an ArgMax over channels says."""

import math
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.ground.layout import Layout
from onnx_si.maps.map import SaliencyMap, View, in_order, name_map, single_precision, to_map
from onnx_si.maps.monotone import find_labels, on_scores
from onnx_si.maps.pixel_blocks import Blocks
from onnx_si.maps.reading import Reading, read_tensor
from onnx_si.maps.trace import trace
from onnx_si.program.program import bind


def is_class_map(model: Model, image: NDArray[np.float64], name: str, view: View) -> bool:
    """Whether a tensor is an output of several channels over the image's own pixels."""
    if name not in {info.name for info in model.outputs} or find_labels(model, name) is not None:
        return False
    try:
        shape, reading = _read(model, image, name, view)
    except SaliencyUnavailable:
        return False
    return reading.size == view.space and _channels(shape, reading) > 1


def class_map(
    model: Model, image: NDArray[np.float64], name: str, target: int | str, view: View
) -> SaliencyMap:
    """Append the map that is 1 where a class wins, 0 elsewhere; of equal channels the first wins.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    name : str
        A tensor with a channel for each class.
    target : int or "predicted"
        The class; `predicted` is the one with the most pixels that is not class 0, chosen by the graph
        itself: the choice is part of the selection.
    view : View

    Raises
    ------
    SaliencyUnavailable
        If the tensor is no map of the image's size.
    UsageError
        If it has one channel, or there is no such class.
    """
    shape, reading = _read(model, image, name, view)
    classes = _channels(shape, reading)
    if classes < 2:
        raise UsageError(
            f"threshold argmax: '{name}' of shape {shape} has one channel; give a value or max:F"
        )
    if reading.size != view.space:
        raise SaliencyUnavailable(
            f"'{name}' of {reading.size} holds classes, and the image has {view.space} pixels: classes can't "
            "be resized; export the model with the resize in it"
        )
    if isinstance(target, int) and not 0 <= target < classes:
        raise UsageError(f"target {target}: tensor '{name}' has {classes} channels, numbered from 0")
    scores, layout, notes = name, reading.layout, tuple[str, ...]()
    if view.blocks is not None:
        model, scores = _averaged(model, image, name, shape, layout, view.blocks)
        shape, layout = (1, classes, *view.space), Layout("NC" + "DHW"[-len(view.space) :], layout.reason)
        notes = ("the scores of each class are averaged over the blocks before one of them is chosen",)
    editor = Editor(model)
    labels = editor.add("ArgMax", [scores], axis=layout.channel_axis, keepdims=1)
    if isinstance(target, int):
        wanted = editor.constant(np.array(target))
    else:
        wanted = _most_frequent(editor, labels, classes, math.prod(view.space))
        notes += (
            f"'{name}' has {classes} channels: the region is where the class with the most pixels, class 0 "
            "aside, has the largest; --target K takes one",
        )
    one = editor.add("Equal", [labels, wanted])
    single = tuple(1 if axis == layout.channel_axis else n for axis, n in enumerate(shape))
    made = to_map(editor, one, single, layout, None, view)
    chosen = _one_class(_map_of(editor, image, made, name))
    return replace(chosen, target=target, notes=notes, blocks=view.blocks)


def labels_map(model: Model, image: NDArray[np.float64], name: str, view: View) -> SaliencyMap:
    """Append the map that holds the number of each pixel's class, of a tensor of classes or of channels."""
    editor = Editor(model)
    return _map_of(editor, image, _labels(editor, model, image, name, view), name)


def agreement_map(
    model: Model, image: NDArray[np.float64], name: str, view: View, labels: NDArray[np.int64]
) -> SaliencyMap:
    """Append the map that is 1 where a pixel's class is a stated one, 0 elsewhere.

    Parameters
    ----------
    model, image, name, view
        As for `class_map`; the tensor may hold classes, or a channel for each.
    labels : array
        The class of each pixel.
    """
    editor = Editor(model)
    numbers = editor.add("Cast", [_labels(editor, model, image, name, view)], to=onnx.TensorProto.INT64)
    one = editor.add("Equal", [numbers, editor.constant(labels.astype(np.int64))])
    made = editor.add("Cast", [one], to=onnx.TensorProto.FLOAT)
    return _one_class(_map_of(editor, image, made, name))


def _map_of(editor: Editor, image: NDArray[np.float64], tensor: str, name: str) -> SaliencyMap:
    """The map that a tensor of classes holds; a Softmax in front of their choice is removed."""
    public = name_map(editor, tensor)
    return SaliencyMap(
        model=on_scores(editor.finish(), image),
        tensor=public,
        margin_tensor=public,
        link="",
        method=f"output:{name}",
        target=None,
        notes=(),
        of_classes=True,
    )


def _one_class(made: SaliencyMap) -> SaliencyMap:
    """The same, 1 where a pixel has the class that is asked for, 0 elsewhere."""
    return replace(made, split=0.5, chooses_class=True)


def _labels(editor: Editor, model: Model, image: NDArray[np.float64], name: str, view: View) -> str:
    """Append the number of each pixel's class, over the image's pixels."""
    shape, reading = _read(model, image, name, view)
    axis = reading.layout.channel_axis
    if find_labels(model, name) is None:
        name = editor.add("ArgMax", [name], axis=axis, keepdims=1)
        shape = tuple(1 if a == axis else n for a, n in enumerate(shape))
    return to_map(editor, name, shape, reading.layout, None, view)


def _averaged(
    model: Model,
    image: NDArray[np.float64],
    name: str,
    shape: tuple[int, ...],
    layout: Layout,
    blocks: Blocks,
) -> tuple[Model, str]:
    """A model with the scores (1, channels, *space) of each class averaged over blocks: those in front of a
    Softmax, between whose probabilities one is chosen by them.
    """
    editor = Editor(model)
    editor.add("ArgMax", [name], axis=layout.channel_axis, keepdims=1)
    found = on_scores(editor.finish(), image)
    editor = Editor(found)
    (scores,) = editor.proto.graph.node.pop().input
    scores, shape, layout = in_order(editor, single_precision(editor, scores), shape, layout)
    order = sorted(range(len(shape)), key=lambda axis: "NCDHW".index(layout.axes[axis]))
    if order != list(range(len(shape))):
        scores = editor.add("Transpose", [scores], perm=order)
    return editor.finish(), blocks.averaged(editor, scores, shape[layout.axes.index("C")])


def _read(model: Model, image: NDArray[np.float64], name: str, view: View) -> tuple[tuple[int, ...], Reading]:
    program = bind(model, image, (name,))
    if name not in program.values:
        program.require_exact()
    shape = program.values[name].shape
    return shape, read_tensor(shape, view, trace(model, image, (name,)).get(name))


def _channels(shape: tuple[int, ...], reading: Reading) -> int:
    axis = reading.layout.channel_axis
    return 1 if axis is None else shape[axis]


def _most_frequent(editor: Editor, labels: str, classes: int, pixels: int) -> str:
    """Append the choice of the class, 0 aside, that most pixels have; of equal ones the first."""
    row = editor.add("Reshape", [labels, editor.constant(np.array([1, pixels], np.int64))])
    others = editor.constant(np.arange(1, classes, dtype=np.int64).reshape(-1, 1))
    member = editor.add("Cast", [editor.add("Equal", [row, others])], to=onnx.TensorProto.FLOAT)
    counts = editor.add("MatMul", [member, editor.constant(np.ones((pixels, 1), np.float32))])
    chosen = editor.add("ArgMax", [counts], axis=0, keepdims=0)
    return editor.add("Add", [chosen, editor.constant(np.array([1], np.int64))])
