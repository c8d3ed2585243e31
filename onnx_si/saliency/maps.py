"""From a tensor of the model to one map over the image's pixels, by nodes that any runtime can run."""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import logit

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.layout import Layout
from onnx_si.ops.resize import linear_matrix

LINKS = {"probability": 0.5, "log-probability": math.log(0.5)}
"""What a map behind Sigmoid, Softmax or LogSoftmax is, and where it is as likely as not."""
FOLLOWS = 1.5  # stretch at most of axes that follow the image's
MAX_RESIZE_VALUES = 2**26  # of the matrix that resizes one axis


@dataclass(frozen=True)
class View:
    """What a saliency method may know of the image: its shape as the model takes it, the layout, its size
    in space, and how a coarse map is brought to that size (`linear` or `nearest`).
    """

    shape: tuple[int, ...]
    layout: Layout
    resize: str = "linear"

    @property
    def space(self) -> tuple[int, ...]:
        """Size in pixels."""
        return self.layout.spatial_shape(self.shape)


@dataclass(frozen=True)
class SaliencyMap:
    """A model with a map over the image's pixels.

    `tensor` is the map as the model's users see it; `margin_tensor` is the one that a threshold is applied
    to: where `link` is "probability" or "log-probability", what the map is, it is the logit of that.
    `split` is the level that tells yes from no on a map that has one.
    """

    model: Model
    tensor: str
    margin_tensor: str
    link: str
    method: str
    target: int | str | None
    notes: tuple[str, ...]
    split: float | None = None

    @property
    def is_logit(self) -> bool:
        """Whether the margin tensor is the logit of the map."""
        return self.link in LINKS

    def logit(self, level: float) -> float:
        """The margin tensor's value where the map is at a level.

        Raises
        ------
        UsageError
            If the map never is.
        """
        log = self.link == "log-probability"
        if not (level < 0 if log else 0 < level < 1):
            lies, ends = ("below 0", "LogSoftmax") if log else ("between 0 and 1", "Sigmoid or Softmax")
            raise UsageError(f"threshold {level:g}; the map ends in {ends} and lies {lies}")
        return level - math.log(-math.expm1(level)) if log else float(logit(level))


def tensor_layout(shape: tuple[int, ...], view: View, channels: int | None = None) -> Layout:
    """Layout of an inner tensor: the axes of space are those whose sizes follow the image's.

    Parameters
    ----------
    shape : tuple of int
    view : View
    channels : int, optional
        The axis of the channels, where it is known.

    Raises
    ------
    SaliencyUnavailable
        If the tensor is not a map.
    """
    rank, space = len(shape), view.space
    if rank == len(space):
        return Layout("DHW"[-rank:], "space only")
    if rank == len(space) + 1 and shape[0] == 1:
        return Layout("N" + "DHW"[-len(space) :], "space behind the batch axis")
    if rank != len(space) + 2 or shape[0] != 1:
        raise SaliencyUnavailable(f"a tensor of shape {shape} is no map over an image of {space} pixels")
    names = "DHW"[-len(space) :]
    first, last = Layout(f"NC{names}", "channels first"), Layout(f"N{names}C", "channels last")
    if channels in (1, rank - 1):
        return first if channels == 1 else last

    def stretch(layout: Layout) -> float:
        """How differently the axes are stretched in comparison with the image's."""
        sizes = layout.spatial_shape(shape)
        ratios = [have / want for have, want in zip(sizes, space, strict=True)]
        return math.inf if sizes == (1,) * len(space) else max(ratios) / min(ratios)

    if view.layout.axes == last.axes:  # what is left of the image's own layout
        closer = (stretch(last), shape[-1]) < (stretch(first), shape[1])
        return last if closer else first
    return last if stretch(last) <= FOLLOWS < stretch(first) else first


def to_map(
    editor: Editor, tensor: str, shape: tuple[int, ...], layout: Layout, channel: int | None, view: View
) -> str:
    """Append nodes that make one map over the image's pixels; gives the new tensor, of shape `view.space`.

    One channel is picked, or all are averaged where `channel` is None; a coarse map is resized as
    the view says (half_pixel).
    """
    tensor = single_precision(editor, tensor)
    if layout.channel_axis is not None and shape[layout.channel_axis] > 1:
        count = shape[layout.channel_axis]
        if channel is None:
            weights = np.full(count, 1 / count, np.float32)
        else:
            weights = np.zeros(count, np.float32)
            weights[channel] = 1
        tensor = weighted_channels(editor, tensor, layout, weights)
    size = layout.spatial_shape(shape)
    tensor = editor.add("Reshape", [tensor, editor.constant(np.array(size, np.int64))])
    return resize_map(editor, tensor, size, view)


def single_precision(editor: Editor, tensor: str) -> str:
    """Append a cast to float32, whatever type the model computes in: what this package appends runs in it."""
    return editor.add("Cast", [tensor], to=onnx.TensorProto.FLOAT)


def weighted_channels(editor: Editor, tensor: str, layout: Layout, weights: np.ndarray) -> str:
    """Append the weighted sum over the channels."""
    space = len(layout.spatial_axes)
    if layout.channel_axis == 1:
        return editor.add("Conv", [tensor, editor.constant(weights.reshape(1, -1, *(1,) * space))])
    return editor.add("MatMul", [tensor, editor.constant(weights.reshape(-1, 1))])


def resize_matrix(inside: int, outside: int, mode: str) -> NDArray[np.float64]:
    """Weights (outside, inside) of ONNX's Resize with half-pixel centres: `linear`, or `nearest` with
    round_prefer_floor.
    """
    if mode == "linear":
        return linear_matrix(inside, outside)
    places = (np.arange(outside) + 0.5) * inside / outside - 0.5
    nearest = np.clip(np.ceil(places - 0.5).astype(int), 0, inside - 1)
    matrix: NDArray[np.float64] = np.eye(inside)[nearest]
    return matrix


def resize_map(editor: Editor, tensor: str, size: tuple[int, ...], view: View) -> str:
    """Append a resize of a map to the image's pixels, as one constant matrix per axis."""
    space = view.space
    for axis, (inside, outside) in enumerate(zip(size, space, strict=True)):
        if inside == outside:
            continue
        if inside * outside > MAX_RESIZE_VALUES:
            raise SaliencyUnavailable(f"a map of {size} is too large to be resized to {space} pixels")
        matrix = resize_matrix(inside, outside, view.resize).astype(np.float32)
        rank = len(size)
        order = [a for a in range(rank) if a != axis] + [axis]
        back = [order.index(a) for a in range(rank)]
        tensor = (
            editor.add("Transpose", [tensor], perm=order) if order != back or axis != rank - 1 else tensor
        )
        tensor = editor.add("MatMul", [tensor, editor.constant(matrix.T)])
        tensor = editor.add("Transpose", [tensor], perm=back) if axis != rank - 1 else tensor
    return tensor


def name_map(editor: Editor, tensor: str) -> str:
    """Give the map its public name, `saliency`, as an output."""
    taken = {name for node in editor.proto.graph.node for name in (*node.input, *node.output)}
    name = "saliency" if "saliency" not in taken else editor.fresh("saliency")
    editor.add("Identity", [tensor], output=name)
    editor.expose(name, onnx.TensorProto.FLOAT)
    return name
