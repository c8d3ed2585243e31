"""Logarithms of integrals of sin(x)**p cos(x)**q: coordinates of a point on a sphere, by quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.statistics.truncated.masses import DROP, LONG_RULE, RULES, SHORT_RULE, Floats


def log_angle_integrals(p: int, q: int, lo: Floats, hi: Floats, radius: float) -> Floats:
    """Return the log of the integral of sin(x)**p cos(x)**q over intervals of radius * sin(x).

    Parameters
    ----------
    p, q : int
        Not negative.
    lo, hi : arrays (n,)
        Radius times the sines of the ends, 0 <= lo < hi <= radius.
    radius : float

    Returns
    -------
    array (n,)
        Relative to the largest value of the integrand on [0, pi / 2].

    Notes
    -----
    The integrand is log-concave, so the mass of an interval sits at its highest point; the integrand
    relative to that point is integrated by Gauss-Legendre quadrature over the stretch where it is not
    negligible. The second derivative of its log, -p / sin**2 - q / cos**2, bounds that stretch: to the left
    of the peak it is at most -p / sin(peak)**2 - q, to the right at most -p - q / cos(peak)**2.
    """
    mode = math.sqrt(p / (p + q)) if p + q else 1.0
    at_mode = (lo < mode * radius) & (mode * radius < hi)
    peak = np.where(at_mode, mode * radius, np.where(hi <= mode * radius, hi, lo))
    sine, cosine = peak / radius, _cosine(peak, radius)
    to_lo = _angle((peak - lo) / radius, _cosine(lo, radius), cosine)
    to_hi = _angle((hi - peak) / radius, cosine, _cosine(hi, radius))
    return _log_integrals(p, q, Peak(sine, cosine, at_mode), to_lo, to_hi)


def log_segment_integrals(power: int, left: Floats, right: Floats, widths: Floats) -> Floats:
    """Return the same with p = q, over intervals of a segment given by distances from its ends.

    With x the angle at a point of the segment, sin(x)**2 is the share of the segment to its left; an
    integrand (left * right)**(power / 2 - 1/2) along the segment becomes the one above.

    Parameters
    ----------
    power : int
        Not negative; p and q.
    left, right : arrays (n, 2)
        Distances of each interval's lower and upper end from the segment's left and right end, each with its
        own digits.
    widths : array (n,)
        Upper less lower end with its own digits, positive.

    Returns
    -------
    array (n,)
        Relative to the largest value of the integrand, in the middle of the segment.
    """
    length = left + right
    sines, cosines = np.sqrt(left / length), np.sqrt(right / length)
    (sine_lo, sine_hi), (cosine_lo, cosine_hi) = sines.T, cosines.T
    # sin(b - a) sin(b + a) = sin(b)**2 - sin(a)**2, so that a sliver's angle keeps the digits of its width.
    across = widths / length[:, 0] / (sine_hi * cosine_lo + cosine_hi * sine_lo)
    turn = np.arctan2(across, cosine_hi * cosine_lo + sine_hi * sine_lo)
    at_mode = (sine_lo < cosine_lo) & (cosine_hi < sine_hi)
    below = ~at_mode & (sine_hi <= cosine_hi)
    middle = math.sqrt(0.5)
    sine, cosine = (
        np.where(at_mode, middle, np.where(below, high, low))
        for low, high in ((sine_lo, sine_hi), (cosine_lo, cosine_hi))
    )
    to_middle = np.arctan2(cosine_lo - sine_lo, cosine_lo + sine_lo)
    to_lo = np.where(at_mode, np.clip(to_middle, 0.0, turn), np.where(below, turn, 0.0))
    return _log_integrals(power, power, Peak(sine, cosine, at_mode), to_lo, turn - to_lo)


@dataclass(frozen=True)
class Peak:
    """The highest point of the integrand on each interval, and whether that is its mode."""

    sine: Floats
    cosine: Floats
    at_mode: NDArray[np.bool_]


def _log_integrals(p: int, q: int, peak: Peak, to_lo: Floats, to_hi: Floats) -> Floats:
    """Log of the integral from the angle `to_lo` below each peak to `to_hi` above it."""
    mode = math.sqrt(p / (p + q)) if p + q else 1.0
    sine, cosine = peak.sine, peak.cosine
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(sine > 0, cosine / sine, 0.0)
        down = np.where(cosine > 0, sine / cosine, 0.0)
        nothing = np.zeros(sine.shape)
        bend_left = q + (p / sine**2 if p else nothing)
        bend_right = p + (q / cosine**2 if q else nothing)
        slope = np.abs((p * up if p else 0.0) - (q * down if q else 0.0))
        slope = np.where(peak.at_mode, 0.0, slope)
        left = np.fmin(to_lo, _fall(slope, bend_left))
        right = np.fmin(to_hi, _fall(slope, bend_right))
    lengths = left + right
    short = lengths * (slope + (np.maximum(bend_left, bend_right)) * lengths) <= 1.0
    result: Floats = _log_height(p, q, mode, sine, cosine) + np.log(lengths)
    for rows, rule in ((short, SHORT_RULE), (~short, LONG_RULE)):
        if rows.any():
            nodes, weights = RULES[rule]
            steps = -left[rows, None] + lengths[rows, None] * nodes
            relative = _log_relative(p, q, up[rows, None], down[rows, None], steps)
            result[rows] += np.log(np.exp(relative) @ weights)
    return result


def _cosine(end: Floats, radius: float) -> Floats:
    """Cosine of the angle at an end; the distance to the radius is taken before anything is rounded."""
    cosine: Floats = np.sqrt((radius - end) * (radius + end)) / radius
    return cosine


def _angle(step: Floats, cosine_lo: Floats, cosine_hi: Floats) -> Floats:
    """Angle between two places from the difference of their sines: tan(x / 2) = step / (sum of cosines)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        angle: Floats = 2.0 * np.arctan(step / (cosine_lo + cosine_hi))
    result: Floats = np.where(step > 0, angle, 0.0)
    return result


def _fall(slope: Floats, bend: Floats) -> Floats:
    """Distance v over which slope v + bend v**2 / 2 reaches `DROP`."""
    return 2.0 * DROP / (slope + np.sqrt(slope**2 + 2.0 * DROP * bend))


def _log_relative(p: int, q: int, up: Floats, down: Floats, steps: Floats) -> Floats:
    """Log of the integrand at peak + step over that at the peak, from the peak's cotangent and tangent."""
    sine, turn = np.sin(steps), -2.0 * np.sin(0.5 * steps) ** 2
    result = np.zeros(steps.shape)
    with np.errstate(divide="ignore"):
        if p:
            result += p * np.log1p(np.maximum(up * sine + turn, -1.0))
        if q:
            result += q * np.log1p(np.maximum(turn - down * sine, -1.0))
    return result


def _log_height(p: int, q: int, mode: float, sine: Floats, cosine: Floats) -> Floats:
    """Log of the integrand relative to its value at the mode."""
    result = np.zeros(sine.shape)
    with np.errstate(divide="ignore"):
        if p:
            result += p * np.log(sine / mode)
        if q:
            result += q * np.log(cosine / math.sqrt(q / (p + q)))
    return result
