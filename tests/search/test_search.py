"""The truncation set against a brute-force scan of the line, slivers, and p-value bounds at every moment."""

import functools
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from support import nets
from support.scenes import AS_LARGE, NoJudge, draw_case, make_case

import onnx_si
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import PiecewiseLinear, line_segment
from onnx_si.domains.piecewise.verdict import verdict_on
from onnx_si.domains.standard import RESOLVING_ONLY
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.intervals import Intervals
from onnx_si.search import SearchOptions, linear_piece
from onnx_si.search.tuning import Tuning

ALTERNATIVES = ("two-sided", "two-sided-abs", "greater", "less")
REACH = 6.0  # standard errors around zero that a search to the end must have resolved
TOLERANCE = 1e-9


SMALL_CAM = functools.partial(nets.cam_nchw, size=4)
PREDICTED = functools.partial(nets.cam_nchw, classes=3, pool=False, size=3)
POOLED = functools.partial(nets.cam_nchw, classes=3, size=4)
MAP = functools.partial(nets.map_net, size=3)
FIXED = {"threshold": "minmax:0.6", "target": 1}
# Seeds whose S has two or three intervals (of trees, one), and for the predicted class ends at which the
# class jumps.
CASES = {
    "cam NCHW, max:": (SMALL_CAM, {"threshold": "max:0.5"}, (35, 27)),
    "cam NCHW, value": (SMALL_CAM, {"threshold": 0.05}, (40, 28)),
    "cam NCHW, minmax:": (SMALL_CAM, {"threshold": "minmax:0.6"}, (21, 4)),
    "cam NHWC, max:": (nets.cam_nhwc, {"threshold": "max:0.4"}, (20, 1)),
    "cam NHWC, background": (nets.cam_nhwc, {"threshold": "max:0.4", "hypothesis": "background"}, (20, 1)),
    "predicted of 3": (PREDICTED, {"threshold": "max:0.5"}, (20, 4)),
    "predicted of 3, value": (PREDICTED, {"threshold": 0.1}, (29, 4)),
    "predicted of 3, pooled": (POOLED, {"threshold": "max:0.3", "sigma": 2.0}, (9, 8)),
    "fixed of 3": (PREDICTED, {"threshold": "max:0.5", "target": 0}, (24, 21)),
    "two references": (SMALL_CAM, {"threshold": "max:0.5", "references": 2, "sigma": 0.5}, (27, 26)),
    "sigmoid map": (functools.partial(MAP, last="Sigmoid"), {"threshold": 0.55}, (37, 14)),
    "softmax map": (functools.partial(MAP, last="Softmax", outside=2), {"threshold": 0.5}, (29, 2)),
    "plateau": (functools.partial(MAP, last="Relu"), {"threshold": 0.0}, (27, 3)),
    "plateau, max:": (functools.partial(MAP, last="Relu"), {"threshold": "max:0.5"}, (34, 9)),
    "abs, max, min": (functools.partial(nets.extremes_net, size=3), {"threshold": "max:0.4"}, (39, 15)),
    "gates": (functools.partial(nets.gated_net, size=3), {"threshold": 0.5}, (27, 14)),
    "quantised": (nets.quantised_net, {"threshold": 0.7}, (14, 27)),
    "quantised dynamically": (nets.dynamic_net, {"threshold": 0.4}, (10, 25)),
    "trees": (nets.trees_net, {"threshold": 0.5}, (1, 2)),
    "jumps with slopes": (nets.jumping_net, {"threshold": 0.5}, (14, 3)),
    "gradcam, max:": (nets.dense_net, {"saliency": "gradcam", "threshold": "max:0.5"}, (7, 25)),
    "gradcam, value": (nets.dense_net, {"saliency": "gradcam", "threshold": 0.02}, (8, 24)),
    "gradient, max:": (nets.dense_net, {"saliency": "gradient", "threshold": "max:0.5"}, (2, 22)),
    "gradient of class 1, minmax:": (nets.dense_net, {"saliency": "gradient", **FIXED}, (30, 18)),
    "occlusion": (nets.dense_net, {"saliency": "occlusion:2", "threshold": "max:0.6"}, (1, 2)),
    "gradcam, residual": (nets.residual_net, {"saliency": "gradcam", "threshold": "max:0.5"}, (10, 1)),
    "gradient, residual": (nets.residual_net, {"saliency": "gradient", "threshold": "max:0.5"}, (20, 1)),
    "gradient times image, residual": (
        nets.residual_net,
        {"saliency": "grad-input", "threshold": "max:0.5"},
        (20, 7),
    ),
    "gradient times image": (nets.dense_net, {"saliency": "grad-input", "threshold": "max:0.5"}, (10, 12)),
}
NAMES_AND_SEEDS = [(name, seed) for name, (_, _, seeds) in CASES.items() for seed in seeds]
FIRST = {name: seeds[0] for name, (_, _, seeds) in CASES.items()}


@functools.cache
def the_case(name, seed=None):
    make_model, options, _ = CASES[name]
    return draw_case(make_model, seed or FIRST[name], **options)


@functools.cache
def exhaustive(name, seed=None):
    return the_case(name, seed).search(alternative="two-sided")


def by_bisection(case, low, high, member_at_low):
    """Ends of brackets in which membership changes, to the last bit: arrays of the two sides."""
    for _ in range(80):
        middle = 0.5 * (low + high)
        same = case.member(middle) == member_at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
        if np.all(high - low <= 4 * np.spacing(np.abs(high))):
            break
    return 0.5 * (low + high)


def scan(case, reach, count):
    """S on [-reach, reach] (in z) by brute force: a dense scan, every change refined by bisection."""
    z = np.linspace(-reach, reach, count)
    inside = case.member(z)
    change = np.nonzero(inside[1:] != inside[:-1])[0]
    ends = by_bisection(case, z[change], z[change + 1], inside[change]) if len(change) else np.empty(0)
    ends = np.concatenate([[-reach] if inside[0] else [], ends, [reach] if inside[-1] else []])
    return ends.reshape(-1, 2)


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_the_set_agrees_with_a_brute_force_scan_of_the_line(name, seed):
    agrees_with_a_scan(the_case(name, seed), exhaustive(name, seed))


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_it_agrees_when_small_networks_are_searched_as_large_ones_are(name, seed):
    agrees_with_a_scan(the_case(name, seed), the_case(name, seed).search(alternative="two-sided", **AS_LARGE))


def agrees_with_a_scan(case, found):
    reach, count = REACH * case.line.standard_error, 20_001
    assert not found.undecided.intersect(Intervals.of([(-reach, reach)]))
    ours = found.inside.intersect(Intervals.of([(-reach, reach)])).bounds
    truth = scan(case, reach, count)
    # Every interval of the scan is one of ours, to 1e-9 at both ends.
    for low, high in truth:
        gap = np.abs(ours - [low, high]).max(axis=1)
        assert gap.min() <= TOLERANCE, f"the scan's interval {low!r}, {high!r} is missing in {ours.tolist()}"
    # What the scan's steps were too long for is checked point by point.
    assert case.member(ours.mean(axis=1)).all()
    assert not case.member(0.5 * (ours[:-1, 1] + ours[1:, 0])).any()
    step = 2 * reach / (count - 1)
    assert len(ours) - len(truth) <= np.count_nonzero(ours[:, 1] - ours[:, 0] < step) + np.count_nonzero(
        ours[1:, 0] - ours[:-1, 1] < step
    )
    assert found.inside.contains(case.line.statistic)


@pytest.mark.parametrize("name", CASES)
def test_just_inside_every_end_is_in_and_just_outside_is_out(name):
    case, found = the_case(name), exhaustive(name)
    reach = REACH * case.line.standard_error
    ends = found.inside.intersect(Intervals.of([(-reach, reach)])).bounds
    room = 0.25 * (ends[:, 1] - ends[:, 0])
    nudge = np.minimum(TOLERANCE, room)
    assert case.member(ends[:, 0] + nudge).all()
    assert case.member(ends[:, 1] - nudge).all()
    inner = ends[(ends[:, 0] > -reach) & (ends[:, 1] < reach)]
    gaps = 0.25 * np.minimum(np.diff(inner[:, 0], prepend=-np.inf), np.diff(inner[:, 1], append=np.inf))
    assert not case.member(inner[:, 0] - np.minimum(TOLERANCE, gaps)).any()
    assert not case.member(inner[:, 1] + np.minimum(TOLERANCE, gaps)).any()


def test_the_cases_have_several_intervals_and_ends_at_jumps():
    """Otherwise the scan would prove little."""
    assert sum(len(exhaustive(name, seed).inside) > 1 for name, seed in NAMES_AND_SEEDS) >= 20
    jumps = 0
    for name in CASES:
        case = the_case(name)
        ends = exhaustive(name).inside.bounds.ravel()
        ends = ends[np.abs(ends) < REACH * case.line.standard_error]
        before, after = (
            nets.margins_on(case.program, case.margin, case.line, ends + e) for e in (-1e-8, 1e-8)
        )
        jumps += np.count_nonzero(np.abs(after - before).max(axis=1) > 1e-3)
    assert jumps >= 5


# --------------------------------------------------------------------------------
# Slivers, from weights set by hand


def sliver_model(width, hole):
    """A map whose pixel x passes 0.5 near its observed value 2 and in |x| < width / 2 (or all but there)."""
    net = nets.Net(0, (1, 1, 2, 2))
    kinks = np.array([-width, 0.0, width, 1.0, 2.0, 3.0])
    hidden = net.add(
        "Relu", net.add("Conv", "x", net.const(np.ones((6, 1, 1, 1))), net.const(-kinks)), out="hidden"
    )
    tent = np.array([1.0, -2.0, 1.0]) / width
    weights = np.concatenate([-tent, np.zeros(3)]) if hole else np.concatenate([tent, [1.0, -2.0, 1.0]])
    bias = 1.0 if hole else 0.0
    net.add("Conv", hidden, net.const(weights.reshape(1, 6, 1, 1)), net.const(np.array([bias])), out="map")
    return net.finish("map")


@pytest.mark.parametrize("hole", [False, True], ids=["island", "hole"])
@pytest.mark.parametrize("width", [1e-3, 1e-6, 1e-8, 1e-10])
def test_slivers_are_found_with_their_own_width(width, hole):
    image = np.array([[[[2.0, 0.0], [0.0, 0.0]]]]) if hole else np.array([[[[2.0, 7.0], [-7.0, 9.0]]]])
    case = make_case(
        sliver_model(width, hole), image, (np.zeros_like(image),), saliency="output:map", threshold=0.5
    )
    assert case.event.observed.ravel().tolist() == [True, False, False, False]
    found = case.search()
    # The pixel is x = 2 + (z - 2) / 2, so x = 0 at z = -2; the tent's height there is one.
    half = width  # |x| < width / 2 is |z + 2| < width
    island, bump = (-2 - half, -2 + half), (1.0, 3.0)
    bounds = found.inside.bounds
    if hole:
        assert len(bounds) == 2
        sliver = np.array([bounds[0, 1], bounds[1, 0]])
    else:
        assert len(bounds) == 2
        sliver = bounds[0]
        # the tent's three terms are 1 / width large and cancel at the bump, up to their rounding
        np.testing.assert_allclose(bounds[1], bump, rtol=0, atol=TOLERANCE + 4e-15 / width)
    # The weights are float32: the tent's height is known to 1e-7 of itself.
    np.testing.assert_allclose(sliver, island, rtol=0, atol=max(1e-6 * width, 4e-15))


def test_two_pixels_that_cross_at_once_leave_nothing_between_them():
    """A region of two pixels whose map values are equal: no interval between the two equal crossings."""
    net = nets.Net(0, (1, 1, 2, 2))
    net.add("Conv", "x", net.const(np.ones((1, 1, 1, 1))), out="map")
    image = np.array([[[[2.0, 2.0], [-3.0, -3.0]]]])
    case = make_case(net.finish("map"), image, (np.zeros_like(image),), saliency="output:map", threshold=0.5)
    found = case.search()
    # T = mean of the region, both pixels are 2 + (z - 2) / 2 > 0.5: z > -1
    np.testing.assert_allclose(
        found.inside.bounds,
        [[-1.0, np.inf]] if len(found.undecided) == 0 else [[-1.0, found.inside.bounds[-1, 1]]],
        atol=TOLERANCE,
    )
    assert len(found.inside) == 1


# --------------------------------------------------------------------------------
# Bounds, stopping, memory


def exact_p(case, found, alternative="two-sided-abs"):
    """The p-value by SciPy's normal distribution, the undecided tails left out."""
    at, sd = case.line.statistic, case.line.standard_error

    def mass(low, high):
        cut = np.clip(found.inside.bounds, low, high) / sd
        return float(np.sum(stats.norm.cdf(cut[:, 1]) - stats.norm.cdf(cut[:, 0])))

    whole = mass(-np.inf, np.inf)
    if alternative == "two-sided":
        return 2 * min(mass(-np.inf, at), mass(at, np.inf)) / whole
    if alternative == "two-sided-abs":
        return 1 - mass(-abs(at), abs(at)) / whole
    return (mass(at, np.inf) if alternative == "greater" else mass(-np.inf, at)) / whole


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("name", ["cam NCHW, max:", "predicted of 3", "plateau", "gates"])
def test_bounds_are_true_at_every_moment(name, alternative):
    case = the_case(name)
    p = exact_p(case, exhaustive(name), alternative)
    seen = []
    found = case.search(precision=1e-9, alternative=alternative, progress=seen.append, **AS_LARGE)
    assert len(seen) > 3
    assert all(look.bounds[0] <= p <= look.bounds[1] for look in seen), (p, [look.bounds for look in seen])
    widths = np.array([look.bounds[1] - look.bounds[0] for look in seen])
    assert widths[-1] <= 1e-9 and widths[0] > 1e-6
    assert np.all(np.diff(widths) <= 1e-12)
    for counts in (
        [look.cells for look in seen],
        [look.pieces for look in seen],
        [look.seconds for look in seen],
    ):
        assert np.all(np.diff(counts) >= 0)
    assert (seen[-1].cells, seen[-1].pieces) == (found.cells, found.pieces)


@pytest.mark.parametrize("precision", [0.3, 1e-2, 1e-4, 1e-8])
def test_the_search_stops_at_the_wanted_precision_and_not_before(precision):
    case = the_case("cam NCHW, max:")
    seen = []
    found = case.search(precision=precision, progress=seen.append)
    widths = [p.bounds[1] - p.bounds[0] for p in seen]
    assert found.complete and widths[-1] <= precision
    assert all(width > precision for width in widths[:-1])
    assert found.p_value == seen[-1].bounds[1]
    assert found.p_value_bounds == pytest.approx(seen[-1].bounds, abs=1e-9)
    assert found.p_value_bounds[0] < seen[-1].bounds[0] and found.p_value_bounds[1] > seen[-1].bounds[1]


def test_undecided_and_inside_cover_the_true_set():
    case = the_case("cam NCHW, max:")
    rough, full = case.search(precision=0.2), exhaustive("cam NCHW, max:")
    assert rough.undecided and rough.cells < full.cells
    possible = rough.inside.union(rough.undecided)
    left_out = full.inside.subtract(possible)
    assert sum(high - low for low, high in left_out) <= 1e-12
    wrongly_in = rough.inside.subtract(full.inside.union(full.undecided))
    assert sum(high - low for low, high in wrongly_in) <= 1e-12


@pytest.mark.parametrize("name", list(CASES)[:8])
def test_a_decision_is_the_full_one_and_costs_no_more(name):
    case = the_case(name)
    p = exact_p(case, exhaustive(name))
    for alpha in (0.01, 0.05, 0.5):
        quick = case.search(precision=1e-9, decide_at=alpha)
        low, high = quick.p_value_bounds
        assert low <= p <= high
        assert (high <= alpha) == (p <= alpha) and (low > alpha) == (p > alpha)
        assert quick.cells <= exhaustive(name).cells


def test_deciding_stops_early():
    quick = [the_case(name).search(precision=1e-9, decide_at=0.05).cells for name in CASES]
    full = [exhaustive(name).cells for name in CASES]
    assert sum(quick) < 0.7 * sum(full)


@pytest.mark.parametrize("name", CASES)
def test_a_small_memory_budget_gives_the_same_set(name):
    case, full = the_case(name), exhaustive(name)
    small = case.search(budget_bytes=8 * case.tight_budget())
    reach = Intervals.of([(-REACH * case.line.standard_error, REACH * case.line.standard_error)])
    ours, theirs = small.inside.intersect(reach).bounds, full.inside.intersect(reach).bounds
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert not small.undecided.intersect(reach)


def test_the_small_budget_does_split():
    """Otherwise the test above compares a run with itself."""
    counts = []
    for name in CASES:
        case = the_case(name)
        cell = line_segment(
            case.line.start, case.line.direction, *(case.line.standard_error * np.array([-4, 4]))
        )
        budget = case.tight_budget()
        parts = list(walk(case.program, ExactDomain(budget=budget).apply, cell, Tally()))
        for part, following in pairwise(parts):
            assert part[case.margin].knots[-1] == following[case.margin].knots[0]
        assert all(part[case.margin].values.nbytes <= 2 * budget for part in parts)
        counts.append(len(parts))
    assert sum(count > 1 for count in counts) >= 12 and max(counts) > 5, counts


@pytest.mark.parametrize("how_far", [30.0, 40.0, -35.0])
@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_statistics_far_out_give_finite_p_values(how_far, alternative):
    """The noise is so small that the statistic lies 30 to 40 standard errors from zero."""
    model = nets.map_net(3)
    rng = np.random.default_rng(5)
    image, reference = rng.normal(size=(2, 1, 1, 5, 5))
    image = image + math.copysign(1.0, how_far)
    plain = make_case(model, image, (reference,), threshold="max:0.5")
    sigma = abs(plain.line.statistic / plain.line.standard_error / how_far)
    result = onnx_si.test(model, image, reference, threshold="max:0.5", sigma=sigma, alternative=alternative)
    z = result.statistic / result.standard_error
    assert z == pytest.approx(math.copysign(how_far, z))
    low, high = result.p_value_bounds
    assert 0 <= low <= high <= 1 and high - low <= 1e-4
    assert result.truncation.contains(result.statistic)
    assert math.isfinite(result.estimate) and math.isfinite(result.p_value)
    assert not any(math.isnan(end) for end in result.confidence_interval)


def test_a_search_that_gives_up_keeps_the_far_tails_undecided():
    """What was not examined is undecided, also where the search ends because nothing near is left."""
    case = the_case("cam NCHW, max:")
    found = case.search(precision=1e-12, tuning=Tuning(far=2.0))
    assert not found.complete
    ends = found.undecided.bounds
    assert ends[0, 0] == -np.inf and ends[-1, 1] == np.inf
    examined = found.undecided.complement()
    assert len(examined) == 1
    p = exact_p(case, exhaustive("cam NCHW, max:"))
    assert found.p_value_bounds[0] <= p <= found.p_value_bounds[1]


# --------------------------------------------------------------------------------
# Over-conditioning


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_the_linear_piece_is_the_one_with_the_observed_activations(name, seed):
    case = the_case(name, seed)
    piece = linear_piece(case.program, case.margin, case.line, case.event, SearchOptions())
    at, spread = case.line.statistic, case.line.standard_error
    observed = nets.patterns_on(case.program, case.line, at)[0]

    def same(z):
        return (nets.patterns_on(case.program, case.line, z) == observed).all(axis=1) & case.member(z)

    ends = []
    for direction in (-1, 1):
        steps = at + direction * np.concatenate([[0], np.geomspace(1e-7, 8.0, 400)]) * spread
        outside = np.nonzero(~same(steps))[0]
        if not len(outside):
            ends.append(direction * np.inf)
            continue
        low, high = steps[outside[0] - 1 : outside[0]], steps[outside[0] : outside[0] + 1]
        for _ in range(70):
            middle = 0.5 * (low + high)
            inside = same(middle)
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        ends.append(float(high[0]))
    assert len(piece) == 1
    low, high = piece.bounds[0]
    for ours, truth in ((low, ends[0]), (high, ends[1])):
        if math.isinf(truth):
            assert abs(ours - at) > 7.9 * spread
        else:
            assert ours == pytest.approx(truth, abs=TOLERANCE)
    left_out = Intervals.of([(low + 1e-9, high - 1e-9)]).subtract(exhaustive(name, seed).inside)
    assert not left_out.intersect(Intervals.of([(-REACH * spread, REACH * spread)]))


def judged(values, observed, knots=(0.0, 1.0)):
    values = np.asarray(values, dtype=np.float64)
    return verdict_on(
        RegionEvent(np.asarray(observed)), PiecewiseLinear(np.asarray(knots), values), NoJudge()
    )


def test_intervals_that_only_rounding_decides_are_left_undecided():
    """A pixel that is zero but for rounding over a whole interval is neither in nor out."""
    verdict = judged([[1.0, 1e-17], [1.0, -1e-17]], [True, True])
    assert not len(verdict.inside) and verdict.unclear.tolist() == [[0, 1]]
    # one that is far from zero at one end is decided
    verdict = judged([[1.0, 1e-17], [1.0, -1.0]], [True, False])
    assert not len(verdict.unclear) and np.isclose(verdict.inside, [[0, 1]]).all()
    # and an exact zero is no rounding: not greater than the threshold
    assert judged([[1.0, 0.0], [1.0, 0.0]], [True, False]).inside.tolist() == [[0, 1]]
    assert not len(judged([[1.0, 0.0], [1.0, 0.0]], [True, True]).inside)
    # another pixel that is certainly wrong settles it
    verdict = judged([[-1.0, 1e-17], [-1.0, -1e-17]], [True, True])
    assert not len(verdict.inside) and not len(verdict.unclear)


def test_each_pixel_bounds_one_common_stretch():
    verdict = judged([[-1.0, 3.0, -2.0], [3.0, -1.0, -2.0]], [True, True, False])
    assert verdict.inside.tolist() == [[0.25, 0.75]]
    assert not len(judged([[-3.0, 1.0], [1.0, -3.0]], [True, True]).inside)
    # touching zero from above is outside for a pixel that was not observed in the region
    assert not len(judged([[0.0, 1.0], [1.0, 1.0]], [False, True]).inside)


def test_a_map_that_is_not_a_number_is_refused():
    """Never taken for a pixel outside the region."""
    net = nets.Net(0, (1, 1, 2, 2))
    net.add("Mul", "x", net.const(np.array(np.inf)), out="map")
    image = np.array([[[[2.0, 2.0], [-3.0, -3.0]]]])
    case = make_case(net.finish("map"), image, (np.zeros_like(image),), saliency="output:map", threshold=0.5)
    with pytest.raises(onnx_si.UnsupportedModel, match="infinite or not a number"):
        case.search()


def test_a_pixel_that_only_rounding_puts_on_a_side_excludes_nothing():
    event = RegionEvent(np.array([True, False, True]))
    knots = np.array([0.0, 1.0, 2.0, 3.0])
    values = np.array([[1.0, -1.0, 1e-17], [1.0, -1.0, -1e-17], [1.0, -1.0, -1e-17], [1.0, -1.0, -0.5]])
    verdict = verdict_on(event, PiecewiseLinear(knots, values), NoJudge())
    assert verdict.inside.tolist() == []
    assert verdict.unclear.tolist() == [[0.0, 1.0], [1.0, 2.0]]  # from there on it is wrong beyond rounding


def test_a_dead_pixel_is_on_the_side_of_zero_to_the_last_bit():
    knots, dead = np.array([0.0, 1.0]), np.zeros((2, 1))
    assert verdict_on(RegionEvent(np.array([True])), PiecewiseLinear(knots, dead)).unclear.size == 0
    assert verdict_on(RegionEvent(np.array([False])), PiecewiseLinear(knots, dead)).inside.tolist() == [
        [0.0, 1.0]
    ]


def test_a_relu_behind_a_transpose_is_enclosed_truly():
    """Its open units were taken for ones that are off: p in (.0090, .0134), right .0137."""

    def make(seed):
        net = nets.Net(seed, (1, 1, 6, 6))
        x = net.add("Transpose", net.conv("x", 1, 1), perm=[0, 1, 3, 2])
        x = net.add("Transpose", net.add("Relu", x), perm=[0, 1, 3, 2])
        return net.finish(net.add("Identity", net.conv(x, 1, 1), out="map"))

    case = draw_case(make, 33, threshold="max:0.5", saliency="output:map")
    found = case.search(1e-6, **AS_LARGE).p_value_bounds
    assert found == pytest.approx(case.search(1e-6, domains=RESOLVING_ONLY).p_value_bounds, abs=2e-6)
