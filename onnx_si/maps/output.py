"""Saliency method `output:NAME`: a graph output or an inner tensor of the model is the map."""

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.maps.map import LINKS, ROOT, SaliencyMap, View, name_map, to_map
from onnx_si.maps.monotone import (
    LOGISTIC,
    Tail,
    find_labels,
    find_root,
    find_tail,
    logit_tensor,
    softmax_axis,
    squared_tensor,
)
from onnx_si.maps.reading import read_tensor
from onnx_si.maps.scale import middle
from onnx_si.maps.trace import trace
from onnx_si.program.program import Program, bind
from onnx_si.program.squares import never_negative
from onnx_si.rules.traits import Increasing


def output_map(
    model: Model,
    image: NDArray[np.float64],
    name: str,
    target: int | str,
    view: View,
    *,
    bound: Program | None = None,
) -> SaliencyMap:
    """Make the map out of a tensor of the model.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    name : str
        The tensor.
    target : int or "predicted"
        A channel, or a class of a tensor of classes (from an ArgMax); by default the only one, class 1 of a
        Softmax over two, every class but 0, or the mean of all channels (said in the notes).
    view : View
    bound : Program, optional
        The model bound to the image, where somebody has looked at it already.

    Raises
    ------
    SaliencyUnavailable
        If there is no such tensor, or it is no map.
    """
    makers = {tensor: node for node in model.proto.graph.node for tensor in node.output}
    if name not in makers and name not in {info.name for info in model.inputs}:
        raise SaliencyUnavailable(
            f"the model has no tensor '{name}'; its outputs are "
            f"{', '.join(o.name for o in model.outputs)}, and onnx-si inspect MODEL --tensors lists all"
        )
    choice = find_labels(model, name)
    if choice is not None:
        return _class_map(model, image, name, choice, target, view)
    tail = find_tail(model, name)
    root = find_root(model, name)
    wanted = (name, *(found.op.input[0] for found in (tail, root) if found is not None))
    enough = bound is not None and set(wanted) <= set(bound.outputs)
    program = bound if bound is not None and enough else bind(model, image, wanted)
    if name not in program.values:
        program.require_exact()
    if name in program.words:
        raise SaliencyUnavailable(f"the tensor '{name}' holds text")
    shape = program.values[name].shape
    reading = read_tensor(shape, view, trace(model, image, (name,)).get(name))
    layout, axis = reading.layout, None
    if tail is not None and tail.link is not Increasing.SIGMOID:
        axis = softmax_axis(tail.op, program.values[tail.op.input[0]].shape, model.opset)
        tail = tail if axis is not None else None
    channel, notes = pick_channel(name, shape, layout.channel_axis, target, tail)
    notes += reading.note(name, view)
    editor = Editor(model)
    public = name_map(editor, to_map(editor, name, shape, layout, channel, view))
    margin, link = public, ""
    of_one = channel is not None or not _many_channels(shape, layout.channel_axis)
    unmixed = of_one and reading.size == view.space  # means and resizes mix values behind the Sigmoid
    if tail is not None and unmixed:
        margin = to_map(editor, logit_tensor(editor, tail, axis), shape, layout, channel, view)
        link = "log-probability" if tail.link is Increasing.LOG_SOFTMAX else "probability"
    if root is not None and unmixed and _of_squares(program, root):
        margin, link = to_map(editor, squared_tensor(editor, root), shape, layout, channel, view), ROOT
    split = LINKS.get(link)
    if of_one and tail is not None and tail.link in LOGISTIC:
        split = LINKS["probability"]  # a mean of neighbours by a resize is a probability, too
    if split is None and (scale := middle(model, program, name)) is not None:
        split, told = scale
        notes += told
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=margin,
        link=link,
        method=f"output:{name}",
        target=channel,
        notes=notes,
        split=split,
    )


def _of_squares(program: Program, root: Tail) -> bool:
    """Whether a root is one of a number that is not negative wherever the image is."""
    if root.link is Increasing.NORM:
        return True
    return never_negative(program.instructions, root.op.input[0])


def _class_map(
    model: Model, image: NDArray[np.float64], name: str, choice: onnx.NodeProto, target: int | str, view: View
) -> SaliencyMap:
    """The map of a tensor that holds the number of a class at each pixel: 1 where it is the class."""
    program = bind(model, image, (name, choice.input[0]))
    if name not in program.values:
        program.require_exact()
    shape, scores = program.values[name].shape, program.values[choice.input[0]].shape
    classes = scores[next((a.i for a in choice.attribute if a.name == "axis"), 0)]
    reading = read_tensor(shape, view, trace(model, image, (name,)).get(name))
    if reading.size != view.space:
        raise SaliencyUnavailable(f"'{name}' of shape {shape} holds classes; they can't be resized to a map")
    if isinstance(target, int) and not 0 <= target < classes:
        raise UsageError(f"target {target}: tensor '{name}' holds {classes} classes, numbered from 0")
    editor = Editor(model)
    labels = editor.add("Cast", [name], to=onnx.TensorProto.INT64)
    wanted = target if isinstance(target, int) else 0
    one = editor.add("Equal", [labels, editor.constant(np.array(wanted))])
    notes: tuple[str, ...] = ()
    if not isinstance(target, int):
        one = editor.add("Not", [one])
        notes = (f"'{name}' holds {classes} classes: every one but 0 is the map; --target K takes one",)
    chosen = target if isinstance(target, int) else None
    public = name_map(editor, to_map(editor, one, shape, reading.layout, None, view))
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=public,
        link="",
        method=f"output:{name}",
        target=chosen,
        notes=notes,
        split=0.5,
        of_classes=True,
    )


def _many_channels(shape: tuple[int, ...], axis: int | None) -> bool:
    return axis is not None and shape[axis] > 1


def pick_channel(
    name: str, shape: tuple[int, ...], axis: int | None, target: int | str, tail: Tail | None
) -> tuple[int | None, tuple[str, ...]]:
    """The channel that is the map (None: the only one, or the mean of all) and what to tell the user."""
    count = shape[axis] if axis is not None else 1
    if isinstance(target, int):
        if not 0 <= target < count:
            raise UsageError(f"target {target}: tensor '{name}' has {count} channels, numbered from 0")
        return target, ()
    if count == 1:
        return None, ()
    if count == 2 and tail is not None and tail.link is not Increasing.SIGMOID:
        kind = tail.op.op_type
        return 1, (f"'{name}' is a {kind} over two classes: class 1 is the map; --target 0 takes the other",)
    return None, (f"'{name}' has {count} channels: their mean is the map; --target K takes one",)
