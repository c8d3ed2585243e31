"""Models as files, as DAGs, bound to an image: bad files, external data, functions, constants, findings."""

import json
import os

import networkx as nx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import nets

import onnx_si
from onnx_si.errors import OnnxSIError, UnsupportedOp
from onnx_si.graph import model_from_proto, nodes_between
from onnx_si.graph.dag import dag
from onnx_si.program.program import bind


def saved(tmp_path, proto, name="model.onnx"):
    path = tmp_path / name
    path.write_bytes(proto.SerializeToString())
    return path


def small_proto(**options):
    net = nets.Net(0, (1, 1, 4, 4), **options)
    net.add("Relu", net.conv("x", 1, 1), out="map")
    return net.proto("map")


# --------------------------------------------------------------------------------
# Files


def test_a_model_is_loaded_with_its_identity(tmp_path):
    proto = small_proto()
    proto.producer_name, proto.producer_version = "tool", "1.2 None"
    helper.set_model_props(proto, {"onnx_si.noise_std": "0.5"})
    path = saved(tmp_path, proto)
    model = onnx_si.load(path)
    assert model.path == str(path) and len(model.sha256) == 64
    assert (model.opset, model.producer, model.metadata) == (17, "tool 1.2", {"onnx_si.noise_std": "0.5"})
    assert [(i.name, i.type, i.shape) for i in model.inputs] == [("x", "float", (1, 1, 4, 4))]
    assert [o.name for o in model.outputs] == ["map"]
    assert onnx_si.load(str(path)).sha256 == model.sha256


def test_a_missing_file_and_a_folder(tmp_path):
    for path, words in ((tmp_path / "nothing.onnx", "can't be read"), (tmp_path, "is a folder")):
        with pytest.raises(onnx_si.InputError, match=words):
            onnx_si.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"hello",
        b"\x80" * 100,
        json.dumps({"graph": {}}).encode(),
        b"\x93NUMPY\x01\x00",
        b"PK\x03\x04" + bytes(50),
    ],
    ids=["empty", "zero", "text", "varint", "json", "npy", "zip"],
)
def test_files_that_are_no_model(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(onnx_si.InputError, match="ONNX"):
        onnx_si.load(path)


def test_random_bytes(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "model.onnx"
    for size in (1, 2, 3, 10, 100, 1000, 10000):
        for _ in range(10):
            path.write_bytes(rng.bytes(size))
            with pytest.raises(OnnxSIError):
                onnx_si.load(path)


def test_truncated_files(tmp_path):
    """Cut anywhere, a file is refused, and by nothing but our own errors."""
    content = small_proto().SerializeToString()
    path = tmp_path / "model.onnx"
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        with pytest.raises((onnx_si.InputError, onnx_si.UnsupportedModel)) as refused:
            onnx_si.load(path)
        assert str(path) in str(refused.value)


def test_damaged_files(tmp_path):
    """One byte changed: a model, or our own error, at load or when it is bound - never a crash."""
    content = bytearray(small_proto().SerializeToString())
    path, rng = tmp_path / "model.onnx", np.random.default_rng(1)
    image = np.zeros((1, 1, 4, 4))
    for position in range(0, len(content)):
        damaged = bytearray(content)
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            model = onnx_si.load(path)
            bind(
                model,
                image,
                tuple(o.name for o in model.outputs),
                input_name=model.inputs[0].name if model.inputs else "x",
            )
        except OnnxSIError:
            continue


@pytest.mark.parametrize("opset", [0, onnx.defs.onnx_opset_version() + 1, 1000])
def test_opsets_outside_the_range(tmp_path, opset):
    proto = small_proto()
    proto.opset_import[0].version = opset
    with pytest.raises(onnx_si.UnsupportedModel, match=f"opset {opset}; supported are 1 to"):
        onnx_si.load(saved(tmp_path, proto))


def test_the_oldest_and_the_newest_opset(tmp_path):
    for opset in (7, onnx.defs.onnx_opset_version()):
        proto = small_proto(opset=opset)
        proto.ir_version = 8 if opset < 20 else onnx.IR_VERSION
        assert onnx_si.load(saved(tmp_path, proto)).opset == opset


def old_proto(op, opset, shapes, **attributes):
    """One node of an old opset with inputs `a` and `b`."""
    inputs = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in zip("ab", shapes, strict=False)
    ]
    node = helper.make_node(op, [value.name for value in inputs], ["y"], name="old", **attributes)
    output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shapes[0])
    graph = helper.make_graph([node], "old", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


@pytest.mark.parametrize(
    ("op", "opset", "attributes", "small", "lined_up"),
    [
        ("Add", 6, {"broadcast": 1, "axis": 1}, (3, 4), (1, 3, 4, 1)),
        ("Sub", 6, {"broadcast": 1, "axis": 0}, (2,), (2, 1, 1, 1)),
        ("Mul", 6, {"broadcast": 1}, (4, 5), (1, 1, 4, 5)),
        ("Div", 6, {"broadcast": 1, "axis": -2}, (4,), (1, 1, 4, 1)),
        ("Pow", 3, {"broadcast": 1, "axis": 3}, (5,), (1, 1, 1, 5)),
        ("PRelu", 6, {}, (3,), (1, 3, 1, 1)),
        ("Add", 6, {}, (2, 3, 4, 5), (2, 3, 4, 5)),
    ],
)
def test_inputs_line_up_as_old_opsets_say(op, opset, attributes, small, lined_up):
    """With the axes from `axis` on, by default the last ones; a slope belongs to a channel."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.5, 2, (2, 3, 4, 5)), rng.uniform(0.5, 2, small)
    if op == "PRelu":
        a -= 1
    model = model_from_proto(old_proto(op, opset, (a.shape, small), **attributes))
    functions = {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.divide,
        "Pow": np.power,
        "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
    }
    got = onnx_si.evaluate(model, {"a": a.astype(np.float32), "b": b.astype(np.float32)})["y"]
    wanted = functions[op](a.astype(np.float32), b.reshape(lined_up).astype(np.float32))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert model.opset == 7


@pytest.mark.parametrize(
    ("op", "opset", "attributes", "words"),
    [
        ("Upsample", 6, {"height_scale": 2.0, "width_scale": 2.0}, "version 1 of the op"),
        ("Dropout", 6, {}, "training mode"),
        ("Add", 6, {"broadcast": 1, "axis": 3}, "axis 3 for inputs of 4 and 2 axes"),
        ("Acos", 6, {}, "no such op|No Op registered"),
    ],
)
def test_old_ops_whose_meaning_is_not_known_are_refused(op, opset, attributes, words):
    shapes = ((1, 3, 4, 5), (3, 4))[: 1 if op in ("Upsample", "Dropout", "Acos") else 2]
    with pytest.raises(onnx_si.UnsupportedModel, match=words):
        model_from_proto(old_proto(op, opset, shapes, **attributes))


def test_old_models_whose_shapes_can_not_be_inferred():
    """What was declared is known all the same."""
    proto = old_proto("Add", 6, ((2, 3), (2,)), broadcast=1, axis=0)
    proto.graph.node.append(helper.make_node("MatMul", ["a", "a"], ["wrong"]))
    model = model_from_proto(proto)
    got = onnx_si.evaluate(model, {"a": np.zeros((2, 3)), "b": np.array([1.0, 2.0])})["y"]
    np.testing.assert_array_equal(got, [[1, 1, 1], [2, 2, 2]])


def test_an_output_without_a_shape():
    """The checker wants a shape of it, runtimes don't."""
    proto = small_proto()
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    model = model_from_proto(proto)
    assert model.outputs[0].shape is None and not proto.graph.output[0].type.tensor_type.HasField("shape")


def test_no_opset_at_all(tmp_path):
    proto = small_proto()
    del proto.opset_import[:]
    with pytest.raises(onnx_si.UnsupportedModel, match="opset None"):
        onnx_si.load(saved(tmp_path, proto))


@pytest.mark.parametrize("part", ["node", "output"])
def test_graphs_without_nodes_or_outputs(tmp_path, part):
    proto = small_proto()
    proto.graph.ClearField(part)
    with pytest.raises(onnx_si.InputError, match="holds no ONNX graph"):
        onnx_si.load(saved(tmp_path, proto))


def breaks_order(proto):
    """A circle: the first node reads what the last one makes."""
    proto.graph.node[0].input[0] = proto.graph.node[-1].output[0]


def breaks_names(proto):
    proto.graph.node[1].input[0] = "nowhere"


def breaks_op(proto):
    proto.graph.node[1].op_type = "Rleu"


def breaks_weights(proto):
    proto.graph.initializer[0].dims[0] = 1000


@pytest.mark.parametrize("damage", [breaks_order, breaks_names, breaks_op, breaks_weights])
def test_models_that_break_the_specification(tmp_path, damage):
    proto = small_proto()
    damage(proto)
    with pytest.raises(onnx_si.UnsupportedModel):
        model = onnx_si.load(saved(tmp_path, proto))
        bind(model, np.zeros((1, 1, 4, 4)), ("map",)).require_exact()


# --------------------------------------------------------------------------------
# External data


def external_proto(location, *, offset=None, length=None, size=9):
    """The small model with its convolution's weights in another file."""
    proto = small_proto()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": length}
    for key, value in entries.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return proto


def weights_bytes():
    return small_proto().graph.initializer[0].raw_data


@pytest.mark.parametrize("where", ["weights.bin", "sub/weights.bin", "./sub/../weights.bin"])
def test_external_data_beside_the_model(tmp_path, where, monkeypatch):
    target = (tmp_path / where).resolve()
    (tmp_path / "sub").mkdir()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(bytes(16) + weights_bytes())
    path = saved(tmp_path, external_proto(where, offset=16, length=36))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # the model's folder counts, not the current one
    image = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    ours = onnx_si.evaluate(onnx_si.load(path), {"x": image})["map"]
    np.testing.assert_array_equal(
        ours, onnx_si.evaluate(model_from_proto(small_proto()), {"x": image})["map"]
    )


def outside(tmp_path, kind):
    """A location that leads out of the model's folder to a file that exists."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(weights_bytes())
    folder = tmp_path / "model"
    folder.mkdir()
    if kind == "parent":
        return folder, "../secret.bin"
    if kind == "hidden parent":
        (folder / "sub").mkdir()
        return folder, "sub/../../secret.bin"
    if kind == "absolute":
        return folder, str(secret)
    if kind == "symlink":
        (folder / "link.bin").symlink_to(secret)
        return folder, "link.bin"
    (folder / "sub").symlink_to(tmp_path)
    return folder, "sub/secret.bin"


@pytest.mark.parametrize("kind", ["parent", "hidden parent", "absolute", "symlink", "symlinked folder"])
def test_external_data_outside_the_models_folder_is_not_read(tmp_path, kind):
    folder, location = outside(tmp_path, kind)
    path = saved(folder, external_proto(location))
    with pytest.raises(onnx_si.InputError, match="outside the model's own folder"):
        onnx_si.load(path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"location": "missing.bin"}, "missing beside the model"),
        ({"location": "folder"}, "missing beside the model"),
        ({"location": "short.bin", "length": 36}, "behind the end"),
        ({"location": "short.bin", "offset": 1, "length": 20}, "behind the end"),
        ({"location": "short.bin", "offset": 10**30, "length": 1}, "behind the end"),
        ({"location": "short.bin"}, None),
        ({"location": "short.bin", "offset": "a"}, "malformed"),
        ({"location": "short.bin", "offset": -8, "length": 8}, None),
        ({"location": "short.bin", "length": -8}, None),
        ({"location": ""}, "outside the model's own folder"),
    ],
)
def test_external_data_that_is_not_there(tmp_path, options, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "short.bin").write_bytes(bytes(20))
    path = saved(tmp_path, external_proto(**options))
    with pytest.raises((onnx_si.InputError, onnx_si.UnsupportedModel), match=reason):
        bind(onnx_si.load(path), np.zeros((1, 1, 4, 4)), ("map",)).require_exact()


@pytest.mark.parametrize("kind", ["inside", "parent", "absolute", "current folder"])
def test_external_data_in_a_node_is_treated_alike(tmp_path, kind, monkeypatch):
    """A Constant node can point to a file as well."""
    if kind in ("inside", "current folder"):
        folder, location = tmp_path / "model", "secret.bin"
        folder.mkdir()
        home = folder if kind == "inside" else tmp_path
        (home / location).write_bytes(weights_bytes())
        monkeypatch.chdir(tmp_path)
    else:
        folder, location = outside(tmp_path, kind)
    proto = external_proto(location, length=36)
    tensor = proto.graph.initializer[0]
    node = helper.make_node("Constant", [], [tensor.name], value=tensor)
    del proto.graph.initializer[0]
    proto.graph.node.insert(0, node)
    path = saved(folder, proto)
    image = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    if kind == "inside":
        ours = onnx_si.evaluate(onnx_si.load(path), {"x": image})["map"]
        truth = onnx_si.evaluate(model_from_proto(small_proto()), {"x": image})["map"]
        np.testing.assert_array_equal(ours, truth)
    else:
        with pytest.raises(onnx_si.InputError):
            onnx_si.load(path)


@pytest.mark.parametrize("kind", ["inside", "parent", "current folder"])
def test_external_data_in_a_function_is_treated_alike(tmp_path, kind, monkeypatch):
    folder, location = outside(tmp_path, "parent") if kind == "parent" else (tmp_path / "model", "secret.bin")
    folder.mkdir(exist_ok=True)
    ((folder if kind == "inside" else tmp_path) / "secret.bin").write_bytes(weights_bytes())
    monkeypatch.chdir(tmp_path)
    tensor = external_proto(location, length=36).graph.initializer[0]
    inside = [
        helper.make_node("Constant", [], ["w"], value=tensor),
        helper.make_node("Conv", ["a", "w"], ["c"]),
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Secret", ["a"], ["c"], inside, opsets[:1])
    graph = helper.make_graph(
        [helper.make_node("Secret", ["x"], ["map"], domain="mine")],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("map", 1, [1, 1, 2, 2])],
    )
    path = saved(folder, helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=8))
    if kind == "inside":
        onnx_si.evaluate(onnx_si.load(path), {"x": np.zeros((1, 1, 4, 4))})
    else:
        with pytest.raises(onnx_si.InputError):
            onnx_si.load(path)


def test_a_named_pipe_is_no_external_data(tmp_path):
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "pipe.bin")
    with pytest.raises(onnx_si.InputError, match="missing beside the model"):
        onnx_si.load(saved(tmp_path, external_proto("pipe.bin", length=36)))


# --------------------------------------------------------------------------------
# Functions, initialisers, DAG


def test_functions_are_inlined(tmp_path):
    twice = helper.make_function(
        "mine",
        "ReluTwice",
        ["a"],
        ["c"],
        [helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Add", ["b", "b"], ["c"])],
        [helper.make_opsetid("", 17)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReluTwice", ["x"], ["y"], domain="mine"),
            helper.make_node("ReluTwice", ["y"], ["z"], domain="mine"),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("z", 1, [1, 3])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, functions=[twice], ir_version=8)
    model = onnx_si.load(saved(tmp_path, proto))
    assert sorted(node.op_type for node in model.proto.graph.node) == ["Add", "Add", "Relu", "Relu"]
    np.testing.assert_array_equal(
        onnx_si.evaluate(model, {"x": np.array([[-1.0, 0.5, 2.0]])})["z"], [[0, 2, 8]]
    )
    bind(model, np.zeros((1, 3)), ("z",)).require_exact()


def test_initialisers_listed_as_inputs_are_no_inputs(tmp_path):
    """As IR version 3 demands it."""
    proto = small_proto()
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model = onnx_si.load(saved(tmp_path, proto))
    assert [i.name for i in model.inputs] == ["x"]
    image = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    np.testing.assert_array_equal(
        onnx_si.evaluate(model, {"x": image})["map"],
        onnx_si.evaluate(model_from_proto(small_proto()), {"x": image})["map"],
    )


def test_the_dag_has_tensors_and_ops():
    model = nets.cam_nchw(0)
    flow = dag(model.proto.graph)
    assert nx.is_directed_acyclic_graph(flow)
    assert nx.is_bipartite(flow)
    ops = [key for key in flow if key[0] == "op"]
    assert len(ops) == len(model.proto.graph.node)
    for kind, position in ops:
        node = flow.nodes[kind, position]["node"]
        assert node is model.proto.graph.node[position] or node == model.proto.graph.node[position]
        assert {name for _, name in flow.predecessors((kind, position))} == set(node.input)
        assert {name for _, name in flow.successors((kind, position))} == set(node.output)
    assert nx.has_path(flow, ("tensor", "x"), ("tensor", model.outputs[0].name))


def test_what_a_branch_captures_is_an_input_of_its_node():
    inner = helper.make_graph(
        [helper.make_node("Neg", ["captured"], ["inner_out"])],
        "then",
        [],
        [helper.make_tensor_value_info("inner_out", 1, [1])],
    )
    node = helper.make_node("If", ["condition"], ["out"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "g", [], [])
    flow = dag(graph)
    assert {name for _, name in flow.predecessors(("op", 0))} == {"condition", "captured"}


def test_only_needed_nodes_are_kept_in_order():
    net = nets.Net(0, (1, 1, 4, 4))
    a = net.add("Relu", "x")
    b = net.add("Neg", a)
    net.add("Exp", a, out="other")
    c = net.add("Add", a, b, out="wanted")
    model = net.finish("wanted", "other")
    assert [n.op_type for n in nodes_between(model.proto.graph, [c])] == ["Relu", "Neg", "Add"]
    assert [n.op_type for n in nodes_between(model.proto.graph, ["other", c])] == [
        "Relu",
        "Neg",
        "Exp",
        "Add",
    ]
    assert nodes_between(model.proto.graph, ["x", "unknown"]) == []


# --------------------------------------------------------------------------------
# Binding


def test_unsupported_nodes_outside_the_maps_ancestors_do_not_matter():
    net = nets.Net(0, (1, 1, 4, 4))
    x = net.add("Relu", "x")
    net.add("Neg", x, out="wanted")
    net.add("Tanh", x, out="other")
    model = net.finish("wanted", "other")
    bind(model, np.zeros((1, 1, 4, 4)), ("wanted",)).require_exact()
    with pytest.raises(onnx_si.UnsupportedOp):
        bind(model, np.zeros((1, 1, 4, 4)), ("wanted", "other")).require_exact()


def test_all_findings_are_collected_and_raised_once():
    net = nets.Net(0, (1, 1, 4, 4))
    first = net.add("Tanh", "x")
    second = net.add("Selu", net.add("Relu", first))  # no handler at all
    third = net.add("Cos", "x")
    net.add("Add", second, third, out="map")
    model = net.finish("map")
    program = bind(model, np.ones((1, 1, 4, 4)), ("map",))
    assert [finding.op for finding in program.findings] == ["Tanh", "Selu", "Cos"]
    with pytest.raises(onnx_si.UnsupportedOp) as refused:
        program.require_exact()
    assert refused.value.findings == program.findings
    text = str(refused.value)
    assert text.startswith("3 nodes can't be analysed exactly")
    for finding in program.findings:
        assert f"node '{finding.node}' ({finding.op}, opset 17): " in text
        assert finding.reason in text and finding.advice in text and finding.reason and finding.advice
    assert len({finding.node for finding in program.findings}) == 3


def test_nodes_behind_an_unknown_shape_are_not_blamed():
    """Nothing is known behind a foreign op: it is one finding, and an independent one is still reported."""
    net = nets.Net(0, (1, 1, 4, 4))
    both = [net.name("mystery"), net.name("mystery")]
    net.nodes.append(helper.make_node("Mystery", ["x"], both, domain="foreign"))
    behind = net.add("Relu", net.add("Sub", *both))
    net.add("Add", behind, net.add("Tanh", "x"), out="map")
    program = bind(net.finish("map", domains=["foreign"]), np.zeros((1, 1, 4, 4)), ("map",))
    assert [(finding.op, finding.opset) for finding in program.findings] == [("Mystery", 1), ("Tanh", 17)]
    assert "foreign" in program.findings[0].reason


@pytest.mark.parametrize("size", [(4, 4), (5, 9)])
def test_free_axes_are_bound_to_the_image(size):
    net = nets.Net(0, (1, 1, 4, 4))
    x = net.add("Relu", net.conv("x", 1, 2))
    net.add("MaxPool", x, kernel_shape=[2, 2], out="map")
    proto = net.proto("map", input_shape=["N", 1, "H", None])
    model = model_from_proto(proto)
    assert model.inputs[0].shape == ("N", 1, "H", None)
    program = bind(model, np.zeros((1, 1, *size)), ("map",))
    assert program.values["map"].shape == (1, 2, size[0] - 1, size[1] - 1)
    assert program.instructions[-1].shape == (1, 2, size[0] - 1, size[1] - 1)


def test_shapes_are_constants():
    """The subgraph that PyTorch writes for a view: Shape, Gather, Concat, Reshape."""
    net = nets.Net(0, (1, 1, 4, 4))
    x = net.add("Relu", net.conv("x", 1, 2))
    batch = net.add("Gather", net.add("Shape", x), net.const(np.array(0, np.int64)), axis=0)
    batch = net.add("Unsqueeze", batch, net.ints(0))
    shape = net.add("Concat", batch, net.ints(-1), axis=0)
    net.add("Reshape", x, shape, out="map")
    model = net.finish("map", input_shape=["N", 1, "H", "W"])
    program = bind(model, np.zeros((1, 1, 4, 6)), ("map",))
    assert [instruction.op for instruction in program.instructions] == ["Conv", "Relu", "Reshape"]
    assert program.values["map"].shape == (1, 48)


def test_what_does_not_depend_on_the_image_is_evaluated_once():
    net = nets.Net(0, (1, 1, 4, 4))
    weight = net.add("Mul", net.normal(1, 1, 3, 3), net.const(np.array(2.0)))
    weight = net.add("Tanh", weight)  # any op that the reference evaluator knows, on constants
    net.add("Conv", "x", weight, pads=[1, 1, 1, 1], out="map")
    program = bind(net.finish("map"), np.ones((1, 1, 4, 4)), ("map",))
    program.require_exact()
    assert [instruction.op for instruction in program.instructions] == ["Conv"]


def test_tensors_are_dropped_after_their_last_use():
    model = nets.cam_nchw(0)
    output = model.outputs[0].name
    program = bind(model, np.zeros((1, 1, 6, 6)), (output,))
    dead = [name for instruction in program.instructions for name in instruction.dead]
    made = [instruction.output for instruction in program.instructions]
    assert sorted(dead) == sorted({"x", *made} - {output})


def test_unknown_outputs_and_missing_inputs():
    model = nets.map_net(0)
    with pytest.raises(onnx_si.InputError, match="no tensor 'nothing'"):
        bind(model, np.zeros((1, 1, 5, 5)), ("nothing",))
    net = nets.Net(0, (1, 4))
    net.add("Add", "x", "y", out="sum")
    proto = net.proto("sum")
    proto.graph.input.append(helper.make_tensor_value_info("y", 1, [1, 4]))
    model = model_from_proto(proto)
    with pytest.raises(onnx_si.InputError, match="'y'"):
        bind(model, np.zeros((1, 4)), ("sum",))
    program = bind(model, np.zeros((1, 4)), ("sum",), given={"y": np.ones((1, 4), np.float32)})
    np.testing.assert_array_equal(program.values["sum"], np.ones((1, 4)))


def test_sparse_and_typed_initialisers():
    """Weights stored as a list of floats, not as raw bytes."""
    net = nets.Net(0, (1, 4))
    net.add("Mul", "x", "factor", out="map")
    net.initializers.append(helper.make_tensor("factor", TensorProto.FLOAT, [4], [1.0, 2.0, 3.0, 4.0]))
    ours = onnx_si.evaluate(net.finish("map"), {"x": np.ones((1, 4))})["map"]
    np.testing.assert_array_equal(ours, [[1, 2, 3, 4]])
    assert numpy_helper.to_array(net.initializers[-1]).tolist() == [1, 2, 3, 4]


def test_loops_without_end_are_refused():
    """Its trip count comes from the file: 10**12 rounds of nothing must not be run."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["keep_in"], ["keep_out"]),
            helper.make_node("Identity", ["state_in"], ["state_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("keep_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("keep_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_out", TensorProto.FLOAT, [1]),
        ],
    )
    net = nets.Net(0, (1, 4))
    state = net.add(
        "Loop",
        net.const(np.array(10**12, np.int64)),
        net.const(np.array(True)),
        net.const(np.ones(1)),
        body=body,
    )
    model = net.finish(net.add("Add", "x", state, out="y"))
    with pytest.raises(UnsupportedOp, match="a loop of 1000000000000 turns of 2 nodes"):
        bind(model, np.zeros((1, 4)), ("y",)).require_exact()
