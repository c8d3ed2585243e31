"""The selection event: every pixel's margin is on its observed side of zero."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UnsupportedModel
from onnx_si.line.enclosure import Enclosure
from onnx_si.line.exact import PiecewiseLinear
from onnx_si.ops.rules import Array

Index = NDArray[np.intp]
ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Verdict:
    """Parts of the line that give the observed region, and parts where rounding does not allow to say."""

    inside: Array
    unclear: Array


@dataclass(frozen=True)
class RegionEvent:
    """Pixels of `observed` have a margin > 0, all others a margin <= 0."""

    observed: NDArray[np.bool_]

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
        largest = max(flat.max(), -flat.min())
        if not np.isfinite(largest):
            raise UnsupportedModel(
                "the saliency is infinite or not a number somewhere on the line; check the model's weights"
            )
        sign = np.where(self.observed.ravel(), 1.0, -1.0)
        possible, unclear = self._screen(flat, knots, ROUNDING * largest)
        left, right = flat[possible] * sign, flat[possible + 1] * sign
        low, high = knots[possible], knots[possible + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = left / (left - right)
        enters = np.where((left < 0) & (right > 0), share, 0.0).max(axis=1)
        leaves = np.where((left > 0) & (right < 0), share, 1.0).min(axis=1)
        start = low + enters * (high - low)
        cut = np.minimum(low + leaves * (high - low), high)
        end = np.where(leaves < 1, cut, high)  # to the last bit: no gap between neighbours
        holds = enters < leaves
        inside = np.stack([start, end], axis=1)[holds]
        return Verdict(inside, np.stack([knots[unclear], knots[unclear + 1]], axis=1))

    def certify(self, margin: Enclosure) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Cells on which the event provably never holds (cells,), and the pixels (cells, *map) that may be on
        the wrong side somewhere.
        """
        low, high = margin.bounds()
        wrong: NDArray[np.bool_] = np.where(self.observed, high <= 0, low > 0)
        open_: NDArray[np.bool_] = np.where(self.observed, low <= 0, high > 0)
        return np.any(wrong.reshape(len(wrong), -1), axis=1), open_

    def part(self, box: tuple[slice, ...]) -> "RegionEvent":
        """The event on a box of the map."""
        return RegionEvent(self.observed[box])

    def wrong(self, margins: Array) -> NDArray[np.bool_]:
        """Pixels on the wrong side, of margins (n, *map) at single points."""
        return np.asarray((margins > 0) != self.observed)

    def _screen(self, flat: Array, knots: Array, slack: float) -> tuple[Index, Index]:
        """Intervals in which no pixel is always on the wrong side; and those that only rounding decides."""
        observed = self.observed.ravel()
        wrong = (flat > 0) != observed
        always_wrong = np.any(wrong[:-1] & wrong[1:], axis=1)
        rows = np.flatnonzero((knots[1:] > knots[:-1]) & ~always_wrong)
        largest, smallest = np.maximum(flat[rows], flat[rows + 1]), np.minimum(flat[rows], flat[rows + 1])
        out_from_zero = np.any((smallest == 0) & (largest > 0) & ~observed, axis=1)
        tiny = (np.maximum(largest, -smallest) <= slack) & ((largest != 0) | (smallest != 0))
        unclear = np.any(tiny, axis=1)
        return rows[~out_from_zero & ~unclear], rows[~out_from_zero & unclear]
