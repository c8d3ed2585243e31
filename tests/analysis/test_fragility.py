"""What the conditioning leaves."""

import math
from dataclasses import replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
from support import nets

import onnx_si
from onnx_si.ground.intervals import Intervals
from onnx_si.report import Fragility
from onnx_si.search import Stop
from onnx_si.statistics.fragility import (
    agree,
    distance_bounds,
    distance_to_ends,
    information,
    information_bounds,
)
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Normal

MODELS = Path(__file__).parents[2] / "models"
SETS = [
    [(-math.inf, math.inf)],
    [(1.0, 2.0)],
    [(1.4999, 1.5003)],
    [(1.5 - 3e-7, 1.5 + 1e-7)],
    [(-math.inf, -1.0), (0.5, 1.6), (3.0, 3.2)],
    [(1.4, math.inf), (-9.0, -8.5)],
]


def line(statistic=1.5, se=0.7, **more):
    zero = np.zeros(1)
    law = more.pop("law", Normal(0.0, se))
    return ImageLine(
        start=zero, direction=zero + 1, statistic=statistic, standard_error=se, distribution=law, **more
    )


def moments(pairs, at, se):
    """Variance of N(at, se^2) on a set, over se^2, in fifty digits."""
    with mpmath.workdps(50):
        sums = [mpmath.mpf(0)] * 3
        for low, high in pairs:
            ends = [max(low, at - 9 * se), min(high, at + 9 * se)]
            if ends[0] >= ends[1]:
                continue
            for power in range(3):
                sums[power] += mpmath.quad(
                    lambda z, power=power: (z - at) ** power * mpmath.exp(-(((z - at) / se) ** 2) / 2),
                    [mpmath.mpf(ends[0]), *(at for _ in range(ends[0] < at < ends[1])), mpmath.mpf(ends[1])],
                )
        mean = sums[1] / sums[0]
        return float((sums[2] / sums[0] - mean**2) / se**2)


@pytest.mark.parametrize("pairs", SETS)
def test_information_is_the_share_of_the_variance(pairs):
    found = information(Intervals.of(pairs), line())
    assert found == pytest.approx(moments(pairs, 1.5, 0.7), rel=1e-6)


def test_without_selection_everything_is_left():
    assert information(Intervals.line(), line()) == pytest.approx(1.0, abs=1e-12)


def test_extra_noise_keeps_its_share_however_narrow_s_is():
    """A place with noise of share F leaves at least F / (1 + F)."""
    share, se = 0.25, 2.0
    narrow = Intervals.of([(1.5 - 1e-9, 1.5 + 1e-9)])
    randomised = line(se=se * math.sqrt(1 + share), tested=(1.2, se))
    assert information(narrow, randomised) == pytest.approx(share / (1 + share), abs=1e-6)
    assert information(Intervals.line(), randomised) == pytest.approx(1.0, abs=1e-9)


def test_the_nearest_end():
    assert distance_to_ends(Intervals.of([(1.0, 1.9), (3.0, 4.0)]), line()) == pytest.approx(0.4 / 0.7)
    assert distance_to_ends(Intervals.of([(-math.inf, 2.2)]), line()) == pytest.approx(1.0)
    assert distance_to_ends(Intervals.line(), line()) is None
    assert distance_to_ends(Intervals.of([(3.0, 4.0)]), line()) is None


def test_a_fragile_region_is_told_in_words():
    """S hardly wider than a point: the words say that almost nothing is left, and what to do."""
    image = np.random.default_rng(3).normal(size=(8, 8))
    centre = np.where(np.arange(64).reshape(8, 8) < 30, image, 50.0).astype(np.float32)
    net = nets.Net(0, (1, 1, 8, 8))
    away = net.add("Abs", net.add("Sub", "x", net.const(centre)))
    near = net.add("Sub", net.const(np.float32(1)), net.add("Mul", away, net.const(np.float32(400))))
    result = onnx_si.test(net.finish(near), image, sigma=1.0, threshold=0.5)
    assert result.fragility.information < 1e-3 and result.fragility.distance < 0.02
    text = " ".join(result.summary().split())
    assert "almost nothing is left to test with" in text and "--randomise 0.2" in text


def test_what_is_undecided_leaves_bounds():
    """Whatever of the undecided parts is in S, distance and information lie between their bounds."""
    inside, undecided = Intervals.of([(1.2, 1.6)]), Intervals.of([(0.5, 1.2), (1.6, 1.9), (3.0, math.inf)])
    far, share = distance_bounds(inside, undecided, line()), information_bounds(inside, undecided, line())
    parts = [[(0.5, 1.2)], [(1.6, 1.9)], [(1.6, 1.7), (0.9, 1.0)], [(3.0, 9.0)], [*undecided]]
    for part in parts:
        whole = inside.union(Intervals.of(part))
        assert far[0] <= distance_to_ends(whole, line()) <= far[1]
        assert share[0] <= information(whole, line()) <= share[1]
    assert not agree(far) and not agree(share)
    assert distance_bounds(inside, Intervals.of([(1.6, math.inf), (-9.0, 1.2)]), line())[1] > 10
    settled = Intervals.of([(5.0, math.inf)])  # far from the statistic: nothing that is told is open
    assert agree(distance_bounds(inside, settled, line())) and agree(
        information_bounds(inside, settled, line())
    )
    assert distance_bounds(inside, Intervals.line(), line())[1] == math.inf


def test_a_search_that_was_stopped_tells_only_what_it_proved():
    """Stopped after its first cell: where S ends next to it is proven, the rest is open."""
    stop, model = Stop(), str(MODELS / "paper_cam_32.onnx")
    early = onnx_si.test(
        model, MODELS / "paper_cam_32_image.npy", verify=0, stop=stop, progress=lambda seen: stop.ask()
    )
    document = early.to_dict()
    assert not document["search"]["complete"] and document["fragility"]["information"] is None
    assert document["reasons"]["fragility.information"].startswith("the search left open how much")
    assert document["fragility"]["distance"] == pytest.approx(0.1328, abs=1e-4)  # as of the whole search
    assert "almost nothing is left" not in early.summary()
    unknown = replace(early, fragility=Fragility(distance_open="the search left open where S ends: ..."))
    assert unknown.to_dict()["reasons"]["fragility.distance"].endswith("S ends: ...")
