"""The standard deviation at which a decision turns, and those for which it certainly does not."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats
from support import nets
from support.scenes import make_case

import onnx_si
from onnx_si.analysis import marking
from onnx_si.engines.exact import Exact
from onnx_si.ground.intervals import Intervals
from onnx_si.report import OtherNoise
from onnx_si.report.picture import NoiseScale, _noise
from onnx_si.search.tuning import Tuning
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
    far = [(5.0, math.inf), (-math.inf, -9.5)]
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
        {"alternative": "less"},
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
    assert found.rejects is False and found.nearest[1] < 1
    rng = np.random.default_rng(3)
    for factor in (found.nearest[1], 2.0):
        drawn = factor * law.sd * rng.normal(size=400_000)
        place = drawn + law.sd * math.sqrt(law.share) * rng.normal(size=drawn.size)
        low, high = inside.bounds.T
        selected = drawn[((low < place[:, None]) & (place[:, None] < high)).any(axis=1)]
        known = scales(1.9, "three", law=law).at(factor)[1]
        assert np.mean(np.abs(selected) >= 1.9) == pytest.approx(known, abs=0.003)


def scene():
    """A model and an image whose decision turns nearby."""
    image = np.random.default_rng(8).normal(size=(8, 8))
    image[2:5, 2:5] += 2
    return nets.map_net(seed=1, size=8), image


def searched(share=None, **options):
    """A region with a p-value of 4e-4, searched for it."""
    image = np.random.default_rng(3).normal(size=(8, 8))
    image[2:5, 2:5] += 3
    case = make_case(nets.map_net(seed=1, size=8), image[None, None], threshold="minmax:0.5")
    tuning = {} if share is None else {"tuning": Tuning(tipping_share=share)}
    found = case.search(precision=1e-4, **tuning, **options)
    known = Scales(
        law=case.line.distribution,
        inside=found.inside,
        undecided=found.undecided,
        statistic=case.line.statistic,
        alternative="two-sided-abs",
    )
    return found, tipping(known, 0.05).holds[1]


def test_the_search_goes_on_for_it():
    """A significant p-value turns where S has its mass far beyond what the p-value needs of it."""
    alone, known = searched()
    more, farther = searched(tipping_at=0.05)
    none, same = searched(0.0, tipping_at=0.05)
    assert farther > 2 * known and same == known
    assert alone.forward_passes == none.forward_passes < more.forward_passes < 1.75 * alone.forward_passes
    assert more.p_value == pytest.approx(alone.p_value, abs=1e-4)


def test_a_law_without_bounds_on_stretches_ends_the_search():
    """Nothing is proven around a place, however much is known at it."""
    model, image = scene()
    case = make_case(model, image[None, None], threshold="minmax:0.5")
    sd = case.line.standard_error / math.sqrt(1.3)
    law = Randomised(sd, 0.3, case.line.statistic)
    line = dataclasses.replace(case.line, distribution=law, tested=(case.line.statistic, sd))
    case = dataclasses.replace(case, line=line)
    p_value = case.search(1e-4, alternative="two-sided").p_value
    assert case.search(1e-4, alternative="two-sided", tipping_at=0.8 * p_value).complete


def test_nobody_pays_for_it_who_does_not_see_it():
    """The decision alone, and the parts of a region."""
    model, image = scene()
    asked = []

    class Watched(Exact):
        def answer(self, line, event, how, progress=None):
            asked.append(how.tipping_at)
            return super().answer(line, event, how, progress)

    def test(**options):
        asked.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(marking, "Exact", Watched)
            onnx_si.test(model, image, **{"sigma": 1.0, "threshold": "minmax:0.5", **options})
        return asked

    assert test() == [0.05]
    assert set(test(decide=True)) == set(test(p_value_only=True)) == set(test(sigma_df=9)) == {None}
    first, *parts = test(components=True)
    assert first == 0.05 and parts and set(parts) == {None}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sigma": 1.0, "sigma_df": 9}, "allows for one that is estimated"),
        ({"covariance": np.linspace(0.5, 1, 64).reshape(8, 8)}, "different standard deviations"),
        ({"sigma": 1.0, "thin": 0.3}, "thinned"),
        ({"sigma": 1.0, "randomise": 0.3, "alternative": "two-sided"}, "after --randomise"),
        ({"sigma": 1.0, "engine": "monte-carlo", "draws": 19}, "not known to this engine"),
    ],
)
def test_a_missing_number_has_its_reason(options, reason):
    model, image = scene()
    document = onnx_si.test(model, image, **{"threshold": "minmax:0.5", **options}).to_dict()
    assert document["noise"]["tipping_std"] is None
    assert re.search(reason, document["reasons"]["noise.tipping_std"])


def test_a_decision_between_the_bounds_is_none():
    model, image = scene()
    first = onnx_si.test(model, image, sigma=1.0, threshold="minmax:0.5")
    alpha = float(np.mean(first.p_value_bounds))
    between = onnx_si.test(model, image, sigma=1.0, threshold="minmax:0.5", alpha=alpha)
    assert between.other_noise == OtherNoise(reason="the decision at alpha is not certain as it is")
    assert between.to_dict()["noise"]["decision_holds_for"] == [None, None]


def test_words_and_picture_say_it_where_sigma_was_estimated(tmp_path):
    model, image = scene()
    known = onnx_si.test(model, image, threshold="minmax:0.5", sigma=1.0)
    assert known.other_noise.tipping is not None and "turns at" not in known.summary()
    estimated = onnx_si.test(model, image, threshold="minmax:0.5")
    text = " ".join(estimated.summary().split())
    tipping_std = estimated.to_dict()["noise"]["tipping_std"]
    assert f"the decision at level 0.05 turns at a standard deviation of {tipping_std:.3g}" in text
    far = dataclasses.replace(estimated, other_noise=OtherNoise(holds=(0.2, 31.0), reason="far"))
    assert "certainly the same for all standard deviations from 0.2 to 31" in " ".join(far.summary().split())
    heights = []
    for name, one in (
        ("with", estimated),
        ("far", far),
        ("without", dataclasses.replace(estimated, other_noise=OtherNoise())),
    ):
        one.plot(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            heights.append(picture.height)
    assert heights[0] == heights[1] == heights[2] + 108


def test_the_scale_marks_what_was_taken_and_where_it_turns():
    figure = Figure()
    axes = figure.subplots()
    _noise(axes, NoiseScale(decision="significant", std=1.0, holds=(0.01, 1.6), tipping=1.61))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "1.61"]
    assert {line.get_xdata()[0] for line in axes.lines} == {1.0, 1.61}
    shaded = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (shaded.x0, shaded.x1) == pytest.approx((axes.get_xlim()[0], 1.6))
