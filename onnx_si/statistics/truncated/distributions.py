"""Distributions on the line that can be truncated to a set of intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.masses import (
    HALF_LOG_TWO_PI,
    Floats,
    log_bell_integrals,
    log_power_bell_integrals,
    log_sum,
)

FARTHEST = 1e150  # in units of the scale; the square of what lies beyond is no number


class Distribution(Protocol):
    """A distribution on the line that can be truncated."""

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval, (n, 2) -> (n,)."""
        ...

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set."""
        ...


@dataclass(frozen=True)
class Normal:
    """The normal distribution.

    Parameters
    ----------
    mean : float
        In units of the statistic.
    sd : float
        Standard deviation, positive.

    Raises
    ------
    ValueError
        If `mean` is not finite or `sd` not positive and finite.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite, got {self.mean}")
        require_positive("sd", self.sd)

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval.

        Parameters
        ----------
        bounds : array (n, 2)
            Lower and upper ends, may be infinite.

        Returns
        -------
        array (n,)
            -inf where the interval has no length.
        """
        # Widths are taken before anything is rounded: a sliver far out keeps all its digits.
        with np.errstate(all="ignore"):
            ends = (bounds - self.mean) / self.sd
            widths = (bounds[:, 1] - bounds[:, 0]) / self.sd
        return log_bell_integrals(ends[:, 0], ends[:, 1], widths, 0.0) - HALF_LOG_TWO_PI

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set, -inf if it is empty."""
        return log_sum(self.log_masses(intervals.bounds))


@dataclass(frozen=True)
class Chi:
    """The distribution of `scale` times the length of a standard normal vector.

    Parameters
    ----------
    df : int
        Degrees of freedom, the length of the vector.
    scale : float
        Positive, in units of the statistic.

    Raises
    ------
    ValueError
        If `df` is not a positive whole number or `scale` not positive and finite.
    """

    df: int
    scale: float

    def __post_init__(self) -> None:
        if self.df < 1 or self.df != int(self.df):
            raise ValueError(f"df must be a positive whole number, got {self.df}")
        require_positive("scale", self.scale)

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval.

        Parameters
        ----------
        bounds : array (n, 2)
            Lower and upper ends, may be infinite; what lies below zero holds no mass.

        Returns
        -------
        array (n,)
            -inf where the interval has no length above zero.

        Notes
        -----
        One rule serves everywhere, tails included: the log density is concave, so the mass of an interval
        sits at its highest point; the density relative to that point is integrated by Gauss-Legendre
        quadrature over the stretch where it is not negligible. `gammainc` is of no use here: it underflows
        in the tails and its differences cancel on slivers.
        """
        positive = np.maximum(bounds, 0.0)
        if self.df == 1:
            return Normal(0.0, self.scale).log_masses(positive) + math.log(2.0)
        result = np.full(len(bounds), -np.inf)
        with np.errstate(all="ignore"):
            widths = (positive[:, 1] - positive[:, 0]) / self.scale
            ends = positive / self.scale
            ends[ends > FARTHEST] = np.inf
            real = (widths > 0.0) & (ends[:, 0] < np.inf)
            shape = log_power_bell_integrals(self.df - 1, ends[real, 0], ends[real, 1], widths[real])
        result[real] = shape + self._log_density_at_mode()
        return result

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set, -inf if it holds nothing above zero."""
        return log_sum(self.log_masses(intervals.bounds))

    def _log_density_at_mode(self) -> float:
        half = 0.5 * self.df
        power = self.df - 1
        return (
            0.5 * power * (math.log(power) - 1.0)
            - (half - 1.0) * math.log(2.0)
            - float(scipy.special.gammaln(half))
        )


def require_positive(name: str, value: float) -> None:
    if not (value > 0.0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive and finite, got {value}")
