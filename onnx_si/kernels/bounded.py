"""How far smooth increasing or decreasing functions reach on intervals, and how steep they are there."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from onnx_si.rules.curved import Ends
from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class Reciprocal:
    """1 / x, on each side of zero."""

    def __call__(self, x: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(1.0 / x)

    def values(self, low: Array, high: Array) -> Ends:
        """At a zero that is an end it is infinite, across one it is anything."""
        at_low, at_high = np.abs(self(low)), np.abs(self(high))
        above, below = low >= 0, high <= 0
        least = np.where(above, at_high, np.where(below, -at_high, -np.inf))
        most = np.where(above, at_low, np.where(below, -at_low, np.inf))
        return least, most

    def slopes(self, low: Array, high: Array) -> Ends:
        """-1 / x^2."""
        with np.errstate(divide="ignore", over="ignore"):
            steep = [-np.square(self(end)) for end in (low, high)]
        across = (low < 0) & (high > 0)
        return np.where(across, -np.inf, np.minimum(*steep)), np.maximum(*steep)


@dataclass(frozen=True)
class Root:
    """x to the power 1/2; of what is negative it is no number, of what rounding may have made so it is 0."""

    def __call__(self, x: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(x))

    def values(self, low: Array, high: Array) -> Ends:
        """It grows."""
        return self(np.maximum(low, 0.0)), self(high)

    def slopes(self, low: Array, high: Array) -> Ends:
        """It grows ever more slowly."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return 0.5 / self(high), 0.5 / self(np.maximum(low, 0.0))


@dataclass(frozen=True)
class Logistic:
    """1 / (1 + exp(-x))."""

    def __call__(self, x: Array) -> Array:
        return np.asarray(special.expit(x))

    def values(self, low: Array, high: Array) -> Ends:
        """It grows."""
        return self(low), self(high)

    def slopes(self, low: Array, high: Array) -> Ends:
        """It is steepest at zero, and the less so the farther from it."""
        nearest = np.maximum(0.0, np.maximum(low, -high))
        farthest = np.maximum(np.abs(low), np.abs(high))
        return self(farthest) * self(-farthest), self(nearest) * self(-nearest)
