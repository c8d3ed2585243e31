"""What depends on the image by a shape, a branch or a number of turns alone is no constant of the line."""

import numpy as np
import onnxruntime
import pytest
from onnx import parser

from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind

IMAGE = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32)
BEFORE = (
    "zero = Constant <value_float: float = 0> () above = Greater (x, zero) share = Cast <to: int = 1> (above)"
    " flat = Constant <value_ints: ints = [-1]> () row = Reshape (x, flat) rows = Reshape (above, flat)"
    " positive = Relu (x) found = NonZero (positive) total = ReduceSum <keepdims: int = 0> (share)"
    " count = Cast <to: int = 7> (total) many = Reshape (count, flat)"
    " one = Constant <value_int: int = 1> () two = Constant <value_int: int = 2> ()"
    " none = Constant <value_int: int = 0> () start = Constant <value_ints: ints = [0]> ()"
    " sum = ReduceSum <keepdims: int = 0> (x) warm = Greater (sum, zero) on = Cast <to: int = 9> (one)"
    " size = Size (found) "
)
AFTER = " number = Cast <to: int = 1> (q) y = Sub (x, number)"
BODY = "c2 = Identity (c) s2 = Add (s, i)"
COUNTS = {
    "Shape of NonZero": "shape = Shape (found) q = Gather (shape, one)",
    "Size of Compress": "picked = Compress (row, rows) q = Size (picked)",
    "Unique": "u = Unique (share) q = Size (u)",
    "Range": "r = Range (none, count, one) q = Size (r)",
    "ConstantOfShape": "r = ConstantOfShape (many) q = Size (r)",
    "Expand": "r = Expand (one, many) q = Size (r)",
    "Slice": "r = Slice (row, start, many) q = Size (r)",
    "Pad": "pads = Concat <axis = 0> (start, many) r = Pad (row, pads) q = Size (r)",
    "Gather by changing places": "g = Gather (found, two) r = Gather <axis = 3> (x, g) q = Size (r)",
    "GatherND": "t = Transpose (found) r = GatherND (x, t) q = Size (r)",
    "EyeLike": "e = EyeLike (found) f = Cast <to: int = 1> (e) q = ReduceSum <keepdims: int = 0> (f)",
    "a branch of constants": "q = If (warm) <then_branch = t () => (int64 o) { o = Identity (one) },"
    " else_branch = e () => (int64 o) { o = Identity (two) }>",
    "a branch of shapes": "b = If (warm) <then_branch = t () => (float[N] o) { o = Relu (row) },"
    " else_branch = e () => (float[N] o) { o = Concat <axis = 0> (row, row) }> q = Size (b)",
    "turns": "q = Loop (size, on, none) <body = b (int64 i, bool c, int64 s) => (bool c2, int64 s2) {"
    f" {BODY} }}>",
    "stacked turns": "l, stack = Loop (size, on, none) <body = b (int64 i, bool c, int64 s) =>"
    f" (bool c2, int64 s2, int64 o) {{ {BODY} o = Identity (i) }}> q = Size (stack)",
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_evaluated_and_refused_on_the_line(name):
    text = '<ir_version: 9, opset_import: ["" : 17]> g (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y) {'
    proto = parser.parse_model(f"{text} {BEFORE}{COUNTS[name]}{AFTER} }}")
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    program = bind(model_from_proto(proto), IMAGE, ("y",))
    np.testing.assert_allclose(program.values["y"], session.run(None, {"x": IMAGE})[0], rtol=1e-5)
    assert program.findings


COUNTS["scanned rows"] = (
    "t = Transpose (found) q = Scan <num_scan_inputs = 1, body = b (int64 s, int64[4] row) => (int64 s2)"
    " { k = Constant <value_int: int = 1> () s2 = Add (s, k) }> (none, t)"
)
FIXED = {
    "Shape": "s = Shape (x) q = Gather (s, two)",
    "a branch": "q = If (on) <then_branch = t () => (int64 o) { o = Identity (one) },"
    " else_branch = e () => (int64 o) { o = Identity (two) }>",
    "turns": "q = Loop (two, on, none) <body = b (int64 i, bool c, int64 s) => (bool c2, int64 s2) {"
    f" {BODY} }}>",
}


@pytest.mark.parametrize("name", FIXED)
def test_what_is_the_same_for_every_image_stays_a_constant(name):
    text = '<ir_version: 9, opset_import: ["" : 17]> g (float[1, 1, 4, 4] x) => (float[1, 1, 4, 4] y) {'
    program = bind(
        model_from_proto(parser.parse_model(f"{text} {BEFORE}{FIXED[name]}{AFTER} }}")), IMAGE, ("y",)
    )
    program.require_exact()
