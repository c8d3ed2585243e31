"""Saliency methods `gradient` and `grad-input`: the score's sensitivity to each pixel, as a graph transform.

Between two jumps the gradient of a piecewise-linear score is constant: along the line both maps are exact.
"""

import math

import numpy as np
from numpy.typing import NDArray

from onnx_si.graph import Editor, Model
from onnx_si.maps.appended import reshaped
from onnx_si.maps.backward import differentiate
from onnx_si.maps.map import SaliencyMap, View, name_map, single_precision, weighted_channels
from onnx_si.maps.scores import Scores, find_scores, seed


def gradient(model: Model, image: NDArray[np.float64], target: int | str, view: View) -> SaliencyMap:
    """Append the size of the gradient: its absolute value, of the channel where that is largest.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    target : int or "predicted"
        The class.
    view : View

    Raises
    ------
    SaliencyUnavailable
        If the model has no class scores, or they have no gradient.
    UnsupportedOp
        With every node that has no gradient rule.
    UsageError
        If there is no such class.

    Source
    ------
    Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", 2014, section 3.
    """
    scores = find_scores(model, image, view)
    editor = Editor(model)
    slope = _of_the_image(editor, model, scores, target)
    size = editor.add("Abs", [slope])
    if view.layout.channel_axis is not None:
        size = _largest_channel(editor, size, view)
    return _finished(editor, size, "gradient", scores, target, view)


def grad_input(model: Model, image: NDArray[np.float64], target: int | str, view: View) -> SaliencyMap:
    """Append gradient times image, added over the channels: what speaks for the class is positive.

    Parameters and errors are those of `gradient`. The image is the one that is given, before any
    preprocessing: zero there is what contributes nothing.

    Source
    ------
    Shrikumar, Greenside, Shcherbina, Kundaje, "Not just a black box", 2016.
    """
    scores = find_scores(model, image, view)
    editor = Editor(model)
    slope = _of_the_image(editor, model, scores, target)
    product = editor.add("Mul", [single_precision(editor, scores.program.input), slope])
    axis = view.layout.channel_axis
    if axis is not None:
        product = weighted_channels(editor, product, view.layout, np.ones(view.shape[axis], np.float32))
    return _finished(editor, product, "grad-input", scores, target, view)


def _of_the_image(editor: Editor, model: Model, scores: Scores, target: int | str) -> str:
    start = seed(editor, scores, target)
    return differentiate(editor, model, scores.program, scores.tensor, start, scores.program.input)


def _largest_channel(editor: Editor, tensor: str, view: View) -> str:
    """The largest of all channels at each pixel."""
    axis = view.layout.channel_axis or 0
    order = [a for a in range(len(view.shape)) if a != axis] + [axis]
    behind = editor.add("Transpose", [tensor], perm=order)
    rows = reshaped(editor, behind, (1, math.prod(view.space), view.shape[axis]))
    return editor.add("GlobalMaxPool", [rows])


def _finished(
    editor: Editor, tensor: str, method: str, scores: Scores, target: int | str, view: View
) -> SaliencyMap:
    public = name_map(editor, reshaped(editor, tensor, view.space))
    shown = target if scores.classes > 1 else 0
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=public,
        link="",
        method=method,
        target=shown,
        notes=scores.notes,
    )
