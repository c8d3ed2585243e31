"""Brent's method gives scipy's own numbers to the last bit."""

import math

import pytest
from scipy.optimize import brentq

from onnx_si.statistics.truncated.brent import find_root

FUNCTIONS = [
    (lambda x: x**3 - 2, -1.0, 5.0),
    (lambda x: math.exp(-x) - 1e-9, 0.0, 700.0),
    (lambda x: math.tanh(40 * (x - 0.3)) + 0.1, -3.0, 9.0),
    (lambda x: -1.0 if x < 1 / 3 else 1.0, 0.0, 1.0),
    (lambda x: 1e-300 * (x - 2), 0.0, 7.0),
    (lambda x: x * abs(x) ** 0.2, -1.0, 3.0),
    (lambda x: x - 1.0, 1.0, 3.0),
    (lambda x: x - 3.0, 1.0, 3.0),
]


@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
@pytest.mark.parametrize("xtol", [2e-12, 1e-6])
def test_as_scipy_finds_them(number, xtol):
    function, low, high = FUNCTIONS[number]
    seen, wanted = [], []
    found = find_root(lambda x: seen.append(x) or function(x), low, high, xtol=xtol, maxiter=500)
    known = brentq(lambda x: wanted.append(x) or function(x), low, high, xtol=xtol, maxiter=500)
    assert found == known
    assert seen == wanted[: len(seen)] and len(wanted) - len(seen) in (0, 1)


def test_without_a_change_of_sign_there_is_none():
    for high in (3.0, math.nan):
        with pytest.raises(ValueError):
            find_root(lambda x: x * x + 1, 0.0, high)
