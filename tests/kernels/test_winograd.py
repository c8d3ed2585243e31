"""Minimal filtering gives what the direct sum gives, and exact zeros where that has them."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from ops.cases import HANDLERS
from support import nets

from onnx_si.domains.event import RegionEvent
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.task import Task
from onnx_si.kernels import winograd
from onnx_si.kernels.correlation import correlate
from onnx_si.kernels.windows import Axis, Window
from onnx_si.kernels.winograd import INPUT, KERNEL, OUTPUT, MinimalFilter, minimal_filter
from onnx_si.program.program import bind
from onnx_si.rules.registry import Context, Variable


def window(height, width, pads=(1, 1, 1, 1)):
    top, left, bottom, right = pads
    return Window(
        (
            Axis(
                length=height,
                taps=3,
                stride=1,
                dilation=1,
                begin=top,
                end=bottom,
                output=height + top + bottom - 2,
            ),
            Axis(
                length=width,
                taps=3,
                stride=1,
                dilation=1,
                begin=left,
                end=right,
                output=width + left + right - 2,
            ),
        )
    )


def test_the_matrices_are_exact():
    """In fractions, four outputs of a filter of three on each of six unit vectors."""
    six = [[Fraction(int(v)) / 24 for v in row] for row in np.rint(KERNEL * 24)]
    for tap in range(3):
        for place in range(6):
            products = [six[p][tap] * Fraction(int(INPUT[p, place])) for p in range(6)]
            made = [sum(Fraction(int(OUTPUT[o, p])) * products[p] for p in range(6)) for o in range(4)]
            assert made == [Fraction(int(place == o + tap)) for o in range(4)]


@pytest.mark.parametrize("size", [(4, 4), (7, 9), (13, 6)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 1)])
@pytest.mark.parametrize("block_bytes", [1, 4 << 20])
def test_against_the_direct_sum(monkeypatch, size, pads, block_bytes):
    monkeypatch.setattr(winograd, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    win = window(*size, pads)
    x, weight = rng.normal(size=(5, 2, 3, *size)), rng.normal(size=(4, 3, 3, 3))
    expected = correlate(x, weight, win, 1)
    np.testing.assert_allclose(MinimalFilter(weight, win)(x), expected, atol=1e-13 * np.abs(expected).max())


def test_a_window_of_zeros_gives_zero():
    rng = np.random.default_rng(1)
    x, weight, win = rng.normal(size=(2, 3, 9, 9)), rng.normal(size=(4, 3, 3, 3)), window(9, 9)
    x[:, :, 2:7, 3:] = 0.0
    expected = correlate(x, weight, win, 1)
    np.testing.assert_array_equal(MinimalFilter(weight, win)(x) == 0, expected == 0)
    assert (expected == 0).sum() == 2 * 4 * 3 * 5


def build(weight, size=(12, 12), **attributes):
    variable = Variable((1, weight.shape[1] * attributes.get("group", 1), *size))
    return HANDLERS["Conv"].build((variable, weight), attributes, Context(0, 1, 22))


def trained(outputs=64, channels=64, kernel=(3, 3)):
    return np.random.default_rng(2).normal(size=(outputs, channels, *kernel)).astype(np.float32)


def test_used_for_large_plain_kernels_of_three():
    assert build(trained()).fast is not None


@pytest.mark.parametrize(
    ("weight", "attributes"),
    [
        (trained(channels=8), {}),
        (trained(kernel=(3, 1)), {}),
        (trained(kernel=(5, 5)), {}),
        (trained(), {"strides": [2, 2]}),
        (trained(), {"dilations": [2, 2]}),
        (trained(channels=32), {"group": 2}),
        (np.rint(trained() * 40) / 64, {}),  # quantised
        (np.where(np.arange(64 * 64 * 9).reshape(64, 64, 3, 3) != 7, trained(), np.float32(0)), {}),  # pruned
    ],
)
def test_left_to_the_direct_sum(weight, attributes):
    assert build(weight, **attributes).fast is None


def test_left_to_the_direct_sum_on_small_images_and_huge_kernels():
    assert build(trained(), size=(4, 4)).fast is None
    huge = np.broadcast_to(np.float32(1), (4096, 2048, 3, 3))
    assert minimal_filter(huge, window(32, 32), 1) is None


def test_the_exact_domain_uses_it_and_the_certified_path_does_not(monkeypatch):
    """Values that carry bounds are made by the sum whose terms are counted."""
    rule, x = build(trained()), np.random.default_rng(3).normal(size=(1, 64, 12, 12))
    expected = rule.evaluate(x[None])
    calls = []
    original = MinimalFilter.__call__
    monkeypatch.setattr(MinimalFilter, "__call__", lambda self, x: calls.append(1) or original(self, x))
    rule.evaluate(x[None]), rule.slope(x[None]), rule.spread(np.abs(x[None]))
    assert not calls
    found = ExactDomain().apply(rule, [line_segment(x, np.zeros_like(x), 0.0, 1.0)])
    assert calls
    np.testing.assert_allclose(found.values[0], expected[0], atol=1e-12 * np.abs(expected).max())


def test_its_rounding_decides_no_pixel():
    """A margin that only the fast way's rounding tells from zero is in doubt."""
    net = nets.Net(0, (1, 64, 12, 12))
    net.add("Relu", net.conv("x", 64, 64), out="map")
    image = np.random.default_rng(4).normal(size=(1, 64, 12, 12))
    program = bind(net.finish("map"), image, ("map",))
    rule = program.instructions[0].rule
    line = SimpleNamespace(start=image, direction=np.ones_like(image), statistic=0.0, standard_error=1.0)
    task = Task(program=program, margin="map", line=line, event=RegionEvent(program.values["map"] > 0))
    apart = np.abs(rule.evaluate_fast(image[None]) - rule.evaluate(image[None])).max()
    assert rule.fast is not None
    assert 0 < apart < task.judge.slack(("map",), np.zeros(1), []) / 8
