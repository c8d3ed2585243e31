"""A bound of the odds on a stretch of means holds for every mean in it, wherever the largest odds lie."""

import math

import numpy as np
import pytest

from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.truncated.absolute import _odds_by_parts, odds_at, odds_from, upper_odds_until
from onnx_si.statistics.truncated.hull import hull_bounds
from onnx_si.statistics.truncated.scaled import Scaled
from onnx_si.statistics.truncated.shifted import Shifted
from onnx_si.statistics.truncated.smoothed import Smoothed

SEEN = {
    "normal": lambda inside: Shifted.of(inside, 0.0, 1.0),
    "randomised": lambda inside: Smoothed.of(inside, 0.0, 1.0, 0.02),
    "t": lambda inside: Scaled.of(inside, 0.0, 1.0, 4),
}


def a_set(rng):
    """Little around the statistic, a stretch far above it: near half way to that the odds grow again."""
    far = rng.uniform(1.0, 6.0)
    below = np.sort(rng.uniform(-4.0, -0.2, 2))
    return Intervals(np.array([below, [-0.1, rng.uniform(0.05, 0.5)], [far, far + rng.uniform(0.1, 2.0)]]))


@pytest.mark.parametrize("kind", SEEN)
def test_it_holds_for_every_mean(kind):
    rng, grown = np.random.default_rng(3), 0
    for _ in range(40):
        seen = SEEN[kind](a_set(rng))
        m = rng.uniform(0.05, 4.0, 12)
        until = m + rng.choice([0.03, 0.3, 1.0], 12)
        bounds = upper_odds_until(seen, seen, m, until)
        for low, high, bound in zip(m, until, bounds, strict=True):
            odds = odds_at(seen, seen, np.linspace(low, high, 25), -1.0)
            assert odds.max() <= bound
            grown += odds[-1] > odds[0] + 0.1
    assert grown > 10  # the first mean does not tell


@pytest.mark.parametrize("kind", ["normal", "t"])
def test_it_holds_part_by_part(kind):
    """Of intervals that begin, end, or do neither between twice the means of a stretch."""
    rng, close = np.random.default_rng(5), 0
    for _ in range(60):
        seen = SEEN[kind](a_set(rng))
        m = rng.uniform(0.05, 4.0, 12)
        until = m + rng.choice([0.03, 0.3, 1.0], 12)
        for low, high, bound in zip(m, until, _odds_by_parts(seen, seen, m, until), strict=True):
            odds = odds_at(seen, seen, np.linspace(low, high, 25), -1.0)
            assert odds.max() <= bound
            close += bound < odds.max() + 1e-9
    assert close > 200


@pytest.mark.parametrize("kind", ["normal", "t"])
@pytest.mark.parametrize("width", [0.1, 0.02])
def test_what_is_open_beyond_twice_the_end_costs_no_closeness(kind, width):
    """Whatever the mean, the density at twice its distance is that at the statistic: much of pieces that are
    open as far as the line goes is cut there."""
    inside = Intervals(np.array([[-width, width]]))
    open_ones = Intervals(np.array([[-math.inf, -1.0], [1.0, math.inf]]))
    least, most = SEEN[kind](inside), SEEN[kind](inside.union(open_ones))
    odds = math.log(0.05 / 0.95)
    proven = hull_bounds(least, most, odds)[1][1]
    assert proven > 3 / width
    assert odds_at(most, least, np.array([proven * (1 - 1e-9)]), -1.0) > odds


@pytest.mark.parametrize("kind", SEEN)
def test_it_holds_from_a_mean_on(kind):
    rng = np.random.default_rng(4)
    for _ in range(40):
        seen = SEEN[kind](a_set(rng))
        m = rng.uniform(0.05, 4.0, 6)
        for low, bound in zip(m, odds_from(seen, seen, m, 1.0)[1], strict=True):
            assert odds_at(seen, seen, low + np.geomspace(1e-6, 30.0, 40), -1.0).max() <= bound
