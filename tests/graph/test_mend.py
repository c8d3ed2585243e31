"""Models that runtimes run although the checker, or no handler, takes them so; and those too deep."""

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si
from onnx_si.errors import InputError, UnsupportedModel
from onnx_si.graph import load, model_from_proto
from onnx_si.graph.depth import MOST_CALLS, MOST_NESTED, MOST_NODES
from onnx_si.inspection.inspector import inspect_model

ROW = np.array([[1, -2, 3, 4]], np.float32)


def model(nodes, constants=(), sparse=(), shape=(1, 4), opset=17, ir=8, functions=()):
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
        sparse_initializer=list(sparse),
    )
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("own", 1)] if functions else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=list(functions))


def as_onnxruntime(proto, x=ROW):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = onnx_si.evaluate(model_from_proto(proto), {"x": x})["y"]
    np.testing.assert_allclose(found, session.run(["y"], {"x": x})[0], rtol=1e-6)
    return found


def sparse(values, places, shape, name="s"):
    stored = numpy_helper.from_array(np.asarray(values, np.float32), name)
    at = numpy_helper.from_array(np.asarray(places, np.int64), f"{name}_places")
    return helper.make_sparse_tensor(stored, at, shape)


SPARSE = [sparse([5, 7], [1, 2], [4]), sparse([5, 7], [[0, 1], [1, 2]], [2, 4])]


@pytest.mark.parametrize("tensor", SPARSE, ids=["flat places", "places by axis"])
def test_sparse_initializer(tensor):
    assert as_onnxruntime(model([helper.make_node("Add", ["x", "s"], ["y"])], sparse=[tensor])).any()


@pytest.mark.parametrize("tensor", SPARSE, ids=["flat places", "places by axis"])
def test_constant_of_a_sparse_tensor(tensor):
    nodes = [
        helper.make_node("Constant", [], ["s"], sparse_value=tensor),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    assert as_onnxruntime(model(nodes)).any()


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (sparse([5, 7], [1, 9], [4]), "does not hold what it says"),
        (sparse([5, 7], [-1, 2], [4]), "does not hold what it says"),
        (sparse([5, 7], [1], [4]), "does not hold what it says"),
        (sparse([5, 7], [[0, 1], [5, 2]], [2, 4]), "does not hold what it says"),
        (sparse([5], [1], [2**31, 2**20]), "it takes 16777216 GiB of memory"),
    ],
)
def test_a_sparse_tensor_that_can_not_be(tensor, words):
    with pytest.raises(UnsupportedModel, match=words):
        model_from_proto(model([helper.make_node("Add", ["x", "s"], ["y"])], sparse=[tensor]))


def test_nodes_in_any_order():
    nodes = [
        helper.make_node("Add", ["b", "a"], ["y"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Neg", ["x"], ["a"]),
    ]
    as_onnxruntime(model(nodes))


def test_a_circle_of_nodes():
    nodes = [
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Neg", ["b"], ["a"]),
        helper.make_node("Add", ["x", "b"], ["y"]),
    ]
    with pytest.raises(UnsupportedModel, match="topologically sorted"):
        model_from_proto(model(nodes))


def test_a_size_of_minus_one_is_free():
    proto = model([helper.make_node("Relu", ["x"], ["y"])], shape=(-1, 4))
    as_onnxruntime(proto)
    assert model_from_proto(proto).inputs[0].shape == (None, 4)


@pytest.mark.parametrize("ir", [1, 2, 3])
def test_initialisers_that_are_no_inputs_in_an_old_file(ir):
    proto = model([helper.make_node("Add", ["x", "c"], ["y"])], {"c": np.float32(3)}, opset=8, ir=ir)
    as_onnxruntime(proto)
    assert [info.name for info in model_from_proto(proto).inputs] == ["x"]


def test_a_plain_model_is_not_copied():
    proto = model([helper.make_node("Relu", ["x"], ["y"])])
    assert model_from_proto(proto).proto is proto


def nested(depth):
    nodes = [helper.make_node("Relu", ["x"], ["inner"])]
    for level in range(depth):
        out = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
        branch = helper.make_graph(nodes, f"b{level}", [], [out])
        name = "y" if level == depth - 1 else f"level_{level}"
        nodes = [helper.make_node("If", ["c"], [name], then_branch=branch, else_branch=branch)]
    return model(nodes, {"c": np.array(True)})


def test_branches_as_deep_as_allowed():
    found = onnx_si.evaluate(model_from_proto(nested(MOST_NESTED)), {"x": ROW})["y"]
    np.testing.assert_array_equal(found, np.maximum(ROW, 0))


def test_branches_too_deep():
    with pytest.raises(
        UnsupportedModel, match=f"{MOST_NESTED + 1} deep in each other, at most {MOST_NESTED}"
    ):
        model_from_proto(nested(MOST_NESTED + 1))


def calls(depth, each):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = []
    for level in range(depth):
        op, domain = ("Relu", "") if level == 0 else (f"f{level - 1}", "own")
        names = ["x", *(f"t{i}" for i in range(each - 1)), "y"]
        nodes = [helper.make_node(op, [a], [b], domain=domain) for a, b in pairwise(names)]
        made.append(helper.make_function("own", f"f{level}", ["x"], ["y"], nodes, opsets))
    return model([helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="own")], functions=made)


def test_functions_that_call_functions():
    found = onnx_si.evaluate(model_from_proto(calls(5, 2)), {"x": ROW})["y"]
    np.testing.assert_array_equal(found, np.maximum(ROW, 0))


def test_functions_in_doublings():
    with pytest.raises(UnsupportedModel, match=f"at most {MOST_NODES} are read"):
        model_from_proto(calls(30, 2))


def test_functions_that_call_too_deep():
    with pytest.raises(UnsupportedModel, match=f"deep or calls itself, at most {MOST_CALLS} are read"):
        model_from_proto(calls(MOST_CALLS + 2, 1))


def external(tmp_path, **place):
    proto = model([helper.make_node("Add", ["x", "c"], ["y"])], {"c": np.ones(4, np.float32)})
    (tensor,) = proto.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["loop", "a\0b", "n" * 5000, "", "/etc/passwd", "../up", "folder"])
def test_places_that_are_no_file_beside_the_model(tmp_path, location):
    (tmp_path / "loop").symlink_to(tmp_path / "pool")
    (tmp_path / "pool").symlink_to(tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"outside the model's own folder|missing beside") as caught:
        load(external(tmp_path, location=location))
    assert len(str(caught.value)) < 500 and "\0" not in str(caught.value)


@pytest.mark.parametrize("place", [{"offset": "-4"}, {"length": "-4"}, {"offset": "9" * 30}, {"length": "x"}])
def test_places_within_a_file_that_can_not_be(tmp_path, place):
    (tmp_path / "data").write_bytes(np.ones(4, np.float32).tobytes())
    assert load(external(tmp_path, location="data")).initializers["c"].sum() == 4
    with pytest.raises(InputError, match=r"malformed place|ends behind the end"):
        load(external(tmp_path, location="data", **place))


def test_metadata_that_is_no_text(tmp_path):
    proto = model([helper.make_node("Relu", ["x"], ["y"])])
    proto.metadata_props.add(key="onnx_si.note", value="ABCD")
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString().replace(b"ABCD", b"\xff\xfe\x1b["))
    found = load(path)
    assert onnx.ModelProto.FromString(path.read_bytes()).metadata_props[0].key == "onnx_si.note"
    assert found.metadata["onnx_si.note"].startswith("\ufffd\ufffd")
    assert inspect_model(found).to_dict()["metadata"]["onnx_si.note"] == "\ufffd\ufffd\\x1b["
