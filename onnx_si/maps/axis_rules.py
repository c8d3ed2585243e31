"""Where the axes of a node's output come from: one rule for each kind of op."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from onnx_si.maps.axes import (
    Axes,
    Axis,
    follows,
    fresh,
    is_fresh,
    met,
    mixed,
    regrouped,
    scaled,
    shuffled,
    size_of,
)

ELEMENTWISE = frozenset(
    {"Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseAnd"}
    | {"BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Cosh"}
    | {"DequantizeLinear", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater"}
    | {"GreaterOrEqual", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less"}
    | {"LessOrEqual", "Log", "Max", "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow"}
    | {"QuantizeLinear", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh"}
    | {"Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Where"}
    | {"Xor"}
)
SAME_SHAPE = frozenset(
    {"BatchNormalization", "CumSum", "GroupNormalization", "Hardmax", "InstanceNormalization"}
    | {"LayerNormalization", "LogSoftmax", "LpNormalization", "LRN", "MeanVarianceNormalization"}
    | {"RMSNormalization", "Scaler", "Softmax", "ScatterElements", "ScatterND", "Imputer", "Binarizer"}
)
"""Ops whose output has the axes of their first input."""
CONVOLUTIONS = {"Conv": 1, "QLinearConv": 3, "ConvInteger": 1, "ConvTranspose": 1, "DeformConv": 1}
POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"})
REGROUPED = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
ROWS = frozenset(
    {"LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor", "TreeEnsemble"}
    | {"TreeEnsembleClassifier", "TreeEnsembleRegressor", "FeatureVectorizer"}
)
"""Ops of the domain ai.onnx.ml that work row by row."""


@dataclass(frozen=True)
class Place:
    """A node where it stands: its inputs' axes (None: it does not change, or can't be told), which of its
    inputs are constants, and the shape of its output.
    """

    node: onnx.NodeProto
    inputs: tuple[Axes | None, ...]
    constants: Mapping[str, NDArray[Any]]
    shape: tuple[int, ...]
    position: int

    def attribute(self, name: str, default: Any = None) -> Any:
        """Its value."""
        found = next((a for a in self.node.attribute if a.name == name), None)
        return default if found is None else onnx.helper.get_attribute_value(found)

    def numbers(self, position: int, attribute: str) -> list[int] | None:
        """Whole numbers that are an input, of older ops an attribute; None where there are none."""
        given = self.attribute(attribute)
        if given is not None:
            return list(given)
        name = self.node.input[position] if position < len(self.node.input) else ""
        return [int(n) for n in np.ravel(self.constants[name])] if name in self.constants else None

    @property
    def first(self) -> Axes:
        """Axes of the first input.

        Raises
        ------
        LookupError
            If they can't be told.
        """
        if not self.inputs or self.inputs[0] is None:
            raise LookupError
        return self.inputs[0]


def axes_of(place: Place) -> Axes | None:
    """Axes of a node's output; None where they can't be told."""
    node = place.node
    rule = RULES.get(node.op_type)
    if rule is None or any(
        axes is None and name and name not in place.constants
        for name, axes in zip(node.input, place.inputs, strict=True)
    ):
        return None
    try:
        found = rule(place)
    except (LookupError, ValueError, ZeroDivisionError):
        return None
    if found is None or len(found) != len(place.shape):
        return None
    return found


def _elementwise(place: Place) -> Axes:
    rank = len(place.shape)
    known = [((),) * (rank - len(axes)) + axes for axes in place.inputs if axes is not None]
    return tuple(met((axes[i] for axes in known), size) for i, size in enumerate(place.shape))


def _same(place: Place) -> Axes:
    return place.first if place.position == 0 else ()


def _convolution(place: Place) -> Axes:
    first, rank = place.first, len(place.shape)
    if rank < 3:
        raise ValueError
    steps = [Fraction(n) for n in place.attribute("strides", [1] * (rank - 2))]
    if place.node.op_type == "ConvTranspose":
        steps = [1 / n for n in steps]
    space = tuple(
        scaled(axis, size, step) for axis, size, step in zip(first[2:], place.shape[2:], steps, strict=True)
    )
    channels = first[1] if place.node.op_type in POOLS else fresh(place.shape[1])
    return (first[0], channels, *space)


def _global_pool(place: Place) -> Axes:
    return (*place.first[:2], *((),) * (len(place.shape) - 2))


def _transpose(place: Place) -> Axes:
    order = place.attribute("perm", list(range(len(place.shape)))[::-1])
    return tuple(place.first[axis] for axis in order)


def _regrouped(place: Place) -> Axes | None:
    if tuple(map(size_of, place.first)) == place.shape:
        return place.first
    return regrouped(place.first, place.shape)


def _cut(place: Place) -> Axes:
    """Slice: backwards where its step is."""
    first = place.first
    axes = place.numbers(3, "axes")
    steps = place.numbers(4, "steps")
    if len(place.node.input) > 4 and place.node.input[4] and steps is None:
        raise LookupError
    axes = list(range(len(steps or ()))) if axes is None else axes
    by = {axis % len(first): step for axis, step in zip(axes, steps or [1] * len(axes), strict=True)}
    return tuple(
        scaled(axis, size, Fraction(by.get(i, 1)))
        for i, (axis, size) in enumerate(zip(first, place.shape, strict=True))
    )


def _padded(place: Place) -> Axes:
    return tuple(scaled(axis, size) for axis, size in zip(place.first, place.shape, strict=True))


def _resized(place: Place) -> Axes:
    if place.attribute("coordinate_transformation_mode", b"") == b"tf_crop_and_resize":
        raise LookupError
    return tuple(
        scaled(axis, size, Fraction(size_of(axis), size)) if size != size_of(axis) else axis
        for axis, size in zip(place.first, place.shape, strict=True)
    )


def _reduced(place: Place) -> Axes | None:
    first, node = place.first, place.node
    if node.op_type in ("ArgMax", "ArgMin"):
        axes: list[int] | None = [place.attribute("axis", 0)]
    else:
        axes = place.numbers(1, "axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            return None
    gone = {axis % len(first) for axis in axes} if axes else set(range(len(first)))
    if len(place.shape) == len(first):
        return tuple(() if i in gone and place.shape[i] == 1 else axis for i, axis in enumerate(first))
    return tuple(axis for i, axis in enumerate(first) if i not in gone)


def _concatenated(place: Place) -> Axes:
    rank = len(place.shape)
    along = place.attribute("axis") % rank
    known = [axes for axes in place.inputs if axes is not None]
    joined = (
        fresh(place.shape[along])
        if all(is_fresh(axes[along]) for axes in known)
        else mixed(place.shape[along])
    )
    if _is_image_axis(known, along):
        joined = mixed(place.shape[along])
    return tuple(
        joined if i == along else met((axes[i] for axes in known), size) for i, size in enumerate(place.shape)
    )


def _is_image_axis(known: Sequence[Axes], along: int) -> bool:
    return any(follows(axes[along]) is not None for axes in known)


def _chosen(place: Place) -> Axes:
    """Gather: the axis gives way to those of the indices."""
    first = place.first
    along = place.attribute("axis", 0) % len(first)
    inside = len(place.shape) - len(first) + 1
    sizes = place.shape[along : along + inside]
    made = tuple(shuffled(first[along], size) for size in sizes)
    return (*first[:along], *made, *first[along + 1 :])


def _shuffled_where_changed(place: Place) -> Axes:
    """Tile, TopK: an axis of the same length is the same."""
    return tuple(
        axis if size == size_of(axis) else shuffled(axis, size)
        for axis, size in zip(place.first, place.shape, strict=True)
    )


def _top(place: Place) -> Axes:
    along = place.attribute("axis", -1) % len(place.shape)
    return tuple(
        shuffled(axis, size) if i == along else axis
        for i, (axis, size) in enumerate(zip(place.first, place.shape, strict=True))
    )


def _expanded(place: Place) -> Axes:
    first = ((),) * (len(place.shape) - len(place.first)) + place.first
    return tuple(
        axis if size == size_of(axis) else fresh(size) for axis, size in zip(first, place.shape, strict=True)
    )


def _blocks(place: Place) -> Axes:
    """DepthToSpace and SpaceToDepth."""
    first = place.first
    return (
        first[0],
        fresh(place.shape[1]),
        *(scaled(a, n, Fraction(size_of(a), n)) for a, n in zip(first[2:], place.shape[2:], strict=True)),
    )


def _product(place: Place) -> Axes:
    """MatMul: rows of the left, columns of the right; a constant that interpolates moves along the axis."""
    left, right = place.inputs[:2]
    names = place.node.input
    rank = len(place.shape)
    rows = fresh(place.shape[-2]) if left is None else left[-2]
    columns = fresh(place.shape[-1]) if right is None else right[-1]
    if left is not None and right is None:
        columns = _interpolated(left[-1], place.constants[names[1]], place.shape[-1])
    if right is not None and left is None:
        matrix = place.constants[names[0]]
        rows = _interpolated(right[-2], np.swapaxes(matrix, -1, -2), place.shape[-2])
    known = [((),) * (rank - len(axes)) + axes for axes in (left, right) if axes is not None]
    batch = (met((axes[i] for axes in known), n) for i, n in enumerate(place.shape[:-2]))
    return (*batch, rows, columns)


def _interpolated(axis: Axis, matrix: NDArray[Any], size: int) -> Axis:
    """An axis behind a matrix (old, new): still the image's where each new entry is a weighted mean around
    its own place, as a resize is; one that the graph made elsewhere.
    """
    part, old = follows(axis), matrix.shape[0]
    if part is None or matrix.ndim != 2 or old == 1 or size == 1:
        return fresh(size)
    weights = np.asarray(matrix, np.float64)
    if weights.min() < 0 or not np.allclose(weights.sum(axis=0), 1, atol=1e-5):
        return fresh(size)
    centres = (np.arange(old) + 0.5) @ weights
    wanted = (np.arange(size) + 0.5) * old / size
    spread = np.abs(np.arange(old)[:, None] + 0.5 - wanted) * (weights > 0)
    reach = 1 + max(1.0, old / size)
    if np.any(np.diff(centres) < 0) or spread.max() > reach:
        return fresh(size)
    return scaled(axis, size, Fraction(old, size))


def _gemm(place: Place) -> Axes:
    left, right = place.inputs[:2]

    def turned(axes: Axes, name: str) -> Axes:
        return axes[::-1] if place.attribute(name, 0) else axes

    rows = fresh(place.shape[0]) if left is None else turned(left, "transA")[0]
    columns = fresh(place.shape[1]) if right is None else turned(right, "transB")[1]
    return (rows, columns)


def _rows(place: Place) -> Axes:
    return (place.first[0], *(fresh(n) for n in place.shape[1:]))


def _one_hot(place: Place) -> Axes:
    along = place.attribute("axis", -1) % len(place.shape)
    return (*place.first[:along], fresh(place.shape[along]), *place.first[along:])


Rule = Callable[[Place], Axes | None]
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(SAME_SHAPE, _same),
    **dict.fromkeys([*CONVOLUTIONS, *POOLS], _convolution),
    **dict.fromkeys(GLOBAL_POOLS, _global_pool),
    **dict.fromkeys(REGROUPED, _regrouped),
    **dict.fromkeys(ROWS, _rows),
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax")
        + ("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        _reduced,
    ),
    "Concat": _concatenated,
    "DepthToSpace": _blocks,
    "Expand": _expanded,
    "Gather": _chosen,
    "Gemm": _gemm,
    "MatMul": _product,
    "OneHot": _one_hot,
    "Pad": _padded,
    "Resize": _resized,
    "Slice": _cut,
    "SpaceToDepth": _blocks,
    "Split": _padded,
    "Tile": _shuffled_where_changed,
    "TopK": _top,
    "Transpose": _transpose,
    "Upsample": _resized,
}
