"""Single nodes as outsiders write them, against onnxruntime; what runtimes leave open or dispute is said."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si
from onnx_si.domains.piecewise.apply import ExactDomain
from onnx_si.domains.piecewise.value import line_segment
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind

IMAGE = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
ROW = np.array([1, 2, 3], np.float32)
WHOLE = np.array([[1, -7, 300, 5]], np.int32)
FIELD = np.random.default_rng(4).normal(size=(1, 4, 2, 2)).astype(np.float32)


def one_node(node, x, constants=(), opset=17, domains=(), before=()):
    """A model of an input `x`, a last node that writes `y`, and named constants."""
    graph = helper.make_graph(
        [*before, node],
        "one",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains)]
    proto = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    kind = proto.graph.output[0].type.tensor_type
    kind.elem_type = kind.elem_type or TensorProto.FLOAT
    return proto


def theirs(proto, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["y"], {"x": x})[0]


def ours(proto, x):
    return onnx_si.evaluate(model_from_proto(proto), {"x": x})["y"]


def N(op, *names, **attributes):  # noqa: N802 - reads as a node
    return helper.make_node(op, list(names), ["y"], **attributes)


EMPTY_BOX = {"r": np.array([[1, 1, 1, 1]], np.float32), "b": np.array([0])}
TWO_BOXES = {"r": np.array([[1, 1, 1, 1], [0, 0, 2, 2]], np.float32), "b": np.array([0, 0])}
NO_BOX = {"r": np.zeros((0, 4), np.float32), "b": np.zeros(0, np.int64)}
ALIGNED = {"sampling_ratio": 0}
LINE = [
    *(
        pytest.param(
            N("RoiAlign", "x", "r", "b", mode=mode, **ALIGNED), IMAGE, boxes, {}, id=f"{mode}-{name}"
        )
        for mode in ("max", "avg")
        for name, boxes in (("empty", EMPTY_BOX), ("two", TWO_BOXES), ("none", NO_BOX))
    ),
    pytest.param(
        N("MaxRoiPool", "x", "r", pooled_shape=[1, 1]),
        IMAGE,
        {"r": np.zeros((0, 5), np.float32)},
        {},
        id="no-roi",
    ),
    pytest.param(N("GatherND", "x", "i"), ROW, {"i": np.array([1])}, {}, id="gather-one"),
    pytest.param(N("GatherND", "x", "i"), IMAGE, {"i": np.array([0, 1, 2, 3])}, {}, id="gather-deep"),
    pytest.param(
        N("ScatterND", "x", "i", "u"), ROW, {"i": np.array([1]), "u": np.float32(9)}, {}, id="scatter-one"
    ),
    pytest.param(
        N("ScatterND", "x", "i", "u", reduction="max"),
        ROW,
        {"i": np.array([1]), "u": np.float32(9)},
        {"opset": 18},
        id="scatter-max",
    ),
]


@pytest.mark.parametrize(("node", "x", "constants", "options"), LINE)
def test_as_onnxruntime_and_on_a_line(node, x, constants, options):
    proto = one_node(node, x, constants, **options)
    expected = theirs(proto, x)
    found = ours(proto, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    program = bind(model_from_proto(proto), x.astype(np.float64), ("y",))
    program.require_exact()
    line = line_segment(x.astype(np.float64), np.ones(x.shape), -3.0, 3.0)
    parts = list(walk(program, ExactDomain().apply, line, Tally()))
    middle = [part["y"].values[part["y"].knots == 3.0] for part in parts][-1]
    np.testing.assert_allclose(middle[-1], ours(proto, (x + 3).astype(x.dtype)), rtol=1e-9)


def changing_roi(mode, sizes):
    cut = [
        helper.make_node("Reshape", ["x", "flat"], ["row"]),
        helper.make_node("Slice", ["row", "first", "last"], ["roi"]),
    ]
    node = N("Resize", "x", "roi", "", "sizes", mode="linear", coordinate_transformation_mode=mode)
    constants = {
        "flat": np.array([-1]),
        "first": np.array([0]),
        "last": np.array([8]),
        "sizes": np.array(sizes),
    }
    return one_node(node, IMAGE, constants, before=cut)


def test_a_region_that_no_resize_reads_may_change():
    proto, x = changing_roi("half_pixel", [1, 2, 3, 3]), IMAGE / 32
    np.testing.assert_allclose(ours(proto, x), theirs(proto, x), rtol=1e-5)
    bind(model_from_proto(proto), x.astype(np.float64), ("y",)).require_exact()


def test_a_region_that_is_read_is_refused():
    program = bind(model_from_proto(changing_roi("tf_crop_and_resize", [1, 2, 3, 3])), IMAGE / 32.0, ("y",))
    with pytest.raises(UnsupportedOp, match="input roi depends on the image"):
        program.require_exact()


def test_a_changing_ratio_that_nobody_reads():
    ratio = [helper.make_node("ReduceMax", ["x"], ["ratio"], keepdims=0)]
    proto = one_node(N("Dropout", "x", "ratio"), ROW, before=ratio)
    np.testing.assert_array_equal(ours(proto, ROW), ROW)
    bind(model_from_proto(proto), ROW.astype(np.float64), ("y",)).require_exact()


INTEGERS = [
    (N("Cast", "x", to=TensorProto.INT8), {}),
    (N("Cast", "x", to=TensorProto.UINT16), {}),
    (N("Div", "x", "c"), {"c": np.int32(2)}),
    (N("Div", "c", "x"), {"c": np.int32(200)}),
    (N("BitwiseAnd", "x", "c"), {"c": np.int32(6)}),
    (N("BitwiseOr", "x", "c"), {"c": np.int32(6)}),
    (N("BitwiseXor", "x", "c"), {"c": np.int32(6)}),
    (N("BitwiseNot", "x"), {}),
]


@pytest.mark.parametrize(
    ("node", "constants"), INTEGERS, ids=[f"{n.op_type}-{i}" for i, (n, _) in enumerate(INTEGERS)]
)
def test_an_image_of_whole_numbers_is_computed_but_has_no_line(node, constants):
    proto = one_node(node, WHOLE, constants, opset=18)
    np.testing.assert_array_equal(ours(proto, WHOLE), theirs(proto, WHOLE))
    program = bind(model_from_proto(proto), WHOLE.astype(np.float64), ("y",))
    with pytest.raises(UnsupportedOp, match=f"{node.op_type} of whole numbers that the line moves"):
        program.require_exact()


@pytest.mark.parametrize("op", ["DepthToSpace", "SpaceToDepth"])
@pytest.mark.parametrize("size", [0, -1, -2])
def test_no_block(op, size):
    with pytest.raises(UnsupportedOp, match=f"{op}.*blocksize {size} on a tensor"):
        ours(one_node(N(op, "x", blocksize=size), IMAGE), IMAGE)


def columns(kernel, image, dilation, channels):
    places = [n - dilation * (k - 1) for n, k in zip(image, kernel, strict=True)]
    x = np.random.default_rng(1).normal(size=(1, channels * int(np.prod(kernel)), int(np.prod(places))))
    node = N("Col2Im", "x", "i", "b", dilations=[dilation] * len(kernel))
    return node, x.astype(np.float32), {"i": np.array(image), "b": np.array(kernel)}, {"opset": 18}


def forest(base, targets):
    node = N(
        "TreeEnsembleRegressor",
        "x",
        domain="ai.onnx.ml",
        n_targets=2,
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_values=[0.0, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0] * len(targets),
        target_nodeids=[1, 2, 1, 2][: len(targets)],
        target_ids=targets,
        target_weights=[3.0, 5.0, 4.0, 6.0][: len(targets)],
        base_values=base,
    )
    return node, np.array([[-1.0], [1.0]], np.float32), {}, {"domains": [("ai.onnx.ml", 3)]}


def grid(size):
    theta = np.random.default_rng(2).normal(size=(1, 2, 3)).astype(np.float32)
    return N("AffineGrid", "x", "s", align_corners=1), theta, {"s": np.array(size)}, {"opset": 20}


def lstm(clip):
    rng = np.random.default_rng(3)
    weights = {"w": 3 * rng.normal(size=(1, 8, 3)), "r": rng.normal(size=(1, 8, 2))}
    node = N("LSTM", "x", "w", "r", hidden_size=2, activations=["Sigmoid", "Relu", "Relu"], **clip)
    x = rng.normal(size=(4, 1, 3)).astype(np.float32)
    return node, x, {name: value.astype(np.float32) for name, value in weights.items()}, {"opset": 14}


def inverse(frequencies, length):
    x = np.random.default_rng(5).normal(size=(1, frequencies, 2)).astype(np.float32)
    return N("DFT", "x", "l", inverse=1, onesided=1, axis=1), x, {"l": np.array(length)}, {}


def backward(end):
    limits = {"s": np.array([2]), "e": np.array([end]), "a": np.array([0]), "t": np.array([-1])}
    return N("Slice", "x", "s", "e", "a", "t"), ROW, limits, {}


def unpool(shape):
    x = np.array([[[[1, 2], [3, 4]]]], np.float32)
    constants = {"i": np.array([[[[1, 3], [5, 8]]]]), "o": np.array(shape)}
    return N("MaxUnpool", "x", "i", "o", kernel_shape=[2, 2], strides=[2, 2]), x, constants, {}


def largest(order):
    node = helper.make_node("TopK", ["x", "k"], ["y", "places"], sorted=order)
    return node, ROW[None], {"k": np.array([2])}, {}


def attention(past, keys, queries):
    rng = np.random.default_rng(6)

    def heads(steps):
        return rng.normal(size=(1, 2, steps, 4)).astype(np.float32)

    constants = {"k": heads(keys), "v": heads(keys), "pk": heads(past), "pv": heads(past)}
    names = ["x", "k", "v", "", "pk", "pv"]
    node = helper.make_node("Attention", names, ["y", "keys", "values"], is_causal=1)
    return node, heads(queries), constants, {"opset": 23}


DISPUTED = {
    "columns-3d": (columns((2, 2, 2), (4, 4, 4), 2, 1), "dilations"),
    "columns-1d": (columns((3,), (6,), 2, 2), "dilations"),
    "forest": (forest([10.0, 20.0], [0, 1]), "base values"),
    "grid": (grid([1, 1, 1, 3]), "align_corners on an axis of length 1"),
    "lstm": (lstm({"clip": 1.0}), "clip"),
    "dft-long": (inverse(3, 8), "a one-sided inverse of length 8 from 3 frequencies"),
    "dft-short": (inverse(5, 4), "a one-sided inverse of length 4 from 5 frequencies"),
    "slice-32": (backward(2**31 - 1), "a backward slice to the largest integer"),
    "slice-64": (backward(2**63 - 1), "a backward slice to the largest integer"),
    "unpool": (unpool([1, 1, 5, 5]), "runtimes count places in it"),
    "top": (largest(0), "sorted 0 leaves the order open"),
}
AGREED = {
    "columns-2d": columns((2, 3), (5, 6), 2, 2),
    "columns-3d": columns((2, 2, 2), (4, 4, 4), 1, 1),
    "forest": forest([10.0, 20.0], [0, 0, 1, 1]),
    "forest without base": forest([0.0, 0.0], [0, 1]),
    "grid": grid([1, 1, 2, 3]),
    "lstm": lstm({}),
    "dft": inverse(3, 4),
    "dft-odd": inverse(3, 5),
    "slice": backward(2**31 - 2),
    "slice-back": backward(-(2**31)),
    "unpool": unpool([1, 1, 4, 4]),
    "top": largest(1),
    "attention-few": attention(2, 2, 3),
    "attention-more": attention(2, 5, 3),
}


@pytest.mark.parametrize("name", DISPUTED)
def test_what_runtimes_dispute_is_told_and_has_no_p_value(name):
    (node, x, constants, options), words = DISPUTED[name]
    proto = one_node(node, x, constants, **options)
    with pytest.warns(RuntimeWarning, match=words):
        found = ours(proto, x)
    expected = theirs(proto, x)
    assert found.shape != expected.shape or not np.allclose(found, expected, rtol=1e-4)
    program = bind(model_from_proto(proto), x.astype(np.float64), ("y",))
    with pytest.raises(UnsupportedOp, match=words):
        program.require_exact()


@pytest.mark.parametrize("name", AGREED)
def test_what_runtimes_agree_on_is_not_disputed(name):
    node, x, constants, options = AGREED[name]
    proto = one_node(node, x, constants, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ours(proto, x)
    np.testing.assert_allclose(found, theirs(proto, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_a_window_wider_than_the_channels(size):
    proto = one_node(N("LRN", "x", size=size, alpha=0.5), IMAGE)
    np.testing.assert_allclose(ours(proto, IMAGE), theirs(proto, IMAGE), rtol=1e-5)


def test_a_window_without_bounds():
    size = 2**40 + 1
    every = 1e9 / size * np.sum(IMAGE.astype(float) ** 2, axis=1, keepdims=True)
    found = ours(one_node(N("LRN", "x", size=size, alpha=1e9), IMAGE), IMAGE)
    np.testing.assert_allclose(found, IMAGE / (1 + every) ** 0.75, rtol=1e-6)


def test_a_huge_axis_beside_an_empty_one():
    proto = one_node(N("Expand", "x", "s"), np.zeros((1, 0), np.float32), {"s": np.array([2**40, 1, 0])})
    with pytest.raises(UnsupportedOp, match="it takes 8192 GiB of memory"):
        ours(proto, np.zeros((1, 0), np.float32))


def test_places_in_a_shape_that_does_not_hold_the_usual_one():
    node, x, constants, _ = unpool([1, 1, 2, 8])
    proto = one_node(node, x, constants)
    with pytest.warns(RuntimeWarning, match="runtimes count places in it"):
        np.testing.assert_array_equal(ours(proto, x), theirs(proto, x))


@pytest.mark.parametrize("shape", [[2, 1, 4, 4], [1, 1, 3, 3]])
def test_a_shape_that_can_not_hold_the_values(shape):
    node, x, constants, _ = unpool(shape)
    with pytest.raises(UnsupportedOp, match="output_shape"):
        ours(one_node(node, x, constants), x)


@pytest.mark.parametrize("opset", [18, 20])
def test_a_scale_for_each_group(opset):
    constants = {"s": np.array([1, 3], np.float32), "b": np.array([0, 5], np.float32)}
    node = N("GroupNormalization", "x", "s", "b", num_groups=2, epsilon=1e-2)
    proto = one_node(node, FIELD, constants, opset=opset)
    np.testing.assert_allclose(ours(proto, FIELD), theirs(proto, FIELD), rtol=1e-5, atol=1e-6)


MISSING = [
    N("ArgMax", "x", axis=1),
    N("ArgMin", "x", axis=1),
    helper.make_node("TopK", ["x", "k"], ["y", "places"]),
    N("Hardmax", "x"),
    N("ReduceMax", "x"),
    N("ReduceMin", "x"),
    N("Unique", "x"),
    N("Cast", "x", to=TensorProto.INT32),
    N("Cast", "x", to=TensorProto.INT64),
    N("Cast", "x", to=TensorProto.UINT8),
]


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("node", MISSING, ids=[f"{n.op_type}-{i}" for i, n in enumerate(MISSING)])
def test_a_choice_among_numbers_of_which_one_is_none(node, place):
    """onnxruntime's answer depends on where it stands."""
    x = np.array([[1, 4, 3, 2]], np.float32)
    x[0, place] = np.nan
    with pytest.raises(UnsupportedOp, match=f"{node.op_type}.*(no number|beyond)"):
        ours(one_node(node, x, {"k": np.array([2])}), x)


@pytest.mark.parametrize("op", ["MaxPool", "GlobalMaxPool"])
def test_a_window_with_what_is_no_number(op):
    x = np.array([np.nan, 1, 2, 3], np.float32).reshape(1, 1, 2, 2)
    kernel = {"kernel_shape": [2, 2]} if op == "MaxPool" else {}
    with pytest.raises(UnsupportedOp, match="no number among"):
        ours(one_node(N(op, "x", **kernel), x), x)


@pytest.mark.parametrize("op", ["Max", "Min", "Clip", "Relu"])
def test_what_is_no_number_passes(op):
    x = np.array([[1, np.nan, 3]], np.float32)
    constants = {} if op == "Relu" else {"c": np.float32(2)}
    proto = one_node(N(op, "x", *constants), x, constants)
    np.testing.assert_array_equal(ours(proto, x), theirs(proto, x))


def test_a_constant_choice_is_refused_too():
    constants = {"c": np.array([[1, np.nan, 3]], np.float32)}
    chosen = [helper.make_node("ArgMax", ["c"], ["place"], axis=1)]
    cast = [helper.make_node("Cast", ["place"], ["number"], to=TensorProto.FLOAT)]
    proto = one_node(N("Add", "x", "number"), ROW, constants, before=[*chosen, *cast])
    with pytest.raises(UnsupportedOp, match=r"ArgMax.*no number among"):
        ours(proto, ROW)


@pytest.mark.parametrize("value", [3e9, -3e9, 65520.0])
def test_a_number_that_float16_does_not_hold(value):
    x = np.array([[value, 1]], np.float32)
    node = N("Cast", "x", to=TensorProto.FLOAT16)
    assert not np.isfinite(theirs(one_node(node, x), x)).all()
    with pytest.raises(UnsupportedOp, match="overflow float16 and become infinite"):
        ours(one_node(node, x), x)


def test_the_largest_number_that_float16_holds():
    x = np.array([[65519, -65519, np.inf]], np.float32)
    found = ours(one_node(N("Cast", "x", to=TensorProto.FLOAT16), x), x)
    np.testing.assert_allclose(
        found, theirs(one_node(N("Cast", "x", to=TensorProto.FLOAT16), x), x), rtol=1e-3
    )


def test_a_number_that_float32_does_not_hold():
    x = np.array([[3e39]])
    with pytest.raises(UnsupportedOp, match="overflow float32 and become infinite"):
        ours(one_node(N("Cast", "x", to=TensorProto.FLOAT), x), x)
