"""Enclosures behind bends: Relu and other kinks, and the largest of candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.value import LEAST, UNIT, Enclosure
from onnx_si.program.ways_back import CONSTANT
from onnx_si.rules.rules import Array, Kinked, Maximum

Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Bent:
    """What an op with bends made of its input, or of the candidate that leads: factor * x, off by no more
    than `local` at `places` (cells, in order, and flat index) and by nothing elsewhere. Where `leader` is
    given the factor is 1.
    """

    factor: Array | None
    places: tuple[Index, Index]
    local: Array
    leader: Index | None = None


def everywhere(values: Array) -> tuple[Index, Index]:
    """All places of a tensor."""
    cell, element = np.divmod(np.arange(values.size), values[0].size)
    return cell, element


def rectified(x: Enclosure) -> tuple[Enclosure, Bent, Array]:
    """Relu, whose units are on, off or open: the first keep what they are to the last bit. And how far the
    open ones reach.
    """
    reach = x.reach
    reach *= 1 + 16 * UNIT
    on = x.centre >= reach
    cell, element = np.nonzero((np.abs(x.centre) < reach).reshape(len(reach), -1))
    flat = [part.reshape(len(reach), -1) for part in (x.centre, reach)]
    centre, half = (part[cell, element] for part in flat)
    half += 16 * UNIT * np.abs(centre)
    low, high = centre - half, centre + half
    with np.errstate(divide="ignore", invalid="ignore"):
        chord = np.where(high > 0, high / (high - low), 0.0)
    spread = 0.5 * chord * -low
    rounding = 16 * UNIT * (chord * np.maximum(np.abs(low), high) + high)
    local = spread * (1 + 4 * UNIT) + rounding + LEAST
    factor = on.astype(np.float64, order="C")  # what is written below reaches no copy
    factor.reshape(len(reach), -1)[cell, element] = chord
    made = [np.ascontiguousarray(factor * part) for part in (x.centre, x.slope, x.radius)]
    made[0].reshape(len(reach), -1)[cell, element] += spread
    radius = made[2].reshape(len(reach), -1)
    radius[cell, element] = radius[cell, element] * (1 + 4 * UNIT) + local
    most = x.largest * (1 + 8 * UNIT)
    for row, extra in ((0, spread), (2, local)):
        most[row] += extra.max(initial=0.0)
    value = Enclosure(centre=made[0], slope=made[1], radius=made[2], half_width=x.half_width, at_most=most)
    bent = Bent(factor=factor, places=(cell, element), local=local)
    return value, bent, 2 * half


def kinked(rule: Kinked, x: Enclosure) -> tuple[Enclosure, Bent, NDArray[np.bool_], Array]:
    """Any other kink: a chord over all of the cell. And where it is open, and how far its input reaches."""
    low, high = x.bounds()
    at_low, at_high = rule.function(low), rule.function(high)
    inside = [(low < point) & (point < high) for point in rule.breakpoints]
    with np.errstate(divide="ignore", invalid="ignore"):
        chord = (at_high - at_low) / (high - low)
    chord = np.where(np.isfinite(chord), chord, 0.0)
    # function(x) - chord * x takes its extremes at the ends or at a breakpoint
    rest_low, rest_high = at_low - chord * low, at_high - chord * high
    least, most = np.minimum(rest_low, rest_high), np.maximum(rest_low, rest_high)
    for point, within in zip(rule.breakpoints, inside, strict=True):
        rest = rule.function(np.asarray(point)) - chord * point
        least = np.where(within, np.minimum(least, rest), least)
        most = np.where(within, np.maximum(most, rest), most)
    shift, spread = 0.5 * (least + most), 0.5 * (most - least)
    steep = np.abs(chord)
    rounding = 8 * UNIT * (steep * np.maximum(np.abs(low), np.abs(high)) + np.abs(at_low) + np.abs(at_high))
    # a flat piece gives the same number to the last bit: a dead unit is exactly zero
    local = spread * (1 + 4 * UNIT) + rounding + LEAST * ((steep > 0) | (spread > 0) | (shift != 0))
    value = Enclosure(
        centre=chord * x.centre + shift,
        slope=chord * x.slope,
        radius=steep * x.radius * (1 + 4 * UNIT) + local,
        half_width=x.half_width,
    )
    bent = Bent(factor=chord, places=everywhere(local), local=local.ravel())
    return value, bent, np.logical_or.reduce(inside), high - low


def largest_of(rule: Maximum, xs: Sequence[Enclosure], sources: Index) -> tuple[Enclosure, Bent, Array]:
    """The candidate that leads in the middle of each cell, off by how far another may exceed it: told of
    those only that may at all. And by how much.

    Parameters
    ----------
    rule : Maximum
    xs : sequence of Enclosure
    sources : array (candidates, *shape)
        Which element each candidate is.
    """
    count, half_width, sign = len(xs[0].half_width), xs[0].half_width, rule.sign
    flat = sources.reshape(len(sources), 1, -1)
    still, rows = flat == CONSTANT, np.arange(count)[:, None]
    padded = bool(still.any())
    slope = _joined([x.slope for x in xs])
    radius = _joined([x.radius for x in xs])
    found = np.asarray(rule.candidates(*(x.centre for x in xs)))
    centre = found.reshape(len(found), count, -1)
    if sign != 1:
        slope, centre = sign * slope, sign * centre
    moved = np.asarray(rule.candidates(*(x.reach for x in xs))).reshape(centre.shape)
    if padded:
        np.copyto(moved, 0.0, where=still)
    best, leader = centre[0].copy(), np.zeros(centre.shape[1:], dtype=np.intp)
    for i, values in enumerate(centre[1:], start=1):
        np.copyto(leader, i, where=values > best)
        np.maximum(best, values, out=best)
    source = np.take_along_axis(flat, leader[None], axis=0)[0]
    ahead = [part[rows, source] for part in (slope, radius)]
    if padded:
        ahead = [np.where(source == CONSTANT, 0.0, part) for part in ahead]
    room = best - ahead[1] - np.abs(ahead[0]) * half_width[:, None]
    room -= (64 * UNIT * np.sum([x.size for x in xs], axis=0))[:, None] + 64 * UNIT * np.abs(best)
    near = centre + moved > room
    np.put_along_axis(near, leader[None], False, axis=0)
    which, cell, element = np.nonzero(near)
    own, half = flat[which, 0, element], half_width[cell]
    other = [np.where(own == CONSTANT, 0.0, part[cell, own]) for part in (slope, radius)]
    lead = [part[cell, element] for part in (best, *ahead)]
    at = centre[which, cell, element]
    over = at - lead[0] + np.abs(other[0] - lead[1]) * half + other[1] + lead[2]
    size = np.abs(at) + np.abs(lead[0]) + (np.abs(other[0]) + np.abs(lead[1])) * half
    over += 8 * UNIT * (size + other[1] + lead[2])
    excess = np.zeros(best.shape)
    np.maximum.at(excess, (cell, element), over)
    best, leader = (part.reshape(count, *sources.shape[1:]) for part in (best, leader))
    shape, excess = best.shape, excess.reshape(best.shape)
    shifted = best + 0.5 * excess
    local = 0.5 * excess + 4 * UNIT * (np.abs(shifted) + excess) + LEAST * (shifted != 0)
    value = Enclosure(
        centre=sign * shifted,
        slope=sign * ahead[0].reshape(shape),
        radius=ahead[1].reshape(shape) + local * (1 + 4 * UNIT),
        half_width=half_width,
    )
    bent = Bent(factor=None, places=everywhere(local), local=local.ravel(), leader=leader)
    return value, bent, excess


def _joined(parts: Sequence[Array]) -> Array:
    """Tensors flattened, one behind the other."""
    rows = [part.reshape(len(part), -1) for part in parts]
    return rows[0] if len(rows) == 1 else np.concatenate(rows, axis=1)
