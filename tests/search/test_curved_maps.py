"""Maps made of roots, ratios, norms and powers of tensors that change: S against scans of the line.

A dozen of random graphs, and all of them with `ONNX_SI_CURVES=300 pytest tests/search/test_curved_maps.py`.
"""

import os

import numpy as np
import onnxruntime
import pytest
from support import nets
from support.errors_of_nets import error_of, members, scan
from support.scenes import AS_LARGE, TINY, make_case

import onnx_si
from onnx_si.domains.enclosure.domain import Enclosures
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.curves.curve import image_between
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals
from onnx_si.program.program import bind

SEEDS = range(int(os.environ.get("ONNX_SI_CURVES", "12")))
SETTLED = 4.0  # standard errors in which next to nothing may be left open


def square(net, x):
    return net.add("Mul", x, x)


def total(net, x):
    return net.add("ReduceSum", x, net.ints(1), keepdims=1)


def number(net, value):
    return net.const(np.array(value))


def cosine(net, a, b):
    norms = (net.add("ReduceL2", x, net.ints(1), keepdims=1) for x in (a, b))
    return net.add(
        "Sub", number(net, 1.0), net.add("Div", total(net, net.add("Mul", a, b)), net.add("Mul", *norms))
    )


def clamped_cosine(net, a, b):
    """As PyTorch writes it."""
    lengths = net.add("Mul", *(total(net, square(net, x)) for x in (a, b)))
    below = net.add("Max", net.add("Sqrt", lengths), number(net, 1e-3))
    return net.add("Div", total(net, net.add("Mul", a, b)), below)


def centred(net, x):
    return net.add("Sub", x, net.add("ReduceMean", x, net.ints(2, 3), keepdims=1))


def variance(net, x):
    spread = net.add("ReduceMean", square(net, centred(net, x)), net.ints(2, 3), keepdims=1)
    return net.add("Add", spread, number(net, 0.1))


WAYS = {
    "cosine": lambda net, d, x: cosine(net, x, net.add("Sub", x, d)),
    "clamped cosine": lambda net, d, x: clamped_cosine(net, x, net.add("Sub", x, d)),
    "over the variance": lambda net, d, x: total(net, net.add("Div", square(net, d), variance(net, x))),
    "standardised": lambda net, d, x: total(
        net, net.add("Abs", net.add("Div", centred(net, d), net.add("Sqrt", variance(net, d))))
    ),
    "mean of roots": lambda net, d, x: total(
        net, net.add("Sqrt", net.add("Add", square(net, d), number(net, 1e-3)))
    ),
    "pooled norm": lambda net, d, x: net.add(
        "AveragePool", net.add("ReduceL2", d, net.ints(1), keepdims=1), kernel_shape=[2, 2], pads=[0, 0, 1, 1]
    ),
    "LpPool": lambda net, d, x: net.add("LpPool", total(net, d), kernel_shape=[2, 2], pads=[0, 0, 1, 1], p=2),
    "product": lambda net, d, x: net.add(
        "ReduceProd", net.add("Add", d, number(net, 0.3)), net.ints(1), keepdims=1
    ),
    "third power": lambda net, d, x: total(net, net.add("Pow", net.add("Abs", d), number(net, 3.0))),
    "fourth power": lambda net, d, x: total(net, net.add("Pow", d, number(net, 4.0))),
    "square of a sum": lambda net, d, x: square(
        net, net.add("Sub", total(net, square(net, d)), number(net, 1.0))
    ),
    "over a norm": lambda net, d, x: total(
        net,
        net.add(
            "Div",
            square(net, d),
            net.add("Add", net.add("ReduceL2", x, net.ints(1), keepdims=1), number(net, 0.1)),
        ),
    ),
    "logistic": lambda net, d, x: net.add(
        "Sigmoid", net.add("Sub", net.add("ReduceL2", d, net.ints(1), keepdims=1), number(net, 1.0))
    ),
    "reciprocal": lambda net, d, x: net.add(
        "Reciprocal", net.add("Add", total(net, square(net, d)), number(net, 0.5))
    ),
}
BEHIND = {
    "nothing": lambda net, q: q,
    "pooled": lambda net, q: net.add("MaxPool", q, kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
    "clipped": lambda net, q: net.add("Clip", q, number(net, 0.2), number(net, 1.1)),
    "shifted": lambda net, q: net.add(
        "Abs", net.add("Sub", net.add("Mul", q, number(net, 0.7)), number(net, 0.4))
    ),
    "mask": lambda net, q: net.add("Cast", net.add("Greater", q, number(net, 0.6)), to=1),
}
THRESHOLDS = ("0.5", "0.9", "max:0.5", "max:0.8", "minmax:0.5", "top:0.2")


def case_of(seed, way=None, behind=None, threshold=None, size=4):
    """A small autoencoder with one of these maps; None where it marks nothing, or values must stay equal."""
    rng = np.random.default_rng([2, seed])
    channels = int(rng.choice([2, 3]))
    net = nets.Net(seed, (1, channels, size, size), opset=18)
    way = way or list(WAYS)[seed % len(WAYS)]
    made = WAYS[way](net, error_of(net, channels), "x")
    behind = behind or rng.choice(list(BEHIND))
    made = BEHIND["nothing" if way == "logistic" else behind](net, made)  # a Sigmoid decides nothing
    model = net.finish(net.add("Identity", made, out="map"))
    image = rng.normal(size=net.shape)
    if seed % 4 == 3:
        image = np.round(2 * image)  # ties, and double roots
    asked = threshold or str(rng.choice(THRESHOLDS))
    case = make_case(model, image, threshold=asked, saliency="output:map", layout="NCHW")
    return None if case is None or case.event.tied is not None else case


def require_scanned(case, seed):
    """S is that of a scan, and next to nothing is open; gives the number of its pieces."""
    try:
        found = case.search(precision=TINY)
    except UnsupportedModel as refusal:
        assert "nothing but rounding decides" in str(refusal)
        return 0
    z = scan(case, found)
    inside, expected = members(found.inside, z), case.member(z)
    assert np.array_equal(inside, expected), (seed, z[inside != expected][:5])
    assert members(found.inside, np.array([case.line.statistic])).all(), seed
    reach = Intervals.of([(-SETTLED * case.line.standard_error, SETTLED * case.line.standard_error)])
    open_ = found.undecided.union(found.blur).intersect(reach).bounds
    assert (open_[:, 1] - open_[:, 0]).sum() < 1e-3 * case.line.standard_error, seed
    return len(found.inside)


def test_the_set_is_that_of_a_dense_scan():
    cases = [(seed, case_of(seed)) for seed in SEEDS]
    pieces = [require_scanned(case, seed) for seed, case in cases if case is not None]
    assert len(pieces) > 0.5 * len(SEEDS) and sum(pieces) >= len(pieces)


@pytest.mark.parametrize("threshold", ["0.8", "max:0.7", "minmax:0.5", "top:0.2"])
@pytest.mark.parametrize("way", ["cosine", "pooled norm", "logistic"])
def test_every_threshold(way, threshold):
    cases = (case_of(seed, way, "nothing", threshold) for seed in range(40))
    case = next(case for case in cases if case is not None)
    assert require_scanned(case, way) > 0


@pytest.mark.parametrize("threshold", ["0.9", "1.1", "max:0.6"])
def test_where_a_cosine_is_no_number_the_image_is_refused(threshold):
    """What is divided is zero on whole stretches, behind a last Relu: there is no region there, so none of
    that is in S, and cells in which it may be so are left out for what they are elsewhere.
    """
    left_out, gone = 0, 0
    for seed in range(12):
        rng, net = np.random.default_rng([5, seed]), nets.Net(seed, (1, 2, 6, 6), opset=18)
        hidden = net.add("Relu", net.conv("x", 2, 4))
        again = net.add("Relu", net.conv(hidden, 4, 2))
        model = net.finish(net.add("Identity", cosine(net, "x", again), out="map"))
        image = rng.normal(size=net.shape)
        case = all_numbers(model, image, threshold)
        if case is None:
            continue
        assert case.program.scalars.no_numbers
        found = case.search(precision=TINY, **AS_LARGE)
        z = scan(case, found)
        expected, there = np.array([holds_at(case, place) for place in z]).T
        assert np.array_equal(members(found.inside, z), expected), seed
        left_out, gone = left_out + found.fates["discarded"], gone + (~there).sum()
    assert left_out > 0 and gone > 0


def test_no_pixel_is_taken_for_right_where_it_may_be_no_number():
    """Margins that are above zero wherever they are numbers: proven of a narrow cell, not of a wide one."""
    case = next(filter(None, map(above_zero, range(12))))
    image = case.line.start + case.line.direction * case.line.statistic
    program = bind(case.model, image, ("map",))
    everything = RegionEvent(np.ones((1, 1, 6, 6), np.bool_))
    task = Task(program=program, margin="map", line=case.line, event=everything)
    se, at = case.line.standard_error, case.line.statistic
    ends = [(at - 1e-6 * se, at + 1e-6 * se), (-40 * se, 40 * se)]
    narrow, wide = Enclosures().claim(task, ends, 1 << 30, Tally())
    assert not narrow.open.any()
    assert wide.open.all()
    assert not wide.outside


def above_zero(seed):
    """A map that is above zero wherever it is a number, which is not everywhere."""
    rng, net = np.random.default_rng([5, seed]), nets.Net(seed, (1, 2, 6, 6), opset=18)
    again = net.add("Relu", net.conv(net.add("Relu", net.conv("x", 2, 4)), 4, 2))
    above = net.add("Add", cosine(net, "x", again), number(net, 0.1))
    return all_numbers(net.finish(net.add("Identity", above, out="map")), rng.normal(size=net.shape), "1.0")


def holds_at(case, place):
    """Whether the region at a place is the observed one, and whether there is one."""
    try:
        with np.errstate(invalid="ignore"):
            margin = nets.margins_on(case.program, case.margin, case.line, np.array([place]))[0]
    except onnx_si.errors.Undefined:  # of a maximum
        return False, False
    there = np.isfinite(margin).all()
    return np.array_equal(margin > 0, case.event.observed.ravel()) and there, there


def all_numbers(model, image, threshold):
    """The case of an image, moved until its map is all numbers and marks something."""
    for shift in np.linspace(0.0, 3.0, 31):
        try:
            case = make_case(model, image + shift, threshold=threshold, saliency="output:map", layout="NCHW")
        except onnx_si.errors.OnnxSIError:
            continue
        if case is not None and np.isfinite(case.program.values[case.margin]).all():
            return case
    return None


def test_a_small_memory_budget_gives_the_same_set():
    case = case_of(1, "cosine", "pooled", "max:0.5")
    ends = case.line.standard_error * np.array([-1, 1])
    line = image_between(case.line.start, case.line.direction, *ends)
    budget = 10 * case.tight_budget()
    assert len(list(walk(case.program, ExactDomain(budget=budget).apply, line, Tally()))) > 1
    full, small = (case.search(budget_bytes=b) for b in (64 << 20, budget))
    reach = Intervals.of([tuple(ends)])
    ours, theirs = (found.inside.intersect(reach).bounds for found in (small, full))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_a_scan_by_onnxruntime_in_double():
    """One minus the cosine of an image and its reconstruction by dense layers."""
    size, runtime = 4, ["CPUExecutionProvider"]
    net = nets.Net(3, (1, 3, size, size), dtype=np.float64, opset=18)
    flat = net.add("Reshape", "x", net.ints(1, 3 * size * size))
    hidden = net.add("Relu", net.add("MatMul", flat, net.normal(3 * size * size, 10, scale=0.3)))
    back = net.add("MatMul", hidden, net.normal(10, 3 * size * size, scale=0.3))
    net.add("Identity", cosine(net, "x", net.add("Reshape", back, net.ints(1, 3, size, size))), out="map")
    case = make_case(
        net.finish("map"), np.random.default_rng(3).normal(size=net.shape), threshold="1", layout="NCHW"
    )
    found = case.search(precision=TINY)
    z = scan(case, found)
    session = onnxruntime.InferenceSession(case.model.proto.SerializeToString(), providers=runtime)
    maps = [session.run(["map"], {"x": case.line.start + case.line.direction * at})[0] for at in z]
    expected = [np.array_equal(one[0, 0] > 1, case.event.observed) for one in maps]
    assert members(found.inside, z).tolist() == expected and 0 < sum(expected) < len(expected)


REFUSED = {
    "a sum of too many roots": (
        lambda net, d: net.add(
            "Expand",
            net.add(
                "ReduceMean",
                net.add("Sqrt", net.add("Add", square(net, d), number(net, 0.1))),
                net.ints(1, 2, 3),
                keepdims=1,
            ),
            net.ints(1, 1, 9, 9),
        ),
        "Sqrt is smooth, not piecewise linear, and ReduceMean reads it",
    ),
    "a ninth power": (
        lambda net, d: total(net, net.add("Mul", net.add("Pow", d, number(net, 8.0)), d)),
        "Pow is bilinear, not piecewise linear, and Mul reads it",
    ),
    "a whole number of a square": (
        lambda net, d: total(net, net.add("Floor", square(net, d))),
        "Floor reads it",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_followed_no_further_is_named(name):
    make, words = REFUSED[name]
    net = nets.Net(2, (1, 1, 9, 9), opset=18)
    made = (
        net.add("Mul", make(net, error_of(net, 1)), "x")
        if name.startswith("a sum")
        else make(net, error_of(net, 1))
    )
    model = net.finish(net.add("Identity", made, out="map"))
    image = np.random.default_rng(1).normal(size=net.shape)
    with pytest.raises(onnx_si.errors.OnnxSIError, match=words):
        onnx_si.test(model, image, sigma=1.0, threshold="max:0.5", layout="NCHW", engine="exact")
