"""Functions with bends, and the largest of several: exact where the choice is certain, else chord or hull."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.polynomial.basis import coefficients
from onnx_si.domains.polynomial.gains import Gains
from onnx_si.domains.polynomial.gains import norm as norm_of
from onnx_si.domains.polynomial.value import Polynomial, bounded
from onnx_si.kernels.balls import TINY, UNIT, UP
from onnx_si.kernels.long import narrowed
from onnx_si.rules.rules import Array, Kinked, Maximum


def kinked(rule: Kinked, x: Polynomial) -> Polynomial:
    """The chord over the range; the function is off it by most at an end or at a breakpoint."""
    low, high = x.bounds
    at_low, at_high = rule.function(low), rule.function(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        chord = (at_high - at_low) / (high - low)
    chord = np.where(np.isfinite(chord), chord, 0.0)
    rest_low, rest_high = at_low - chord * low, at_high - chord * high
    least, most = np.minimum(rest_low, rest_high), np.maximum(rest_low, rest_high)
    for point in rule.breakpoints:
        within = (low < point) & (point < high)
        rest = rule.function(np.asarray(point)) - chord * point
        least = np.where(within, np.minimum(least, rest), least)
        most = np.where(within, np.maximum(most, rest), most)
    shift, spread = 0.5 * (least + most), 0.5 * (most - least)
    steep, lebesgue = np.abs(chord), x.basis.lebesgue
    largest = np.maximum(np.abs(low), np.abs(high))
    rounding = 8 * UNIT * lebesgue * (steep * largest + np.abs(at_low) + np.abs(at_high))
    values = chord * x.stack + shift
    if x.basis.is_long:
        whole, slope = _pieces(rule, low, high)
        steep, spread = np.where(whole, slope, steep), np.where(whole, 0.0, spread)
        sizes = 2 * slope * largest + np.abs(at_low) + np.abs(at_high)
        rounding = np.where(whole, 8 * x.basis.unit * lebesgue * sizes, rounding)
        values = np.where(whole, rule.function(x.stack), values)
    # a flat piece gives the same number to the last bit: a dead unit is exactly zero
    own = spread * UP + rounding + TINY * ((steep > 0) | (spread > 0))
    norm = (steep.reshape(x.cells, -1).max(axis=1) * x.norm + norm_of(own)) * UP
    return bounded(x.basis, values.reshape(x.values.shape), steep * x.radius * UP + own, norm)


def _pieces(rule: Kinked, low: Array, high: Array) -> tuple[NDArray[np.bool_], Array]:
    """Which ranges lie on one piece, and how steep it is: by places of it that are not near each other."""
    below, above = np.full(low.shape, -np.inf), np.full(low.shape, np.inf)
    whole = np.isfinite(low) & np.isfinite(high)
    for point in rule.breakpoints:
        whole = whole & ~((low < point) & (point < high))
        below = np.where(point <= low, np.maximum(below, point), below)
        above = np.where(point >= high, np.minimum(above, point), above)
    start = np.where(np.isfinite(below), below, np.minimum(low, above) - 1 - np.abs(low))
    stop = np.where(np.isfinite(above), above, np.maximum(high, below) + 1 + np.abs(high))
    at_start, at_stop = rule.function(start), rule.function(stop)
    slack = 8 * UNIT * (np.abs(at_start) + np.abs(at_stop))
    return whole, (np.abs(at_stop - at_start) * (1 + 1e-9) + slack) / (stop - start)


def maximum(rule: Maximum, xs: Sequence[Polynomial], gains: Gains) -> Polynomial:
    """The candidate that leads in the middle, and half of what another may exceed it by."""
    basis, cells = xs[0].basis, xs[0].cells
    values = rule.sign * np.asarray(rule.candidates(*(x.values for x in xs)))
    with np.errstate(invalid="ignore"):  # of missing candidates, infinite minus infinite
        fixed = np.asarray(rule.candidates(*(np.zeros_like(x.radius[:1]) for x in xs)))
        radius = np.abs(np.asarray(rule.candidates(*(x.radius for x in xs))) - fixed)
    stack = values.reshape(len(values), basis.count, cells, *values.shape[2:])
    missing = np.isneginf(stack[:, 0])
    radius = np.where(missing, 0.0, radius)
    index = stack.mean(axis=1).argmax(axis=0)[None]
    lead = np.take_along_axis(stack, index[:, None], axis=0)[0]
    lead_radius = np.take_along_axis(radius, index, axis=0)[0]
    size_of_lead = narrowed(np.abs(lead).max(axis=0)) * UP
    ahead = np.zeros(lead.shape[1:])
    for candidate, off, lacks, i in zip(stack, radius, missing, range(len(stack)), strict=True):
        behind = np.where(lacks, 0.0, candidate - lead)
        found, rounding = coefficients(basis, behind)
        size = np.where(lacks, 0.0, narrowed(np.abs(candidate).max(axis=0))) + size_of_lead
        most = found[0] + np.abs(found[1:]).sum(axis=0) + off + lead_radius
        most = most + basis.count * rounding + 8 * UNIT * (np.abs(found).sum(axis=0) + off + lead_radius)
        most = most + 8 * basis.unit * size
        ahead = np.where(lacks | (index[0] == i), ahead, np.maximum(ahead, most))  # NaN stays
    shifted = lead + 0.5 * ahead
    rounding = 4 * basis.unit * basis.lebesgue * (size_of_lead + ahead)
    own = 0.5 * ahead * UP + np.where(ahead > 0, rounding, 0.0)
    norms = gains.of(rule, [x.radius.shape[1:] for x in xs]).norms
    assert norms is not None, "candidates are moved"
    norm = (sum(gain * x.norm for gain, x in zip(norms, xs, strict=True)) + norm_of(own)) * UP
    values = rule.sign * shifted.reshape(-1, *shifted.shape[2:])
    return bounded(basis, values, lead_radius * UP + own, norm)
