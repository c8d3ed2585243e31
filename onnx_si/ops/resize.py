"""Resize and Upsample as one constant matrix per axis (nearest, linear, cubic)."""

import math

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.ops.arrays import double
from onnx_si.ops.registry import Input, Variable, axis_of, constant, handles, integers, optional, variable
from onnx_si.ops.rules import Affine, Array, Rule


def source_positions(inside: int, outside: int, scale: float, mode: str) -> Array:
    """Where each output position lies on the input axis (ONNX spec, coordinate_transformation_mode)."""
    at = np.arange(outside, dtype=np.float64)
    if mode == "asymmetric":
        return at / scale
    if mode == "align_corners":
        return at * (inside - 1) / (outside - 1) if outside > 1 else np.zeros(outside)
    if mode == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if outside > 1 else np.zeros(outside)
    if mode == "half_pixel":
        return (at + 0.5) / scale - 0.5
    if mode == "half_pixel_symmetric":
        adjustment = outside / (inside * scale)
        centre = inside / 2
        return centre * (1 - adjustment) + (at + 0.5) / scale - 0.5
    raise Refusal(f"coordinate_transformation_mode '{mode}'", "export with half_pixel, align_corners or asymmetric")


def nearest_index(positions: Array, inside: int, rounding: str) -> np.ndarray:
    """Nearest input index of each output position (ONNX spec, nearest_mode)."""
    rounders = {
        "round_prefer_floor": lambda p: np.ceil(p - 0.5),
        "round_prefer_ceil": lambda p: np.floor(p + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if rounding not in rounders:
        raise Refusal(f"nearest_mode '{rounding}' is not in the specification", "check the exported model")
    return np.clip(rounders[rounding](positions), 0, inside - 1).astype(np.int64)


def kernel_matrix(positions: Array, inside: int, mode: str, cubic: float, exclude_outside: bool) -> Array:
    """Interpolation weights (outside, inside); what lies outside the input repeats its edge."""
    reach = 1 if mode == "linear" else 2
    base = np.floor(positions).astype(np.int64)
    matrix = np.zeros((len(positions), inside))
    rows = np.arange(len(positions))
    for step in range(1 - reach, reach + 1):
        column = base + step
        distance = np.abs(positions - column)
        weight = 1 - distance if mode == "linear" else _cubic(distance, cubic)
        if exclude_outside:
            weight = np.where((column < 0) | (column >= inside), 0.0, weight)
        np.add.at(matrix, (rows, np.clip(column, 0, inside - 1)), weight)
    return matrix / matrix.sum(axis=1, keepdims=True) if exclude_outside else matrix


def _cubic(d: Array, a: float) -> Array:
    """Keys' cubic convolution kernel."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def interpolate(x: Array, matrix: Array, axis: int) -> Array:
    """Apply an (outside, inside) matrix along one axis."""
    moved = np.moveaxis(x, axis, -1)
    flat = moved.reshape(-1, moved.shape[-1]) @ matrix.T
    return np.moveaxis(flat.reshape(*moved.shape[:-1], matrix.shape[0]), -1, axis)


def along_axes(matrices: dict[int, Array]) -> Affine:
    """One matrix per axis."""
    axes = tuple(axis + 1 for axis in matrices)

    def linear(x: Array, *weights: Array) -> Array:
        for axis, matrix in zip(axes, weights, strict=True):
            x = interpolate(x, matrix, axis)
        return x

    return Affine(linear, tuple(matrices.values()), terms=math.prod(int(np.max((m != 0).sum(1))) for m in matrices.values()))


def taken(indices: dict[int, np.ndarray]) -> Affine:
    """Elements picked along axes."""

    def linear(x: Array) -> Array:
        for axis, index in indices.items():
            x = np.take(x, index, axis=axis + 1)
        return x

    return Affine(linear)


@handles("Resize", since=(10, 11, 13, 18, 19))
def resize(
    x: Input,
    *inputs: Input,
    mode: str = "nearest",
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str | None = None,
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    nearest_mode: str = "round_prefer_floor",
) -> Rule:
    x = variable(x, "X")
    if len(inputs) == 1:  # opset 10: scales only, asymmetric, floor
        return resized(x, tuple(double(constant(inputs[0], "scales"))), None, mode, "asymmetric", "floor", range(x.ndim))
    _, scales, sizes = (*inputs, None, None)[:3]
    if antialias or keep_aspect_ratio_policy != "stretch":
        raise Refusal("antialias or an aspect ratio policy", "export the resize with plain sizes")
    named = [axis_of(axis, x.ndim) for axis in axes] if axes is not None else range(x.ndim)
    factors = optional(scales, "scales")
    return resized(
        x,
        tuple(double(factors)) if factors is not None and factors.size else None,
        integers(sizes, "sizes") if sizes is not None else None,
        mode,
        coordinate_transformation_mode or "half_pixel",
        nearest_mode,
        named,
        cubic_coeff_a,
        bool(exclude_outside),
    )


@handles("Upsample", since=(7, 9))
def upsample(x: Input, scales_input: Input = None, *, mode: str = "nearest", scales: list[float] | None = None) -> Rule:
    x = variable(x, "X")
    factors = tuple(scales) if scales is not None else tuple(double(constant(scales_input, "scales")))
    return resized(x, factors, None, mode, "asymmetric", "floor", range(x.ndim))


def resized(
    x: Variable,
    scales: tuple[float, ...] | None,
    sizes: tuple[int, ...] | None,
    mode: str,
    coordinates: str,
    rounding: str,
    axes: "list[int] | range",
    cubic: float = -0.75,
    exclude_outside: bool = False,
) -> Rule:
    """Resize of the named axes by scales, or to sizes."""
    if mode not in ("nearest", "linear", "cubic"):
        raise Refusal(f"mode '{mode}' is not in the specification", "check the exported model")
    if scales is None and sizes is None:
        raise Refusal("neither scales nor sizes", "check the exported model")
    indices: dict[int, np.ndarray] = {}
    matrices: dict[int, Array] = {}
    for i, axis in enumerate(axes):
        inside = x.shape[axis]
        outside = sizes[i] if sizes is not None else math.floor(inside * scales[i])  # type: ignore[index]
        scale = outside / inside if sizes is not None else float(scales[i])  # type: ignore[index]
        if outside == inside and scale == 1.0:
            continue
        positions = source_positions(inside, outside, scale, coordinates)
        if mode == "nearest":
            indices[axis] = nearest_index(positions, inside, rounding)
        else:
            matrices[axis] = kernel_matrix(positions, inside, mode, cubic, exclude_outside)
    return along_axes(matrices) if matrices else taken(indices)
