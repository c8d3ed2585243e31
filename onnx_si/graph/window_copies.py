"""Sliding windows as a graph: the network on overlapping parts of an image, their outputs blended.

What slides elsewhere in a loop of Python is here a copy of the network for each window, so that whatever
follows the image through the graph follows all windows and their blending.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.graph.dag import nodes_between, read_by
from onnx_si.graph.doorway import PREFIX, in_both
from onnx_si.graph.edit import Editor
from onnx_si.graph.inline import renamed
from onnx_si.graph.model import Model

SIGMA = 0.125  # standard deviation of the weights over a window's side
LEAST_WEIGHT = 1e-3
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """Windows of one size over an image, by axes of space: first pixels along each axis, and the weights of
    a window's pixels.

    Source
    ------
    MONAI, `sliding_window_inference` with mode "gaussian": windows, weights and the least of these.
    """

    whole: tuple[int, ...]
    size: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    @classmethod
    def over(cls, whole: tuple[int, ...], size: tuple[int, ...], overlap: float) -> "Windows":
        """Windows that overlap by a share of their side; the last ones end where the image does."""
        pairs = zip(whole, size, strict=True)
        return cls(whole, size, tuple(_starts(full, side, overlap) for full, side in pairs))

    @property
    def number(self) -> int:
        return math.prod(map(len, self.starts))

    def places(self) -> Iterator[tuple[int, ...]]:
        """The first pixel of each window."""
        return itertools.product(*self.starts)

    @property
    def weights(self) -> Array:
        """A normal density around the middle of a window, of its pixels."""
        made: Array = np.ones(())
        for side in self.size:
            at = np.arange(side) - (side - 1) / 2
            made = made[..., None] * np.exp(-(at**2) / (2 * (SIGMA * side) ** 2))
        return np.maximum(made, max(float(made.min()), LEAST_WEIGHT))

    @property
    def shares(self) -> Array:
        """One over the sum of all weights at each pixel of the image."""
        total, weights = np.zeros(self.whole), self.weights
        for place in self.places():
            total[tuple(slice(a, a + n) for a, n in zip(place, self.size, strict=True))] += weights
        return np.asarray(1.0 / total)


def _starts(full: int, side: int, overlap: float) -> tuple[int, ...]:
    step = side if side == full else max(1, int(side * (1 - overlap)))
    count = 1 + max(0, math.ceil((full - side) / step))
    return tuple(min(number * step, full - side) for number in range(count))


@dataclass(frozen=True)
class Output:
    """A map that the network gives for a window: its element type and shape, and its axes of space, in the
    order of the image's.
    """

    type: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        found: np.dtype[np.generic] = onnx.helper.tensor_dtype_to_np_dtype(self.type)
        return found

    def along(self, values: Array) -> NDArray[np.generic]:
        """Numbers over space in this output's axes, of length one elsewhere."""
        shape = [1] * len(self.shape)
        for axis, n in zip(self.axes, values.shape, strict=True):
            shape[axis] = n
        return np.asarray(values.transpose(np.argsort(self.axes)).reshape(shape).astype(self.dtype))

    def zeros(self, sizes: Mapping[int, int]) -> NDArray[np.generic]:
        """A block of zeros, some axes of space of another size."""
        return np.zeros([sizes.get(axis, n) for axis, n in enumerate(self.shape)], self.dtype)


def in_windows(
    model: Model,
    input_name: str,
    axes: tuple[int, ...],
    windows: Windows,
    outputs: Mapping[str, Output],
    batch: int | None = None,
) -> Model:
    """The model for a whole image with these axes of space, one at a time along the axis `batch`, as the
    zeros around a window are of one image; only `outputs` are kept.
    """

    def change(proto: onnx.ModelProto) -> onnx.ModelProto:
        editor = Editor(Model(proto=proto), PREFIX)
        graph = editor.proto.graph
        wanted = nodes_between(graph, tuple(outputs))
        del graph.node[:]
        found: dict[str, list[str]] = {name: [] for name in outputs}
        image = {input_name}
        fixed = [node for node in wanted if not _depends(node, image)]
        moving = [node for node in wanted if node not in fixed]
        graph.node.extend(fixed)
        for number, place in enumerate(windows.places()):
            tensor = input_name
            for axis, start, side in zip(axes, place, windows.size, strict=True):
                part = editor.constant(np.arange(start, start + side, dtype=np.int64))
                tensor = editor.add("Gather", [tensor, part], axis=axis)
            names = {input_name: tensor}
            for node in moving:
                names.update((name, editor.fresh(f"window_{number}/{name}")) for name in node.output if name)
                copy = renamed(node, names)
                copy.name = editor.fresh(f"window_{number}/{node.name or node.op_type}")
                graph.node.append(copy)
            for name in outputs:
                found[name].append(names[name])
        for name, output in outputs.items():
            _blend(editor, name, found[name], windows, output)
        _declare(graph, input_name, axes, windows, outputs)
        if batch is not None:
            (taken,) = (value for value in graph.input if value.name == input_name)
            _set_sizes(taken, (batch,), (1,))
        return editor.proto

    return in_both(model, change)


def _depends(node: onnx.NodeProto, image: set[str]) -> bool:
    """Whether a node reads what follows from the image; its outputs then do so too."""
    if image.isdisjoint(read_by(node)):
        return False
    image.update(name for name in node.output if name)
    return True


def _blend(editor: Editor, name: str, parts: list[str], windows: Windows, output: Output) -> None:
    """Append the weighted mean of the windows' outputs, each at its place."""
    weights = editor.constant(output.along(windows.weights))
    rest = iter([editor.add("Mul", [part, weights]) for part in parts])

    def placed(axis: int) -> str:
        """The sum of the next windows that differ along this axis and those behind it."""
        if axis == len(windows.size):
            return next(rest)
        total = None
        for start in windows.starts[axis]:
            tensor = placed(axis + 1)
            behind = windows.whole[axis] - windows.size[axis] - start
            tensor = _between_zeros(editor, tensor, start, behind, axis, windows, output)
            total = tensor if total is None else editor.add("Add", [total, tensor])
        assert total is not None
        return total

    editor.add("Mul", [placed(0), editor.constant(output.along(windows.shares))], output=name)


def _between_zeros(
    editor: Editor, tensor: str, before: int, behind: int, axis: int, windows: Windows, output: Output
) -> str:
    """So many zeros before and behind along an axis of space; those behind it are whole already."""
    whole = {output.axes[a]: windows.whole[a] for a in range(axis + 1, len(windows.whole))}

    def zeros(count: int) -> list[str]:
        block = output.zeros({**whole, output.axes[axis]: count})
        return [editor.constant(block)] if count else []

    parts = [*zeros(before), tensor, *zeros(behind)]
    return tensor if len(parts) == 1 else editor.add("Concat", parts, axis=output.axes[axis])


def _declare(
    graph: onnx.GraphProto,
    input_name: str,
    axes: tuple[int, ...],
    windows: Windows,
    outputs: Mapping[str, Output],
) -> None:
    """State the whole image's sizes, and no other outputs."""
    del graph.value_info[:]
    known = {value.name: value for value in graph.output}
    kept = [
        known.get(name) or onnx.helper.make_tensor_value_info(name, output.type, list(output.shape))
        for name, output in outputs.items()
    ]
    del graph.output[:]
    graph.output.extend(kept)
    for value in graph.input:
        if value.name == input_name:
            _set_sizes(value, axes, windows.whole)
    for value in graph.output:
        _set_sizes(value, outputs[value.name].axes, windows.whole)


def _set_sizes(value: onnx.ValueInfoProto, axes: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    dims = value.type.tensor_type.shape.dim
    for axis, size in zip(axes, sizes, strict=True):
        if axis < len(dims):
            dims[axis].CopyFrom(onnx.TensorShapeProto.Dimension(dim_value=size))
