"""Taylor series of the smooth ops against mpmath's derivatives."""

import mpmath
import numpy as np
import pytest
from ops.cases import HANDLERS

from onnx_si.ops.smooth import PLAIN
from onnx_si.rules.registry import Context, Variable
from onnx_si.rules.rules import Smooth

ORDER = 6
INSIDE, BEYOND = np.array([-0.7, 0.2, 0.9]), np.array([1.2, 1.9, 3.1])


def phi(x):
    return mpmath.ncdf(x)


def by_tanh(x):
    return x * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + 0.044715 * x**3))) / 2


TRUTH = {
    **{name: getattr(mpmath, name.lower()) for name in ("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh")},
    **{name: getattr(mpmath, name.lower()) for name in ("Cos", "Cosh", "Erf", "Exp", "Log", "Sin", "Sinh")},
    **{name: getattr(mpmath, name.lower()) for name in ("Tan", "Tanh", "Sqrt")},
    "Mish": lambda x: x * mpmath.tanh(mpmath.log(1 + mpmath.exp(x))),
    "Reciprocal": lambda x: 1 / x,
    "Softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "Sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "Gelu": lambda x: x * phi(x),
    "Swish": lambda x: x / (1 + mpmath.exp(-x)),
}
OTHERS = {
    "Gelu by tanh": ("Gelu", (), {"approximate": "tanh"}, by_tanh),
    "Swish scaled": ("Swish", (), {"alpha": 0.3}, lambda x: x / (1 + mpmath.exp(-mpmath.mpf(0.3) * x))),
    "Pow": ("Pow", (np.array(2.5),), {}, lambda x: x ** mpmath.mpf(2.5)),
    "Pow of a negative exponent": ("Pow", (np.array([-1.5]),), {}, lambda x: x ** mpmath.mpf(-1.5)),
}
ALL = {**{op: (op, (), {}, truth) for op, truth in TRUTH.items()}, **OTHERS}


def test_every_smooth_function_without_attributes_is_among_them():
    assert set(PLAIN) <= set(TRUTH)


@pytest.mark.parametrize("name", ALL)
def test_the_series_is_that_of_the_function(name):
    op, constants, attributes, truth = ALL[name]
    handler = HANDLERS[op]
    rule = handler.build((Variable((3,)), *constants), attributes, Context(0, 1, handler.versions[-1]))
    assert isinstance(rule, Smooth)
    at = BEYOND if name.startswith(("Acosh", "Log", "Sqrt", "Pow")) else INSIDE
    found = rule.series(at[None], ORDER)
    assert found.shape == (ORDER + 1, 1, 3)
    np.testing.assert_allclose(found[0], rule.evaluate(at[None]), rtol=4e-16)
    with mpmath.workdps(60):
        wanted = np.array([[float(c) for c in mpmath.taylor(truth, mpmath.mpf(x), ORDER)] for x in at]).T
    size = np.abs(wanted).max(axis=0)
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-11, atol=1e-13 * size.max())
