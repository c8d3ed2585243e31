"""Nodes that stand for others: branches, ops defined by a function; and ops that are refused by name."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import nets

import onnx_si
from onnx_si.errors import UnsupportedOp
from onnx_si.graph import function_body, model_from_proto
from onnx_si.program.node import output_elements
from onnx_si.program.program import bind

IMAGE = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32)


def value(name, shape=None, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def deployed(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, feeds)


def branches(net, condition):
    """An If whose branches use the same inner names, capture outer tensors and hold a weight of their own."""
    weight = numpy_helper.from_array(np.float32(3).reshape(1), "weight")
    double = [
        helper.make_node("Mul", ["relu", "weight"], ["inner"]),
        helper.make_node("Neg", ["inner"], ["end"]),
    ]
    halve = [helper.make_node("Sub", ["x", "relu"], ["inner"]), helper.make_node("Abs", ["inner"], ["end"])]
    then = helper.make_graph(double, "then", [], [value("end")], [weight])
    other = helper.make_graph(halve, "else", [], [value("end")])
    return net.add("If", condition, then_branch=then, else_branch=other)


def net_with_relu():
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("Relu", net.conv("x", 1, 1), out="relu")
    return net


@pytest.mark.parametrize("wanted", [3, 4])
def test_a_branch_on_the_shape_is_taken_exactly(wanted):
    """Exporters ask for a size before a squeeze: the condition is a constant once the image is there."""
    net = net_with_relu()
    height = net.add("Gather", net.add("Shape", "relu"), net.const(np.array(2, np.int64)))
    first = branches(net, net.add("Equal", height, net.const(np.array(wanted, np.int64))))
    second = branches(net, net.const(np.array(True)))
    model = net.finish(net.add("Add", first, second, out="map"))
    program = bind(model, IMAGE, ("map",))
    program.require_exact()
    np.testing.assert_allclose(program.values["map"], deployed(model, {"x": IMAGE})[0], rtol=1e-5, atol=1e-6)
    assert program.kinds[first] == ("affine" if wanted == 4 else "piecewise-linear")


def test_a_branch_inside_a_branch_sees_all_outer_tensors():
    net = net_with_relu()
    inner = helper.make_graph(
        [helper.make_node("Add", ["relu", "shifted"], ["inner"])], "inner", [], [value("inner")]
    )
    nodes = [
        helper.make_node("Add", ["x", "one"], ["shifted"]),
        helper.make_node("If", ["yes"], ["end"], then_branch=inner, else_branch=inner),
    ]
    outer = helper.make_graph(nodes, "outer", [], [value("end")])
    net.const(np.ones(1), "one")
    net.const(np.array(True), "yes")
    net.add("If", "yes", out="map", then_branch=outer, else_branch=outer)
    program = bind(net.finish("map"), IMAGE, ("map",))
    program.require_exact()
    relu = nets.value_of(net.finish("map"), IMAGE, "relu")
    np.testing.assert_allclose(program.values["map"], relu + IMAGE + 1, rtol=1e-12)


def test_a_branch_on_the_image_is_evaluated_but_not_exact():
    net = net_with_relu()
    total = net.add("ReduceSum", "x", keepdims=0)
    condition = net.add("Greater", total, net.const(np.array(0.0)))
    net.add("Identity", branches(net, condition), out="map")
    model = net.finish("map")
    for image in (IMAGE, -IMAGE):
        ours = onnx_si.evaluate(model, {"x": image})["map"]
        np.testing.assert_allclose(ours, deployed(model, {"x": image})[0], rtol=1e-5, atol=1e-6)
        with pytest.raises(UnsupportedOp, match="the condition depends on the image"):
            bind(model, image, ("map",)).require_exact()


TYPES = {"x": helper.make_tensor_type_proto(TensorProto.FLOAT, (1, 2, 3))}


@pytest.mark.parametrize("op", ["Gelu", "Mish", "Selu", "Celu", "Softsign", "HardSwish"])
def test_a_function_is_replaced_by_the_nodes_that_define_it(op):
    """The definition's attributes have their defaults, and its names clash with nothing."""
    node = helper.make_node(op, ["x"], ["y"])
    nodes = function_body(node, TYPES, {"": 22})
    assert nodes and all(inner.op_type != op for inner in nodes)
    made = [name for inner in nodes for name in inner.output]
    assert len(set(made)) == len(made) and made.count("y") == 1
    assert all(name == "y" or name.startswith("y/") for name in made)
    graphs = [
        helper.make_graph(body, "g", [value("x", (1, 2, 3))], [value("y", (1, 2, 3))])
        for body in ([node], nodes)
    ]
    x = np.random.default_rng(0).normal(size=(1, 2, 3)).astype(np.float32)
    opset = [helper.make_opsetid("", 22)]
    models = [model_from_proto(helper.make_model(g, opset_imports=opset, ir_version=10)) for g in graphs]
    (wanted,), (got,) = (deployed(model, {"x": x}) for model in models)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_an_op_without_definition_has_no_body():
    assert function_body(helper.make_node("Conv", ["x", "x"], ["y"]), TYPES, {"": 22}) == []
    assert (
        function_body(helper.make_node("Mine", ["x"], ["y"], domain="mine"), TYPES, {"": 22, "mine": 1}) == []
    )


def test_a_smooth_op_defined_by_a_function_is_blamed_once_under_its_own_name(monkeypatch):
    """Its parts are not the user's nodes."""
    monkeypatch.setattr("onnx_si.program.binder.find", without("Mish"))
    net = net_with_relu()
    net.nodes.append(helper.make_node("Mish", ["relu"], ["map"], name="activation"))
    net.opset = 18
    model = net.finish("map")
    program = bind(model, IMAGE, ("map",))
    assert [(finding.node, finding.op) for finding in program.findings] == [("activation", "Mish")]
    assert not program.gaps and program.kinds["map"] == "smooth"
    relu = np.maximum(nets.value_of(model, IMAGE, "relu"), 0)
    np.testing.assert_allclose(program.values["map"], relu * np.tanh(np.logaddexp(relu, 0)), rtol=1e-12)


def without(op):
    """The registry with one op missing."""
    from onnx_si.rules.registry import Refusal, find

    def lookup(name, domain, version):
        if name == op:
            raise Refusal(f"op {name} has no handler", "export without it")
        return find(name, domain, version)

    return lookup


REFUSED = {
    "SequenceMap": "a loop",
    "SequenceConstruct": "a sequence",
    "SplitToSequence": "a sequence",
    "StringNormalizer": r"strings|which it does not take",
    "RandomNormalLike": "random",
}


@pytest.mark.parametrize("op", REFUSED)
@pytest.mark.parametrize("source", ["x", "constant"])
def test_ops_that_are_never_run_are_refused_by_name(op, source):
    net = nets.Net(0, (1, 1, 4, 4))
    net.const(np.ones((1, 1, 4, 4)), "constant")
    net.nodes.append(helper.make_node(op, [source], ["made"], name="odd"))
    net.add("Add", "x", "made", out="map")
    model = onnx_si.Model(proto=unchecked(net))
    with pytest.raises(UnsupportedOp, match=REFUSED[op]) as refused:
        bind(model, IMAGE, ("map",)).require_exact()
    (finding,) = refused.value.findings
    assert (finding.node, finding.op) == ("odd", op) and finding.advice
    with pytest.raises(UnsupportedOp, match="can't be evaluated"):
        onnx_si.evaluate(model, {"x": IMAGE})


def unchecked(net):
    graph = helper.make_graph(
        net.nodes, "g", [value("x", net.shape)], [value("map", net.shape)], net.initializers
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    )


def test_fused_ops_are_refused_with_the_advice_to_export_without_fusion():
    net = nets.Net(0, (1, 1, 4, 4))
    net.add("FusedConv", "x", net.normal(1, 1, 3, 3), out="map", domain="com.microsoft", activation="Relu")
    with pytest.raises(UnsupportedOp, match=r"fused op of one runtime; export without fusion"):
        bind(onnx_si.Model(proto=unchecked(net)), IMAGE, ("map",)).require_exact()


def test_only_nodes_whose_values_reach_the_map_are_blamed():
    """The shape of a smooth tensor is known whatever its values are."""
    net = net_with_relu()
    smooth = net.add("Tanh", "relu")
    net.nodes.append(helper.make_node("Mystery", ["relu"], ["odd"], domain="foreign", name="mystery"))
    net.add("Reshape", "x", net.add("Shape", smooth), out="map")
    net.add("Sigmoid", "odd", out="other")
    program = bind(net.finish("map", "other", domains=["foreign"]), IMAGE, ("map",))
    program.require_exact()
    assert [step.op for step in program.instructions] == ["Reshape"] and not program.findings
    both = bind(net.finish("map", "other", domains=["foreign"]), IMAGE, ("map", "other"))
    assert [finding.node for finding in both.findings] == ["mystery"]


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "double"])
def test_constants_keep_their_type(kind):
    """A weight that is computed from weights is rounded to its type, as the deployed model rounds it."""
    dtype = helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind.upper()))
    third = np.array([1 / 3], dtype)
    nodes = [
        helper.make_node("Mul", ["third", "third"], ["ninth"]),
        helper.make_node("Mul", ["x", "ninth"], ["map"]),
    ]
    element = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", (1, 2), element)],
        [value("map", (1, 2), element)],
        [numpy_helper.from_array(third, "third")],
    )
    opset = [helper.make_opsetid("", 22)]
    model = model_from_proto(helper.make_model(graph, opset_imports=opset, ir_version=10))
    ninth = (third.astype(np.float64) ** 2).astype(dtype).astype(np.float64)
    np.testing.assert_array_equal(onnx_si.evaluate(model, {"x": np.ones((1, 2))})["map"], [[*ninth, *ninth]])
    assert (
        model.inputs[0].is_floating
        and onnx.TensorProto.DataType.Name(element).lower() == model.inputs[0].type
    )


def test_element_types_do_not_depend_on_names():
    """They are worked out once for nodes that differ in names only; an empty output keeps its place."""
    double, half = TensorProto.DOUBLE, TensorProto.FLOAT16
    for x, y in (("a", "b"), ("c", "d")):
        pool = helper.make_node("MaxPool", [x], [y, ""], kernel_shape=[2, 2])
        assert output_elements(pool, {x: double}, 12)[y] == double
        assert output_elements(pool, {x: half}, 12)[y] == half
        for kind in (TensorProto.INT8, TensorProto.FLOAT):
            assert output_elements(helper.make_node("Cast", [x], [y], to=kind), {x: half}, 13) == {y: kind}
    value = numpy_helper.from_array(np.array([1], np.int32))
    made = helper.make_node("ConstantOfShape", ["n"], ["y"], value=value)
    assert output_elements(made, {"n": TensorProto.INT64}, 9) == {"y": TensorProto.INT32}
    assert output_elements(helper.make_node("Mine", ["x"], ["y"]), {"x": half}, 1) == {"y": TensorProto.FLOAT}


@pytest.mark.parametrize("measure", ["Shape", "Size"])
def test_a_count_of_what_depends_on_the_image_is_no_constant(measure):
    """How many pixels are positive, as exports of `mask.nonzero().shape[0]` do."""
    net = nets.Net(0, (1, 1, 4, 4))
    places = net.add("NonZero", net.add("Relu", "x"))
    count = net.add(measure, places)
    if measure == "Shape":
        count = net.add("Gather", count, net.const(np.array(1, np.int64)))
    share = net.add("Mul", net.add("Cast", count, to=TensorProto.FLOAT), net.const(np.float32(0.02)))
    model = net.finish(net.add("Sub", "x", share, out="map"))
    (known,) = deployed(model, {"x": IMAGE})
    np.testing.assert_allclose(onnx_si.evaluate(model, {"x": IMAGE})["map"], known, rtol=1e-6)
    with pytest.raises(UnsupportedOp, match="shape that depends on the image"):
        onnx_si.test(model, IMAGE, sigma=1.0, saliency="output:map", threshold=0.5, engine="exact")
