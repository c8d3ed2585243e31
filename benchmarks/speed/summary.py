"""From the answers on one family's images to medians, and from these to the targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.figures import Figure, largest, median, ratio, smallest

Row = dict[str, Any]
Summary = dict[str, Figure | None]

SLACK = 1.1  # by so much our search may be slower than the exact domain alone


def read(row: Row, name: str, key: str) -> Figure | None:
    """A number of one answer; a lower bound where that run was cut off, None where it is not known."""
    answer = row.get(name, {})
    value = None if "error" in answer else answer.get(key)
    if value is None:
        return None
    return Figure(float(value), at_least=bool(answer.get("timed_out")))


def _width(row: Row) -> Figure | None:
    bounds = row.get("ours", {}).get("p_value_bounds")
    return None if bounds is None else Figure(bounds[1] - bounds[0])


def _quotient(above: tuple[str, str], below: tuple[str, str]) -> Callable[[Row], Figure | None]:
    return lambda row: ratio(read(row, *above), read(row, *below))


def _plain(name: str, key: str) -> Callable[[Row], Figure | None]:
    return lambda row: read(row, name, key)


def _per_pixel(key: str) -> Callable[[Row], Figure | None]:
    def measure(row: Row) -> Figure | None:
        seconds = read(row, "ours", key)
        return None if seconds is None else seconds.times(1 / row["pixels"])

    return measure


# The unit is in the name. `ours` stands for image to p-value at the peer's precision; what has "search" in
# its name is the search alone, without binding the model and computing map and region.
MEASURES: dict[str, Callable[[Row], Figure | None]] = {
    "peer_seconds": _plain("peer", "seconds"),
    "our_seconds": _plain("ours", "seconds"),
    "ratio": _quotient(("peer", "seconds"), ("ours", "seconds")),
    "cpu_ratio": _quotient(("peer", "cpu_seconds"), ("ours", "cpu_seconds")),
    "our_seconds_narrow": _plain("ours_narrow", "seconds"),
    "ratio_narrow": _quotient(("peer", "seconds"), ("ours_narrow", "seconds")),
    "whole_test_seconds": _plain("test", "seconds"),
    "our_search_seconds": _plain("ours", "search_seconds"),
    "exact_alone_search_seconds": _plain("exact_alone", "search_seconds"),
    "plain_search_seconds": _plain("plain_10_sd", "search_seconds"),
    "exact_alone_over_ours": _quotient(("exact_alone", "search_seconds"), ("ours", "search_seconds")),
    "plain_over_ours": _quotient(("plain_10_sd", "search_seconds"), ("ours", "search_seconds")),
    "our_passes": _plain("ours", "forward_passes"),
    "our_passes_narrow": _plain("ours_narrow", "forward_passes"),
    "exact_alone_passes": _plain("exact_alone", "forward_passes"),
    "plain_passes": _plain("plain_10_sd", "forward_passes"),
    "peer_pieces": _plain("peer", "pieces"),
    "our_pieces": _plain("ours", "pieces"),
    "exact_alone_pieces": _plain("exact_alone", "pieces"),
    "plain_pieces": _plain("plain_10_sd", "pieces"),
    "peer_rss_bytes": _plain("peer", "peak_rss_bytes"),
    "our_rss_bytes": _plain("ours", "peak_rss_bytes"),
    "exact_alone_rss_bytes": _plain("exact_alone", "peak_rss_bytes"),
    "our_peak_bytes": _plain("ours", "peak_bytes"),
    "our_seconds_per_pixel": _per_pixel("seconds"),
    "our_search_seconds_per_pixel": _per_pixel("search_seconds"),
    "our_bounds_width": _width,
}


def summarise(rows: list[Row]) -> Summary:
    """Medians over the images, and the extremes of the ratios, so that it is seen where we lose."""
    summary = {name: median(map(measure, rows)) for name, measure in MEASURES.items()}
    for name in ("ratio", "exact_alone_over_ours", "plain_over_ours"):
        figures = [MEASURES[name](row) for row in rows]
        summary |= {f"{name}_smallest": smallest(figures), f"{name}_largest": largest(figures)}
    return summary


@dataclass(frozen=True)
class Target:
    """A target for the medians: a figure that is at least (or at most) some number."""

    what: str
    measured: Callable[[dict[str, Summary]], Figure | None]
    wanted: float
    at_most: bool = False

    def line(self, families: dict[str, Summary]) -> tuple[str, str, str, str]:
        """What, wanted, measured, verdict."""
        figure = self.measured(families)
        sign = "<=" if self.at_most else ">="
        return (
            self.what,
            f"{sign} {self.wanted:.3g}",
            "-" if figure is None else str(figure),
            self._verdict(figure),
        )

    def _verdict(self, figure: Figure | None) -> str:
        if figure is None:
            return "not measured"
        fits = figure.value <= self.wanted if self.at_most else figure.value >= self.wanted
        if figure.at_least and fits == self.at_most:
            return "open: cut off"
        return "met" if fits else "not met"


def _of(family: str, measure: str) -> Callable[[dict[str, Summary]], Figure | None]:
    return lambda families: families.get(family, {}).get(measure)


def _growth(measure: str) -> Callable[[dict[str, Summary]], Figure | None]:
    small, large = _of("paper-32", measure), _of("paper-256", measure)
    return lambda families: ratio(large(families), small(families))


def targets(names: list[str]) -> list[Target]:
    """The targets, and for every family named that it is not slower than the exact domain."""
    found = []
    for group in ("paper", "random"):
        for side, wanted in ((64, 300), (32, 150), (16, 60)):
            family, times = f"{group}-{side}", "times faster than the peer"
            found += [
                Target(f"{family}: {times}, ours exact (to 1e-9)", _of(family, "ratio_narrow"), wanted),
                Target(f"{family}: {times}, equal precision", _of(family, "ratio"), wanted),
            ]
        family = f"{group}-64"
        found += [
            Target(f"{family}: passes, ours exact (to 1e-9)", _of(family, "our_passes_narrow"), 60, True),
            Target(f"{family}: passes, equal precision", _of(family, "our_passes"), 60, True),
        ]
    found += [
        Target("time per pixel, paper-256 / paper-32", _growth("our_seconds_per_pixel"), 1.5, True),
        Target("the same, search alone", _growth("our_search_seconds_per_pixel"), 1.5, True),
    ]
    for family, wanted in (("unet-32", 20), ("unet-64", 50), ("unet-128", 150)):
        found.append(Target(f"{family}: times faster than the peer", _of(family, "ratio"), wanted))
    large = "resnet-224"
    found += [
        Target("resnet-64: plain exact +-10 sd / our search", _of("resnet-64", "plain_over_ours"), 2),
        Target(f"{large}: seconds (two cores)", _of(large, "our_seconds"), 900, True),
        Target(f"{large}: width of the bounds", _of(large, "our_bounds_width"), 1e-3, True),
        Target(f"{large}: peak memory of the process, bytes", _of(large, "our_rss_bytes"), 4e9, True),
    ]
    for family in names:
        for what, measure in (("exact alone", "exact_alone_over_ours"), ("plain exact", "plain_over_ours")):
            found.append(Target(f"{family}: {what} / our search", _of(family, measure), 1 / SLACK))
    return found
