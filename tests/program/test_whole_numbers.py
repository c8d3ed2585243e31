"""Integers that leave their type's range along the line, though not at the image: refused, never followed."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import parser

import onnx_si
from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure
from onnx_si.graph import model_from_proto
from onnx_si.program.ranges import LARGEST_HELD, beyond, limits_of
from onnx_si.rules.rules import Affine, Winner

CASES = Path(__file__).parents[3] / "shared" / "cases"
IMAGE = np.random.default_rng(5).normal(size=(1, 1, 4, 4)).astype(np.float32)
IMAGE *= np.float32(1.84) / np.abs(IMAGE).max()
CHOICE = {"sigma": 1.0, "saliency": "output:y", "threshold": 0.5, "verify": 0}
INT32, INT64 = 6, 7


def model(kind, middle, divisor=1.0):
    """In `middle`, q is made of i, the whole part of 20 x: -37 to 36 at the image."""
    return parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> g (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y) {'
        f" k = Constant <value_float: float = 20> () d = Constant <value_float: float = {divisor}> ()"
        f" s = Mul (x, k) w = Floor (s) i = Cast <to: int = {kind}> (w) {middle}"
        " f = Cast <to: int = 1> (q) y = Mul (f, d) }"
    )


def times(factor, kind):
    return f"c = Constant <value_int: int = {factor}> () n = Cast <to: int = {kind}> (c) j = Mul (i, n) "


OVERFLOWING = {
    "a product": model(INT32, times(1250, INT32) + "q = Mul (j, j)", 1e-9),
    "a sum": model(INT32, times(28000000, INT32) + "q = Add (j, j)", 1e-9),
    "a cast": model(
        INT32, "c = Constant <value_float: float = 5.7e7> () j = Mul (w, c) q = Cast <to: int = 6> (j)", 1e-9
    ),
    "a value that float64 does not hold": model(INT64, times(2500000, INT64) + "q = Mul (j, j)", 1e-15),
}


@pytest.mark.parametrize("name", OVERFLOWING)
def test_integers_that_overflow_on_the_line_are_refused(name):
    """At the image all of them are in range: the region itself is right."""
    proto = OVERFLOWING[name]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (shown,) = session.run(None, {"x": IMAGE})
    found = onnx_si.evaluate(model_from_proto(proto), {"x": IMAGE})["y"]
    np.testing.assert_allclose(found, shown, rtol=1e-6)
    with pytest.raises(onnx_si.UnsupportedModel, match=r"whole numbers leave .* wider type"):
        onnx_si.test(model_from_proto(proto), IMAGE, **CHOICE)


def test_integers_in_range_are_followed():
    """The type has room for all of the line that counts: the same S as in a wider type."""
    results = [
        onnx_si.test(model_from_proto(model(kind, "q = Mul (i, i)", 0.0025)), IMAGE, **CHOICE)
        for kind in (INT32, INT64)
    ]
    assert results[0].p_value == results[1].p_value
    assert 0 < results[0].p_value < 1


def test_the_case_that_overflowed():
    if not CASES.is_dir():
        pytest.skip("the shared cases are not here")
    with pytest.raises(onnx_si.UnsupportedModel, match="whole numbers leave -2147483648"):
        onnx_si.test(
            onnx_si.load(CASES / "overflow_on_line.onnx"), np.load(CASES / "overflow_on_line.npy"), **CHOICE
        )


def test_a_cell_on_which_integers_may_overflow_is_lost():
    half = np.array([0.5, 0.5, 0.5, 0.5])
    centre = np.array([[0.0, 5.0], [0.0, 126.8], [np.nan, 0.0], [-127.8, 0.0]])
    domain = EnclosureDomain(4)
    domain.watch(
        Enclosure(centre=centre, slope=np.ones((4, 2)), radius=np.zeros((4, 2)), half_width=half),
        (-128.0, 127.0),
    )
    np.testing.assert_array_equal(domain.lost, [False, True, True, True])


def test_limits_of_types():
    plain, place = Affine(linear=lambda x: x), Winner(lambda x: x)
    assert limits_of(np.dtype(np.int8), plain) == (-128, 127)
    assert limits_of(np.dtype(np.uint32), plain) == (0, 2**32 - 1)
    assert limits_of(np.dtype(np.int64), plain) == (-LARGEST_HELD, LARGEST_HELD)
    for dtype, rule in ((np.float32, plain), (np.bool_, plain), (np.int64, place)):
        assert limits_of(np.dtype(dtype), rule) is None
    low, high = np.array([[0.0], [-1.0], [5.0]]), np.array([[255.0], [3.0], [256.0]])
    np.testing.assert_array_equal(beyond(low, high, (0.0, 255.0)), [False, True, True])
