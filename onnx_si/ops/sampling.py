"""Values between the pixels, affine in them where the places are constant: GridSample, AffineGrid."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph.constants import affordable
from onnx_si.kernels.arrays import double, malformed, shape_of, size
from onnx_si.kernels.interpolation import keys_kernel
from onnx_si.ops.elementwise import computed
from onnx_si.ops.opaque import at_one_point
from onnx_si.rules.registry import Input, Variable, constant, handles, integers
from onnx_si.rules.rules import Affine, Array, Disputed, Rule

Shape = tuple[int, ...]
MODES = {"bilinear": "linear", "linear": "linear", "nearest": "nearest", "bicubic": "cubic", "cubic": "cubic"}


KERNELS: dict[str, tuple[tuple[int, ...], Callable[[Array], Array]]] = {
    "nearest": ((0,), np.ones_like),
    "linear": ((0, 1), lambda distance: 1 - distance),
    "cubic": ((-1, 0, 1, 2), lambda distance: keys_kernel(distance, -0.75)),
}
"""Pixels read beside the one below a place, and their weights by distance."""


@dataclass(frozen=True, eq=False)
class Taps:
    """For every place the flat positions that it reads and their weights, both (..., taps)."""

    index: NDArray[np.intp]
    weight: Array

    def collect(self, x: Array, weight: Array) -> Array:
        """x (batch, images, channels, pixels) at taps (1 or batch, images, places, taps)."""
        if len(self.index) > 1:
            rows = (
                Taps(self.index[b : b + 1], self.weight[b : b + 1]).collect(
                    x[b : b + 1] if len(x) > 1 else x, weight[b : b + 1]
                )
                for b in range(len(self.index))
            )
            return np.concatenate(list(rows))
        images = range(x.shape[1])
        return np.stack(
            [(x[:, n][..., self.index[0, n]] * weight[0, n]).sum(axis=-1) for n in images], axis=1
        )


@dataclass(frozen=True)
class Sampler:
    """How a place between pixels is read: attributes of GridSample."""

    mode: str
    padding: str
    align_corners: bool

    def pixels(self, grid: Array, spatial: Shape) -> Array:
        """Normalised places (..., rank), last axis first, in units of pixels, first axis first."""
        lengths = np.array(spatial, dtype=grid.dtype)
        turned = grid[..., ::-1]
        if self.align_corners:
            return (turned + 1) / 2 * (lengths - 1)
        return ((turned + 1) * lengths - 1) / 2

    def taps(self, at: Array, spatial: Shape) -> Taps:
        """Taps of places (..., rank) in pixels."""
        axes = [self._along(at[..., i], length) for i, length in enumerate(spatial)]
        index, weight = [], []
        for chosen in itertools.product(*axes):
            index.append(np.ravel_multi_index([position for position, _ in chosen], spatial))
            weight.append(math.prod(share for _, share in chosen) * np.ones(at.shape[:-1]))
        return Taps(np.stack(index, axis=-1), np.stack(weight, axis=-1))

    def _along(self, at: Array, length: int) -> list[tuple[NDArray[np.intp], Array]]:
        """Positions on one axis and their weights."""
        if self.mode == "nearest":
            at = np.rint(at)
        at = self._inside(at, length)
        base = np.floor(at)
        reach, kernel = KERNELS[self.mode]
        found = []
        for step in reach:
            distance = np.abs(at - base - step)
            weight, position = kernel(distance), base + step
            if self.padding == "zeros":
                weight = np.where((position >= 0) & (position < length), weight, 0.0)
            elif self.padding == "reflection":
                position = np.trunc(self._reflected(position, length))
            found.append((np.clip(position, 0, length - 1).astype(np.intp), weight))
        return found

    def _inside(self, at: Array, length: int) -> Array:
        """Places outside moved to the border or reflected, before anything is read there."""
        low, high = (0.0, length - 1.0) if self.align_corners else (-0.5, length - 0.5)
        outside = (at < low) | (at > high)
        if self.padding == "border":
            return np.where(outside, np.clip(at, 0, length - 1), at)
        return np.where(outside, self._reflected(at, length), at) if self.padding == "reflection" else at

    def _reflected(self, at: Array, length: int) -> Array:
        low, high = (0.0, length - 1.0) if self.align_corners else (-0.5, length - 0.5)
        if high == low:
            return np.full_like(at, low)
        past = np.mod(at - low, 2 * (high - low))
        return np.where((at < low) | (at > high), low + np.minimum(past, 2 * (high - low) - past), at)


@handles("GridSample", since=(16, 20, 22))
def grid_sample(
    x: Input, grid: Input, *, mode: str = "linear", padding_mode: str = "zeros", align_corners: int = 0
) -> Rule:
    shape, places = shape_of(x), shape_of(grid)
    spatial, out = shape[2:], places[1:-1]
    if mode not in MODES or padding_mode not in ("zeros", "border", "reflection"):
        raise malformed(f"mode '{mode}' and padding_mode '{padding_mode}' are not in the specification")
    if len(spatial) != len(out) or places[-1] != len(spatial) or places[0] != shape[0]:
        raise malformed(f"a grid of shape {places} on a tensor of shape {shape}")
    affordable((*shape[:2], *out, 4 ** len(spatial)))
    sampler = Sampler(MODES[mode], padding_mode, bool(align_corners))
    if sampler.mode == "cubic" and padding_mode == "border":
        raise Refusal("mode cubic with padding_mode border", "runtimes differ outside the image; use linear")
    if isinstance(grid, Variable):
        return computed(partial(_sampled, sampler=sampler), x, grid)
    fixed = double(constant(grid, "grid"))[None]
    if sampler.mode == "nearest":
        _require_clear_rounding(sampler, fixed, spatial)
    taps = _taps_of(fixed, sampler, spatial)
    read = partial(_read, taps=taps, out=out)
    return Affine(linear=read, weights=(taps.weight,), terms=taps.index.shape[-1])


def _taps_of(grid: Array, sampler: Sampler, spatial: Shape) -> Taps:
    """Taps of a grid (batch, images, *out, rank)."""
    count = size(grid.shape[2:-1])
    return sampler.taps(sampler.pixels(grid.reshape(*grid.shape[:2], count, len(spatial)), spatial), spatial)


def _read(x: Array, weight: Array, taps: Taps, out: Shape) -> Array:
    y = taps.collect(x.reshape(*x.shape[:3], size(x.shape[3:])), weight)
    return y.reshape(*y.shape[:3], *out)


def _sampled(x: Array, grid: Array, sampler: Sampler) -> Array:
    """A grid for each point of the batch."""
    taps = _taps_of(grid, sampler, x.shape[3:])
    return _read(x, taps.weight, taps, grid.shape[2:-1])


def _require_clear_rounding(sampler: Sampler, grid: Array, spatial: Shape) -> None:
    """Refuse a nearest pixel that float32 arithmetic chooses differently."""
    rounded = sampler.pixels(grid.astype(np.float32), spatial)
    if np.any(np.rint(rounded) != np.rint(sampler.pixels(grid, spatial))):
        raise Refusal("a nearest element that float32 arithmetic gets wrong", "use mode linear")


@handles("AffineGrid", since=(20,))
def affine_grid(theta: Input, wanted: Input, *, align_corners: int = 0) -> Rule:
    def grid_of(spatial: Shape) -> Array:
        """Homogeneous positions (*spatial, rank + 1), last axis first."""
        affordable((*spatial, len(spatial) + 1))
        ends = [1.0 if align_corners else 1 - 1 / n for n in spatial]
        axes = [
            np.linspace(-end, end, n) if n > 1 else np.array([-end])
            for end, n in zip(ends, spatial, strict=True)
        ]
        mesh = np.meshgrid(*axes, indexing="ij")
        return np.stack([*mesh[::-1], np.ones(spatial)], axis=-1)

    if isinstance(wanted, Variable):
        return at_one_point(
            lambda theta, n: np.einsum("nij,...j->n...i", theta, grid_of(tuple(n[2:].astype(int)))),
            theta,
            wanted,
        )
    lengths = integers(wanted, "size")
    if shape_of(theta) != (lengths[0], len(lengths) - 2, len(lengths) - 1):
        raise malformed(f"theta of shape {shape_of(theta)} for the size {lengths}")
    grid = grid_of(lengths[2:])
    rule = Affine(
        linear=lambda theta, w: np.einsum("znij,...j->zn...i", theta, w),
        weights=(grid,),
        terms=len(lengths) - 1,
    )
    if align_corners and 1 in lengths[2:]:
        return Disputed(
            evaluate=rule.evaluate, reason="align_corners on an axis of length 1: runtimes put it at 0"
        )
    return rule
