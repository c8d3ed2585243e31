"""An end of S is an interval: bounds hold whatever rounding did to it. Judged in rational arithmetic."""

import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import nets

import onnx_si
from onnx_si.domains.carried import Carried
from onnx_si.domains.event import RegionEvent, TopEvent
from onnx_si.domains.judge import Judge
from onnx_si.domains.piecewise import blur
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import PiecewiseLinear, interpolate, line_segment
from onnx_si.domains.piecewise.verdict import Verdict, blurred
from onnx_si.domains.walker import Tally, walk
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import bind
from onnx_si.search import ends
from onnx_si.statistics.truncated import Chi, Normal, Randomised, p_value_bounds

mpmath.mp.dps = 60
SIZE = 6
CHOICE = {
    "saliency": "output:map",
    "threshold": "max:0.5",
    "hypothesis": "background",
    "alternative": "two-sided",
    "p_value_only": True,
    "verify": 0,
}


def kernels(seed):
    """Two kernels of few bits; the first one gives a constant image zero."""
    rng = np.random.default_rng(seed)
    first = np.round(rng.normal(size=(2, 1, 3, 3)) * 16) / 16
    first[:, 0, 1, 1] -= first.sum((1, 2, 3))
    return first, np.round(rng.normal(size=(1, 2, 3, 3)) * 16) / 16


def blind(tmp_path, seed, between):
    """Convolution, Relu or a comparison, convolution, in double precision: it does not see a constant."""
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"]),
        *(
            [helper.make_node("Relu", ["a"], ["b"])]
            if between == "Relu"
            else [
                helper.make_node("Greater", ["a", "level"], ["c"]),
                helper.make_node("Cast", ["c"], ["b"], to=TensorProto.DOUBLE),
            ]
        ),
        helper.make_node("Conv", ["b", "second"], ["map"], pads=[2, 2, 2, 2]),
    ]
    first, second = kernels(seed)
    values = {"first": first, "second": second, "level": np.array(0.25)}
    tensors = [numpy_helper.from_array(value, name) for name, value in values.items()]
    ends = (
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 1, SIZE, SIZE]) for name in ("x", "map")
    )
    graph = helper.make_graph(nodes, "blind", *([end] for end in ends), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "blind.onnx")
    return onnx_si.load(str(tmp_path / "blind.onnx"))


def image_of(seed):
    return np.round(np.random.default_rng(seed).normal(size=(1, 1, SIZE, SIZE)) * 2**10) / 2**10


def convolved(x, kernel, pad=0):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    rows, columns = x.shape[1] - 2, x.shape[2] - 2
    total = np.full((len(kernel), rows, columns), Fraction(0), dtype=object)
    for out, channel, i, j in np.ndindex(kernel.shape):
        total[out] = (
            total[out] + Fraction(kernel[out, channel, i, j]) * x[channel, i : i + rows, j : j + columns]
        )
    return total


class Truth:
    """The line of the test in rational numbers, and who is in S there."""

    def __init__(self, seed, between):
        self.kernels, self.between = kernels(seed), between
        self.image = np.vectorize(Fraction)(image_of(seed)[0])
        self.region = self.marked(self.image)
        inside = int(self.region.sum())
        weights = np.where(self.region, Fraction(1, inside), -Fraction(1, SIZE**2 - inside))
        self.variance = (weights * weights).sum()
        self.direction, self.statistic = weights / self.variance, (weights * self.image).sum()

    def marked(self, image):
        shown = self.shown(image)
        return shown > shown.max() / 2

    def shown(self, image):
        a = convolved(image, self.kernels[0])
        b = np.where(a > 0, a, Fraction(0)) if self.between == "Relu" else np.where(a > Fraction(1, 4), 1, 0)
        return convolved(b, self.kernels[1], pad=2)

    def holds(self, place):
        return bool(
            (self.marked(self.image + self.direction * (place - self.statistic)) == self.region).all()
        )

    def end(self, found, undecided):
        """The true end next to one that was found, to 40 digits; what is next to nothing decided stays."""
        if math.isinf(found) or undecided.contains(found):
            return mpmath.mpf(found)
        for digits in range(14, 1, -1):
            reach = Fraction(max(1.0, abs(found))) / 10**digits
            low, high = Fraction(found) - reach, Fraction(found) + reach
            if self.holds(low) != self.holds(high):
                break
        else:
            raise AssertionError(f"no end of S near {found}")
        after = self.holds(high)
        while high - low > Fraction(1, 10**40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.holds(middle) == after else (middle, high)
        return mpmath.mpf(low.numerator) / low.denominator

    def p_value(self, result, sigma):
        """Of the set whose true ends lie next to those that were found."""
        error = mpmath.mpf(sigma) * mpmath.sqrt(
            mpmath.mpf(self.variance.numerator) / self.variance.denominator
        )
        at = mpmath.mpf(self.statistic.numerator) / self.statistic.denominator
        below = above = mpmath.mpf(0)
        for pair in result.truncation:
            low, high = (self.end(one, result.undecided) for one in pair)
            below += mass(low, min(high, at), error)
            above += mass(max(low, at), high, error)
        return 2 * min(below, above) / (below + above)


def mass(low, high, error):
    return mpmath.mpf(0) if high <= low else mpmath.ncdf(high / error) - mpmath.ncdf(low / error)


@pytest.mark.parametrize(("seed", "between"), [(0, "Relu"), (2, "Relu"), (1, "Greater"), (4, "Greater")])
def test_a_constant_that_the_network_does_not_see_leaves_the_truth_in_the_bounds(tmp_path, seed, between):
    model, image, truth = blind(tmp_path, seed, between), image_of(seed), Truth(seed, between)
    results = {
        shift: onnx_si.test(model, image + shift, sigma=1.0, precision=1e-11, **CHOICE)
        for shift in (0.0, 1e3, 1e5, 1e7)
    }
    p = truth.p_value(results[0.0], 1.0)
    for shift, result in results.items():
        low, high = result.p_value_bounds
        assert low <= p <= high, shift
        assert low <= result.p_value <= high
        assert high - low < 1e-10 + 1e-10 * shift
        if result.search["complete"]:
            assert high - low <= 1e-11
        else:
            assert any("rounding leaves the ends" in text for text in result.warnings)
    low, high = results[0.0].p_value_bounds
    assert high - low < 1e-10


@pytest.mark.parametrize("between", ["Relu", "Greater"])
@pytest.mark.parametrize("sigma", [1e4, 1e8, 1e10, 1e12])
def test_a_set_that_is_tiny_beside_the_noise_has_true_bounds_or_none(tmp_path, sigma, between):
    judged = 0
    for seed in range(3):
        model, image = blind(tmp_path, seed, between), image_of(seed)
        try:
            result = onnx_si.test(model, image, sigma=sigma, precision=1e-9, **CHOICE)
        except onnx_si.UnsupportedModel as error:
            assert "nothing but rounding decides the region" in str(error)
            continue
        low, high = result.p_value_bounds
        assert low <= Truth(seed, between).p_value(result, sigma) <= high
        judged += high - low < 0.1
    assert judged >= 2 or sigma > 1e9


def test_the_statistic_beside_an_end_is_refused_where_rounding_decides(tmp_path):
    """Known to the last bit the image lies inside S; the images of its line are known to 1e-5 only."""
    with pytest.raises(onnx_si.UnsupportedModel, match="nothing but rounding decides the region"):
        onnx_si.test(blind(tmp_path, 0, "Relu"), image_of(0) + 1e12, sigma=1.0, **CHOICE)


class Room:
    """A judge to whom places that differ by less are one."""

    def __init__(self, room):
        self.room = room

    def wide(self, low, high):
        return high - low > self.room


def around(values, knots, inside, error, observed=(True, False), event=RegionEvent, **known):
    margin = PiecewiseLinear(np.array(knots), np.array(values, dtype=np.float64))
    verdict = Verdict(np.array(inside, dtype=np.float64), np.empty((0, 2)), slack=known.pop("slack", 0.0))
    found = blurred(event(np.array(observed), **known), margin, verdict, error)
    return Intervals.of(found).bounds


def test_an_end_lies_where_a_margin_is_within_its_error_of_zero():
    """The slope of the pixel that decides says how far; another pixel as near to zero widens it."""
    found = around([[-1.0, -1.0], [3.0, -1.0]], (0.0, 1.0), [[0.25, 1.0]], 0.01)
    assert len(found) == 1 and found[0] == pytest.approx([0.25 - 0.0075, 0.25 + 0.0075])
    found = around([[-1.0, 0.98], [3.0, -3.02]], (0.0, 1.0), [[0.25, 1.0]], 0.1)
    assert len(found) == 1 and found[0, 0] < 0.225 and found[0, 1] > 0.27


def test_an_end_on_a_knot_reaches_over_it():
    """Also where the margin is zero beside it, as behind a Relu, and where it rises too fast to be seen."""
    flat = [[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    found = around(flat, (0.0, 1.0, 2.0), [[0.0, 1.0]], 0.01)
    assert len(found) == 1 and found[0] == pytest.approx([0.99, 1.02])
    rising = [[0.0, -1.0], [0.0, -1.0], [1.0, -1.0]]
    found = around(rising, (0.0, 1.0, 2.0), [[1.0, 2.0]], 0.01)
    assert len(found) == 1 and found[0] == pytest.approx([0.99, 1.02])
    steep = [[-1e18, -1.0], [0.0, -1.0], [1e18, -1.0]]
    found = around(steep, (0.0, 1.0, 2.0), [[1.0, 2.0]], 1e-3)
    assert Intervals.of(found).contains(1.0) and found[-1, 1] - found[0, 0] < 1e-14


def test_margins_that_were_proven_are_not_within_rounding():
    """A pixel within the judge's slack on the whole interval was told by rational numbers."""
    close = [[1.0, -1e-9], [1.0, -1e-9], [-1.0, -1e-9]]
    assert len(around(close, (0.0, 1.0, 2.0), [[0.0, 1.5]], 1e-6, slack=1e-8)) == 1
    assert around(close, (0.0, 1.0, 2.0), [[0.0, 1.5]], 1e-6, slack=1e-8)[0] == pytest.approx(
        [1.5, 1.5], abs=1e-5
    )


def test_too_few_ties_end_where_the_next_value_leaves():
    tied = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, -0.5]]
    found = around(tied, (0.0, 1.0, 2.0), [[0.0, 1.0]], 0.01, (True, False, False), TopEvent, ties=2)
    assert Intervals.of(found).contains(1.0)
    assert 1.02 < found[-1, 1] < 1.05 and found[0, 0] == pytest.approx(0.98)


def test_an_end_at_a_jump_is_as_uncertain_as_the_jump():
    places = [(np.array([0.5, 1.0]), np.array([1e-6, 1e-9])), (np.array([1.0 + 1e-12]), np.array([1e-7]))]
    found = blur.at_jumps(np.array([[0.0, 1.0]]), places, Room(1e-11), 1.0)
    assert found == pytest.approx(np.array([[1.0 - 1e-7, 1.0 + 1e-7]]), abs=1e-12)
    assert not len(blur.at_jumps(np.array([[0.0, 0.75]]), places, Room(1e-11), 1.0))
    assert blur.at_jumps(np.array([[0.0, 0.5]]), places, Room(1e-11), 1e-8) == pytest.approx(
        np.array([[0.5 - 1e-8, 0.5 + 1e-8]]), abs=1e-12
    )


def test_only_ends_of_the_whole_set_are_kept():
    pieces = np.array([[0.9, 1.1], [2.0, 2.1], [2.9, 3.0], [4.0, 4.1]])
    kept = ends.touching(pieces, Intervals.of([(1.0, 1.5), (3.0, 3.5)]))
    assert kept.to_list() == [[0.9, 1.1], [2.9, 3.0]]


DISTRIBUTIONS = (Normal(0.0, 1.0), Chi(3, 1.0), Randomised(1.0, 0.5, 1.2))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("alternative", ["two-sided", "two-sided-abs", "greater", "less"])
def test_bounds_hold_for_every_statistic_that_is_as_near(distribution, alternative):
    """For the p-value of any that is within its rounding, with S as it was found."""
    inside, undecided, off = Intervals.of([(0.5, 1.4), (1.9, 2.5)]), Intervals.of([(1.3, 1.5)]), 1e-3
    low, high = p_value_bounds(distribution, inside, undecided, 1.2, alternative, off)
    nothing = Intervals.empty()
    for at, more in itertools.product(np.linspace(1.2 - off, 1.2 + off, 5), (nothing, undecided)):
        moved = Randomised(1.0, 0.5, at) if isinstance(distribution, Randomised) else distribution
        found = p_value_bounds(moved, inside.union(more), nothing, at, alternative)
        assert low <= 0.5 * sum(found) <= high
    plain = p_value_bounds(distribution, inside, undecided, 1.2, alternative)
    assert plain[0] - 0.01 < low < plain[0] < plain[1] < high < plain[1] + 0.01


def test_errors_of_ends_leave_less_room_than_doubts_and_grow_along_the_line():
    net = nets.Net(0, (1, 4))
    program = bind(net.finish(net.add("Relu", "x", out="a")), np.ones((1, 4)), ("a",))
    known = Carried(program=program, start=np.zeros((1, 4)), direction=np.ones((1, 4)), at=1.0, scale=0.5)
    known.__dict__["_seen"] = {"a": np.array([1.0, 5.0]), "b": np.array([2.0, 9.0])}
    assert known.between(("a", "b"), 1.0, 1.0) == pytest.approx(3 * 2.0**-6)
    assert known.between(("a",), -3.0, 2.0) == pytest.approx(2.0**-6 * 2)
    assert known.between(("a",), 0.0, 2.0) < known.estimated(("a",), 0.0, 2.0)


@pytest.mark.parametrize("reach", [0.1, 5.0])
@pytest.mark.parametrize("shift", [0.0, 1e7])
def test_values_on_the_line_are_within_the_error_that_is_claimed(tmp_path, reach, shift):
    """Against rational numbers, on cells of both widths."""
    truth, image = Truth(3, "Relu"), image_of(3) + shift
    direction = truth.direction.astype(np.float64)[None]
    start, at, se = image - direction * float(truth.statistic), float(truth.statistic), 0.3
    program = bind(blind(tmp_path, 3, "Relu"), image, ("map",))
    judge = Judge.of(program, start, direction, at, se)
    low, high = at - reach * se, at + reach * se
    cell = line_segment(start, direction, low, high)
    (outputs,) = walk(program, ExactDomain(judge=judge).apply, cell, Tally())
    worst, claimed = 0.0, judge.error(("map",), low, high)
    for place in np.linspace(low, high, 23)[1:-1]:
        row = np.array([outputs["map"].knots.searchsorted(place) - 1])
        ours = interpolate(outputs["map"], row, np.array([place]))[0, 0]
        point = truth.image + truth.direction * (Fraction(place) - truth.statistic)
        worst = max(worst, float(np.abs(ours - truth.shown(point).astype(np.float64)).max()))
    assert 1e-4 * claimed < worst < 0.1 * claimed
