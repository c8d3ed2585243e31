"""Where the elements of a resized axis lie on the axis before, as exact fractions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import malformed
from onnx_si.rules.rules import Array

HALF = Fraction(1, 2)
SIZES = "export it with sizes"
SHIFTS = {"floor": Fraction(0), "ceil": Fraction(0), "round_prefer_floor": -HALF, "round_prefer_ceil": HALF}


@dataclass(frozen=True)
class Positions:
    """Places start + step * i on the input axis for i < count, as exact fractions."""

    start: Fraction
    step: Fraction
    count: int

    def stay(self, inside: int) -> bool:
        """Whether each position is that of the same input element."""
        return self.count == inside and self.start == 0 and (self.step == 1 or self.count == 1)

    def parts(self, shift: Fraction = Fraction(0)) -> tuple[NDArray[np.intp], Array]:
        """Whole number below each shifted place, and what is left, exactly 0 on a whole number."""
        start = self.start + shift
        unit = math.lcm(start.denominator, self.step.denominator)
        first, step = int(start * unit), int(self.step * unit)
        large = max(abs(first), abs(first + step * self.count), unit) > 2**62
        numerators = first + step * np.arange(self.count, dtype=object if large else np.int64)
        return (numerators // unit).astype(np.intp), (numerators % unit / unit).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Resize of one axis: `inside` elements become `outside`; the scale is exact, not a rounded quotient.

    `crop` is where the part that is read begins and ends, as shares of the axis (tf_crop_and_resize).
    """

    inside: int
    outside: int
    scale: Fraction
    crop: tuple[Fraction, Fraction] = (Fraction(0), Fraction(1))

    def positions(self, mode: str) -> Positions:
        """Where each output position lies on the input axis (ONNX spec, coordinate_transformation_mode).

        Raises
        ------
        Refusal
            If the only position of pytorch_half_pixel depends on whether the wanted length is rounded.
        """
        wanted = self.inside * self.scale
        if mode == "pytorch_half_pixel" and self.outside == 1 != wanted:
            raise Refusal(f"{mode} with the scale {float(self.scale):g} of {self.inside}", SIZES)
        half_pixel = HALF / self.scale - HALF
        match mode:
            case "asymmetric":
                return Positions(Fraction(0), 1 / self.scale, self.outside)
            case "align_corners":
                step = Fraction(self.inside - 1) / (wanted - 1 if wanted > 1 else 1)
                return Positions(Fraction(0), step, self.outside)
            case "pytorch_half_pixel" if self.outside == 1:
                return Positions(Fraction(0), Fraction(0), 1)
            case "half_pixel" | "pytorch_half_pixel":
                return Positions(half_pixel, 1 / self.scale, self.outside)
            case "half_pixel_symmetric":
                shift = Fraction(self.inside, 2) * (1 - self.outside / wanted)
                return Positions(shift + half_pixel, 1 / self.scale, self.outside)
            case "tf_half_pixel_for_nn":
                return Positions(HALF / self.scale, 1 / self.scale, self.outside)
            case "tf_crop_and_resize":
                first, last = (share * (self.inside - 1) for share in self.crop)
                if self.outside == 1:
                    return Positions((first + last) / 2, Fraction(0), 1)
                return Positions(first, (last - first) / (self.outside - 1), self.outside)
        raise malformed(f"coordinate_transformation_mode '{mode}' is not in the specification")

    def disputed(self, mode: str) -> bool:
        """Whether the specification's text and onnxruntime compute the positions from the rounded length, its
        reference evaluator and node cases (and `positions`) from the fractional one.
        """
        return mode == "align_corners" and self.inside * self.scale != self.outside

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
            case "tf_half_pixel_for_nn":
                places = (at + half) / scale
            case "tf_crop_and_resize":
                start, end = (np.float32(float(share)) for share in self.crop)
                reach = np.float32(self.inside - 1)
                places = start * reach + at * (end - start) * reach / np.float32(max(self.outside - 1, 1))
                if self.outside == 1:
                    places = half * (start + end) * np.broadcast_to(reach, 1)
            case _:
                raise Refusal(
                    f"mode nearest with {mode}", "export with half_pixel, align_corners or asymmetric"
                )
        return places.astype(np.float64)

    def beyond(self, mode: str) -> NDArray[np.bool_]:
        """Which output positions lie in front of the input or behind it.

        Refused where a runtime's float32 arithmetic says otherwise.
        """
        whole, rest = self.positions(mode).parts()
        found = (whole < 0) | (whole + (rest > 0) > self.inside - 1)
        places = self.rounded_positions(mode)
        if np.any(found != ((places < 0) | (places > self.inside - 1))):
            raise Refusal(
                "a position at the edge that float32 arithmetic gets wrong", "crop inside the image"
            )
        return np.asarray(found)


def to_size(inside: int, outside: int) -> Stretch:
    """An axis resized to a given length."""
    if inside < 1 or outside < 1:
        raise malformed(f"a resize from {inside} to {outside} elements")
    return Stretch(inside=inside, outside=outside, scale=Fraction(outside, inside))


def by_scale(inside: int, scale: float) -> Stretch:
    """An axis resized by a float32 scale; its length is rounded down in float32, as shape inference does."""
    if not 0 < scale < 2**30:
        raise malformed(f"a resize by the scale {scale}")
    wanted = float(np.float32(inside) * np.float32(scale))
    stretch = to_size(inside, math.floor(wanted))
    return (
        stretch
        if wanted == stretch.outside
        else Stretch(inside=inside, outside=stretch.outside, scale=Fraction(float(scale)))
    )


def with_ratio(inside: Sequence[int], sizes: Sequence[int], policy: str) -> list[Stretch]:
    """Axes resized by one scale, so that none gets larger, or smaller, than its size (ONNX spec, Resize)."""
    if policy not in ("not_larger", "not_smaller"):
        raise malformed(f"keep_aspect_ratio_policy '{policy}' is not in the specification")
    scales = [to_size(n, size).scale for n, size in zip(inside, sizes, strict=True)]
    scale = min(scales) if policy == "not_larger" else max(scales)
    lengths = [math.floor(scale * n + HALF) for n in inside]
    rounded = [math.floor(float(np.float32(float(scale)) * np.float32(n)) + 0.5) for n in inside]
    if lengths != rounded:
        raise Refusal(f"lengths {lengths} that float32 arithmetic gets wrong", "export with plain sizes")
    return [
        Stretch(inside=n, outside=to_size(n, length).outside, scale=scale)
        for n, length in zip(inside, lengths, strict=True)
    ]


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
