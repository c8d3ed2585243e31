"""What the conditioning leaves, and how wrong sigma may be."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.fragility import distance_to_ends, information, tipping_factor
from onnx_si.statistics.line import ImageLine
from onnx_si.statistics.truncated import Normal, Student

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


def test_a_z_test_turns_at_the_known_sigma():
    """Without selection |t| / sd = 1.96 decides."""
    nothing = Intervals.empty()
    for statistic in (3.0, 1.0, -2.5):
        found = tipping_factor(Intervals.line(), nothing, line(statistic), "two-sided-abs", 0.05)
        assert found == pytest.approx(abs(statistic) / 0.7 / stats.norm.isf(0.025), rel=1e-9)
    one = tipping_factor(Intervals.line(), nothing, line(3.0), "greater", 0.05)
    assert one == pytest.approx(3.0 / 0.7 / stats.norm.isf(0.05), rel=1e-9)


def test_it_may_never_turn():
    nothing = Intervals.empty()
    assert tipping_factor(Intervals.of([(1.5 - 1e-7, 1.5 + 1e-7)]), nothing, line(), "greater", 1e-6) is None
    assert tipping_factor(Intervals.line(), nothing, line(law=Student(5, 2.0)), "two-sided", 0.05) is None


def test_the_result_says_both_and_the_p_value_turns_there():
    model = nets.map_net(seed=1, size=8)
    image = np.random.default_rng(8).normal(size=(8, 8))
    image[2:5, 2:5] += 2
    options = {"threshold": "minmax:0.5", "precision": 1e-9}
    result = onnx_si.test(model, image, sigma=1.0, **options)
    document = result.to_dict()
    assert 0 < document["fragility"]["information"] <= 1 and document["fragility"]["distance"] > 0
    tipping = document["noise"]["tipping_std"]
    assert tipping is not None
    at = [
        onnx_si.test(model, image, sigma=tipping * factor, p_value_only=True, **options).p_value
        for factor in (0.999, 1.001)
    ]
    assert (at[0] <= 0.05) != (at[1] <= 0.05)


def test_what_hangs_on_undecided_parts_of_the_line_has_no_turn():
    """Far away nothing is known; under a larger sigma that is where the mass is."""
    inside, undecided = Intervals.of([(-2.0, 4.0)]), Intervals.of([(6.0, math.inf), (-math.inf, -6.0)])
    known = tipping_factor(inside, Intervals.empty(), line(3.0), "two-sided-abs", 0.05)
    assert known is not None
    assert tipping_factor(inside, undecided, line(3.0), "two-sided-abs", 0.05) is None


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
