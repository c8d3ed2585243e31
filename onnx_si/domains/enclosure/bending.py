"""Enclosures of smooth functions, by bounds of their slopes."""

from collections.abc import Sequence

import numpy as np

from onnx_si.domains.enclosure.spreading import bilinear
from onnx_si.domains.enclosure.value import TINY, UNIT, Enclosure
from onnx_si.kernels.bounded import Reciprocal
from onnx_si.rules.curved import Reach
from onnx_si.rules.rules import Array, Bilinear, Quotient

PRODUCT = Bilinear(product=np.multiply, elementwise=True)
ROUNDED = (
    16 * UNIT
)  # share of a smooth function's values, and of its slopes, that their rounding is less than
ENOUGH = 1 + 1e-9  # a cosine, and the rounding of its sums


def smooth(function: Reach, x: Enclosure, of_squares: bool = False) -> Enclosure:
    """The line through the middle with the mean of the extreme slopes, and what the others leave it by; of a
    root of squares, which is defined everywhere, no more than its range.
    """
    reach = x.reach
    low, high = x.around(reach)
    flattest, steepest = function.slopes(low, high)
    slope = 0.5 * (flattest + steepest)
    spread = 0.5 * (steepest - flattest) + ROUNDED * (np.abs(flattest) + np.abs(steepest))
    steep = np.abs(slope)
    radius = steep * x.radius + spread * reach
    radius *= 1 + ROUNDED
    least, most = function.values(low, high)
    size = np.maximum(np.abs(least), np.abs(most)) + steep * reach
    if not x.radius.all():
        radius[(x.slope == 0) & (x.radius == 0)] = 0.0
    radius += ROUNDED * size + TINY
    centre = function(x.centre)
    found = Enclosure(centre=centre, slope=slope * x.slope, radius=radius, half_width=x.half_width)
    if not of_squares:
        return found
    half = 0.5 * (most - least)
    return _or_rather(found, 0.5 * least + 0.5 * most, half * (1 + ROUNDED) + ROUNDED * most + TINY)


def quotient(rule: Quotient, xs: Sequence[Enclosure], cosine: bool = False) -> Enclosure:
    """The dividend times the reciprocal of the divisor; a cosine's size is at most 1."""
    divisor = xs[-1]
    given = [[getattr(x, part) for x in xs] for part in ("centre", "slope", "radius")]
    above, below = ([rule.line_up(*values)[i] for values in given] for i in (0, 1))
    if not rule.divides_changing:
        above = [above[0], np.zeros_like(above[0]), np.zeros_like(above[0])]
    shape = np.broadcast_shapes(above[0].shape, below[0].shape)

    def made(parts: list[Array]) -> Enclosure:
        centre, slope, radius = (np.broadcast_to(part, shape) for part in parts)
        return Enclosure(centre=centre, slope=slope, radius=radius, half_width=divisor.half_width)

    found = bilinear(PRODUCT, [made(above), smooth(Reciprocal(), made(below))])
    return _or_rather(found, np.zeros(()), np.full((), ENOUGH)) if cosine else found


def _or_rather(x: Enclosure, middle: Array, reach: Array) -> Enclosure:
    """The same of numbers that are within `reach` of `middle`, where less is known of them."""
    known = ~(x.radius > reach) & np.isfinite(x.radius + np.abs(x.centre) + np.abs(x.slope))
    if known.all():
        return x
    return Enclosure(
        centre=np.where(known, x.centre, middle),
        slope=np.where(known, x.slope, 0.0),
        radius=np.where(known, x.radius, reach),
        half_width=x.half_width,
    )
