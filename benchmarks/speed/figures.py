"""Measured numbers of which some are only bounds, because a run was cut off, and their medians."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number; with `at_least` the true one is not known, but it is not smaller."""

    value: float
    at_least: bool = False

    def __str__(self) -> str:
        shown = f"{self.value:.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"{'>= ' if self.at_least else ''}{shown}"

    def times(self, factor: float) -> Figure:
        """The same in another unit."""
        return Figure(self.value * factor, self.at_least)


def ratio(numerator: Figure | None, denominator: Figure | None) -> Figure | None:
    """None where one is missing, or where only a lower bound of the denominator is known."""
    if numerator is None or denominator is None or denominator.at_least:
        return None
    return Figure(numerator.value / denominator.value, numerator.at_least)


def median(figures: Iterable[Figure | None]) -> Figure | None:
    """Median of those that are there; only a bound where the bounds among them could still move it."""
    known = [figure for figure in figures if figure is not None]
    if not known:
        return None
    value = statistics.median(figure.value for figure in known)
    largest = statistics.median(math.inf if figure.at_least else figure.value for figure in known)
    return Figure(value, at_least=value != largest)


def smallest(figures: Iterable[Figure | None]) -> Figure | None:
    """The smallest of those that are there."""
    known = [figure for figure in figures if figure is not None]
    return min(known, key=lambda figure: (figure.value, figure.at_least), default=None)


def largest(figures: Iterable[Figure | None]) -> Figure | None:
    """The largest of those that are there."""
    known = [figure for figure in figures if figure is not None]
    if not known:
        return None
    return Figure(max(figure.value for figure in known), any(figure.at_least for figure in known))
