"""Maps made of products of tensors that change: S by the roots of quadratics, against scans of the line."""

import numpy as np
import onnxruntime
import pytest
from scipy import ndimage, stats
from support import nets
from support.errors_of_nets import error_of, members, scan
from support.scenes import TINY, make_case

import onnx_si
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.curves.curve import image_between
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import UnsupportedModel
from onnx_si.ground.intervals import Intervals

SEEDS = range(140)
SETTLED = 5.0  # and so many in which next to nothing may be left open


def product(net, d, channels):
    """One of the ways to multiply tensors, then one channel; shape (1, 1, size, size)."""
    way = net.rng.integers(8)
    if way == 0:
        q = net.add("Mul", d, d)
    elif way == 1:
        q = net.add("Pow", d, net.const(np.array(2.0)))
    elif way == 2:
        return net.add("ReduceSumSquare", d, axes=[1])
    elif way == 3:
        q = net.add("Mul", d, "x")  # of either sign
    elif way == 4:
        rows, columns = (net.add("ReduceMean", t, axes=[axis]) for t, axis in ((d, 3), ("x", 2)))
        q = net.add("Add", net.add("Mul", "x", d), net.add("MatMul", rows, columns))
    elif way == 5:
        q = net.add("Einsum", d, "x", equation="nchw,nchw->nhw")
        return net.add("Unsqueeze", q, net.ints(1))
    elif way == 6:
        q = net.add("Mul", d, net.add("ReduceMean", "x", axes=[2, 3], keepdims=1))
    else:
        q = net.add("Sub", net.add("Mul", d, d), net.add("Mul", "x", net.add("Abs", d)))
    return net.add("ReduceMean", q, axes=[1], keepdims=1)


def behind(net, q, image):
    """What may follow a product."""
    way = net.rng.integers(9)
    pooled = {"kernel_shape": [3, 3], "pads": [1] * 4}
    if way == 0:
        return net.add("AveragePool", q, **pooled)
    if way == 1:
        return net.add("MaxPool", q, **pooled)
    if way == 2:
        return net.conv(net.add("Relu", net.add("Sub", q, net.const(np.array(0.5)))), 1, 1)
    if way == 3:
        return net.add("Clip", q, net.const(np.array(0.25)), net.const(np.array(2.0)))
    if way == 4:
        return net.add("Max", q, net.add("AveragePool", q, **pooled), net.add("ReduceMean", image, axes=[1]))
    if way == 5:
        return net.add("Abs", net.add("Sub", q, net.add("GlobalAveragePool", q)))
    if way == 6:
        gate = net.add("Greater", net.add("ReduceMean", image, axes=[1]), net.const(np.array(0.0)))
        return net.add("Where", gate, q, net.const(np.array(0.7)))
    return net.add("Identity", q)


def squared_case(seed):
    rng = np.random.default_rng(seed)
    channels, size = int(rng.choice([1, 3])), int(rng.choice([5, 6]))
    net = nets.Net(seed, (1, channels, size, size))
    q = behind(net, product(net, error_of(net, channels), channels), "x")
    image = rng.normal(size=net.shape)
    if seed % 4 == 3:
        image = np.round(2 * image)  # ties, and double roots
    threshold = str(rng.choice(["0.5", "1.25", "0.3", "max:0.5", "max:0.3", "minmax:0.5", "top:0.2"]))
    return net, q, image, threshold


def built(seed):
    net, q, image, threshold = squared_case(seed)
    model = net.finish(net.add("Identity", q, out="map"))
    return make_case(model, image, threshold=threshold, saliency="output:map", layout="NCHW")


def test_the_set_is_that_of_a_dense_scan():
    compared, pieces = 0, 0
    for seed in SEEDS:
        case = built(seed)
        if case is None:
            continue
        try:
            found = case.search(precision=TINY)
        except UnsupportedModel as refusal:
            assert "nothing but rounding decides" in str(refusal)
            continue
        z = scan(case, found)
        inside, expected = members(found.inside, z), case.member(z)
        assert np.array_equal(inside, expected), (seed, z[inside != expected][:5])
        assert members(found.inside, np.array([case.line.statistic])).all(), seed
        se = case.line.standard_error
        reach = Intervals.of([(-SETTLED * se, SETTLED * se)])
        open_ = found.undecided.union(found.blur).intersect(reach).bounds
        assert (open_[:, 1] - open_[:, 0]).sum() < 1e-3 * se, seed
        compared += 1
        pieces += len(found.inside)
    assert compared >= 100 and pieces > 1.1 * compared, (compared, pieces)


def test_a_small_memory_budget_gives_the_same_set():
    """The walk splits the line behind the products as well."""
    parts = []
    for seed in (1, 2, 6, 8, 12):
        case = built(seed)
        ends = case.line.standard_error * np.array([-2, 2])
        line = image_between(case.line.start, case.line.direction, *ends)
        domain = ExactDomain(budget=case.tight_budget())
        parts.append(len(list(walk(case.program, domain.apply, line, Tally()))))
        full, small = (case.search(budget_bytes=b) for b in (1 << 30, 8 * case.tight_budget()))
        reach = Intervals.of([(-2 * case.line.standard_error, 2 * case.line.standard_error)])
        ours, theirs = (found.inside.intersect(reach).bounds for found in (small, full))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11)
    assert min(parts) > 1 and max(parts) > 5


def double_case(seed, size=5):
    net = nets.Net(seed, (1, 1, size, size), dtype=np.float64)
    flat = net.add("Reshape", "x", net.ints(1, size * size))
    hidden = net.add("Relu", net.add("MatMul", flat, net.normal(size * size, 12, scale=0.2)))
    back = net.add("MatMul", hidden, net.normal(12, size * size, scale=0.2))
    d = net.add("Sub", "x", net.add("Reshape", back, net.ints(1, 1, size, size)))
    net.add("Mul", d, d, out="map")
    image = np.random.default_rng(seed).normal(size=net.shape)
    return make_case(net.finish("map"), image, threshold="2", layout="NCHW")


def test_a_scan_by_onnxruntime_in_double():
    pieces, runtime = 0, ["CPUExecutionProvider"]
    for seed in range(6):
        case = double_case(seed)
        found = case.search(precision=TINY)
        z = scan(case, found)
        session = onnxruntime.InferenceSession(case.model.proto.SerializeToString(), providers=runtime)
        maps = [session.run(["map"], {"x": case.line.start + case.line.direction * at})[0] for at in z]
        expected = [np.array_equal(one[0, 0] > 2, case.event.observed) for one in maps]
        assert members(found.inside, z).tolist() == expected
        pieces += len(found.inside)
    assert pieces > 6


ENDINGS = {
    "Sqrt": lambda net, d: net.add("Sqrt", net.add("ReduceSumSquare", d, axes=[1]), out="map"),
    "norm": lambda net, d: net.add("ReduceL2", d, axes=[1], out="map"),
    "sigmoid": lambda net, d: net.add(
        "Sigmoid",
        net.add("Sub", net.add("ReduceSumSquare", d, axes=[1]), net.const(np.array(1.0))),
        out="map",
    ),
}
SQUARED = {"0.9": "0.81", "max:0.8": f"max:{0.8 * 0.8}", "top:0.2": "top:0.2"}


@pytest.mark.parametrize("threshold", SQUARED)
@pytest.mark.parametrize("ending", ["Sqrt", "norm"])
def test_a_root_goes_away(ending, threshold):
    """The region of a root is the one of the squares, and S the same."""
    image = np.random.default_rng(1).normal(size=(1, 3, 6, 6))

    def tested(make, threshold):
        net = nets.Net(7, image.shape)
        make(net, error_of(net, 3))
        options = {"sigma": 1.0, "layout": "NCHW", "precision": 1e-8, "threshold": threshold}
        return onnx_si.test(net.finish("map"), image, **options)

    root = tested(ENDINGS[ending], threshold)
    plain = tested(lambda net, d: net.add("ReduceSumSquare", d, axes=[1], out="map"), SQUARED[threshold])
    assert root.guarantee == plain.guarantee == "exact"
    assert np.array_equal(root.region, plain.region)
    np.testing.assert_allclose(root.truncation.bounds, plain.truncation.bounds, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(root.p_value, plain.p_value, rtol=1e-6)


def test_a_sigmoid_behind_squares_goes_away():
    image = np.random.default_rng(1).normal(size=(1, 3, 6, 6))
    net = nets.Net(7, image.shape)
    ENDINGS["sigmoid"](net, error_of(net, 3))
    found = onnx_si.test(net.finish("map"), image, sigma=1.0, threshold=0.5, layout="NCHW")
    assert found.guarantee == "exact" and found.parity.points == found.parity.agreeing + found.parity.too_near


def test_a_root_is_never_below_zero():
    image = np.random.default_rng(1).normal(size=(1, 3, 6, 6))
    net = nets.Net(7, image.shape)
    ENDINGS["norm"](net, error_of(net, 3))
    with pytest.raises(onnx_si.errors.OnnxSIError, match="never below 0"):
        onnx_si.test(net.finish("map"), image, sigma=1.0, threshold="-1", layout="NCHW", engine="exact")


MAYBE_NEGATIVE = {
    "a square and an affine part": lambda net, q: net.add("Add", q, "x"),
    "a square less a constant": lambda net, q: net.add("Sub", q, net.const(np.array(1e-9))),
    "a difference of squares": lambda net, q: net.add("Sub", q, net.add("Mul", q, net.const(np.array(0.5)))),
    "a product of two": lambda net, q: net.add("Mul", "x", net.add("Abs", "x")),
    "a matrix product with itself": lambda net, q: net.add("MatMul", "x", "x"),
}


def test_a_root_of_squares_and_a_small_constant_goes_away():
    image = np.random.default_rng(1).normal(size=(1, 1, 5, 5))
    net = nets.Net(7, image.shape)
    net.add("Sqrt", net.add("Add", net.add("Mul", "x", "x"), net.const(np.array(0.01))), out="map")
    assert (
        onnx_si.test(net.finish("map"), image, sigma=1.0, threshold=1.0, layout="NCHW").guarantee == "exact"
    )


NEGATIVE = {
    "a square and an affine part",
    "a product of two",
    "a matrix product with itself",
}


@pytest.mark.parametrize("name", MAYBE_NEGATIVE)
def test_a_root_of_what_may_be_negative_stays(name):
    """Where the line makes it negative the test is refused; where it doesn't, the root is followed."""
    image = 1 + np.abs(np.random.default_rng(1).normal(size=(1, 1, 5, 5)))
    net = nets.Net(7, image.shape)
    net.add("Sqrt", MAYBE_NEGATIVE[name](net, net.add("Mul", "x", "x")), out="map")
    options = {"sigma": 1.0, "threshold": "max:0.7", "layout": "NCHW", "engine": "exact"}
    if name not in NEGATIVE:
        assert onnx_si.test(net.finish("map"), image, **options).search.complete
        return
    with pytest.raises(onnx_si.errors.OnnxSIError, match="root of a negative number"):
        onnx_si.test(net.finish("map"), image, **options)


def test_p_values_of_a_squared_error_are_uniform():
    """A naive test is not: the region is where the image is far from zero."""
    rng, selective, naive = np.random.default_rng(11), [], []
    net = nets.Net(2, (1, 1, 5, 5))
    net.add("Pow", error_of(net, 1), net.const(np.array(2.0)), out="map")
    model = net.finish("map")
    while len(selective) < 400:
        case = make_case(model, rng.normal(size=net.shape), threshold="max:0.5", layout="NCHW")
        found = case.search(precision=1e-4)
        selective.append(np.mean(found.p_value_bounds))
        naive.append(2 * stats.norm.sf(abs(case.line.statistic / case.line.standard_error)))
    assert stats.kstest(selective, "uniform").pvalue > 0.01
    assert stats.kstest(naive, "uniform").pvalue < 1e-4


@pytest.mark.parametrize("threshold", (0.0, 0.2))
def test_pixels_that_are_zero_all_along_are_told_among_those_that_may_count(threshold):
    """Peaks have a squared distance of zero from the largest of their neighbours: by the judge alone."""
    net = nets.Net(0, (1, 1, 4, 4))
    distance = net.add("Sub", "x", net.add("MaxPool", "x", kernel_shape=[3, 3], pads=[1] * 4))
    squared = net.add("Mul", distance, distance)
    image, mask = np.random.default_rng(0).normal(size=net.shape), np.ones((4, 4), np.bool_)
    mask[0] = False

    def marked(picture):
        peaks = ndimage.maximum_filter(picture[0, 0], 3, mode="constant", cval=-np.inf)
        return ((picture[0, 0] - peaks) ** 2 > threshold) & mask

    options = {"threshold": threshold, "saliency": f"output:{squared}", "layout": "NCHW", "verify": 0}
    result = onnx_si.test(net.finish(squared), image, mask=mask, sigma=1.0, p_value_only=True, **options)
    region = marked(image)
    eta = (region / region.sum() - (mask & ~region) / (mask & ~region).sum())[None, None]
    direction = eta / np.sum(eta**2)
    assert np.array_equal(result.region, region)
    for z in np.linspace(-4.0, 4.0, 401):
        holds = np.array_equal(marked(image + direction * (z - result.statistic)), region)
        assert holds == result.truncation.contains(z) or any(a <= z <= b for a, b in result.undecided)
