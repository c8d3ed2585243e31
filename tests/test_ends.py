"""An end of S is an interval: bounds hold whatever rounding did to it. Judged in rational arithmetic."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si

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
        a = convolved(image, self.kernels[0])
        b = np.where(a > 0, a, Fraction(0)) if self.between == "Relu" else np.where(a > Fraction(1, 4), 1, 0)
        shown = convolved(b, self.kernels[1], pad=2)
        return shown > shown.max() / 2

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
