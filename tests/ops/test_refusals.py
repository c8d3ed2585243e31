"""What is not proved right is refused, with node, op, opset, reason and advice, before memory is taken."""

import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.nets import Net

import onnx_si
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import Refusal, UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind
from onnx_si.rules import registry
from onnx_si.rules.registry import find, handles

from .cases import C, Case, P, V, floats, index, ints, level, model_of, one

IMAGE = np.random.default_rng(3).normal(size=(1, 1, 4, 4))


def findings(net, *outputs):
    """The findings of a net under construction, and the message that names them all."""
    program = bind(net.finish(*outputs), IMAGE.astype(np.float64), outputs)
    with pytest.raises(UnsupportedOp) as caught:
        program.require_exact()
    assert caught.value.findings == program.findings
    return caught.value.findings, str(caught.value)


def net():
    return Net(0, IMAGE.shape, opset=17)


def test_product_of_two_tensors_that_change():
    n = net()
    y = n.add("Floor", n.add("Mul", n.conv("x", 1, 2), n.conv("x", 1, 2)))
    (found,), text = findings(n, y)
    assert (found.op, found.opset) == ("Mul", 17)
    assert "Mul is bilinear, not piecewise linear, and Floor reads it; choose a map in front of it" in text


@pytest.mark.parametrize("op", ["Mul", "Pow", "ReduceSumSquare"])
def test_a_square_is_a_product(op):
    """It is followed to the end, and powers of it up to degree 8."""
    n = net()
    y = n.add(op, "x", *({"Mul": ["x"], "Pow": [n.const(np.array(2.0))]}.get(op, [])))
    eighth = n.add("Pow", y, n.const(np.array(4.0)))
    bind(n.finish(eighth), IMAGE.astype(np.float64), (eighth,)).require_exact()
    (found,), _ = findings(n, n.add("Mul", eighth, "x"))
    assert (found.op, found.reason) == ("Pow", "Pow is bilinear, not piecewise linear, and Mul reads it")


@pytest.mark.parametrize(
    "op",
    ["Exp", "Sigmoid", "Tanh", "Log", "Erf", "Softplus", "Elu", "HardSwish", "Softmax", "LogSoftmax"],
)
def test_smooth_function(op):
    n = net()
    (found,), text = findings(n, n.add(op, n.add("Abs", "x")))
    assert found.op == op
    assert f"{op} is smooth, not piecewise linear; choose a map in front of it" in text


CURVES = {
    "Div": lambda n, x: n.add("Div", n.const(np.ones(1)), x),
    "Reciprocal": lambda n, x: n.add("Reciprocal", x),
    "ReduceL2": lambda n, x: n.add("ReduceL2", x, axes=[2]),
    "Sqrt": lambda n, x: n.add("Sqrt", x),
}


@pytest.mark.parametrize("op", CURVES)
def test_what_is_followed_as_a_curve(op):
    """Between knots, to the end: not by an op that rounds it to whole numbers."""
    n = net()
    y = CURVES[op](n, n.add("Add", n.add("Abs", "x"), n.const(np.ones(1))))
    bind(n.finish(y), IMAGE.astype(np.float64), (y,)).require_exact()
    found, text = findings(n, n.add("Floor", y))
    assert found[-1].op == op
    assert f"{op} is smooth, not piecewise linear, and Floor reads it; choose a map in front of it" in text


def test_convolution_whose_weights_are_the_image():
    n = net()
    (found,), _ = findings(n, n.add("Conv", "x", "x"))
    assert found.reason == "input W depends on the image"


@pytest.fixture
def unknown(monkeypatch):
    """The name of an op of the standard without a handler."""
    monkeypatch.delitem(registry._HANDLERS, ("", "GlobalLpPool"))
    return "GlobalLpPool"


def test_unknown_op(unknown):
    n = net()
    (found,), _ = findings(n, n.add(unknown, "x"))
    assert found.reason == f"op {unknown} has no handler"


def test_unknown_domain():
    node = helper.make_node("FusedConv", ["x"], ["y"], domain="com.example", name="fused")
    graph = helper.make_graph(
        [node],
        "custom",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 3)]
    model = model_from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    with pytest.raises(UnsupportedOp, match=r"node 'fused' \(FusedConv, opset 3\): op FusedConv of domain"):
        bind(model, np.zeros((1, 4)), ("y",)).require_exact()


def test_unknown_schema_version():
    with pytest.raises(Refusal, match=r"schema version 99 of Relu is not known here \(known: 6, 13, 14\)"):
        find("Relu", "", 99)


def test_an_op_has_one_handler():
    with pytest.raises(ValueError, match="Relu has a handler already"):
        handles("Relu", since=(1,))(lambda x: x)


def test_all_findings_come_at_once(unknown):
    n = net()
    a = n.conv("x", 1, 2)
    b = n.add("Exp", a)
    c = n.add(unknown, b)
    d = n.add("Floor", n.add("Mul", c, c))
    found, text = findings(n, n.add("ConvTranspose", d, d))
    assert [f.op for f in found] == ["Exp", unknown, "Mul", "ConvTranspose"]
    names = [node.name for node in n.nodes if node.op_type in ("Exp", unknown, "Mul", "ConvTranspose")]
    assert text.splitlines() == [
        "4 nodes can't be analysed exactly:",
        f"  node '{names[0]}' (Exp, opset 17): Exp is smooth, not piecewise linear; "
        "choose a map in front of it, or train with a piecewise-linear function",
        f"  node '{names[1]}' ({unknown}, opset 17): op {unknown} has no handler; "
        "export the model without it (no fused or custom ops)",
        f"  node '{names[2]}' (Mul, opset 17): Mul is bilinear, not piecewise linear, and Floor reads it; "
        "choose a map in front of it",
        f"  node '{names[3]}' (ConvTranspose, opset 17): input W depends on the image; "
        "only constants are exact here",
    ]


def test_evaluate_takes_no_values_from_elsewhere(unknown):
    """Behind a node without a handler there are no values, not even the reference evaluator's."""
    n = net()
    model = n.finish(n.add("Relu", n.add(unknown, "x")))
    with pytest.raises(UnsupportedOp, match=unknown):
        onnx_si.evaluate(model, {"x": IMAGE})


HUGE = 10**6
ROW = np.zeros((1, 2 * HUGE), dtype=np.float32)
TOO_LARGE = [
    Case("shape", "Expand", (V(1, 1), ints(HUGE, HUGE))),
    Case("repeats", "Tile", (V(1, 1), ints(HUGE, HUGE))),
    Case("pads", "Pad", (V(1, 1), ints(HUGE, HUGE, 0, 0)), versions=(11, 99)),
    Case("pad value", "Pad", (V(1, 1), ints(0, HUGE, HUGE, 0), one(1)), versions=(11, 99)),
    Case("edge", "Pad", (V(1, 1), ints(0, HUGE, HUGE, 0)), {"mode": "edge"}, versions=(11, 99)),
    *(
        Case(
            f"{mode} to sizes", "Resize", (V(1, 1, 2, 2), None, None, ints(1, 1, HUGE, HUGE)), {"mode": mode}
        )
        for mode in ("nearest", "linear", "cubic")
    ),
    Case("by scales", "Resize", (V(1, 1, 2, 2), None, floats(1, 1, HUGE, HUGE)), {"mode": "linear"}),
    Case("scales", "Upsample", (V(1, 1, 2, 2), floats(1, 1, HUGE, HUGE)), versions=(9, 9)),
    Case("strides", "ConvTranspose", (V(1, 1, 3, 3), C(1, 1, 1, 1)), {"strides": [HUGE, HUGE]}),
    Case("output shape", "ConvTranspose", (V(1, 1, 1, 1), C(1, 1, 1, 1)), {"output_shape": [HUGE, HUGE]}),
    Case("pads", "Conv", (V(1, 1, 3, 3), C(1, 1, 1, 1)), {"pads": [HUGE] * 4}),
    Case("pads", "MaxPool", (V(1, 1, 3, 3),), {"kernel_shape": [2 * HUGE] * 2, "pads": [HUGE] * 4}),
    Case("pads", "AveragePool", (V(1, 1, 3, 3),), {"kernel_shape": [2 * HUGE] * 2, "pads": [HUGE] * 4}),
    *(Case("broadcast", op, (V(1000, 1), ROW)) for op in ("Add", "Max", "Mul", "Greater")),
    Case("outer product", "MatMul", (V(1000, 1), ROW)),
    Case("rows", "Gather", (V(1, 2000), np.zeros(HUGE, dtype=np.int64))),
]


@pytest.mark.parametrize("case", TOO_LARGE, ids=str)
def test_large_outputs_are_refused_before_they_are_made(case):
    model = model_of(case, case.opsets()[-1])
    constants = sum(t.ByteSize() for t in model.proto.graph.initializer)
    tracemalloc.start()
    try:
        program = bind(model, np.zeros((1, 6)), ("y0",))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [f.op for f in program.findings] == [case.op]
    assert peak < 64 << 20 + 4 * constants
    text = str(program.findings[0])
    assert "a tensor of shape" in text or "pads" in text


def test_large_constants_are_refused_before_they_are_made():
    """What does not depend on the image is computed by the reference evaluator: measured first, too."""
    n = net()
    large = n.add("Pad", n.const(np.zeros((1, 1))), n.ints(0, 0, HUGE, HUGE))
    (found,), _ = findings(n, n.add("Add", "x", n.add("ReduceSum", large)))
    assert found.op == "Pad"
    assert "a tensor of shape" in found.reason


REFUSED = [
    (
        Case(
            "keeps a length",
            "Resize",
            (V(1, 1, 3, 5), None, floats(1.3, 2.0)),
            {"mode": "linear", "antialias": 1, "axes": [2, 3]},
            (18, 99),
        ),
        "an antialiased resize that changes no length of an axis",
    ),
    (
        Case(
            "axes from the end",
            "Resize",
            (V(1, 1, 3, 5), None, None, ints(4, 4)),
            {"keep_aspect_ratio_policy": "not_larger", "axes": [-2, -1], "mode": "linear"},
            (18, 99),
        ),
        "not_larger with axes [-2, -1]",
    ),
    (
        Case(
            "crop by scales",
            "Resize",
            (V(1, 1, 4, 4), floats(0, 0, 0, 0, 1, 1, 1, 1), floats(1, 1, 2, 2)),
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
            (11, 99),
        ),
        "linear with tf_crop_and_resize, stretch, antialias 0 and scales",
    ),
    (
        Case(
            "crop at the edge",
            "Resize",
            (V(1, 1, 1, 4), floats(0, 0, 0, 0.3, 1, 1, 1, 1), floats(), ints(1, 1, 1, 8)),
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
            (11, 99),
        ),
        "a position at the edge that float32 arithmetic gets wrong",
    ),
    (
        Case(
            "crop of the same length",
            "Resize",
            (V(1, 1, 4, 4), floats(0, 0, 0.3, 0, 1, 1, 0.6, 1), floats(), ints(1, 1, 4, 8)),
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
            (11, 99),
        ),
        "a crop that changes no length of an axis",
    ),
    (
        Case(
            "nearest crop",
            "Resize",
            (V(1, 1, 4), floats(0, 0, 0.3, 1, 1, 0.6), floats(), ints(1, 1, 8)),
            {"coordinate_transformation_mode": "tf_crop_and_resize"},
            (11, 99),
        ),
        "mode nearest with tf_crop_and_resize, stretch, antialias 0 and sizes",
    ),
    (
        Case(
            "crop without roi",
            "Resize",
            (V(1, 1, 4), None, None, ints(1, 1, 2)),
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
            (13, 99),
        ),
        "roi",
    ),
    (
        Case(
            "crop with a short roi",
            "Resize",
            (V(1, 1, 4), floats(0, 1), None, ints(1, 1, 2)),
            {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
            (13, 99),
        ),
        "2 numbers in roi for 3 axes",
    ),
    (
        Case("antialias", "Resize", (V(1, 1, 4), None, None, ints(1, 1, 2)), {"antialias": 1}, (18, 99)),
        "nearest with half_pixel, stretch, antialias 1",
    ),
    (
        Case(
            "policy by scales",
            "Resize",
            (V(1, 1, 4, 4), None, floats(1, 1, 0.5, 0.5)),
            {"keep_aspect_ratio_policy": "not_larger"},
            (18, 99),
        ),
        "half_pixel, not_larger, antialias 0 and scales",
    ),
    (
        Case(
            "linear without half a pixel",
            "Resize",
            (V(1, 1, 4), floats(), floats(), ints(1, 1, 2)),
            {"mode": "linear", "coordinate_transformation_mode": "tf_half_pixel_for_nn"},
            (11, 11),
        ),
        "mode linear with tf_half_pixel_for_nn",
    ),
    (Case("same length", "Resize", (V(1, 1, 3), None, floats(1, 1, 1.2))), "a resize that changes no length"),
    (
        Case(
            "float32",
            "Resize",
            (V(1, 1, 14), None, None, ints(1, 1, 2)),
            {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ),
        "float32 arithmetic",
    ),
    (
        Case(
            "symmetric",
            "Resize",
            (V(1, 1, 5), None, floats(1, 1, 0.7)),
            {"coordinate_transformation_mode": "half_pixel_symmetric"},
            (19, 99),
        ),
        "nearest with half_pixel_symmetric",
    ),
    (Case("old down", "Resize", (V(1, 1, 4), floats(1, 1, 0.5)), {}, (10, 10)), "below 1 are not specified"),
    (
        Case(
            "valid ceil",
            "MaxPool",
            (V(1, 1, 5),),
            {"kernel_shape": [2], "strides": [2], "ceil_mode": 1, "auto_pad": "VALID"},
        ),
        "auto_pad VALID with ceil_mode",
    ),
    (
        Case(
            "same dilated",
            "MaxPool",
            (V(1, 1, 5),),
            {"kernel_shape": [2], "dilations": [2], "auto_pad": "SAME_UPPER"},
        ),
        "auto_pad with dilations",
    ),
    (Case("pads alone", "MaxPool", (V(1, 1, 3),), {"kernel_shape": [2], "pads": [2, 0]}), "on pads alone"),
    (
        Case("pads alone", "AveragePool", (V(1, 1, 3),), {"kernel_shape": [2], "pads": [2, 0]}),
        "on pads alone",
    ),
    (
        Case(
            "same, long stride", "Conv", (V(1, 1, 7), C(1, 1, 1)), {"strides": [4], "auto_pad": "SAME_UPPER"}
        ),
        "stride of 4 beyond the kernel",
    ),
    (Case("too small", "Conv", (V(1, 1, 2), C(1, 1, 3))), "does not fit"),
    (Case("channels", "Conv", (V(1, 2, 4), C(1, 3, 3))), "on 2 channels"),
    (Case("bias", "Conv", (V(1, 2, 4), C(2, 2, 3), C(1))), "bias of shape (1,)"),
    (Case("kernel", "Conv", (V(1, 2, 4), C(2, 2, 3)), {"kernel_shape": [2]}), "kernel_shape [2]"),
    (Case("negative pads", "Conv", (V(1, 2, 4), C(2, 2, 1)), {"pads": [-1, 0]}), "pads [-1, 0]"),
    (
        Case(
            "same, long stride",
            "ConvTranspose",
            (V(1, 1, 3), C(1, 1, 2)),
            {"strides": [4], "auto_pad": "SAME_UPPER"},
        ),
        "longer than auto_pad fills",
    ),
    (
        Case(
            "odd pads",
            "ConvTranspose",
            (V(1, 1, 3), C(1, 1, 3)),
            {"strides": [2], "auto_pad": "SAME_UPPER"},
            (1, 1),
        ),
        "an odd total of pads",
    ),
    (
        Case("far too long", "ConvTranspose", (V(1, 1, 3), C(1, 1, 3)), {"output_shape": [9]}),
        "pads [0] and [-4]",
    ),
    (Case("zero", "Div", (V(2), floats(1, 0))), "division by a constant zero"),
    (Case("integers", "ReduceMean", (index(3, 2),)), "the mean of integers is truncated"),
    (
        Case("integers", "Resize", (index(3, 1, 1, 4), None, None, ints(1, 1, 8)), {"mode": "linear"}),
        "of integers rounds",
    ),
    (Case("training", "Dropout", (V(2), one(0.5), np.array(True)), {}, (12, 99)), "training mode is random"),
    (
        Case("not spatial", "BatchNormalization", (V(2, 1), C(1), C(1), C(1), C(1)), {"spatial": 0}, (7, 7)),
        "evaluation mode",
    ),
    (Case("lengths", "BatchNormalization", (V(2, 2), C(1), C(1), C(1), C(1))), "statistics of shape (1,)"),
    (Case("continuous condition", "Where", (V(2), V(2), V(2))), "which it does not take"),
    (Case("continuous", "And", (V(2), V(2))), "which it does not take"),
    (Case("continuous index", "Gather", (C(3), V(2))), "which it does not take"),
    (Case("index", "Gather", (V(3), ints(3))), "indices from 3 to 3 on 3 elements"),
    (Case("slope", "PRelu", (V(3), C(2, 3))), "does not broadcast"),
    (Case("limits", "Clip", (V(3), C(2)), {}, (11, 99)), "is not one number"),
    (Case("shapes", "Add", (V(2, 3), C(2))), "do not broadcast"),
    (Case("inner", "MatMul", (V(2, 3), C(2, 3))), "a matrix product of shapes (2, 3) and (2, 3)"),
    (Case("a number", "MatMul", (V(2, 3), one(1))), "a matrix product"),
    (Case("vector", "Gemm", (V(3), C(3, 2)), {}, (11, 99)), "Gemm of shapes"),
    (Case("addend", "Gemm", (V(2, 3), C(3, 2), C(3))), "do not broadcast"),
    (Case("addend grows", "Gemm", (V(1, 3), C(3, 2), C(4, 1))), "C of shape (4, 1)"),
    (Case("lengths", "Concat", (V(2, 3), V(3, 2)), {"axis": 0}), "concat of shapes"),
    (Case("elements", "Reshape", (V(2, 3), ints(4, -1))), "can't be reshaped"),
    (Case("copied axis", "Reshape", (V(2, 3), ints(2, 3, 0))), "copies an axis"),
    (Case("axis", "Squeeze", (V(2, 1), ints(0)), {}, (13, 99)), "squeeze of axes [0]"),
    (Case("twice", "Unsqueeze", (V(2), ints(0, 0)), {}, (13, 99)), "names an axis twice"),
    (Case("perm", "Transpose", (V(2, 3),), {"perm": [0, 0]}), "perm [0, 0]"),
    (Case("axis", "Flatten", (V(2, 3),), {"axis": 3}), "axis 3 is outside"),
    (Case("uneven", "Split", (V(5),), {}, (2, 13), 2), "can't be split into 2 equal parts"),
    (Case("too many", "Split", (V(5), ints(2, 2)), {}, (13, 99), 2), "5 elements split into (2, 2)"),
    (Case("no step", "Slice", (V(5), ints(0), ints(2), ints(0), ints(0)), {}, (10, 99)), "with steps (0,)"),
    (Case("channels", "DepthToSpace", (V(1, 6, 2, 2),), {"blocksize": 2}), "from 6 channels"),
    (Case("positions", "SpaceToDepth", (V(1, 1, 3, 2),), {"blocksize": 2}), "from 3 x 2 positions"),
    (
        Case("long reflection", "Pad", (V(3), ints(3, 0)), {"mode": "reflect"}, (11, 99)),
        "in mode reflect on 3 elements",
    ),
    (Case("long wrap", "Pad", (V(3), ints(0, 4)), {"mode": "wrap"}, (19, 99)), "in mode wrap on 3 elements"),
    (
        Case("negative edge", "Pad", (V(3), ints(-1, 1)), {"mode": "edge"}, (11, 99)),
        "negative pads in mode edge",
    ),
    (Case("cut too much", "Pad", (V(3), ints(-2, -2)), {}, (11, 99)), "cut more than 3"),
    (Case("repeats", "Tile", (V(3), ints(1, 1))), "2 repeats"),
    (Case("no saturation", "CastLike", (V(2), np.zeros(1, np.complex64))), "which it does not take"),
    (Case("floor", "Mod", (V(2), one(2)), {}, (10, 13)), "needs fmod = 1 before opset 28"),
    (Case("zero", "Celu", (level(2),), {"alpha": 0.0}), "divides by zero"),
    (Case("kind", "Gelu", (level(2),), {"approximate": "cubic"}), "approximate 'cubic'"),
    (Case("shapes", "SwiGLU", (V(2), V(3))), "SwiGLU of shapes (2,) and (3,)"),
    (Case("k", "TopK", (V(3), ints(4)), {}, (11, 99), 2), "the 4 largest of 3"),
    (Case("k too large", "TopK", (V(300), ints(299)), {}, (11, 99), 2), "at most 256 are followed"),
    (Case("index", "GatherElements", (V(3), ints(3))), "indices from 3 to 3 on 3 elements"),
    (Case("shape", "GatherElements", (V(3, 2), np.zeros((2, 3), np.int64))), "indices of shape (2, 3)"),
    (Case("continuous", "GatherElements", (V(3), V(3))), "which it does not take"),
    (
        Case("depth", "GatherND", (V(3), np.array([[0, 0]]))),
        "indices of shape (1, 2) on a tensor of shape (3,)",
    ),
    (Case("twice", "ScatterElements", (V(3), ints(1, 1), V(2))), "several updates of one element"),
    (Case("updates", "ScatterND", (V(3), np.array([[1]]), V(2))), "updates of shape (2,)"),
    (
        Case("behind the end", "TensorScatter", (V(1, 3, 1), V(1, 2, 1), ints(2))),
        "an update up to position 3 of 3",
    ),
    (
        Case(
            "places", "MaxUnpool", (V(1, 1, 2), np.array([[[0, 9]]])), {"kernel_shape": [2], "strides": [2]}
        ),
        "indices up to 9 in an output of shape (1, 1, 4)",
    ),
    (
        Case(
            "output shape",
            "MaxUnpool",
            (V(1, 1, 2), np.array([[[0, 3]]]), ints(1, 1, 3)),
            {"kernel_shape": [2], "strides": [2]},
        ),
        "output_shape (1, 1, 3) for values in a tensor of shape (1, 1, 4)",
    ),
    (Case("vector", "Trilu", (V(3),)), "Trilu of shape (3,)"),
    (Case("lengths", "ReverseSequence", (V(3, 2), ints(1, 4))), "lengths (1, 4) along axis 0"),
    (Case("lengths", "CenterCropPad", (V(3, 2), ints(1))), "shape (1,) for 2 axes"),
    (Case("columns", "Col2Im", (V(1, 4, 5), ints(3, 3), ints(2, 2))), "5 columns for (2, 2) places"),
    (
        Case(
            "border",
            "GridSample",
            (V(1, 1, 3, 3), C(1, 1, 1, 2)),
            {"mode": "cubic", "padding_mode": "border"},
            (20, 99),
        ),
        "mode cubic with padding_mode border",
    ),
    (
        Case(
            "close call",
            "GridSample",
            (V(1, 1, 1, 5), floats(0.2, 0.2).reshape(1, 1, 1, 2)),
            {"mode": "nearest"},
        ),
        "that float32 arithmetic gets wrong",
    ),
    (Case("grid", "GridSample", (V(1, 1, 3, 3), C(2, 1, 1, 2))), "a grid of shape (2, 1, 1, 2)"),
    (Case("theta", "AffineGrid", (V(1, 2, 3), ints(2, 1, 3, 4))), "theta of shape (1, 2, 3)"),
    (Case("regions", "RoiAlign", (V(1, 1, 3, 3), C(2, 4), ints(0))), "rois of shape (2, 4)"),
    (
        Case("offsets", "DeformConv", (V(1, 1, 3, 3), C(1, 1, 2, 2), C(1, 4, 2, 2))),
        "offset of shape (1, 4, 2, 2)",
    ),
    (Case("letters", "Einsum", (V(2, 3), C(2, 3)), {"equation": "ij,jk->ik"}), "axis 'j' of lengths 3 and 2"),
    (Case("inputs", "Einsum", (V(2, 3),), {"equation": "ij,jk->ik"}), "for 1 inputs"),
    (Case("square", "Det", (level(2, 3),)), "the determinant of shape (2, 3)"),
    (Case("parts", "DFT", (V(2, 4, 3),)), "of shape (2, 4, 3)"),
    (Case("frames", "STFT", (V(1, 4, 1), ints(1).reshape(()), C(5))), "frames of 5 of a signal of 4"),
    (Case("scale", "QuantizeLinear", (V(2), one(-1))), "a scale that is not positive"),
    (Case("scales", "QuantizeLinear", (V(2, 3), P(2)), {}, (13, 99)), "scales of shape (2,) on axis 1"),
    (
        Case(
            "no saturation", "QuantizeLinear", (V(2), one(1)), {"output_dtype": 17, "saturate": 0}, (21, 99)
        ),
        "quantisation to FLOAT8E4M3FN, saturate 0",
    ),
    (Case("labels", "NegativeLogLikelihoodLoss", (V(2, 3), ints(1, 3))), "labels from 1 to 3 for 3 classes"),
    (
        Case("reduction", "SoftmaxCrossEntropyLoss", (V(1, 3), ints(1)), {"reduction": "max"}),
        "reduction 'max'",
    ),
    (Case("weights", "InstanceNormalization", (level(1, 2, 3), C(3), C(2))), "scale (3,) and B (2,)"),
    (
        Case("groups", "GroupNormalization", (level(1, 3, 3), C(3), C(3)), {"num_groups": 2}),
        "2 groups of a tensor",
    ),
    (Case("p", "LpNormalization", (level(2, 3),), {"p": 3}), "p 3 is not in the specification"),
    (
        Case(
            "activation",
            "RNN",
            (level(1, 1, 2), C(1, 2, 2), C(1, 2, 2)),
            {"hidden_size": 2, "activations": ["Elu"]},
        ),
        "activations ['elu']",
    ),
    (
        Case(
            "coupled", "LSTM", (level(1, 1, 2), C(1, 8, 2), C(1, 8, 2)), {"hidden_size": 2, "input_forget": 1}
        ),
        "coupled input and forget gates",
    ),
    (
        Case(
            "heads",
            "Attention",
            (level(1, 2, 3), C(1, 2, 3), C(1, 2, 3)),
            {"q_num_heads": 2, "kv_num_heads": 1},
        ),
        "2 heads",
    ),
    (Case("cache", "RotaryEmbedding", (V(1, 1, 1, 4), C(1, 1, 3), C(1, 1, 3))), "for 2 angles"),
    (
        Case(
            "activation", "CausalConvWithState", (V(1, 1, 3), C(1, 1, 2)), {"activation": "relu"}, outputs=2
        ),
        "activation 'relu'",
    ),
]


@pytest.mark.parametrize(("case", "reason"), [pytest.param(c, r, id=str(c)) for c, r in REFUSED])
def test_refused(case, reason):
    model = model_of(case, case.opsets()[-1])
    program = bind(model, np.zeros((1, 6)), tuple(f"y{i}" for i in range(case.outputs)))
    assert [f.op for f in program.findings] == [case.op]
    assert reason in str(program.findings[0])
    assert program.findings == program.gaps
    with pytest.raises(UnsupportedOp, match="tested"):
        onnx_si.evaluate(model, {"x": np.zeros((1, 6))})


def test_outputs_that_nobody_reads_are_not_asked_for():
    """A node's further outputs (a Dropout mask, MaxPool indices) matter only where they are used."""
    n = net()
    n.nodes.append(helper.make_node("MaxPool", ["x"], ["pooled", "indices"], kernel_shape=[2, 2]))
    model = n.finish(n.add("Relu", "pooled"))
    expected = np.maximum(IMAGE[:, :, :3, :3], 0)
    for i, j in ((0, 1), (1, 0), (1, 1)):
        expected = np.maximum(expected, IMAGE[:, :, i : 3 + i, j : 3 + j])
    (got,) = onnx_si.evaluate(model, {"x": IMAGE}).values()
    np.testing.assert_array_equal(got, expected)


def integer_model(op, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node(op, ["a", "b"], ["y"])],
        "integers",
        [helper.make_tensor_value_info(name, kind, [2]) for name in "ab"],
        [helper.make_tensor_value_info("y", kind, [2])],
    )
    return model_from_proto(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    )


@pytest.mark.parametrize(("op", "a", "b"), [("Add", 200, 100), ("Sub", 1, 2), ("Mul", 16, 16)])
def test_integers_that_wrap_around_are_refused(op, a, b):
    model = integer_model(op, np.uint8)
    feeds = {"a": np.array([1, a], dtype=np.uint8), "b": np.array([1, b], dtype=np.uint8)}
    with pytest.raises(UnsupportedOp, match="overflow uint8"):
        onnx_si.evaluate(model, feeds)
    small = onnx_si.evaluate(model, {name: np.array([1, 1], dtype=np.uint8) for name in "ab"})
    assert small["y"].tolist() == {"Add": [2, 2], "Sub": [0, 0], "Mul": [1, 1]}[op]


def test_text_is_refused():
    with pytest.raises(onnx_si.InputError, match="only real numbers"):
        onnx_si.evaluate(integer_model("Add", np.uint8), {"a": np.array(["1", "2"]), "b": np.array([1, 2])})


def cast_to(kind, **attributes):
    n = Net(0, (1, 3), opset=25)
    return n.finish(n.add("Cast", "x", to=kind, **attributes))


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("INT8", [1, 2, 200], "a cast beyond -128 to 127"),
        ("UINT4", [1, 2, 1.5], "a cast of fractions to 4 bits or fewer"),
        ("FLOAT8E8M0", [1, 2, -1], "no finite positive number"),
        ("FLOAT8E8M0", [1, 2, np.inf], "no finite positive number"),
    ],
)
def test_casts_of_what_a_type_does_not_hold(kind, values, reason):
    """Numbers that the type holds pass, but without a p-value: others on the line may not be among them."""
    model = cast_to(getattr(TensorProto, kind))
    with pytest.raises(UnsupportedOp, match=reason):
        onnx_si.evaluate(model, {"x": np.array([values])})
    program = bind(model, np.array([[1.0, 2.0, 4.0]]), (model.outputs[0].name,))
    program.require_values()
    np.testing.assert_array_equal(program.values[model.outputs[0].name], [[1, 2, 4]])
    assert [f"a cast to {kind} is undefined" in f.reason for f in program.findings] == [True]


def test_rounding_modes_that_were_not_read_are_refused():
    model = cast_to(TensorProto.FLOAT8E8M0, round_mode="down")
    with pytest.raises(UnsupportedOp, match="cast to FLOAT8E8M0"):
        onnx_si.evaluate(model, {"x": np.ones((1, 3))})


def test_a_constant_that_runtimes_compute_otherwise_is_refused():
    """What follows from it would look exact."""
    n = Net(0, (1, 1, 1, 3), opset=19)
    row, scales = n.const(np.ones((1, 1, 1, 5), np.float32)), n.const(np.array([1, 1, 1, 0.7], np.float32))
    resized = n.add("Resize", row, "", scales, mode="linear", coordinate_transformation_mode="align_corners")
    model = n.finish(n.add("Add", "x", resized))
    with pytest.raises(UnsupportedOp, match="a scale that runtimes round"):
        onnx_si.evaluate(model, {"x": np.zeros((1, 1, 1, 3))})


CONSTANTS = [
    (
        "MaxPool",
        {"kernel_shape": [2, 2], "dilations": [2, 2], "auto_pad": "SAME_LOWER"},
        (),
        "with dilations",
    ),
    (
        "MaxPool",
        {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "auto_pad": "VALID"},
        (),
        "ceil_mode",
    ),
    ("AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 2], "auto_pad": "SAME_UPPER"}, (), "dilations"),
    (
        "Resize",
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
        ("", [0.0, 0, 0.2, 0, 1, 1, 0.8, 1], [1, 1, 5, 8]),
        "a crop that changes no length",
    ),
]


@pytest.mark.parametrize(("op", "attributes", "others", "reason"), CONSTANTS)
def test_what_is_refused_of_an_image_is_refused_of_a_constant(op, attributes, others, reason):
    """The reference evaluator has a value that runtimes don't have."""
    n = Net(0, (1, 1, 5, 5), opset=19)
    roi = [n.const(np.array(others[1], np.float32)), "", n.ints(*others[2])] if others else []
    made = n.add(op, n.normal(1, 1, 5, 5), *roi, **attributes)
    model = n.finish(n.add("Add", n.add("ReduceSum", "x"), made))
    with pytest.raises(UnsupportedOp, match=reason):
        onnx_si.evaluate(model, {"x": np.zeros((1, 1, 5, 5))})


def test_places_of_the_maxima_of_a_constant():
    """By the handler: the reference evaluator counts them otherwise."""
    n = Net(0, (1, 1, 4, 4))
    value = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    n.nodes.append(
        helper.make_node(
            "MaxPool", [n.const(value)], ["largest", "places"], kernel_shape=[2, 2], strides=[2, 2]
        )
    )
    model = n.finish(n.add("Add", "x", n.add("Cast", "places", to=TensorProto.FLOAT), out="y"))
    got = onnx_si.evaluate(model, {"x": np.zeros((1, 1, 1, 1))})["y"]
    np.testing.assert_array_equal(got, [[[[5, 7], [13, 15]]]])


def test_a_constant_divided_by_zero_is_infinite():
    n = Net(0, (1, 2))
    made = n.add("Div", n.const(np.array([1.0, -2.0])), n.const(np.zeros(2)))
    got = onnx_si.evaluate(n.finish(n.add("Max", "x", made, out="y")), {"x": np.zeros((1, 2))})["y"]
    np.testing.assert_array_equal(got, [[np.inf, 0]])


def test_places_that_meet_somewhere_on_the_line():
    """Two updates of one element are undefined, unless they are the same; the node is named."""
    n = Net(0, (1, 2), opset=17)
    places = n.add("Cast", n.add("Greater", "x", n.const(np.zeros(1))), to=TensorProto.INT64)
    n.add("ScatterElements", n.const(np.zeros((1, 2))), places, "x", axis=1, out="y")
    model = n.finish("y")
    got = onnx_si.evaluate(model, {"x": np.array([[-1.0, 2.0]])})["y"]
    np.testing.assert_array_equal(got, [[-1, 2]])
    np.testing.assert_array_equal(onnx_si.evaluate(model, {"x": np.array([[3.0, 3.0]])})["y"], [[0, 3]])
    with pytest.raises(UnsupportedOp, match="several updates of one element that differ"):
        onnx_si.evaluate(model, {"x": np.array([[1.0, 2.0]])})
    program = bind(model, np.array([[-1.0, 2.0]]), ("y",))
    program.require_exact()
    segment = line_segment(np.array([[-1.0, 2.0]]), np.array([[1.0, 0.0]]), 0.0, 0.5)
    (outputs,) = walk(program, ExactDomain().apply, segment, Tally())
    np.testing.assert_array_equal(outputs["y"].values, [[[-1, 2]], [[-0.5, 2]]])
    segment = line_segment(np.array([[-1.0, 2.0]]), np.array([[1.0, 0.0]]), 0.0, 2.0)
    with pytest.raises(onnx_si.errors.Undefined, match=r"node 'node_ScatterElements_\d+' .*several updates"):
        list(walk(program, ExactDomain().apply, segment, Tally()))


def test_an_index_outside_is_no_result():
    """At the image it is a finding; elsewhere on the line it stops the analysis."""
    n = net()
    where = n.add("Cast", n.add("ReduceSum", "x", keepdims=0), to=TensorProto.INT64)
    model = n.finish(n.add("Gather", n.const(np.arange(4.0)), where, out="y"))
    with pytest.raises(
        UnsupportedOp, match=r"\(Gather, opset 17\): indices from 16 to 16 on 4 elements; clip"
    ):
        onnx_si.evaluate(model, {"x": np.ones((1, 1, 4, 4))})
    program = bind(model, np.zeros((1, 1, 4, 4)), ("y",))
    program.require_exact()
    segment = line_segment(np.zeros((1, 1, 4, 4)), np.ones((1, 1, 4, 4)), -1.0, 1.0)
    with pytest.raises(onnx_si.errors.Undefined, match="indices from -15 to 15 on 4 elements"):
        list(walk(program, ExactDomain().apply, segment, Tally()))
