"""The selection event: every pixel's margin is on its observed side of zero."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.line.enclosure import Enclosure
from onnx_si.line.exact import PiecewiseLinear
from onnx_si.ops.rules import Array

ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Verdict:
    """Parts of the line that give the observed region, and parts where rounding does not allow to say."""

    inside: Array
    unclear: Array


@dataclass(frozen=True)
class RegionEvent:
    """Pixels of `observed` have a margin > 0, all others a margin <= 0.

    With `matters` only those pixels are looked at: what the others do is not part of the event.
    """

    observed: NDArray[np.bool_]
    matters: NDArray[np.bool_] | None = None

    def judge(self, margin: PiecewiseLinear) -> Verdict:
        """Where on this part of the line the event holds: each interval's pixels bound one common stretch.

        Parameters
        ----------
        margin : PiecewiseLinear
            The margin of every pixel.

        Returns
        -------
        Verdict
            Both as arrays (n, 2) of interval ends.
        """
        knots = margin.knots
        flat = margin.values.reshape(len(knots), -1)
        if not np.isfinite(flat).all():
            raise UnsupportedModel(
                "the saliency is infinite or not a number somewhere on the line; check the model's weights"
            )
        possible, unclear = self._screen(flat, knots)
        flat, observed = self._that_matter(flat), self._observed_that_matter()
        sign = np.where(observed, 1.0, -1.0)
        left, right = flat[:-1][possible] * sign, flat[1:][possible] * sign
        low, high = knots[:-1][possible], knots[1:][possible]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = left / (left - right)
        enters = np.where((left < 0) & (right > 0), share, 0.0).max(axis=1)
        leaves = np.where((left > 0) & (right < 0), share, 1.0).min(axis=1)
        start = low + enters * (high - low)
        cut = np.minimum(low + leaves * (high - low), high)
        end = np.where(leaves < 1, cut, high)  # to the last bit: no gap between neighbours
        holds = enters < leaves
        inside = np.stack([start, end], axis=1)[holds]
        doubtful = np.stack([knots[:-1], knots[1:]], axis=1)[unclear]
        return Verdict(inside, doubtful)

    def certify(self, margin: Enclosure) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Cells on which the event provably never holds, and those on which it provably always does."""
        low, high = (self._that_matter(end) for end in margin.bounds())
        observed = self._observed_that_matter()
        outside = np.any((high <= 0) & observed | (low > 0) & ~observed, axis=1)
        inside = np.all((low > 0) & observed | (high <= 0) & ~observed, axis=1)
        return outside, inside

    def _that_matter(self, values: Array) -> Array:
        """The pixels that are looked at, of values (n, pixels...)."""
        flat = values.reshape(len(values), -1)
        return flat if self.matters is None else flat[:, np.flatnonzero(self.matters)]

    def _observed_that_matter(self) -> NDArray[np.bool_]:
        flat = self.observed.ravel()
        return flat if self.matters is None else flat[np.flatnonzero(self.matters)]

    def _screen(self, flat: Array, knots: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Intervals in which no pixel is always on the wrong side; and those that only rounding decides."""
        slack = ROUNDING * np.abs(flat).max()
        flat, observed = self._that_matter(flat), self._observed_that_matter()
        width = knots[1:] > knots[:-1]
        largest = np.maximum(flat[:-1], flat[1:])
        smallest = np.minimum(flat[:-1], flat[1:])
        wrong = np.any((largest <= 0) & observed | (smallest > 0) & ~observed, axis=1)
        out_from_zero = np.any((smallest == 0) & (largest > 0) & ~observed, axis=1)
        possible = width & ~wrong & ~out_from_zero
        tiny = (np.maximum(largest, -smallest) <= slack) & ((largest != 0) | (smallest != 0))
        return possible & ~tiny.any(axis=1), possible & tiny.any(axis=1)


@dataclass(frozen=True)
class TopEvent(RegionEvent):
    """The region is what exceeds the (k + 1)-th largest value of the map, k a number of pixels.

    The margin is the map less its largest value outside the observed region: the region is the observed one
    if all of its pixels have a margin > 0 and at least `ties` others have one of exactly zero, where `ties`
    = k + 1 - (pixels of the region), among `rivals` if not all pixels may count. Without ties that is 1, and
    the largest of the others is one. With ties (a map that is zero in places, say) the region is smaller
    than k, and stays so only as long as that many values remain equal to the last bit.
    """

    ties: int = 1
    rivals: NDArray[np.bool_] | None = None

    def certify(self, margin: Enclosure) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """As for any region; that values are equal can't be proved by an enclosure."""
        outside, inside = super().certify(margin)
        return outside, inside & (self.ties == 1)

    def _screen(self, flat: Array, knots: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        possible, unclear = super()._screen(flat, knots)
        if self.ties == 1:
            return possible, unclear
        rivals = ~self.observed if self.rivals is None else self.rivals & ~self.observed
        others = flat[:, rivals.ravel()]
        distance = np.maximum(np.abs(others[:-1]), np.abs(others[1:]))
        tied = np.count_nonzero(distance == 0, axis=1) >= self.ties
        nearly = np.count_nonzero(distance <= ROUNDING * np.abs(flat).max(), axis=1) >= self.ties
        return possible & tied, (unclear & nearly) | (possible & nearly & ~tied)
