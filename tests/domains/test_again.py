"""A program bound once gives at another image what binding there gives; copies are left out of it."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper
from support import nets

import onnx_si
from onnx_si.domains.again import at_image
from onnx_si.errors import Undefined
from onnx_si.program.program import bind

NETS = {
    "cam": nets.cam_nchw,
    "channels last": nets.cam_nhwc,
    "map": nets.map_net,
    "extremes": nets.extremes_net,
    "gates": nets.gated_net,
}


def images(model, count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *model.inputs[0].shape))


@pytest.mark.parametrize("name", NETS)
def test_the_same_as_binding_there(name):
    model = NETS[name](0)
    output = model.outputs[0].name
    shown = next(node.output[0] for node in model.proto.graph.node)
    first, *others = images(model)
    program = bind(model, first, (output,), shown=(shown,))
    assert program.repeatable
    for image in others:
        ours, fresh = at_image(program, image), bind(model, image, (output,), shown=(shown,))
        assert ours.values.keys() == fresh.values.keys() == {output, shown}
        for tensor in fresh.values:
            np.testing.assert_array_equal(ours.values[tensor], fresh.values[tensor])
        assert not np.array_equal(ours.values[output], program.values[output])
        assert [step.output for step in ours.instructions] == [step.output for step in fresh.instructions]


def test_shown_tensors_that_are_folded_stay():
    net = nets.Net(0, (1, 4))
    net.add("Add", net.const(np.array([1.0, 2.0])), net.const(np.ones(2)), out="folded")
    net.add("Relu", "x", out="map")
    model = net.finish("map", "folded")
    program = at_image(bind(model, np.ones((1, 4)), ("map",), shown=("folded",)), np.full((1, 4), 2.0))
    np.testing.assert_array_equal(program.values["folded"], [2.0, 3.0])
    np.testing.assert_array_equal(program.values["map"], np.full((1, 4), 2.0))


def branching():
    """An If that asks the image."""
    net = nets.Net(0, (1, 4))
    total = net.add("ReduceSum", "x", keepdims=0)
    condition = net.add("Greater", total, net.const(np.array(0.0, np.float32)))
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op, ["x"], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [1, 4])],
        )
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    net.add("If", condition, out="map", **branches)
    return net.finish("map")


def whole_numbers():
    net = nets.Net(0, (1, 4))
    net.add("Cast", "x", to=TensorProto.INT32, out="map")
    return net.finish("map")


def places():
    """How many there are depends on the image."""
    net = nets.Net(0, (1, 4))
    net.add("NonZero", "x", out="map")
    return net.finish("map")


@pytest.mark.parametrize("make", [branching, places])
def test_what_was_decided_at_one_image_is_not_repeated(make):
    model = make()
    program = bind(model, np.ones((1, 4)), ("map",))
    assert not program.repeatable
    with pytest.raises(ValueError, match="at this one"):
        at_image(program, np.ones((1, 4)))


def test_whole_numbers_are_watched_at_every_image():
    program = bind(whole_numbers(), np.ones((1, 4)), ("map",))
    assert at_image(program, np.array([[1.5, -7.2, 0, 3]])).values["map"].tolist() == [[1, -7, 0, 3]]
    for wrong in (3e9, np.nan):
        with pytest.raises(Undefined, match="overflow"):
            at_image(program, np.array([[wrong, 1.0, 1.0, 1.0]]))


def test_an_analysis_says_which_node_overflows_at_a_later_image():
    net = nets.Net(0, (1, 1, 4, 4))
    whole = net.add("Cast", "x", to=TensorProto.INT32)
    model = net.finish(net.add("Cast", whole, to=TensorProto.FLOAT))
    analysis = onnx_si.prepare(model, sigma=1.0, threshold=0.5)
    image = np.random.default_rng(0).normal(size=(4, 4)) * 3
    assert 0 < analysis.test(image).p_value <= 1
    with pytest.raises(onnx_si.UnsupportedModel, match="overflow int32"):
        analysis.test(image * 1e10)


def test_the_place_of_the_largest_is_a_rule_for_any_image():
    net = nets.Net(0, (1, 4))
    net.add("ArgMax", "x", axis=1, out="map")
    program = bind(net.finish("map"), np.array([[1.0, 4.0, 2.0, 3.0]]), ("map",))
    assert at_image(program, np.array([[1.0, 2.0, 5.0, 3.0]])).values["map"].tolist() == [[2]]


def test_another_shape_is_another_program():
    program = bind(nets.cam_nchw(0), np.zeros((1, 1, 6, 6)), (nets.cam_nchw(0).outputs[0].name,))
    with pytest.raises(ValueError, match="at this one"):
        at_image(program, np.zeros((1, 1, 7, 6)))


@pytest.mark.parametrize("saliency", ["cam", "output:saliency"])
def test_a_model_that_was_asked_before_answers_the_same(saliency):
    def model():
        return nets.cam_nchw(3) if saliency == "cam" else nets.map_net(3, last="Sigmoid")

    name = "cam" if saliency == "cam" else f"output:{model().outputs[0].name}"
    options = {"sigma": 1.0, "saliency": name, "threshold": 0.5 if name != "cam" else "max:0.5"}
    asked = onnx_si.prepare(model(), hypothesis="background", **options)
    tested = 0
    for image in images(asked.model, 4, seed=1):
        try:
            fresh = onnx_si.test(model(), image, hypothesis="background", **options)
        except onnx_si.NothingToTest:
            with pytest.raises(onnx_si.NothingToTest):
                asked.test(image)
            continue
        again = asked.test(image)
        assert plain(again) == plain(fresh)
        np.testing.assert_array_equal(again.saliency_map, fresh.saliency_map)
        tested += 1
    assert tested > 1


def plain(result):
    """A result without the time that it took."""
    found = result.to_dict()
    found["search"].pop("seconds")
    return json.dumps(found, sort_keys=True)


def test_copies_are_left_out():
    """Identity, a cast between floating-point types and adding zeros pass their input on."""
    net = nets.Net(0, (1, 4))
    x = net.add("Cast", net.add("Identity", "x"), to=TensorProto.DOUBLE)
    x = net.add("Sub", net.add("Relu", x), net.add("Cast", net.const(np.zeros(4)), to=TensorProto.DOUBLE))
    net.add("Identity", net.add("Neg", x), out="map")
    image = np.array([[-1.0, 0.0, 2.0, 3.0]])
    program = bind(net.finish("map"), image, ("map",))
    assert [step.op for step in program.instructions] == ["Relu", "Neg"]
    assert program.instructions[-1].output == "map"
    assert next(step.inputs for step in program.instructions) == ("x",)
    np.testing.assert_array_equal(program.values["map"], -np.maximum(image, 0.0))


def test_outputs_that_are_copies_of_one_tensor():
    net = nets.Net(0, (1, 4))
    x = net.add("Relu", "x", out="first")
    for name in ("second", "third"):
        net.add("Identity", x, out=name)
    y = net.add("Abs", "x")
    for name in ("fourth", "fifth"):
        net.add("Identity", y, out=name)
    names = ("first", "second", "third", "fourth", "fifth", "sixth")
    net.add("Identity", "x", out="sixth")
    model, image = net.finish(*names), np.array([[-1.0, 0.0, 2.0, 3.0]])
    program = at_image(bind(model, image, names), -image)
    expected = dict.fromkeys(names[:3], np.maximum(-image, 0)) | dict.fromkeys(names[3:5], np.abs(image))
    for name, value in (expected | {"sixth": -image}).items():
        np.testing.assert_array_equal(program.values[name], value)


@pytest.mark.parametrize(
    ("op", "constant"),
    [("Sub", np.ones(4)), ("Add", np.zeros((3, 4))), ("Add", np.array([0.0, 0, 0, 1e-30]))],
)
def test_sums_that_change_something_stay(op, constant):
    net = nets.Net(0, (1, 4))
    net.add("Relu", net.add(op, "x", net.const(constant)), out="map")
    program = bind(net.finish("map"), np.zeros((1, 4)), ("map",))
    assert [step.op for step in program.instructions] == [op, "Relu"]


def test_zero_less_the_image_stays():
    net = nets.Net(0, (1, 4))
    net.add("Relu", net.add("Sub", net.const(np.zeros(4)), "x"), out="map")
    program = bind(net.finish("map"), np.ones((1, 4)), ("map",))
    assert [step.op for step in program.instructions] == ["Sub", "Relu"]
