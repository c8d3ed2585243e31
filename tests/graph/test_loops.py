"""Loop and Scan: the nodes of their turns give what onnxruntime gives, and are analysed like any others."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import nets

import onnx_si
from onnx_si.errors import UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind

X = np.random.default_rng(3).normal(size=(4, 3))
WEIGHTS = np.random.default_rng(4).normal(size=(3, 3)).astype(np.float32)


RANKS = {"all": 3, "row": 1, "other": 1, "goes_on": 0, "on": 0, "still": 0, "more": 0}
"""Axes of tensors that are no matrices."""


def info(name, kind=TensorProto.FLOAT, shape=None, rank=None):
    """A declaration; without a shape, of free axes."""
    axes = RANKS.get(name, 2) if rank is None else rank
    return helper.make_tensor_value_info(name, kind, [None] * axes if shape is None else shape)


def number(value, dtype=np.int64):
    return numpy_helper.from_array(np.array(value, dtype), f"number_{value}")


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"{op}_{outputs}", **attributes)


def loop_body(nodes, outputs, stored=(), rank=0):
    """A body of the inputs `turn`, `on` and `state`."""
    single = [1] * rank
    inputs = [info("turn", TensorProto.INT64, single), info("on", TensorProto.BOOL, single), info("state")]
    made = [info(outputs[0], TensorProto.BOOL), *map(info, outputs[1:])]
    return helper.make_graph(nodes, "body", inputs, made, list(stored))


def model_with(nodes, outputs, constants=(), opset=17):
    graph = helper.make_graph(
        nodes, "loops", [info("x", shape=list(X.shape))], list(map(info, outputs)), list(constants)
    )
    imports = [helper.make_opsetid("", opset)]
    return model_from_proto(helper.make_model(graph, opset_imports=imports, ir_version=8))


def deployed(model, x, names):
    content = model.proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(names, {"x": x.astype(np.float32)})


def agrees(model):
    """Every output at some images; exact where the body is."""
    names = tuple(output.name for output in model.outputs)
    for factor in (1.0, -2.0, 0.1):
        ours = onnx_si.evaluate(model, {"x": factor * X})
        for name, value in zip(names, deployed(model, factor * X, list(names)), strict=True):
            assert ours[name].shape == value.shape
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-6)
    program = bind(model, X, names)
    program.require_exact()
    return program


STEP = [node("MatMul", "state weights", "product"), node("Relu", "product", "next")]
WEIGHT = numpy_helper.from_array(WEIGHTS, "weights")


@pytest.mark.parametrize("opset", [7, 11, 12, 13, 17, 19, 22])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_counted_loop(opset, rank):
    """State from the image, weights from outside, the part of each turn stacked."""
    body = loop_body([*STEP, node("Identity", "on", "goes_on")], ["goes_on", "next", "product"], rank=rank)
    constants = [WEIGHT, number([3] if rank else 3), number([True] if rank else True, bool)]
    names = f"{constants[1].name} {constants[2].name} x".replace("[", "_").replace("]", "_")
    for tensor, name in zip(constants[1:], names.split(), strict=False):
        tensor.name = name
    model = model_with([node("Loop", names, "last all", body=body)], ["last", "all"], constants, opset)
    program = agrees(model)
    state = X
    for _ in range(3):
        state = np.maximum(state @ WEIGHTS.astype(np.float64), 0)
    np.testing.assert_allclose(program.values["last"], state, rtol=1e-12)
    assert program.kinds["last"] == program.kinds["all"] == "piecewise-linear"
    assert [step.op for step in program.instructions].count("MatMul") == 3 and program.repeatable


def test_without_limit_or_condition():
    """A condition that is worked out from the number of the turn, and weights that the body stores."""
    stops = [node("Less", "turn four", "goes_on"), *STEP]
    body = loop_body(stops, ["goes_on", "next"], [WEIGHT, numpy_helper.from_array(np.int64(4), "four")])
    loop = helper.make_node("Loop", ["", "", "x"], ["last"], body=body)
    program = agrees(model_with([loop], ["last"]))
    assert [step.op for step in program.instructions].count("Relu") == 5


@pytest.mark.parametrize("constants", [(0, True), (3, False)])
def test_no_turn_leaves_the_state(constants):
    body = loop_body([*STEP, node("Identity", "on", "goes_on")], ["goes_on", "next"], [WEIGHT])
    stored = [number(constants[0]), number(constants[1], bool)]
    model = model_with(
        [node("Loop", f"{stored[0].name} {stored[1].name} x", "last", body=body)], ["last"], stored
    )
    np.testing.assert_array_equal(agrees(model).values["last"], X)


def test_stacked_parts_of_no_turn_are_refused():
    body = loop_body([*STEP, node("Identity", "on", "goes_on")], ["goes_on", "next", "product"], [WEIGHT])
    model = model_with(
        [helper.make_node("Loop", ["number_0", "", "x"], ["last", "all"], body=body)],
        ["last", "all"],
        [number(0)],
    )
    with pytest.raises(UnsupportedOp, match="a loop without a turn"):
        onnx_si.evaluate(model, {"x": X})


def test_loops_in_loops():
    inner = helper.make_graph(
        [node("Add", "level state", "raised"), node("Identity", "still", "more")],
        "inner",
        [info("count", TensorProto.INT64, []), info("still", TensorProto.BOOL, []), info("level")],
        [info("more", TensorProto.BOOL), info("raised")],
    )
    nodes = [*STEP, helper.make_node("Loop", ["two", "", "next"], ["summed"], body=inner)]
    body = loop_body([*nodes, node("Identity", "on", "goes_on")], ["goes_on", "summed"], [WEIGHT])
    model = model_with(
        [helper.make_node("Loop", ["two", "", "x"], ["last"], body=body)],
        ["last"],
        [numpy_helper.from_array(np.int64(2), "two")],
    )
    agrees(model)


SCANNED = helper.make_graph(
    [node("Add", "state row", "sum"), node("Relu", "sum", "next"), node("Mul", "row row_of_ones", "scaled")],
    "body",
    [info(name, rank=1) for name in ("state", "row", "other")],
    [info(name, rank=1) for name in ("next", "sum", "scaled")],
    [numpy_helper.from_array(np.float32([2.0]), "row_of_ones")],
)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("backwards", [0, 1])
@pytest.mark.parametrize("opset", [9, 11, 17, 22])
def test_scan(axis, backwards, opset):
    if opset < 11 and axis < 0:
        axis = 1  # negative axes are of opset 11
    length, others = (4, 3) if axis == 0 else (3, 4)
    scan = node(
        "Scan",
        "start x x",
        "last sums rows",
        body=SCANNED,
        num_scan_inputs=2,
        scan_input_axes=[axis, axis],
        scan_input_directions=[backwards, 0],
        scan_output_axes=[axis, 1],
        scan_output_directions=[0, 1 - backwards],
    )
    start = numpy_helper.from_array(np.linspace(-1, 1, others, dtype=np.float32), "start")
    program = agrees(model_with([scan], ["last", "sums", "rows"], [start], opset))
    assert [step.op for step in program.instructions].count("Relu") == length


def test_a_condition_from_the_image_is_a_finding():
    """Evaluated at the image; not exact, for other points of the line may need more turns."""
    large = [node("ReduceMax", "next", "largest", keepdims=0), node("Less", "largest bound", "goes_on")]
    bound = numpy_helper.from_array(np.float32(3), "bound")
    body = loop_body([node("Add", "state state", "next"), *large], ["goes_on", "next"], [bound])
    loop = helper.make_node("Loop", ["", "", "x"], ["last"], name="doubling", body=body)
    model = model_with([loop], ["last"])
    (expected,) = deployed(model, X, ["last"])
    np.testing.assert_allclose(onnx_si.evaluate(model, {"x": X})["last"], expected, rtol=1e-5)
    (finding,) = bind(model, X, ("last",)).findings
    assert (finding.node, finding.op) == ("doubling", "Loop")
    assert finding.reason == "the number of its turns depends on the image"
    assert not bind(model, X, ("last",)).repeatable  # another image may need another number of turns


def test_a_smooth_node_of_the_body_is_named():
    nodes = [node("Tanh", "state", "next"), node("Identity", "on", "goes_on")]
    loop = helper.make_node(
        "Loop", ["number_2", "", "x"], ["last"], body=loop_body(nodes, ["goes_on", "next"])
    )
    model = model_with([loop], ["last"], [number(2)])
    program = bind(model, X, ("last",))
    assert {finding.node for finding in program.findings} == {"Tanh_next"} and not program.gaps
    np.testing.assert_allclose(program.values["last"], np.tanh(np.tanh(X)), rtol=1e-12)


BROKEN = {
    "a body of 3 inputs and 3 outputs in a node with 2 and 1": ("start x", "last", {}),
    "in a node with 3 and 4": ("start x x", "last a b c", {}),
    "in a node with 3 and 3": ("start x x", "last a b", {"scan_input_axes": [0]}),
    r"scanned axes of lengths \[3, 4\]": ("start x x", "last", {"scan_input_axes": [0, 1]}),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_bodies_that_do_not_fit_are_refused(reason):
    start = numpy_helper.from_array(np.zeros(3, np.float32), "start")
    read, written, axes = BROKEN[reason]
    scan = node("Scan", read, written, body=SCANNED, num_scan_inputs=read.count("x"), **axes)
    model = model_with([scan], ["last"], [start])
    with pytest.raises(UnsupportedOp, match=reason):
        onnx_si.evaluate(model, {"x": X})


BATCH = np.stack([X, -2 * X + 0.5])


def batched(lengths="", **attributes):
    """A Scan of opset 8 over two images."""
    net = nets.Net(0, BATCH.shape, opset=8)
    start = net.const(np.array([[0.5, -0.5, 0], [1, 2, 3]], np.float32))
    inputs = [lengths and net.const(np.array(lengths)), start, "x", "x"]
    net.nodes.append(
        helper.make_node(
            "Scan", inputs, ["last", "sums", "rows"], body=SCANNED, num_scan_inputs=2, **attributes
        )
    )
    return net.finish("last", "rows")


@pytest.mark.parametrize("backwards", [0, 1])
def test_scan_with_a_batch_axis(backwards):
    """Every image is a scan by itself."""
    model = batched(directions=[backwards, 0])
    program = bind(model, BATCH, ("last", "rows"))
    program.require_exact()
    for name, value in zip(("last", "rows"), deployed(model, BATCH, ["last", "rows"]), strict=True):
        np.testing.assert_allclose(program.values[name], value, rtol=1e-5, atol=1e-6)
    for start, rows, last in zip(([0.5, -0.5, 0], [1, 2, 3]), BATCH, program.values["last"], strict=True):
        state = np.array(start)
        for row in rows[::-1] if backwards else rows:
            state = np.maximum(state + row, 0)
        np.testing.assert_allclose(last, state, rtol=1e-12)


def test_sequences_of_several_lengths_are_refused():
    with pytest.raises(UnsupportedOp, match="sequence_lens"):
        bind(batched([4, 2]), BATCH, ("last",)).require_values()


def test_names_that_are_taken_are_refused():
    body = loop_body([*STEP, node("Identity", "on", "goes_on")], ["goes_on", "next"], [WEIGHT])
    nodes = [
        node("Neg", "x", "last/turn_1/next"),
        helper.make_node("Loop", ["number_2", "", "x"], ["last"], body=body),
        node("Add", "last last/turn_1/next", "both"),
    ]
    with pytest.raises(UnsupportedOp, match="names that are taken"):
        onnx_si.evaluate(model_with(nodes, ["both"], [number(2)]), {"x": X})
