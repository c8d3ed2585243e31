"""Noise of mean 0 and variance 1: normal, or at a stated distance from normal, or correlated.

The distance is the 1-Wasserstein distance between the law of one pixel and N(0, 1), the integral of
|F(x) - Phi(x)|.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # loads its parts when they are used; all of them take a second
from numpy.typing import NDArray

from onnx_si.errors import UsageError

Array = NDArray[np.float64]

# sinh spacing: dense where the mass is, and far enough out for a t on little more than 2 degrees of freedom
_GRID = np.sinh(np.linspace(-12.0, 12.0, 20_001))


@dataclass(frozen=True, kw_only=True)
class Family:
    """Laws with one shape parameter, farther from normal from `near` to `far`."""

    law: Callable[[float], Any]
    near: float
    far: float
    words: str
    cdf: Callable[[float, Array], Array] | None = None  # where SciPy's is slow


def _skew_normal_cdf(shape: float, at: Array) -> Array:
    """Phi(x) - 2 T(x, shape) with Owen's T function: SciPy integrates it point by point."""
    return np.asarray(scipy.stats.norm.cdf(at) - 2 * scipy.special.owens_t(at, shape))


FAMILIES: Mapping[str, Family] = {
    "t": Family(law=lambda w: scipy.stats.t(1 / w), near=1e-4, far=1 / 2.2, words="Student's t: heavy tails"),
    "skewed": Family(
        law=lambda w: scipy.stats.skewnorm(w), near=0.1, far=100.0, words="skew normal", cdf=_skew_normal_cdf
    ),
    "exponential": Family(
        law=lambda w: scipy.stats.exponnorm(w),
        near=0.05,
        far=20.0,
        words="exponentially modified normal: skewed, one heavy tail",
    ),
    "steep": Family(
        law=lambda w: scipy.stats.gennorm(1 / w),
        near=0.501,
        far=2.0,
        words="generalised normal with heavy tails",
    ),
    "flat": Family(
        law=lambda w: scipy.stats.gennorm(w), near=2.01, far=50.0, words="generalised normal with light tails"
    ),
}
LARGEST_RHO = 0.99


@dataclass(frozen=True)
class Noise:
    """How noise is drawn: `normal`, a family at a distance from normal, or `correlated` with rho.

    Parameters
    ----------
    name : str
        `normal`, `correlated`, or a name in `FAMILIES`.
    amount : float
        1-Wasserstein distance from N(0, 1) of a family; correlation of neighbours for `correlated`.
    """

    name: str = "normal"
    amount: float = 0.0

    def __post_init__(self) -> None:
        if self.name == "correlated":
            if not 0 < self.amount <= LARGEST_RHO:
                raise UsageError(
                    f"noise correlated:{self.amount:g}; the correlation is in (0, {LARGEST_RHO}]"
                )
        elif self.name in FAMILIES:
            low, high = _reach(self.name)
            if not low <= self.amount <= high:
                raise UsageError(
                    f"noise {self.name}:{self.amount:g}; the distance from normal is {low:.2g} to {high:.2g}"
                )

    def __str__(self) -> str:
        return self.name if self.name == "normal" else f"{self.name}:{self.amount:g}"

    @property
    def parameter(self) -> float | None:
        """The family's shape parameter; None where there is none."""
        return parameter_at(self.name, self.amount) if self.name in FAMILIES else None

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
        """Noise of mean 0 and variance 1; `axes` are those of space, along which it may be correlated."""
        if self.name == "correlated":
            return _autoregressive(rng.normal(size=shape), self.amount, axes)
        if self.parameter is None:
            return rng.normal(size=shape)
        law = FAMILIES[self.name].law(self.parameter)
        return np.asarray((law.rvs(size=shape, random_state=rng) - law.mean()) / law.std())


def parse_noise(text: str) -> Noise:
    """Read `normal`, `t:0.04`, `correlated:0.5`, ...

    Raises
    ------
    UsageError
        If the name is not known or the amount is missing or out of reach.
    """
    name, _, amount = text.partition(":")
    if text == "normal":
        return Noise()
    if name not in (*FAMILIES, "correlated"):
        names = ", ".join((*(f"{family}:DISTANCE" for family in FAMILIES), "correlated:RHO"))
        raise UsageError(f"noise '{text}'; allowed are normal, {names}")
    try:
        return Noise(name, float(amount))
    except ValueError:
        raise UsageError(f"noise '{text}'; give a number behind the name, such as {name}:0.04") from None


@functools.cache
def parameter_at(name: str, distance: float) -> float:
    """The shape parameter of a family whose standardised law is this far from N(0, 1)."""
    family = FAMILIES[name]
    return float(
        scipy.optimize.brentq(lambda w: _distance(family, w) - distance, family.near, family.far, xtol=1e-10)
    )


def _distance(family: Family, shape: float) -> float:
    """Integral of |F - Phi| for the law brought to mean 0 and variance 1."""
    law = family.law(shape)
    at = law.mean() + law.std() * _GRID
    cdf = law.cdf(at) if family.cdf is None else family.cdf(shape, at)
    gap = np.abs(cdf - scipy.stats.norm.cdf(_GRID))
    return float(scipy.integrate.trapezoid(gap, _GRID))


@functools.cache
def _reach(name: str) -> tuple[float, float]:
    family = FAMILIES[name]
    return _distance(family, family.near), _distance(family, family.far)


def _autoregressive(white: Array, rho: float, axes: tuple[int, ...]) -> Array:
    """AR(1) along each axis of space, stationary from the first pixel on: correlation rho^(|i| + |j|)."""
    noise = white
    for axis in axes:
        scaled = np.moveaxis(noise, axis, -1) * math.sqrt(1 - rho**2)
        scaled[..., 0] /= math.sqrt(1 - rho**2)
        noise = np.moveaxis(scipy.signal.lfilter([1.0], [1.0, -rho], scaled, axis=-1), -1, axis)
    return np.ascontiguousarray(noise)
