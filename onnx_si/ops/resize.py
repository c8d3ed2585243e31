"""Resize and Upsample as one constant matrix or index list per axis (linear, cubic, nearest)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed
from onnx_si.kernels.interpolation import AlongAxes, Taken, kernel_matrix
from onnx_si.kernels.stretch import SIZES, Stretch, by_scale, nearest_index, to_size, with_ratio
from onnx_si.ops.crops import support
from onnx_si.ops.recipe import Recipe
from onnx_si.rules import axis_rules
from onnx_si.rules.boxes import Box, Part
from onnx_si.rules.registry import (
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
from onnx_si.rules.rules import Affine, Array, Composition, Disputed, Rule, Stage


def interpolated(matrices: Mapping[int, Array]) -> Affine:
    """One matrix per axis."""
    terms = math.prod(int(np.count_nonzero(matrix, axis=1).max()) for matrix in matrices.values())
    return Affine(linear=AlongAxes(tuple(matrices)), weights=tuple(matrices.values()), terms=terms)


def taken(indices: Mapping[int, NDArray[np.intp]]) -> Affine:
    """Elements picked along axes."""
    return Affine(linear=Taken(indices))


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an output position finds its inputs: attributes of Resize."""

    mode: str
    coordinates: str = "asymmetric"
    rounding: str = "floor"
    cubic: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False
    extrapolation: float = 0.0

    def matrix(self, stretch: Stretch) -> Array:
        """Weights (outside, inside) for one axis."""
        affordable((stretch.outside, stretch.inside))
        shrink = min(1.0, float(stretch.scale)) if self.antialias else 1.0
        places = stretch.positions(self.coordinates)
        return kernel_matrix(places, stretch.inside, self.mode, self.cubic, self.exclude_outside, shrink)


def resized(x: Variable, stretches: Mapping[int, Stretch], how: Sampling) -> Rule:
    """Resize of the named axes."""
    if how.mode not in ("nearest", "linear", "cubic"):
        raise malformed(f"mode '{how.mode}' is not in the specification")
    if x.integer and how.mode != "nearest":
        raise Refusal(f"mode {how.mode} of integers rounds", "cast to floating point first")
    affordable(tuple(stretches[a].outside if a in stretches else n for a, n in enumerate(x.shape)))
    if how.coordinates == "tf_half_pixel_for_nn" and how.mode != "nearest":
        raise malformed(f"mode {how.mode} with {how.coordinates}")
    moving = {
        axis: stretch
        for axis, stretch in stretches.items()
        if not stretch.positions(how.coordinates).stay(stretch.inside)
    }
    if moving and all(s.outside == s.inside for s in stretches.values()):
        raise Refusal("a resize that changes no length", "runtimes differ; remove the node")
    if how.antialias and any(s.outside == s.inside for s in moving.values()):
        raise Refusal("an antialiased resize that changes no length of an axis", f"runtimes differ; {SIZES}")
    if how.coordinates == "tf_crop_and_resize":
        beyond = {axis: stretch.beyond(how.coordinates) for axis, stretch in moving.items()}
        if any(stretch.inside == stretch.outside for stretch in moving.values()):
            raise Refusal("a crop that changes no length of an axis", "runtimes differ; use Slice")
        if any(map(np.any, beyond.values())):
            return _extrapolated(x.ndim, {a: how.matrix(s) for a, s in moving.items()}, beyond, how)
    if how.mode == "nearest":
        return taken({a: nearest_index(s, how.coordinates, how.rounding) for a, s in moving.items()})
    rule = interpolated({axis: how.matrix(stretch) for axis, stretch in moving.items()})
    if any(stretch.disputed(how.coordinates) for stretch in moving.values()):
        return Disputed(
            evaluate=rule.evaluate, reason=f"{how.coordinates} with a scale that runtimes round; {SIZES}"
        )
    return rule


def _extrapolated(
    ndim: int, matrices: Mapping[int, Array], beyond: Mapping[int, NDArray[np.bool_]], how: Sampling
) -> Rule:
    """A constant where a position lies outside the input on any axis."""
    rule = interpolated({axis: np.where(beyond[axis][:, None], 0.0, m) for axis, m in matrices.items()})
    along = (np.expand_dims(lies, [a for a in range(ndim) if a != axis]) for axis, lies in beyond.items())
    return replace(rule, offset=np.where(reduce(np.logical_or, along), how.extrapolation, 0.0))


def _part_of_resized(recipe: Recipe, rule: Rule, shape: tuple[int, ...], box: Box) -> Part | None:
    """One matrix or list of indices for each resized axis."""
    need = list(box)
    if isinstance(rule, Affine) and isinstance(rule.linear, Taken):
        picked = {axis: index[box[axis]] for axis, index in rule.linear.indices.items()}
        for axis, index in picked.items():
            need[axis] = slice(int(index.min()), int(index.max()) + 1)
        return Part(
            box, (tuple(need),), lambda: taken({a: index - need[a].start for a, index in picked.items()})
        )
    if isinstance(rule, Affine) and isinstance(rule.linear, AlongAxes) and rule.offset is None:
        pairs = zip(rule.linear.axes, rule.weights, strict=True)
        rows = {axis: matrix[box[axis]] for axis, matrix in pairs}
        for axis, matrix in rows.items():
            need[axis] = support(np.any(matrix != 0, axis=0))
        return Part(
            box, (tuple(need),), lambda: interpolated({a: matrix[:, need[a]] for a, matrix in rows.items()})
        )
    return None


@handles("Resize", since=(10, 11, 13, 18, 19), axes=axis_rules.resized, crop=_part_of_resized)
def resize(
    x: Input,
    roi: Input = None,
    scales: Input = None,
    sizes: Input = None,
    *,
    context: Context,
    coordinate_transformation_mode: str = "half_pixel",
    **attributes: Any,
) -> Rule | Composition:
    """The regions are read by one mode only; in every other they may be anything."""
    x = variable(x, "X")
    if context.version == 10:  # (X, scales), asymmetric; rounding was not specified, runtimes differ below 1
        plain = Sampling(mode=attributes.get("mode", "nearest"))
        return _by_scales(x, roi, range(x.ndim), plain, at_least_one=True)
    rule = _resized(x, roi, scales, sizes, coordinate_transformation_mode, **attributes)
    return Composition((Stage(rule, (0,)),)) if isinstance(roi, Variable) else rule


def _resized(
    x: Variable,
    roi: Input,
    scales: Input,
    sizes: Input,
    coordinate_transformation_mode: str,
    *,
    mode: str = "nearest",
    antialias: int = 0,
    axes: list[int] | None = None,
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    nearest_mode: str = "round_prefer_floor",
) -> Rule:
    how = Sampling(
        mode=mode,
        coordinates=coordinate_transformation_mode,
        rounding=nearest_mode,
        cubic=cubic_coeff_a,
        exclude_outside=bool(exclude_outside),
        antialias=bool(antialias),
        extrapolation=extrapolation_value,
    )
    named = [axis_of(axis, x.ndim) for axis in axes] if axes is not None else range(x.ndim)
    factors, crops = optional(scales, "scales"), coordinate_transformation_mode == "tf_crop_and_resize"
    by_factors = factors is not None and factors.size > 0
    keeps_ratio = keep_aspect_ratio_policy != "stretch"
    special = crops or antialias
    if crops + by_factors + keeps_ratio > 1 or (crops and antialias) or (special and mode == "nearest"):
        raise Refusal(
            f"mode {mode} with {coordinate_transformation_mode}, {keep_aspect_ratio_policy}, "
            f"antialias {antialias} and {'scales' if by_factors else 'sizes'}",
            "export the resize with plain sizes",
        )
    if by_factors:
        return _by_scales(x, factors, named, how)
    lengths, before = integers(sizes, "sizes"), [x.shape[axis] for axis in named]
    if len(lengths) != len(named):
        raise malformed(f"{len(lengths)} sizes for {len(named)} axes")
    if keeps_ratio and min(axes or [0]) < 0:
        raise Refusal(f"{keep_aspect_ratio_policy} with axes {axes}", "runtimes differ; count from the front")
    if keeps_ratio:
        stretches = with_ratio(before, lengths, keep_aspect_ratio_policy)
    else:
        stretches = [to_size(n, length) for n, length in zip(before, lengths, strict=True)]
    if crops:
        stretches = _cropped(stretches, roi)
    return resized(x, dict(zip(named, stretches, strict=True)), how)


def _cropped(stretches: Sequence[Stretch], roi: Input) -> list[Stretch]:
    """Resizes of the parts between `roi`'s starts and ends, given as all starts, then all ends."""
    shares = [Fraction(float(share)) for share in np.ravel(double(constant(roi, "roi")))]
    if len(shares) != 2 * len(stretches):
        raise malformed(f"{len(shares)} numbers in roi for {len(stretches)} axes")
    parts = zip(shares[: len(stretches)], shares[len(stretches) :], strict=True)
    return [replace(stretch, crop=part) for stretch, part in zip(stretches, parts, strict=True)]


@handles("Upsample", since=(7, 9), axes=axis_rules.resized, crop=_part_of_resized)
def upsample(
    x: Input, factors: Input = None, *, mode: str = "nearest", scales: list[float] | None = None
) -> Rule:
    x = variable(x, "X")
    given = factors if scales is None else np.asarray(scales)
    return _by_scales(x, given, range(x.ndim), Sampling(mode=mode), at_least_one=True)


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
