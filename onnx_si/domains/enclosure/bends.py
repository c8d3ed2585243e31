"""Enclosures behind bends: Relu and other kinks, and the largest of candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.value import LEAST, UNIT, Enclosure
from onnx_si.program.backwards import CONSTANT
from onnx_si.rules.rules import Array, Kinked, Maximum

Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Bent:
    """What an op with bends made of its input, or of the candidate that leads: factor * x, off by no more
    than `local` at `places` (cells, flat index) and by nothing elsewhere. Where `leader` is given the factor
    is 1.
    """

    factor: Array | None
    places: tuple[Index, Index]
    local: Array
    cells: int
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
    factor = on.astype(np.float64)
    factor.reshape(len(reach), -1)[cell, element] = chord
    made = [factor * x.centre, factor * x.slope, factor * x.radius]
    made[0].reshape(len(reach), -1)[cell, element] += spread
    radius = made[2].reshape(len(reach), -1)
    radius[cell, element] = radius[cell, element] * (1 + 4 * UNIT) + local
    value = Enclosure(centre=made[0], slope=made[1], radius=made[2], half_width=x.half_width)
    bent = Bent(factor=factor, places=(cell, element), local=local, cells=len(reach))
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
    bent = Bent(factor=chord, places=everywhere(local), local=local.ravel(), cells=len(local))
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
    slope = np.concatenate([x.slope.reshape(count, -1) for x in xs], axis=1)
    radius = np.concatenate([x.radius.reshape(count, -1) for x in xs], axis=1)
    centres = [c if sign > 0 else -c for c in map(np.asarray, rule.candidates(*(x.centre for x in xs)))]
    reaches = [np.asarray(c) for c in rule.candidates(*(x.reach for x in xs))]
    best, leader = centres[0].copy(), np.zeros(centres[0].shape, dtype=np.intp)
    for i, centre in enumerate(centres[1:], start=1):
        leader[centre > best] = i
        np.maximum(best, centre, out=best)
    flat, cells = sources.reshape(len(sources), -1), np.arange(count)[:, None]
    source = np.take_along_axis(flat[:, None], leader.reshape(1, count, -1), axis=0)[0]
    fixed = source == CONSTANT
    ahead = [np.where(fixed, 0.0, part[cells, source]) for part in (sign * slope, radius)]
    room = best.reshape(count, -1) - ahead[1] - np.abs(ahead[0]) * half_width[:, None]
    slack = 64 * UNIT * np.max([x.size for x in xs], axis=0)
    room -= slack[:, None] + 64 * UNIT * np.abs(best).reshape(count, -1)
    excess = np.zeros(room.shape)
    for i, (centre, reach) in enumerate(zip(centres, reaches, strict=True)):
        moved = np.where(flat[i] == CONSTANT, 0.0, reach.reshape(count, -1))
        near = (centre.reshape(count, -1) + moved > room) & (leader.reshape(count, -1) != i)
        cell, element = np.nonzero(near)
        own = flat[i][element]
        still = own == CONSTANT
        other = [np.where(still, 0.0, part[cell, own]) for part in (sign * slope, radius)]
        lead = [part[cell, element] for part in (best.reshape(count, -1), *ahead)]
        at, half = centre.reshape(count, -1)[cell, element], half_width[cell]
        over = at - lead[0] + np.abs(other[0] - lead[1]) * half + other[1] + lead[2]
        size = np.abs(at) + np.abs(lead[0]) + (np.abs(other[0]) + np.abs(lead[1])) * half
        over += 8 * UNIT * (size + other[1] + lead[2])
        excess[cell, element] = np.maximum(excess[cell, element], over)
    shape, excess = best.shape, excess.reshape(best.shape)
    shifted = best + 0.5 * excess
    local = 0.5 * excess + 4 * UNIT * (np.abs(shifted) + excess) + LEAST * (shifted != 0)
    value = Enclosure(
        centre=sign * shifted,
        slope=sign * ahead[0].reshape(shape),
        radius=ahead[1].reshape(shape) + local * (1 + 4 * UNIT),
        half_width=half_width,
    )
    bent = Bent(factor=None, places=everywhere(local), local=local.ravel(), cells=count, leader=leader)
    return value, bent, excess
