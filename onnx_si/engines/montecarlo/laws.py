"""The null law of the place on the line, in a coordinate in which it is about one wide and never singular."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Chi, Normal, Randomised, Ratio, Student

Array = NDArray[np.float64]
Statistics = Callable[[int, np.random.Generator], Callable[[Array], Array]]
LOWEST = -1e300  # stands for the logarithm of nothing, which must not become NaN in a difference


@dataclass(frozen=True, kw_only=True)
class Law:
    """The place on the line before truncation, and the statistic that belongs to a place.

    Parameters
    ----------
    log_density : callable
        Of a coordinate, up to a constant; `LOWEST` outside the support.
    place : callable
        From the coordinate to the place on the line.
    centre : float
        Where about the law has its mass, one unit wide.
    low, high : float
        Its support.
    statistics : callable
        (count, generator): from so many places to the tested statistics there. They are the places
        themselves, but after a randomised selection they are drawn, first: the state of the chain is then
        the pair of statistic and noise.
    """

    log_density: Callable[[Array], Array]
    place: Callable[[Array], Array]
    centre: float
    low: float
    high: float
    statistics: Statistics


def law_of(line: ImageLine) -> tuple[Law, float]:
    """The law of a line's place, and the coordinate of the observed place.

    The scale of a t or F statistic's law is the radius, which the test holds fixed; the estimated standard
    error moves with the place, so nothing here may depend on it.
    """
    law = line.distribution
    if isinstance(law, Normal):
        return _normal(law.sd, _as_they_are), line.statistic / law.sd
    if isinstance(law, Randomised):
        sd = law.sd * math.sqrt(1.0 + law.share)
        return _normal(sd, _tested(law.sd, law.share)), line.statistic / sd
    if isinstance(law, Chi):
        return _chi(law), line.statistic / law.scale
    if isinstance(law, Student):
        return _on_sphere(1, law.df, law.radius, -0.5 * math.pi, line.statistic)
    if isinstance(law, Ratio):
        return _on_sphere(law.df, law.error_df, law.radius, 0.0, line.statistic)
    raise TypeError(f"no law for {type(law).__name__}")


def _as_they_are(count: int, rng: np.random.Generator) -> Callable[[Array], Array]:
    return lambda places: places


def _tested(sd: float, share: float) -> Statistics:
    """Statistic T given the place W = T + U: normal around W / (1 + share), whatever S is."""
    spread = sd * math.sqrt(share / (1.0 + share))

    def statistics(count: int, rng: np.random.Generator) -> Callable[[Array], Array]:
        noise = spread * rng.standard_normal(count)
        return lambda places: places / (1.0 + share) + noise

    return statistics


def _normal(sd: float, statistics: Statistics) -> Law:
    return Law(
        log_density=lambda x: -0.5 * x * x,
        place=lambda x: x * sd,
        centre=0.0,
        low=-math.inf,
        high=math.inf,
        statistics=statistics,
    )


def _chi(law: Chi) -> Law:
    power = law.df - 1

    def log_density(x: Array) -> Array:
        with np.errstate(all="ignore"):
            heights = scipy.special.xlogy(power, x) - 0.5 * x * x
        return np.where(x < 0, LOWEST, np.maximum(heights, LOWEST))

    return Law(
        log_density=log_density,
        place=lambda x: x * law.scale,
        centre=math.sqrt(power),
        low=0.0,
        high=math.inf,
        statistics=_as_they_are,
    )


def _on_sphere(df: int, error_df: int, radius: float, low: float, statistic: float) -> tuple[Law, float]:
    """The length of df coordinates of a point on a sphere, by its angle: sin^(df - 1) cos^(error_df - 1)."""
    wide = math.sqrt(df + error_df)  # the angle's spread is about one over this
    p, q = df - 1, error_df - 1
    high = 0.5 * math.pi

    def log_density(x: Array) -> Array:
        angle = x / wide
        with np.errstate(all="ignore"):
            heights = scipy.special.xlogy(p, np.abs(np.sin(angle))) + scipy.special.xlogy(
                q, np.abs(np.cos(angle))
            )
        return np.where((angle < low) | (angle > high), LOWEST, np.maximum(heights, LOWEST))

    def place(x: Array) -> Array:
        return np.asarray(radius * np.sin(x / wide))

    centre = wide * math.atan2(math.sqrt(p), math.sqrt(q)) if low == 0.0 and p + q else 0.0
    law = Law(
        log_density=log_density,
        place=place,
        centre=centre,
        low=low * wide,
        high=high * wide,
        statistics=_as_they_are,
    )
    return law, wide * math.asin(max(-1.0, min(1.0, statistic / radius)))
