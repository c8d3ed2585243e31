"""From a tensor of the model to one map over the image's pixels, by nodes that any runtime can run."""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import logit

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model
from onnx_si.ground.layout import Layout
from onnx_si.kernels.interpolation import linear_matrix
from onnx_si.maps.pixel_blocks import Blocks
from onnx_si.rules.registry import ops_where
from onnx_si.rules.traits import Increasing

LINKS = {"probability": 0.5, "log-probability": math.log(0.5)}
"""What a map behind Sigmoid, Softmax or LogSoftmax is, and where it is as likely as not."""
LINKED = {
    "probability": {Increasing.SIGMOID, Increasing.SOFTMAX},
    "log-probability": {Increasing.LOG_SOFTMAX},
}
ROOT = "root"
"""The link of a map that is the root of something: a threshold is applied to that."""
TOLD_APART = 1e-6  # a probability nearer to 0 or 1 is a matter of the deployed precision
MAX_RESIZE_VALUES = 2**26  # of the matrix that resizes one axis


@dataclass(frozen=True, kw_only=True)
class View:
    """What a saliency method may know of the image: its shape as the model takes it, the layout, its size
    in space, how a coarse map is brought to that size (`linear` or `nearest`), the tensor of the class
    scores where the user named one, the size in space that preprocessing resizes the image to, and the blocks
    that a map is averaged over (None: each pixel is one).
    """

    shape: tuple[int, ...]
    layout: Layout
    resize: str = "linear"
    scores: str | None = None
    inner: tuple[int, ...] | None = None
    blocks: Blocks | None = None

    @property
    def space(self) -> tuple[int, ...]:
        """Size in pixels."""
        return self.layout.spatial_shape(self.shape)


@dataclass(frozen=True, kw_only=True)
class SaliencyMap:
    """A model with a map over the image's pixels.

    `tensor` is the map as the model's users see it; `margin_tensor` is the one that a threshold is applied
    to: where `link` is "probability" or "log-probability", what the map is, it is the logit of that, and
    where it is "root", the square.
    `split` is the level that tells yes from no on a map that has one, `why` the reason of an automatic
    choice, `chooses_class` whether the map is 1 where a class has the largest channel, `of_classes` whether
    each pixel has one class, `blocks` what it was averaged over.
    """

    model: Model
    tensor: str
    margin_tensor: str
    link: str
    method: str
    target: int | str | None
    notes: tuple[str, ...]
    split: float | None = None
    why: str = ""
    chooses_class: bool = False
    of_classes: bool = False
    blocks: Blocks | None = None

    @property
    def is_logit(self) -> bool:
        """Whether the margin tensor is the logit of the map."""
        return self.link in LINKS

    @property
    def is_root(self) -> bool:
        """Whether the margin tensor is the square of the map."""
        return self.link == ROOT

    def behind(self, kind: str) -> bool:
        """Whether a threshold of a kind is applied to what is in front of the map's Sigmoid or root: a level
        that is made of several values of the map needs the map itself.
        """
        return (self.is_logit and kind not in ("max", "minmax")) or (self.is_root and kind != "minmax")

    def on_margin(self, level: float) -> float:
        """The margin tensor's value where the map is at a level.

        Raises
        ------
        UsageError
            If the map never is.
        """
        if self.is_logit:
            return self.logit(level)
        if self.is_root and level < 0:
            raise UsageError(f"threshold {level:g}; the map is a root, which is never below 0")
        return level * level if self.is_root else level

    def logit(self, level: float) -> float:
        """The margin tensor's value where the map is at a level.

        Raises
        ------
        UsageError
            If the map never is.
        """
        log = self.link == "log-probability"
        if not (level < 0 if log else 0 < level < 1):
            lies, ends = "below 0" if log else "between 0 and 1", _named(self.link)
            raise UsageError(f"threshold {level:g}; the map ends in {ends} and lies {lies}")
        if not log and not TOLD_APART <= level <= 1 - TOLD_APART:
            raise UsageError(
                f"threshold {level!r}; the map ends in {_named(self.link)}, which single precision "
                f"tells apart from {TOLD_APART:g} to 1 - {TOLD_APART:g} only: take the scores in front of it"
            )
        return level - math.log(-math.expm1(level)) if log else float(logit(level))


def _named(link: str) -> str:
    """The ops that a link stands for."""
    return " or ".join(ops_where(lambda traits: traits.increasing in LINKED[link]))


def to_map(
    editor: Editor, tensor: str, shape: tuple[int, ...], layout: Layout, channel: int | None, view: View
) -> str:
    """Append nodes that make one map over the image's pixels; gives the new tensor, of shape `view.space`.

    One channel is picked, or all are averaged where `channel` is None; axes of space in another order than
    the image's are turned; a coarse map is resized as the view says (half_pixel).
    """
    tensor = single_precision(editor, tensor)
    tensor, shape, layout = in_order(editor, tensor, shape, layout)
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


def in_image_order(layout: Layout) -> tuple[int, ...]:
    """The axes of space of a tensor, in the order in which the image has them."""
    return tuple(sorted(layout.spatial_axes, key=lambda axis: "DHW".index(layout.axes[axis])))


def in_order(
    editor: Editor, tensor: str, shape: tuple[int, ...], layout: Layout
) -> tuple[str, tuple[int, ...], Layout]:
    """Append a Transpose that puts the axes of space in the image's order, where they are not."""
    places = in_image_order(layout)
    if places == layout.spatial_axes:
        return tensor, shape, layout
    order = list(range(len(shape)))
    for place, axis in zip(layout.spatial_axes, places, strict=True):
        order[place] = axis
    turned = Layout("".join(layout.axes[axis] for axis in order), layout.reason)
    return editor.add("Transpose", [tensor], perm=order), tuple(shape[axis] for axis in order), turned


def weighted_channels(editor: Editor, tensor: str, layout: Layout, weights: np.ndarray) -> str:
    """Append the weighted sum over the channels."""
    space = len(layout.spatial_axes)
    if layout.axes[-1] != "C" and not layout.axes.startswith("NC"):
        axis = layout.axes.index("C")
        order = [a for a in range(len(layout.axes)) if a != axis] + [axis]
        tensor = editor.add("Transpose", [tensor], perm=order)
    elif layout.axes[-1] != "C":
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
