"""Models whose image is of a whole-number type are tested as the runtime takes them: it rounds each image."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si
from onnx_si.inspection.inspector import inspect_model
from onnx_si.runtime.session import as_type

TYPES = ("uint8", "int32", "int64", "uint32", "uint64")
SIZE = 10


def model(kind):
    """A cast of the image, a convolution, a bend."""
    weights = np.random.default_rng(3).uniform(0, 0.01, (1, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["f", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    shape = [1, 1, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", getattr(TensorProto, kind.upper()), shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def image(whole=True):
    drawn = np.random.default_rng(1).normal(100, 8, (SIZE, SIZE))
    drawn[2:6, 2:6] += 40
    return np.rint(drawn) if whole else drawn


def region_of(proto, array):
    """What the runtime marks, asked without any of our own code."""
    kind = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(int64)": np.int64}
    kind |= {"tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    given = np.rint(array).astype(kind[session.get_inputs()[0].type])[None, None]
    (found,) = session.run(None, {"x": given})
    return found[0, 0] > found.max() / 2


@pytest.mark.parametrize(("kind", "whole"), [*((kind, False) for kind in TYPES[1:]), ("int32", True)])
def test_chains(kind, whole):
    """Chains ask the runtime, which rounds: the region is its own, the p-value that of uint8."""
    proto, array = model(kind), image(whole)
    asked = {"sigma": 8.0, "threshold": "max:0.5", "p_value_only": True}
    result = onnx_si.test(proto, array, **asked)
    assert result.guarantee == "monte-carlo" and result.parity.pixels == ()
    np.testing.assert_array_equal(result.region, region_of(proto, array))
    assert result.p_value == onnx_si.test(model("uint8"), array, **asked).p_value


@pytest.mark.parametrize("kind", TYPES)
def test_exact(kind):
    """Where the image is of whole numbers the runtime is a witness at the image, else nowhere."""
    proto, asked = model(kind), {"sigma": 8.0, "threshold": "max:0.5", "engine": "exact"}
    result = onnx_si.test(proto, image(), **asked)
    assert result.guarantee == "exact" and result.parity.pixels == () and result.parity.points is None
    np.testing.assert_array_equal(result.region, region_of(proto, image()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fractions = onnx_si.test(proto, image(whole=False), **asked)
    assert fractions.parity.pixels is None
    assert f"input is {kind}: the runtime rounds the image" in fractions.parity.problem


def test_a_witness_at_the_image_sees_another_region(monkeypatch):
    changed = model("int32")
    weights = numpy_helper.to_array(changed.graph.initializer[0])
    other = numpy_helper.from_array((weights * [-1, 0.1, 3]).astype(np.float32), "w")

    def shown(file, names):
        copy = onnx.ModelProto()
        copy.CopyFrom(file)
        copy.graph.initializer[0].CopyFrom(other)
        return copy

    monkeypatch.setattr("onnx_si.runtime.deployed.showing", shown)
    result = onnx_si.test(changed, image(), sigma=8.0, threshold="max:0.5", engine="exact")
    assert len(result.parity.pixels) > 0 and "pixels of the region differ" in " ".join(result.warnings)


@pytest.mark.parametrize("kind", TYPES)
def test_looked_at_and_evaluated(kind):
    proto = model(kind)
    assert inspect_model(proto).guarantee == "monte-carlo"
    given = image().astype(kind)[None, None]
    found = onnx_si.evaluate(proto, {"x": given})["y"]
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(found, session.run(None, {"x": given})[0], rtol=1e-6)


def test_simulated(tmp_path):
    onnx.save(model("int64"), tmp_path / "m.onnx")
    asked = {"sigma": 8.0, "base": 100.0, "threshold": "max:0.5", "jobs": 1}
    done = onnx_si.simulate(str(tmp_path / "m.onnx"), trials=2, **asked).to_dict()
    assert done["results"][0]["tested"] == 2 and not done["contradicted"]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_numbers_that_a_type_does_not_hold_become_its_ends(kind, given):
    limits = np.iinfo(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = as_type(np.array([-1e30, 2.5, 3.5, 1e30, float(limits.max), limits.max / 2], given), kind)
    assert held.dtype == kind
    assert list(held[:5]) == [limits.min, 2, 4, limits.max, limits.max]
    assert abs(int(held[5]) - limits.max // 2) <= limits.max * 2.0**-23 + 1
