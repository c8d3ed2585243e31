"""Charts of p-values as inline SVG; colours are those of the page."""

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

BINS = 20
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 340, 240, 44, 36, 10
MOST_POINTS = 400


def histogram(p_values: ArrayLike) -> Markup:
    """Counts of p-values in twenty bins, and the line at which all would be if nothing were real."""
    values = np.asarray(p_values, np.float64)
    counts = np.histogram(values, BINS, (0.0, 1.0))[0]
    expected = len(values) / BINS
    tallest = max(1.0, float(counts.max(initial=0)), expected)
    text = (
        f"Histogram of {len(values)} p-values; {counts[0]} are below {1 / BINS:g}, where {expected:.3g} "
        "would be by chance alone if no region were real."
    )
    return _figure(text, _bars(counts, tallest, expected), "p-value", "images", tallest)


def quantiles(p_values: ArrayLike) -> Markup:
    """Sorted p-values against those of a uniform distribution; below the diagonal they are too small."""
    values = np.sort(np.asarray(p_values, np.float64))
    wanted = (np.arange(len(values)) + 0.5) / max(1, len(values))
    text = (
        f"Quantile plot of {len(values)} p-values against a uniform distribution; points on the diagonal are "
        "what chance alone gives, points below it are smaller p-values than chance gives."
    )
    return _figure(text, _points(wanted, values), "expected by chance", "p-value", 1.0)


def bar(share: float) -> Markup:
    """A share between 0 and 1; the number stands beside it, so that it needs no text of its own."""
    width = round(120 * min(1.0, max(0.0, share)), 1)
    return Markup(
        f'<svg class="bar" viewBox="0 0 120 12" width="120" height="12" aria-hidden="true">'
        f'<rect class="rail" width="120" height="12"/><rect class="fill" width="{width}" height="12"/></svg>'
    )


def _x(value: float) -> float:
    return round(LEFT + value * (WIDTH - LEFT - 12), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def _bars(counts: NDArray[np.int64], tallest: float, expected: float) -> Iterator[str]:
    for number, count in enumerate(counts.tolist()):
        start, end, top = _x(number / BINS), _x((number + 1) / BINS), _y(count / tallest)
        title = f"{count} between {number / BINS:g} and {(number + 1) / BINS:g}"
        yield (
            f'<rect class="fill" x="{start + 0.5}" y="{top}" width="{round(end - start - 1, 1)}" '
            f'height="{round(_y(0) - top, 1)}"><title>{title}</title></rect>'
        )
    at = _y(expected / tallest)
    yield f'<line class="chance" x1="{_x(0)}" x2="{_x(1)}" y1="{at}" y2="{at}"/>'


def _points(wanted: NDArray[np.float64], values: NDArray[np.float64]) -> Iterator[str]:
    yield f'<line class="chance" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>'
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).round().astype(int))
    for at, value in zip(wanted[kept].tolist(), values[kept].tolist(), strict=True):
        yield f'<circle class="point" cx="{_x(at)}" cy="{_y(value)}" r="2.5"/>'


def _figure(text: str, marks: Iterator[str], below: str, beside: str, tallest: float) -> Markup:
    """Axes around marks; all text here is our own."""
    middle = _y(0.5)
    axes = [
        f'<path class="axis" d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}"/>',
        *(
            f'<text x="{_x(at)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{at:g}</text>'
            for at in (0.0, 0.5, 1.0)
        ),
        *(
            f'<text x="{LEFT - 6}" y="{_y(share) + 4}" text-anchor="end">{share * tallest:.4g}</text>'
            for share in (0.0, 1.0)
        ),
        f'<text x="{_x(0.5)}" y="{HEIGHT - 4}" text-anchor="middle">{below}</text>',
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{beside}</text>',
    ]
    inner = "".join([*marks, *axes])
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}">{inner}</svg>'
    )
