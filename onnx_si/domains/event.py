"""The selection event: every pixel's margin is on its observed side of zero. Domains judge it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class Tied:
    """So many of some pixels must have a margin of exactly zero."""

    count: int
    rivals: NDArray[np.bool_]


@dataclass(frozen=True)
class RegionEvent:
    """Pixels of `observed` have a margin > 0, all others a margin <= 0.

    With `matters` only those pixels are looked at: what the others do is not part of the event.
    """

    observed: NDArray[np.bool_]
    matters: NDArray[np.bool_] | None = None

    @property
    def tied(self) -> Tied | None:
        """What must be equal besides."""
        return None

    @property
    def local(self) -> bool:
        """Whether it holds wherever every pixel that matters is on its observed side.

        That values are equal can't be told pixel by pixel, nor proved by an enclosure.
        """
        return self.tied is None

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The pixels that matter."""
        return np.ones(self.observed.shape, dtype=bool) if self.matters is None else self.matters

    def part(self, box: tuple[slice, ...]) -> "RegionEvent":
        """What a box of the map must do for the event to hold."""
        return RegionEvent(self.observed[box], None if self.matters is None else self.matters[box])

    def wrong(self, margins: Array) -> Array:
        """How far pixels are on the wrong side, 0 where they are not, of margins (n, *map) at points."""
        # the smallest number stands for a margin of zero where one above zero was observed
        depth = np.maximum(np.abs(margins), np.finfo(np.float64).tiny)
        return np.where(((margins > 0) != self.observed) & self.pixels, depth, 0.0)

    def that_matter(self, values: NDArray[Any]) -> NDArray[Any]:
        """The pixels that are looked at, of values (n, pixels...)."""
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        return flat if self.matters is None else flat[:, np.flatnonzero(self.matters)]


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

    @property
    def tied(self) -> Tied | None:
        if self.ties == 1:
            return None
        return Tied(self.ties, ~self.observed if self.rivals is None else self.rivals & ~self.observed)
