"""Where numbers are equal but for rounding, the judge of ties decides as the deployed runtime does."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from ops.cases import HANDLERS
from support import nets
from support.scenes import NoJudge, make_case, margin_program

import onnx_si
from onnx_si.domains import judge, rational
from onnx_si.domains.carried import Carried
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.judge import INSIDE, Found, Judge
from onnx_si.domains.piecewise.value import PiecewiseLinear
from onnx_si.domains.piecewise.verdict import verdict_on
from onnx_si.domains.rational import Inexact, exact, rounded
from onnx_si.ground.intervals import Intervals
from onnx_si.program.growth import Growth
from onnx_si.program.program import bind
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import Affine, Step

SHAPE = (1, 1, 5, 5)
POINTS = 161


def pooled(n, x="x"):
    return n.add("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)


def mixed(n, x="x"):
    """A linear map that onnxruntime has in both precisions."""
    size = SHAPE[-1]
    return n.add("Add", n.add("MatMul", x, n.normal(size, size, scale=0.5)), n.normal(size, 1, scale=0.3))


def above(n):
    """Zero where x is not negative."""
    return n.add("Sub", n.add("Relu", "x"), "x")


def below_peak(n):
    return n.add("Sub", pooled(n), "x")


def shown(n, tensor):
    element = TensorProto.DOUBLE if n.dtype == np.float64 else TensorProto.FLOAT
    return n.add("Cast", tensor, to=element, out="map")


def equal_to_relu(n):
    return shown(n, n.add("Equal", "x", n.add("Relu", "x")))


def peaks(n):
    return shown(n, n.add("Equal", below_peak(n), n.const(0.0)))


def peaks_at_most(n):
    return shown(n, n.add("LessOrEqual", below_peak(n), n.const(0.0)))


def sign_of_difference(n):
    return n.add("Sign", above(n), out="map")


def ceiling_of_difference(n):
    return n.add("Ceil", above(n), out="map")


def truth_of_difference(n):
    return shown(n, n.add("Cast", below_peak(n), to=TensorProto.BOOL))


def the_largest(n):
    scores = mixed(n)
    return shown(n, n.add("Equal", scores, n.add("ReduceMax", scores, keepdims=1)))


def peaks_of_scores(n):
    scores = mixed(n)
    return shown(n, n.add("GreaterOrEqual", scores, pooled(n, scores)))


def behind_convolutions(n):
    scores = mixed(n, n.add("Relu", mixed(n)))
    return n.add("Sub", n.add("Relu", scores), scores, out="map")


def margin_of_zero(n):
    return n.add("Identity", below_peak(n), out="map")


AT_ONE_HALF = [
    equal_to_relu,
    peaks,
    peaks_at_most,
    sign_of_difference,
    ceiling_of_difference,
    truth_of_difference,
    the_largest,
    peaks_of_scores,
]
AT_ZERO = [behind_convolutions, margin_of_zero]


def maps_on(model, line, places, dtype):
    """What the deployed runtime gives at each point."""
    session = onnxruntime.InferenceSession(
        model.proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = (line.start + line.direction * z for z in places)
    return np.array([session.run(None, {"x": image.astype(dtype)})[0].ravel() for image in images])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", AT_ONE_HALF + AT_ZERO)
def test_the_truncation_set_is_that_of_the_deployed_runtime(make, dtype):
    """At points of lines on which values tie on whole stretches."""
    searched, threshold = 0, 0.0 if make in AT_ZERO else 0.5
    for seed in range(5):
        n = nets.Net(seed, SHAPE, dtype=dtype)
        model = n.finish(make(n))
        image = np.random.default_rng([seed, 9]).normal(size=SHAPE)
        case = make_case(model, image, threshold=threshold, saliency="output:map")
        if case is None:
            continue
        found, line = case.search(), case.line
        near, se = (
            line.statistic + 0.01 * line.standard_error * np.linspace(-1, 1, POINTS),
            line.standard_error,
        )
        z = np.concatenate([near, se * np.linspace(-5, 5, POINTS)])
        ends = np.array([end for part in (*found.inside, *found.undecided) for end in part])
        clear = np.min(np.abs(z[:, None] - ends), axis=1) > 1e-5 * line.standard_error
        clear &= [not found.undecided.contains(value) for value in z]
        assert not found.undecided.intersect(Intervals.of([(-5 * se, 5 * se)]))
        inside = np.array([found.inside.contains(value) for value in z])
        marked = maps_on(model, line, z, dtype) > threshold
        truth = (marked == case.event.observed.ravel()).all(axis=1)
        np.testing.assert_array_equal(inside[clear], truth[clear])
        searched += 1
    assert searched > 1


CASES = Path(__file__).parents[3] / "shared" / "cases"
RIGHT = {
    "double_equal_relu": ("0.5", 0.509, 2.090, math.inf),
    "local_maxima": ("0.5", 0.431, 0.6154, math.inf),
    "sign_of_difference": ("0.5", 0.412, -math.inf, -1.505),
    "zero_margin": ("0", 0.395, None, None),
    "row_of_argmax": ("0.5", None, None, None),
    "middle_of_minmax": ("minmax:0.5", 0.432, None, None),
}


def case_of(name):
    if not CASES.is_dir():
        pytest.skip("the shared small models are not here")
    return onnx_si.load(CASES / f"{name}.onnx"), np.load(CASES / f"{name}.npy")


@pytest.mark.parametrize("name", RIGHT)
def test_small_models_that_failed(name):
    model, image = case_of(name)
    output, (threshold, p_value, low, high) = model.proto.graph.output[0].name, RIGHT[name]
    how = {"saliency": f"output:{output}", "threshold": threshold, "alternative": "two-sided"}
    result = onnx_si.test(model, image, sigma=1.0, hypothesis="background", **how)
    if p_value is not None:
        assert result.p_value == pytest.approx(p_value, abs=6e-4)
    if low is not None:
        ends = result.truncation.bounds[0]
        assert ends[0] == pytest.approx(low, abs=6e-4) if math.isfinite(low) else ends[0] < -5
        assert ends[1] == pytest.approx(high, abs=6e-4) if math.isfinite(high) else ends[1] > 5
    if name == "row_of_argmax":
        assert np.argwhere(result.region.reshape(4, 49).all(axis=1)).tolist() == [[1]]
    assert result.p_value_bounds[1] - result.p_value_bounds[0] < 1e-4


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("single_point", {"threshold": 0.5, "hypothesis": "background"}),
        ("constant_but_for_rounding", {"threshold": "top:0.2", "hypothesis": "neighborhood", "ring": 1}),
    ],
)
def test_small_models_whose_region_is_nothing(name, how):
    model, image = case_of(name)
    with pytest.raises(onnx_si.UnsupportedModel, match="nothing but rounding decides the region"):
        onnx_si.test(model, image, sigma=1.0, saliency="output:map", **how)


@pytest.mark.parametrize("seed", range(8))
def test_a_whole_number_at_a_step_is_refused(seed):
    """Parity of a whole number: any change makes it another one."""
    n = nets.Net(0, (1, 1, 6, 5))
    odd = n.add("Mod", n.add("Cast", "x", to=TensorProto.INT64), n.ints(2))
    n.add("Sign", n.add("Cast", odd, to=TensorProto.FLOAT), out="map")
    image = np.random.default_rng(seed).integers(-3, 9, (1, 1, 6, 5)).astype(float)
    how = {"saliency": "output:map", "threshold": 0.5, "hypothesis": "background"}
    with pytest.raises(onnx_si.UnsupportedModel, match="nothing but rounding decides the region"):
        onnx_si.test(n.finish("map"), image, sigma=1.0, **how)


def test_a_map_that_is_constant_but_for_rounding_has_no_region():
    """Ones that a cubic resize weights with numbers whose sum is one but for rounding."""
    n = nets.Net(0, (1, 1, 12, 8))
    place = n.add("ArgMin", n.add("Conv", "x", n.normal(1, 1, 2, 3)), axis=1, keepdims=0)
    ones = n.add("OneHot", place, n.const(np.array(1)), n.const(np.array([0.0, 1.0])), axis=1)
    how = {"mode": "cubic", "coordinate_transformation_mode": "pytorch_half_pixel", "exclude_outside": 1}
    n.add("Resize", ones, "", "", n.ints(1, 1, 12, 8), out="map", **how)
    image = np.random.default_rng(1).normal(size=(1, 1, 12, 8))
    model = n.finish("map")
    values = onnx_si.evaluate(model, {"x": image})["map"]
    assert 0 < values.max() - values.min() < 1e-15
    with pytest.raises(onnx_si.UnsupportedModel, match="nothing but rounding decides the region"):
        onnx_si.test(
            model, image, sigma=1.0, saliency="output:map", threshold="top:0.2", hypothesis="background"
        )


def test_the_place_of_a_maximum_divided_by_a_row():
    """49 / 49 is 1, for every length of a row: the quotient is not a product with the reciprocal."""
    for length in (3, 7, 49):
        rule = HANDLERS["Div"].build((Variable((1,)), np.array([length], np.float32)), {}, Context(0, 1, 14))
        places = np.arange(4.0 * length)[:, None]
        np.testing.assert_array_equal(np.floor(rule.evaluate(places))[:, 0], np.arange(4 * length) // length)


def test_a_mean_that_cancels_is_zero():
    ones = np.ones((3,), np.float32)
    rule = HANDLERS["Mean"].build((-7 * ones, Variable((3,)), 3 * ones), {}, Context(0, 1, 13))
    value = np.full((1, 3), 4.0)
    for stage in rule.stages:
        value = stage.rule.evaluate(value)
    assert not value.any()


def test_half_way_between_the_largest_and_the_smallest():
    """A pixel that a resize puts there is on the threshold, not above it."""
    n = nets.Net(2, (1, 1, 7, 7))
    small = n.add("AveragePool", n.conv("x", 1, 1), kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1])
    n.add(
        *("Resize", small, "", "", n.ints(1, 1, 7, 7)),
        **{"mode": "linear", "coordinate_transformation_mode": "align_corners", "out": "map"},
    )
    model, checked = n.finish("map"), 0
    for seed in range(6):
        image = np.random.default_rng([seed, 1]).normal(size=(1, 1, 7, 7))
        case = make_case(model, image, threshold="minmax:0.5", saliency="output:map")
        found, se = case.search(), case.line.standard_error
        z = se * np.linspace(-5, 5, 301)
        maps = maps_on(model, case.line, z, np.float32)
        margins = maps - 0.5 * (maps.max(axis=1) + maps.min(axis=1))[:, None]
        truth = ((margins > 1e-6) == case.event.observed.ravel()).all(axis=1)
        inside = np.array([found.inside.contains(value) for value in z])
        ends = np.array([end for part in (*found.inside, *found.undecided) for end in part])
        clear = np.min(np.abs(z[:, None] - ends), axis=1) > 1e-4 * se
        np.testing.assert_array_equal(inside[clear], truth[clear])
        checked += int(inside.sum())
    assert checked > 10


def cancelling(n):
    """Zero where x is not negative, but for the rounding of 3 + x - 3."""
    moved = n.add("Add", n.add("Add", "x", n.const(3.0)), n.const(-3.0))
    return n.add("Sign", n.add("Sub", n.add("Relu", "x"), moved), out="map")


def test_what_only_rational_arithmetic_can_tell(monkeypatch):
    """Sums that cancel are equal to others, but not to the last bit; unproven, nothing is claimed of them."""
    n, plain = nets.Net(0, SHAPE), nets.Net(0, SHAPE)
    model, image = n.finish(cancelling(n)), np.random.default_rng([2, 9]).normal(size=SHAPE)
    how = {"threshold": 0.5, "saliency": "output:map"}
    case = make_case(plain.finish(sign_of_difference(plain)), image, **how)
    program, margin, _ = margin_program(model, image, **how)
    other, reach = dataclasses.replace(case, program=program, margin=margin), Intervals.of([(-3, 3)])
    ours, expected = (one.search().inside.intersect(reach).bounds for one in (other, case))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    monkeypatch.setattr(judge, "WHOLE", 0)
    with pytest.raises(onnx_si.UnsupportedModel, match="nothing but rounding"):
        other.search()


@pytest.mark.parametrize("seed", [3, 12, 32])
def test_copies_of_a_resized_map_are_ties(seed):
    """Of weights whose sum is one: copies that differ by a unit in the last place."""
    n = nets.Net(seed, (1, 1, 16, 16))
    coarse = n.add("Relu", n.add("Conv", "x", n.normal(4, 1, 4, 4, scale=0.3), strides=[4, 4]))
    coarse = n.add("Conv", coarse, n.normal(1, 4, 1, 1))
    sizes = n.const(np.array([1.0, 1.0, 4.0, 4.0]))
    model = n.finish(n.add("Resize", coarse, "", sizes, mode="linear", out="map"))
    image = np.random.default_rng(seed).normal(size=(1, 1, 16, 16))
    case = make_case(model, image, (np.zeros_like(image),), threshold="top:0.3", saliency="output:map")
    found, se = case.search(), case.line.standard_error
    assert not found.undecided.intersect(Intervals.of([(-5 * se, 5 * se)]))
    z = se * np.linspace(-5, 5, 401)
    images = case.line.start + case.line.direction * z.reshape(-1, 1, 1, 1, 1)
    maps = np.stack([onnx_si.evaluate(model, {"x": one})["map"].ravel() for one in images])
    maps = maps.round(11)  # copies are equal again
    largest = -np.sort(-maps, axis=1)[:, int(0.3 * 256)]
    truth = ((maps > largest[:, None]) == case.event.observed.ravel()).all(axis=1)
    np.testing.assert_array_equal([found.inside.contains(value) for value in z], truth)


def test_rational_numbers_do_not_round():
    x = exact(np.array([0.1, 0.2, 1e300]))
    assert (x[0] + x[1] != 0.3) and float((x[0] * 3 - 0.3).value) == pytest.approx(1.66e-17, rel=0.01)
    assert (x[2] + 1 - x[2]).value == 1 and (x[0] / 7 * 7).value == x[0].value
    assert rounded(x).tolist() == [0.1, 0.2, 1e300] and max(x[0], 0.0) is x[0]


def test_a_rule_that_rounds_whatever_it_is_given_is_found_out():
    halves = Affine(linear=lambda x: np.asarray(np.zeros(x.shape)) + 0.5, terms=1)
    with pytest.raises(Inexact):
        rational.apply(halves, [exact(np.ones((1, 2)))])
    with pytest.raises(Inexact):
        rational.apply(Affine(linear=lambda x: x.astype(np.float64)), [exact(np.ones((1, 2)))])


def test_a_margin_within_rounding_crosses_zero_where_it_truly_does():
    """Of a pixel whose computed margins at both ends are rounding, the judge's own line through it counts."""

    class Knows(NoJudge):
        def inside(self, low, high):
            rise = np.full((1, 1), 1e-13)
            return Found([rise * (INSIDE[0] - 0.2)], np.ones(1, dtype=bool), [rise])

    margin = PiecewiseLinear(np.array([0.0, 1.0]), np.array([[-1e-17], [1e-13]]))
    verdict = verdict_on(RegionEvent(np.array([True])), margin, Knows(bound=1e-12))
    assert verdict.inside == pytest.approx(np.array([[0.2, 1.0]]), rel=1e-9) and not len(verdict.unclear)


def test_a_step_that_changes_inside_an_interval_is_not_settled():
    """Where its two inner points decide otherwise, a change was hidden by rounding."""
    net = nets.Net(0, (1, 1))
    step = net.add("Greater", "x", net.const(np.zeros((1, 1))))
    model = net.finish(net.add("Cast", step, to=TensorProto.FLOAT, out="map"))
    program = bind(model, np.array([[0.3]]), ("map",))
    (rule,) = (one.rule for one in program.instructions if isinstance(one.rule, Step))
    program = dataclasses.replace(program, growth=Growth("", (1, 1), ()))  # of which nothing is proven
    carried = Carried(
        program=program, start=np.array([[-0.5]]), direction=np.array([[1.0]]), at=0.0, scale=1.0
    )
    carried.__dict__["errors"] = {"x": 1.0}
    judge = Judge(program=program, start=carried.start, direction=carried.direction, carried=carried)
    assert not judge.inside(("x",), rule, np.array([0.0]), np.array([1.0])).settled.any()
    assert judge.inside(("x",), rule, np.array([0.6]), np.array([1.0])).settled.all()
