"""The standard deviation at which a decision turns, and those for which it certainly does not."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from support import nets

import onnx_si
from onnx_si.ground.intervals import Intervals
from onnx_si.statistics.tipping import REACH, tipping
from onnx_si.statistics.truncated import Chi, Normal, Randomised, Student, p_value_bounds
from onnx_si.statistics.truncated.scales import Scales

ALTERNATIVES = ["two-sided-abs", "two-sided", "greater", "less"]
SD = 0.7
SETS = {
    "line": Intervals.line(),
    "three": Intervals.of([(-9.0, -4.0), (0.9, 5.0), (6.0, 7.0)]),
    "comb": Intervals.of([(k / 10, k / 10 + 0.03) for k in range(-60, 60)]),
    "both tails": Intervals.of([(-math.inf, -2.0), (0.5, math.inf)]),
}


def scales(statistic=1.5, inside="line", undecided=(), alternative="two-sided-abs", law=None, rounding=0.0):
    return Scales(
        law=law or Normal(0.0, SD),
        inside=SETS[inside],
        undecided=Intervals.of(undecided),
        statistic=statistic,
        alternative=alternative,
        rounding=rounding,
    )


def test_a_z_test_turns_at_the_known_sigma():
    """Without selection |t| / sd = 1.96 decides."""
    for statistic in (3.0, 1.0, -2.5):
        found = tipping(scales(statistic), 0.05)
        known = abs(statistic) / SD / stats.norm.isf(0.025)
        held, turned = found.nearest
        assert held == pytest.approx(known, rel=2e-6) and turned == pytest.approx(known, rel=2e-6)
        assert min(held, turned) <= known <= max(held, turned)
    one = tipping(scales(3.0, alternative="greater"), 0.05)
    assert one.nearest[1] == pytest.approx(3.0 / SD / stats.norm.isf(0.05), rel=1e-5)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("inside", SETS)
@pytest.mark.parametrize("statistic", [0.91, 2.02])
def test_no_size_between_the_ends_has_another_decision(alternative, inside, statistic):
    """A dense look at the p-value itself, which need not grow with the noise."""
    found = tipping(scales(statistic, inside, alternative=alternative), 0.05)

    def rejects(factor):
        law = Normal(0.0, SD * factor)
        return p_value_bounds(law, SETS[inside], Intervals.empty(), statistic, alternative)[1] <= 0.05

    assert found.rejects == rejects(1.0)
    assert {rejects(factor) for factor in np.geomspace(*found.holds, 400)} == {found.rejects}
    for end, turned in zip(found.holds, found.turned, strict=True):
        if turned is not None:
            assert rejects(turned) != found.rejects and turned == pytest.approx(end, rel=1e-5)
        else:
            assert end in (1 / REACH, REACH)


@pytest.mark.parametrize(
    ("law", "alternative"),
    [(Normal(0.0, SD), one) for one in ALTERNATIVES]
    + [(Chi(5, 0.6), "greater"), (Randomised(0.5, 0.3, 1.4), "two-sided-abs")],
)
def test_bounds_hold_for_every_subset_of_what_is_undecided(law, alternative):
    """On a stretch of sizes as at its points."""
    statistic, parts = 1.5, [(-4.0, -3.0), (0.1, 0.4), (1.7, 2.6)]
    known = Scales(
        law=law,
        inside=Intervals.of([(0.6, 1.6)]),
        undecided=Intervals.of(parts),
        statistic=statistic,
        alternative=alternative,
    )
    for low, high in ((0.7, 0.75), (1.0, 1.4), (3.0, 4.0)):
        bounds = (known.at(low)[0], known.at(high)[1]) if known.monotone else known.between(low, high)
        assert bounds[1] - bounds[0] < 0.999
        for chosen in itertools.product((False, True), repeat=len(parts)):
            inside = Intervals.of([(0.6, 1.6), *itertools.compress(parts, chosen)])
            one = Scales(
                law=law,
                inside=inside,
                undecided=Intervals.empty(),
                statistic=statistic,
                alternative=alternative,
            )
            for factor in np.linspace(low, high, 7):
                p_low, p_high = one.at(factor)
                assert bounds[0] <= p_low <= p_high <= bounds[1]


def test_it_may_never_turn():
    """A stretch of S around the statistic, and nothing else: its two parts keep their share."""
    near = Intervals.of([(1.5 - 1e-7, 1.5 + 1e-7)])
    known = Scales(
        law=Normal(0.0, SD), inside=near, undecided=Intervals.empty(), statistic=1.5, alternative="greater"
    )
    found = tipping(known, 1e-6)
    assert found.nearest is None and found.holds == (1 / REACH, REACH) and not found.rejects
    assert tipping(scales(law=Student(5, 2.0), alternative="two-sided"), 0.05) is None


def test_what_is_undecided_as_it_is_has_no_turn():
    assert tipping(scales(1.5, "three", [(-3.0, 0.5)]), 0.05) is None


def test_what_hangs_on_undecided_parts_of_the_line_is_a_range():
    """Far away nothing is known; under a larger sigma that is where the mass is."""
    far = [(9.0, math.inf), (-math.inf, -9.5)]
    known = tipping(scales(3.9, "three"), 0.05)
    left = tipping(scales(3.9, "three", far), 0.05)
    assert known.rejects and known.nearest is not None
    assert left.holds[1] < known.holds[1] and left.holds[1] > 1.5
    assert left.nearest is None or left.nearest[1] > 1.01 * left.nearest[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alternative": "two-sided"},
        {"alternative": "greater"},
        {"hypothesis": "global"},
        {"randomise": 0.3},
    ],
    ids=lambda options: "-".join(map(str, options.values())) or "default",
)
def test_the_p_value_turns_where_the_result_says(options):
    """And nowhere in the range for which the decision is said to hold."""
    model = nets.map_net(seed=1, size=8)
    rng = np.random.default_rng(8)
    image, reference = rng.normal(size=(2, 8, 8))
    image[2:5, 2:5] += 2
    given = {"reference": reference} if "hypothesis" in options else {}
    options = {"threshold": "minmax:0.5", "precision": 1e-9, **options}
    result = onnx_si.test(model, image, sigma=1.0, **given, **options)
    noise = result.to_dict()["noise"]
    low, high = noise["decision_holds_for"]
    assert low < 1 < high
    if "randomise" in options:  # noise of another size would be added
        assert noise["tipping_std"] is not None
        return
    places = [math.sqrt(low), math.sqrt(high), low * 1.0001, high * 0.9999]
    decisions = [
        onnx_si.test(model, image, sigma=at, p_value_only=True, **given, **options).p_value <= 0.05
        for at in (*places, noise["tipping_std"])
    ]
    assert decisions == [result.p_value <= 0.05] * 4 + [result.p_value > 0.05]


def test_a_randomised_p_value_turns_where_the_result_says():
    """The law of a place with added noise, by drawing both."""
    law, inside = Randomised(0.8, 0.4, 1.9), SETS["three"]
    found = tipping(scales(1.9, "three", law=law), 0.05)
    assert found.rejects is False
    rng, (held, turned) = np.random.default_rng(3), found.nearest
    for factor, rejects in ((turned * 0.9, True), (held * 1.1, False)):
        drawn = factor * law.sd * rng.normal(size=400_000)
        place = drawn + law.sd * math.sqrt(law.share) * rng.normal(size=drawn.size)
        low, high = inside.bounds.T
        selected = drawn[((low < place[:, None]) & (place[:, None] < high)).any(axis=1)]
        assert (np.mean(np.abs(selected) >= 1.9) <= 0.05) == rejects


def test_the_search_goes_on_for_it_and_only_where_it_is_asked_for():
    """A significant p-value needs S far beyond what it needs itself."""
    model, image, _ = nets.shipped("paper_cam_16")
    image = image + np.pad(np.ones((8, 8)), 4)
    whole = onnx_si.test(model, image, sigma=1.0)
    assert whole.p_value < 0.05
