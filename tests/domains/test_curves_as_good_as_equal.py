"""Functions of arguments that differ by rounding alone: told at once, and never told of what does differ."""

import numpy as np
import pytest

from onnx_si.domains.piecewise.curves import signs
from onnx_si.domains.piecewise.curves.expressions import Factor, Product, Sums
from onnx_si.domains.piecewise.curves.signs import signs_of
from onnx_si.domains.piecewise.curves.twins import as_good_as_equal
from onnx_si.errors import Refusal
from onnx_si.kernels import bernstein
from onnx_si.kernels.bounded import Logistic, Reciprocal, Root

SHARES = np.linspace(0.0, 1.0, 2001)
FUNCTIONS = {"reciprocal": (Reciprocal(),), "root over": (Root(), Reciprocal()), "sigmoid": (Logistic(),)}


def arguments(rng, rows, degree=3):
    return rng.uniform(0.5, 3.0, (degree + 1, rows))


def product(weight, functions, given):
    return Product(
        weight, tuple(Factor(f, Sums((Product(x),))) for f, x in zip(functions, given, strict=True))
    )


def nearly_equal(name, apart, rows=50, seed=0):
    """p F(g) - q F(h), where p and q, and g and h, differ by this share."""
    rng, functions = np.random.default_rng(seed), FUNCTIONS[name]
    weight = rng.normal(size=(2, rows))
    given = [arguments(rng, rows) for _ in functions]
    moved = [x * (1 + apart * rng.uniform(-1, 1, x.shape)) for x in [weight, *given]]
    return Sums((product(weight, functions, given), product(-moved[0], functions, moved[1:])))


def largest(sums):
    return np.abs([sums.at(share) for share in SHARES]).max(axis=0)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("apart", [1e-15, 1e-9, 1e-3, 0.3])
def test_what_is_told_is_true_and_near_to_the_truth(name, apart):
    sums = nearly_equal(name, apart)
    true = largest(sums) + 1e-15
    assert not as_good_as_equal(sums, 0.9 * true - 2e-15).any(), "what leaves the slack is never within"
    assert as_good_as_equal(sums, 1e3 * true).all()


def test_functions_may_be_steeper_at_the_other_argument():
    weight, large = np.ones((1, 1)), np.array([[2.0], [3.0]])
    for given in ((large, 0.1 * large), (0.1 * large, large)):
        sums = Sums(
            tuple(
                product(sign * weight, (Reciprocal(),), [x]) for sign, x in zip((1, -1), given, strict=True)
            )
        )
        assert not as_good_as_equal(sums, 0.999 * largest(sums)).any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equal_but_for_rounding_is_told_without_halving(name, monkeypatch):
    monkeypatch.setattr(signs, "MOST", 4096)
    sums = nearly_equal(name, 1e-15)
    found = signs_of(sums, 1e-12)
    assert not found.sign.any()
    assert len(found.sign) <= 2 * signs.MANY * sums.count


def test_other_sums_are_not_told_of():
    rng = np.random.default_rng(1)
    weight, given = np.ones((1, 3)), arguments(rng, 3)
    one, other = product(weight, (Reciprocal(),), [given]), product(-weight, (Root(),), [given])
    assert not as_good_as_equal(Sums((one, other)), np.full(3, np.inf)).any()
    assert not as_good_as_equal(Sums((one, one, other)), np.full(3, np.inf)).any()


def test_what_no_bound_can_tell_is_refused(monkeypatch):
    """The root of a square is its argument; nobody looks for that."""
    monkeypatch.setattr(signs, "MOST", 4096)
    given = arguments(np.random.default_rng(2), 1, 2)
    square = bernstein.product(np.multiply, given, given)
    rows = Sums((product(np.ones((1, 1)), (Root(),), [square]), Product(-given)))
    assert largest(rows) < 1e-14
    with pytest.raises(Refusal, match="monte-carlo"):
        signs_of(rows, 1e-15)
