"""Draws from an exponential density on an interval: what a piece of a smooth density looks like."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLAT = 1e-9  # tilt below which a density is uniform to rounding


def log_mass(widths: Array, tilts: Array) -> Array:
    """Log of the integral of exp(tilt * s) over 0 <= s <= width; `tilts` are slope times width."""
    with np.errstate(all="ignore"):
        steep = np.abs(tilts)
        integral = np.log(-np.expm1(-steep) / steep) + np.maximum(tilts, 0.0)
    return np.asarray(np.log(widths) + np.where(steep < FLAT, 0.5 * tilts, integral))


def draw(low: Array, widths: Array, tilts: Array, u: Array) -> Array:
    """One draw from each interval, of a uniform number."""
    with np.errstate(all="ignore"):
        steep = np.abs(tilts)
        share = -np.log1p(u * np.expm1(-steep)) / steep  # measured from the heavy end
    share = np.where(steep < FLAT, u, share)
    return np.asarray(low + widths * np.clip(np.where(tilts > 0, 1.0 - share, share), 0.0, 1.0))


def log_density(x: Array, low: Array, widths: Array, tilts: Array) -> Array:
    """Log density of `draw` at points of the intervals."""
    return np.asarray(tilts * (x - low) / widths - log_mass(widths, tilts))
