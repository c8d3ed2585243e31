"""A walk that goes on in a larger graph knows what a new one would; no node is bound twice."""

import contextlib
from collections import Counter

import numpy as np
import pytest
from onnx import TensorProto, helper
from support import nets, smooth_nets
from support.alike import difference

import onnx_si
from onnx_si.graph import nodes_between
from onnx_si.ground.once import asking
from onnx_si.program import walked
from onnx_si.program.binder import Binder
from onnx_si.program.known import KEPT_BYTES
from onnx_si.program.program import bind

FIELDS = (
    *("constants", "stepwise", "instructions", "sources", "findings", "gaps", "kinds", "words", "types"),
    *("unknown", "loose", "forms", "curves", "decided", "untyped", "summed", "declared", "owner"),
    *("particular", "written_out"),
)
"""All that a walk may be asked for, but the values."""
WAYS = ({}, {"saliency": "gradcam"}, {"saliency": "grad-input"}, {"threshold": "top:0.2"})
PLAIN = ("cam_nchw", "cam_nhwc", "dense_net", "residual_net", "quantised_net", "dynamic_net", "trees_net")
SMOOTH = ("SiLU squeeze-excite", "transformer", "GRU", "com.microsoft", "uint8", "softmax segmentation")


def image_for(model, seed=1):
    shape = [size if isinstance(size, int) else 1 for size in model.inputs[0].shape]
    image = np.random.default_rng(seed).normal(size=shape)
    return image if model.inputs[0].is_floating else 128 + 20 * image


@pytest.fixture
def walks(monkeypatch):
    """Every walk that was asked for, with its model and outputs."""
    own, found = walked._walk, []

    def recorded(kept, model, image, nodes, outputs, name):
        found.append((model, image, outputs, own(kept, model, image, nodes, outputs, name)))
        return found[-1][-1]

    monkeypatch.setattr(walked, "_walk", recorded)
    return found


@pytest.fixture
def bound(monkeypatch):
    """How often each node was bound, by what it makes."""
    own, found = Binder._run, Counter()

    def counted(self, nodes, outputs):
        nodes = list(nodes)
        found.update(node.output[0] for node in nodes)
        return own(self, nodes, outputs)

    monkeypatch.setattr(Binder, "_run", counted)
    return found


def require_as_if_new(model, image, outputs, walk):
    binder = Binder(model, model.inputs[0].name, image, {})
    binder.run(nodes_between(model.proto.graph, outputs), outputs)
    for field in FIELDS:
        assert difference(getattr(walk.binder, field), getattr(binder, field), field) is None
    assert list(walk.binder.findings) == list(binder.findings)
    there = [name for name in outputs if name in binder.values]
    values = [{name: each.values[name] for name in there} for each in (walk.binder, binder)]
    assert difference(*values) is None


@pytest.mark.parametrize("name", [*PLAIN, *SMOOTH])
def test_what_a_walk_knows_is_what_a_new_one_knows(name, walks):
    """Of every question that a test asks, with maps and margins appended."""
    model = getattr(nets, name)(1) if name in PLAIN else smooth_nets.ZOO[name]()
    options = {"sigma": 1.0, "p_value_only": True, "verify": 0, "precision": 0.5, "draws": 99}
    begun = 0
    for way in WAYS:
        first = len(walks)
        with contextlib.suppress(onnx_si.UnsupportedModel, onnx_si.NothingToTest):  # after some questions
            onnx_si.test(model, image_for(model), **{**options, **way})
        for asked in walks[first:]:
            require_as_if_new(*asked)
        begun += len(walks) - first > 1
    assert begun


KINDS = {
    "plain": {},
    "scale 1": {"scale": 1.0},
    "preprocessing": {"scale": 2.0, "mean": (0.5,), "std": (1.5,), "window": (0.0, 9.0)},
    "resized": {"resize_input": "linear"},
    "the largest pixels": {"threshold": "top:0.2"},
    "a share of the range": {"threshold": "minmax:0.5"},
    "class activation map": {"saliency": "cam"},
    "Grad-CAM": {"saliency": "gradcam"},
    "gradient": {"saliency": "grad-input"},
    "mask": {},
    "gray": {"gray": True, "mean": (0.1, 0.2, 0.3)},
    "decided behind a Softmax": {},
}


def model_of(kind):
    if kind == "decided behind a Softmax":
        return classes_net()
    if kind == "gray":
        net = nets.Net(1, (1, 3, 8, 8))
        net.add("Relu", net.conv("x", 3, 1), out="map")
        return net.finish("map")
    heads = {"class activation map", "Grad-CAM", "gradient"}
    return nets.cam_nchw(1, size=8, classes=2) if kind in heads else nets.map_net(seed=1, size=8)


def classes_net():
    """The class of each pixel, behind a Softmax: the choice is rewired to be one by the scores."""
    net = nets.Net(1, (1, 1, 8, 8))
    scores = net.add("Conv", "x", net.normal(3, 1, 3, 3), net.normal(3), pads=[1] * 4)
    labels = net.add("ArgMax", net.add("Softmax", scores, axis=1), axis=1, keepdims=1)
    proto = net.proto(net.add("Cast", labels, to=TensorProto.INT32, out="labels"))
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    return onnx_si.load(proto)


@pytest.mark.parametrize("kind", KINDS)
def test_no_node_is_bound_twice(kind, bound):
    """Whatever is in front of the model, and whichever map is appended to it; later images bind nothing."""
    model, side = model_of(kind), 10 if kind == "resized" else 8
    images = np.random.default_rng(0).normal(size=(3, 1, 1, side, side))
    mask = np.pad(np.ones((6, 6)), 1) if kind == "mask" else None
    analysis = onnx_si.prepare(model, sigma=1.0, precision=0.5, verify=0, **KINDS[kind])
    analysis.test(images[0], mask=mask)
    assert len(bound) > len(model.proto.graph.node)
    assert max(bound.values()) == 1
    before = Counter(bound)
    for image in images[1:]:
        analysis.test(image, mask=mask)
    assert not {node.output[0] for node in model.proto.graph.node} & (bound - before).keys()


def test_the_range_goes_on_from_the_map(bound):
    """Where every pixel passes half of the maximum, another threshold is appended."""
    image = np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    net = nets.Net(0, (1, 1, 8, 8))
    net.add("Add", net.conv("x", 1, 1), net.const(np.array(100.0)), out="map")
    model = net.finish("map")
    result = onnx_si.test(model, image, sigma=1.0, precision=0.5, verify=0)
    assert result.config["threshold"] == "minmax:0.5"
    assert all(bound[node.output[0]] == 1 for node in model.proto.graph.node)


def test_tests_of_all_classes_go_on_from_one_walk(bound):
    """The labels, their agreement, and the map of each class are appended to the same graph."""
    net = nets.Net(1, (1, 1, 8, 8))
    hidden = net.add("Relu", net.conv("x", 1, 4))
    net.add("Conv", hidden, net.normal(3, 4, 3, 3), net.normal(3), pads=[1] * 4, out="map")
    model, image = net.finish("map"), np.random.default_rng(0).normal(size=(1, 1, 8, 8))
    result = onnx_si.test(model, image, sigma=1.0, precision=0.5, verify=0, target="all")
    assert len(result.class_tests) == 3
    assert all(bound[node.output[0]] == 1 for node in model.proto.graph.node)


def both(*asked):
    """The last of some (model, outputs, shown), bound after the others and alone, at one image."""
    image = image_for(asked[-1][0])
    with asking():
        *_, found = [bind(model, image, outputs, shown=shown) for model, outputs, shown in asked]
    model, outputs, shown = asked[-1]
    alone = bind(model, image, outputs, shown=shown)
    assert difference(found, alone, "program") is None
    return found


def chain(*, weight=1.0, last="Relu"):
    """A network of three nodes, and the map behind it."""
    net = nets.Net(0, (1, 4))
    first = net.add("Mul", "x", net.const(np.full(4, weight)), out="first")
    second = net.add(last, first, out="second")
    net.add("Add", second, net.const(np.ones(4)), out="map")
    return net.finish("map")


@pytest.mark.parametrize(
    "other",
    [chain(weight=2.0), chain(last="Abs"), chain(last="Sigmoid")],
    ids=["a stored tensor", "a node in the middle", "a smooth node"],
)
def test_what_is_called_alike_need_not_be_the_same(other):
    both((chain(), ("map",), ()), (other, ("map",), ()))
    both((other, ("map",), ("first",)), (chain(), ("second",), ()), (other, ("map",), ()))


def plain_node(op, shape=(1, 4), opset=17, element=TensorProto.FLOAT, **attributes):
    net = nets.Net(0, shape, opset=opset)
    net.add(op, "x", out="map", **attributes)
    proto = net.proto("map")
    proto.graph.input[0].type.tensor_type.elem_type = element
    return onnx_si.Model(proto=proto)


def test_an_input_of_another_type():
    half = plain_node("Relu", element=TensorProto.FLOAT16)
    assert both((plain_node("Relu"), ("map",), ()), (half, ("map",), ())).elements["map"] == half_type(half)


def half_type(model):
    return model.proto.graph.input[0].type.tensor_type.elem_type


def test_another_opset():
    """A Softmax without an axis runs over all that follows, or over the last axis alone."""
    old, new = (plain_node("Softmax", (1, 2, 4), opset) for opset in (12, 13))
    values = both((old, ("map",), ()), (new, ("map",), ())).values["map"]
    np.testing.assert_allclose(values.sum(axis=-1), 1.0)


def test_another_output_of_a_node():
    """Places of a pooling's maxima are bound only where they are read."""
    net = nets.Net(0, (1, 1, 4, 4))
    net.nodes.append(helper.make_node("MaxPool", ["x"], ["most", "where"], "pool", kernel_shape=[2, 2]))
    net.add("Relu", "most", out="map")
    net.add("Cast", "where", to=TensorProto.FLOAT, out="places")
    model = net.finish("map", "places")
    plain = both((model, ("map",), ()))
    after = both((model, ("places", "map"), ()), (model, ("map",), ()))
    assert [step.output for step in after.instructions] == [step.output for step in plain.instructions]
    both((model, ("map",), ()), (model, ("places", "map"), ()))


def test_less_than_was_walked_over_is_as_if_the_rest_was_not_there():
    """Neither its findings, nor that it holds at this image alone."""
    net = nets.Net(0, (1, 4))
    first = net.add("Relu", "x", out="first")
    net.add("NonZero", first, out="places")  # as many as there are
    net.add("Exp", first, out="smooth")
    model = net.finish("places", "smooth", "first")
    found = both((model, ("places", "smooth"), ()), (model, ("first",), ()))
    assert found.repeatable and not found.findings and "smooth" not in found.kinds


def test_who_reads_a_product_decides_of_what_kind_it_is():
    """A square is followed as a polynomial; behind a Sigmoid it is told to be what bends that."""
    net = nets.Net(0, (1, 4))
    net.add("Mul", "x", "x", out="square")
    net.add("Sin", "square", out="bent")
    model = net.finish("square", "bent")
    both((model, ("square", "bent"), ()), (model, ("square",), ()))
    both((model, ("square",), ()), (model, ("square", "bent"), ()))


def test_all_stands_in_the_graph_s_order():
    net = nets.Net(0, (1, 4))
    net.add("Relu", "x", out="late")
    net.add("Abs", "x", out="early")
    net.add("Odd", "late", out="odd", domain="own")
    net.add("Odder", "early", out="odder", domain="own")
    net.add("Add", "late", "early", out="map")
    model = onnx_si.Model(proto=net.proto("map", "odd", "odder", domains=("own",)))
    found = both((model, ("odder",), ()), (model, ("map", "odd", "odder"), ()))
    assert [step.output for step in found.instructions] == ["late", "early", "map"]
    assert [finding.op for finding in found.findings] == ["Odd", "Odder"]


def test_values_that_are_not_kept_are_made_again(bound):
    """A walk is remembered with few values: the nodes that are needed to make others are bound again."""
    model, image = chain(), image_for(chain())
    with asking():
        bind(model, image, ("map",))
        walk = walked.remembered(image, "x", {"first"})
    assert set(walk.walk.binder.all_values()) == {"first"}
    with walk.asking():
        found = bind(model, image, ("map",), shown=("second",))
    assert difference(found, bind(model, image, ("map",), shown=("second",))) is None
    with walk.asking():
        found = bind(model, image, ("map",), shown=("x",))  # the image itself is gone
    assert difference(found, bind(model, image, ("map",), shown=("x",))) is None


def test_loops_are_counted_in_one_walk():
    """Nodes of turns have a limit for all loops together: what was counted for others does not stay."""
    body = helper.make_graph(
        [helper.make_node("Relu", ["inner"], ["turned"]), helper.make_node("Identity", ["go"], ["going"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 4]),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turned", TensorProto.FLOAT, [1, 4]),
        ],
    )
    net = nets.Net(0, (1, 4))
    for name, source in (("one", "x"), ("two", "one")):
        net.add("Loop", net.const(np.array(3, np.int64)), "", source, out=name, body=body)
    model = net.finish("one", "two")
    found = both((model, ("two",), ()), (model, ("one",), ()))
    assert len(found.instructions) == 3
    image = image_for(model)
    with asking():
        counts = [walked.walked(model, image, outputs, "x").written_out for outputs in (("two",), ("one",))]
    assert counts[0] == 2 * counts[1] > 0
    assert len(both((model, ("one",), ()), (model, ("two",), ())).instructions) == 6


def test_outside_of_asking_nothing_is_kept():
    model = chain()
    binder = walked.walked(model, image_for(model), ("map",), "x")
    assert binder.spare == {} and walked.remembered(image_for(model), "x", {"map"}) is None


def test_a_name_that_two_nodes_use():
    """A tensor may be called what one inside of a branch will be: its name does not tell whose it is."""
    branches = {
        f"{which}_branch": helper.make_graph(
            [helper.make_node(op, ["x"], ["inner"]), helper.make_node("Neg", ["inner"], [f"{which}_out"])],
            which,
            [],
            [helper.make_tensor_value_info(f"{which}_out", TensorProto.FLOAT, [1, 4])],
        )
        for which, op in (("then", "Relu"), ("else", "Abs"))
    }
    net = nets.Net(0, (1, 4))
    net.add("Sign", "x", out="branch/inner")
    net.add("If", net.const(np.array(True)), out="branch", **branches)
    model = net.finish("branch", "branch/inner")
    both((model, ("branch", "branch/inner"), ()), (model, ("branch/inner",), ()))


def test_a_shape_that_only_the_model_declares():
    """What stands for an unknown op's output has the shape that the graph at hand declares for it."""
    net = nets.Net(0, (1, 4))
    net.add("Odd", "x", out="odd", domain="own")
    net.add("Relu", "odd", out="map")
    models = []
    for size in (4, 5):
        proto = net.proto("map", domains=("own",))
        proto.graph.value_info.append(helper.make_tensor_value_info("odd", TensorProto.FLOAT, [1, size]))
        models.append(onnx_si.Model(proto=proto))
    assert both(*((model, ("map",), ()) for model in models)).values["map"].shape == (1, 5)


def test_only_so_many_bytes_of_values_are_kept():
    """The largest ones go first: what follows from them is small, and nearer to the map."""
    model = chain()
    binder = Binder(model, "x", image_for(model), {})
    binder.lasting = frozenset("abc")
    for name, share in zip("abc", (0.3, 0.6, 0.2), strict=True):
        size = int(share * KEPT_BYTES / 8)
        binder.values[name] = np.broadcast_to(np.zeros(()), (1, size))  # takes no memory
        binder.drop(name)
    assert list(binder.spare) == ["a", "c"] and binder.spared == sum(v.nbytes for v in binder.spare.values())
