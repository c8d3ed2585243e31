"""A cell of the grid in which S begins or ends, and its bisection."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

SPACING = 0.1  # of the even part of the grid, in units of the law
HALVINGS = 6  # at least, of a cell in which S begins or ends
AHEAD = 3  # halvings whose middles are asked about at once


@dataclass(kw_only=True)
class Bracket:
    """A cell with one end in S, and how far outside of S both are; `centre` is that of the law.

    Which middles bisection asks about follows from the answers. If the map changes about evenly within the
    cell, its ends tell where it meets S, and so the next middles: a few of them are asked about at once.
    Where that was wrong, those that do not belong to the bisection are not used.
    """

    low: float
    high: float
    off_low: float
    off_high: float
    centre: float
    halvings: int = 0

    @property
    def narrow(self) -> float:
        """How wide it may be, but for rounding: the law falls the faster, the farther out it is."""
        return SPACING / max(2.0**HALVINGS, abs(self.low - self.centre))

    @property
    def is_wide(self) -> bool:
        """Whether it is to be bisected again."""
        return self.high - self.low > 1.001 * self.narrow or self.halvings < HALVINGS

    def ahead(self) -> Iterator[float]:
        """The next middle, and a few after it, if the map changes evenly."""
        guess = replace(self)
        width, apart = self.high - self.low, self.off_low - self.off_high
        end, tells = self.low + width * (self.off_low / apart), min(self.off_low, self.off_high) < 0
        while guess.is_wide and guess.halvings < self.halvings + AHEAD:
            middle = 0.5 * (guess.low + guess.high)
            yield middle
            if not tells:  # counts of pixels know no distance in S
                return
            guess.narrowed(middle, self.off_low if middle < end else self.off_high)

    def bisected(self, off: Mapping[float, float]) -> Iterator[float]:
        """Bisect as far as the answers go; the middles that were used."""
        while self.is_wide:
            middle = 0.5 * (self.low + self.high)
            if middle not in off:
                return
            self.narrowed(middle, off[middle])
            yield middle

    def narrowed(self, middle: float, off: float) -> None:
        """Keep the half in which S begins or ends."""
        self.halvings += 1
        if (off <= 0) == (self.off_low <= 0):
            self.low, self.off_low = middle, off
        else:
            self.high, self.off_high = middle, off
