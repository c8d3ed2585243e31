"""Distributions of a statistic when the noise's scale is unknown: parts of a point on a sphere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.angles import log_angle_integrals
from onnx_si.statistics.truncated.distributions import require_positive
from onnx_si.statistics.truncated.masses import Floats, log_sum


@dataclass(frozen=True)
class Ratio:
    """The length of `df` coordinates of a point uniform on a sphere of radius `radius` in df + error_df axes.

    With r = z / radius, r**2 is Beta(df / 2, error_df / 2), and (r**2 / df) / ((1 - r**2) / error_df) is F.

    Parameters
    ----------
    df, error_df : int
        Positive.
    radius : float
        Positive, in units of the statistic.

    Raises
    ------
    ValueError
        If an argument is outside its range.
    """

    df: int
    error_df: int
    radius: float

    def __post_init__(self) -> None:
        for name, value in (("df", self.df), ("error_df", self.error_df)):
            if value < 1 or value != int(value):
                raise ValueError(f"{name} must be a positive whole number, got {value}")
        require_positive("radius", self.radius)

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval, (n, 2) -> (n,); nothing lies outside [0, radius]."""
        inside = np.clip(bounds, 0.0, self.radius)
        result = np.full(len(bounds), -np.inf)
        real = inside[:, 1] > inside[:, 0]
        p, q = self.df - 1, self.error_df - 1
        shape = log_angle_integrals(p, q, inside[real, 0], inside[real, 1], self.radius)
        result[real] = shape + self._log_density_at_mode(p, q)
        return result

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set, -inf if none of it lies in [0, radius]."""
        return log_sum(self.log_masses(intervals.bounds))

    def _log_density_at_mode(self, p: int, q: int) -> float:
        height = 0.5 * (_x_log_x(p) + _x_log_x(q) - _x_log_x(p + q))
        return height + math.log(2.0) - float(scipy.special.betaln(0.5 * self.df, 0.5 * self.error_df))


@dataclass(frozen=True)
class Student:
    """One coordinate of a point uniform on a sphere of radius `radius` in df + 1 axes.

    With u = z / radius, sqrt(df) u / sqrt(1 - u**2) is Student's t on df degrees of freedom.

    Parameters
    ----------
    df : int
        Positive.
    radius : float
        Positive, in units of the statistic.

    Raises
    ------
    ValueError
        If an argument is outside its range.
    """

    df: int
    radius: float

    def __post_init__(self) -> None:
        self._length()

    def log_masses(self, bounds: Floats) -> Floats:
        """Return the log probability of each interval, (n, 2) -> (n,); nothing lies beyond +-radius."""
        mirrored = -bounds[:, ::-1]
        sides = [self._length().log_masses(part) for part in (bounds, mirrored)]
        return np.logaddexp(*sides) - math.log(2.0)

    def log_mass(self, intervals: Intervals) -> float:
        """Return the log probability of a set, -inf if none of it lies within the radius."""
        return log_sum(self.log_masses(intervals.bounds))

    def _length(self) -> Ratio:
        return Ratio(1, self.df, self.radius)


def _x_log_x(x: int) -> float:
    return x * math.log(x) if x else 0.0
