"""Resize and Upsample as one constant matrix or index list per axis (linear, cubic, nearest)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.ops.arrays import double, malformed
from onnx_si.ops.registry import (
    Context,
    Input,
    Variable,
    axis_of,
    constant,
    handles,
    integers,
    optional,
    variable,
)
from onnx_si.ops.rules import Affine, Array, Rule

HALF = Fraction(1, 2)
SHIFTS = {"floor": Fraction(0), "ceil": Fraction(0), "round_prefer_floor": -HALF, "round_prefer_ceil": HALF}


@dataclass(frozen=True)
class Positions:
    """Places start + step * i on the input axis for i < count, as exact fractions."""

    start: Fraction
    step: Fraction
    count: int

    def parts(self, shift: Fraction = Fraction(0)) -> tuple[NDArray[np.intp], Array]:
        """Whole number below each shifted place, and what is left, exactly 0 on a whole number."""
        start = self.start + shift
        unit = math.lcm(start.denominator, self.step.denominator)
        first, step = int(start * unit), int(self.step * unit)
        large = max(abs(first), abs(first + step * self.count), unit) > 2**62
        numerators = first + step * np.arange(self.count, dtype=object if large else np.int64)
        return (numerators // unit).astype(np.intp), (numerators % unit / unit).astype(np.float64)


@dataclass(frozen=True)
class Stretch:
    """Resize of one axis: `inside` elements become `outside`; the scale is exact, not a rounded quotient."""

    inside: int
    outside: int
    scale: Fraction

    def positions(self, mode: str) -> Positions:
        """Where each output position lies on the input axis (ONNX spec, coordinate_transformation_mode).

        Where the wanted length is fractional, the specification's text and onnxruntime compute align_corners
        and the one-element case of pytorch_half_pixel from the rounded length, its reference evaluator and
        node cases from the fractional one: refused.
        """
        wanted = self.inside * self.scale
        disputed = mode == "align_corners" or (mode == "pytorch_half_pixel" and self.outside == 1)
        if disputed and wanted != self.outside:
            raise Refusal(
                f"{mode} with the scale {float(self.scale):g} of {self.inside}", "export it with sizes"
            )
        half_pixel = HALF / self.scale - HALF
        match mode:
            case "asymmetric":
                return Positions(Fraction(0), 1 / self.scale, self.outside)
            case "align_corners":
                return Positions(
                    Fraction(0), Fraction(self.inside - 1, max(self.outside - 1, 1)), self.outside
                )
            case "pytorch_half_pixel" if self.outside == 1:
                return Positions(Fraction(0), Fraction(0), 1)
            case "half_pixel" | "pytorch_half_pixel":
                return Positions(half_pixel, 1 / self.scale, self.outside)
            case "half_pixel_symmetric":
                shift = Fraction(self.inside, 2) * (1 - self.outside / wanted)
                return Positions(shift + half_pixel, 1 / self.scale, self.outside)
        raise Refusal(
            f"coordinate_transformation_mode '{mode}'", "export with half_pixel, align_corners or asymmetric"
        )

    def rounded_positions(self, mode: str) -> Array:
        """The same as a runtime computes them in float32."""
        at, half = np.arange(self.outside, dtype=np.float32), np.float32(0.5)
        scale = np.float32(float(self.scale))
        match mode:
            case "asymmetric":
                places = at / scale
            case "align_corners":
                places = at * np.float32(self.inside - 1) / np.float32(max(self.outside - 1, 1))
            case "pytorch_half_pixel" if self.outside == 1:
                places = at
            case "half_pixel" | "pytorch_half_pixel":
                places = (at + half) / scale - half
            case _:
                raise Refusal(
                    f"mode nearest with {mode}", "export with half_pixel, align_corners or asymmetric"
                )
        return places.astype(np.float64)


def to_size(inside: int, outside: int) -> Stretch:
    """An axis resized to a given length."""
    if inside < 1 or outside < 1:
        raise malformed(f"a resize from {inside} to {outside} elements")
    return Stretch(inside, outside, Fraction(outside, inside))


def by_scale(inside: int, scale: float) -> Stretch:
    """An axis resized by a float32 scale; its length is rounded down in float32, as shape inference does."""
    if not 0 < scale < 2**30:
        raise malformed(f"a resize by the scale {scale}")
    wanted = float(np.float32(inside) * np.float32(scale))
    stretch = to_size(inside, math.floor(wanted))
    return stretch if wanted == stretch.outside else Stretch(inside, stretch.outside, Fraction(float(scale)))


def nearest_index(stretch: Stretch, coordinates: str, rounding: str) -> NDArray[np.intp]:
    """Nearest input index of each output position (ONNX spec, nearest_mode).

    Refused where a runtime's float32 arithmetic falls on the other side of a border between two elements.
    """
    if rounding not in SHIFTS:
        raise malformed(f"nearest_mode '{rounding}' is not in the specification")
    shift = SHIFTS[rounding]
    upwards = rounding in ("ceil", "round_prefer_floor")
    whole, rest = stretch.positions(coordinates).parts(shift)
    chosen = np.clip(whole + (rest > 0) if upwards else whole, 0, stretch.inside - 1)
    places = stretch.rounded_positions(coordinates) + float(shift)
    rounded = np.clip(np.ceil(places) if upwards else np.floor(places), 0, stretch.inside - 1)
    if np.any(rounded != chosen):
        raise Refusal("a nearest element that float32 arithmetic gets wrong", "resize by a whole factor")
    return chosen


def kernel_matrix(
    positions: Positions, inside: int, mode: str, cubic: float = -0.75, exclude_outside: bool = False
) -> Array:
    """Interpolation weights (outside, inside); what lies outside the input repeats its edge."""
    reach = 1 if mode == "linear" else 2
    base, share = positions.parts()
    matrix = np.zeros((positions.count, inside))
    rows = np.arange(positions.count)
    for step in range(1 - reach, reach + 1):
        column, distance = base + step, np.abs(share - step)
        weight = 1 - distance if mode == "linear" else keys_kernel(distance, cubic)
        if exclude_outside:
            weight = np.where((column < 0) | (column >= inside), 0.0, weight)
        np.add.at(matrix, (rows, np.clip(column, 0, inside - 1)), weight)
    return matrix / matrix.sum(axis=1, keepdims=True) if exclude_outside else matrix


def linear_matrix(inside: int, outside: int) -> Array:
    """Weights (outside, inside) of a linear resize with half-pixel centres, the specification's default."""
    return kernel_matrix(to_size(inside, outside).positions("half_pixel"), inside, "linear")


def keys_kernel(d: Array, a: float) -> Array:
    """Keys' cubic convolution kernel."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _apply(x: Array, matrix: Array, axis: int) -> Array:
    """Apply an (outside, inside) matrix along one axis."""
    moved = np.moveaxis(x, axis, -1)
    rows = moved.reshape(math.prod(moved.shape[:-1]), moved.shape[-1]) @ matrix.T
    return np.moveaxis(rows.reshape(*moved.shape[:-1], matrix.shape[0]), -1, axis)


@dataclass(frozen=True)
class AlongAxes:
    """The linear part of an interpolation: one matrix (a weight) for each of some axes."""

    axes: tuple[int, ...]

    def __call__(self, x: Array, *matrices: Array) -> Array:
        for axis, matrix in zip(self.axes, matrices, strict=True):
            x = _apply(x, matrix, axis + 1)
        return x


def interpolated(matrices: Mapping[int, Array]) -> Affine:
    """One matrix per axis."""
    terms = math.prod(int(np.count_nonzero(matrix, axis=1).max()) for matrix in matrices.values())
    return Affine(AlongAxes(tuple(matrices)), tuple(matrices.values()), terms=terms)


@dataclass(frozen=True)
class Taken:
    """The linear part of picking elements along axes."""

    indices: Mapping[int, NDArray[np.intp]]

    def __call__(self, x: Array) -> Array:
        for axis, index in self.indices.items():
            x = np.take(x, index, axis=axis + 1)
        return x


def taken(indices: Mapping[int, NDArray[np.intp]]) -> Affine:
    """Elements picked along axes."""
    return Affine(Taken(indices))


@dataclass(frozen=True)
class Sampling:
    """How an output position finds its inputs: attributes of Resize."""

    mode: str
    coordinates: str = "asymmetric"
    rounding: str = "floor"
    cubic: float = -0.75
    exclude_outside: bool = False


def resized(x: Variable, stretches: Mapping[int, Stretch], how: Sampling) -> Rule:
    """Resize of the named axes."""
    if how.mode not in ("nearest", "linear", "cubic"):
        raise malformed(f"mode '{how.mode}' is not in the specification")
    if x.integer and how.mode != "nearest":
        raise Refusal(f"mode {how.mode} of integers rounds", "cast to floating point first")
    affordable(tuple(stretches[a].outside if a in stretches else n for a, n in enumerate(x.shape)))
    if all(s.outside == s.inside for s in stretches.values()) and any(
        s.scale != 1 for s in stretches.values()
    ):
        raise Refusal("scales that change no length", "runtimes differ; remove the node")
    positions = {axis: stretch.positions(how.coordinates) for axis, stretch in stretches.items()}
    moving = {axis: p for axis, p in positions.items() if stretches[axis].scale != 1}
    if how.mode == "nearest":
        return taken({axis: nearest_index(stretches[axis], how.coordinates, how.rounding) for axis in moving})
    for axis in moving:
        affordable((stretches[axis].outside, x.shape[axis]))
    return interpolated(
        {
            axis: kernel_matrix(p, x.shape[axis], how.mode, how.cubic, how.exclude_outside)
            for axis, p in moving.items()
        }
    )


@handles("Resize", since=(10, 11, 13, 18, 19))
def resize(
    x: Input,
    roi: Input = None,
    scales: Input = None,
    sizes: Input = None,
    *,
    context: Context,
    mode: str = "nearest",
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    nearest_mode: str = "round_prefer_floor",
) -> Rule:
    x = variable(x, "X")
    if context.version == 10:  # (X, scales), asymmetric; rounding was not specified, runtimes differ below 1
        return _by_scales(x, roi, range(x.ndim), Sampling(mode), at_least_one=True)
    if antialias or keep_aspect_ratio_policy != "stretch":
        raise Refusal("antialias or an aspect ratio policy", "export the resize with plain sizes")
    how = Sampling(mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a, bool(exclude_outside))
    named = [axis_of(axis, x.ndim) for axis in axes] if axes is not None else range(x.ndim)
    factors = optional(scales, "scales")
    if factors is not None and factors.size:
        return _by_scales(x, factors, named, how)
    lengths = integers(sizes, "sizes")
    if len(lengths) != len(named):
        raise malformed(f"{len(lengths)} sizes for {len(named)} axes")
    return resized(x, {a: to_size(x.shape[a], n) for a, n in zip(named, lengths, strict=True)}, how)


@handles("Upsample", since=(7, 9))
def upsample(
    x: Input, factors: Input = None, *, mode: str = "nearest", scales: list[float] | None = None
) -> Rule:
    x = variable(x, "X")
    given = factors if scales is None else np.asarray(scales)
    return _by_scales(x, given, range(x.ndim), Sampling(mode), at_least_one=True)


def _by_scales(
    x: Variable, scales: Input, axes: Sequence[int], how: Sampling, at_least_one: bool = False
) -> Rule:
    factors: list[Any] = double(constant(scales, "scales")).ravel().tolist()
    if len(factors) != len(axes):
        raise malformed(f"{len(factors)} scales for {len(axes)} axes")
    if at_least_one and min(factors) < 1:
        raise Refusal(
            f"scales {factors} below 1 are not specified before opset 11", "export to opset 11 or later"
        )
    return resized(x, {a: by_scale(x.shape[a], s) for a, s in zip(axes, factors, strict=True)}, how)
