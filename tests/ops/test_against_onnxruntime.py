"""The deployed runtime gives the same outputs, for every case in every schema version that the case fits."""

import numpy as np
import onnx
import onnxruntime
import pytest

import onnx_si

from .cases import CASES, FEATURES, HANDLERS, NEWEST, POINTS, SMOOTH, effective_versions, model_of

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = 1
OPTIONS.log_severity_level = 4

# float32 against float64: each output is a sum of at most a few dozen terms of size one
RTOL, ATOL = 1e-4, 1e-4

NOT_IMPLEMENTED = {
    *(("DequantizeLinear", 28), ("QuantizeLinear", 28), ("RoiAlign", 22), ("SwiGLU", 28)),
    *(("GlobalLpPool", 22), ("MaxRoiPool", 22)),
}
"""Schema versions that this onnxruntime has no kernel for; the cases run in the older ones."""


RUNS = [
    pytest.param(case, opset, id=f"{case}-opset{opset}")
    for case in CASES + SMOOTH + POINTS
    for opset in case.opsets()
]


def schema_version(case, opset):
    return onnx.defs.get_schema(case.op, opset, case.domain).since_version


def as_declared(array, element):
    """Numbers of 8-bit floating-point types come as bare bytes, maps in the order of their keys."""
    if isinstance(array, list):
        return np.array([[row[key] for key in sorted(row)] for row in array])
    dtype = onnx.helper.tensor_dtype_to_np_dtype(element)
    bare = array.dtype == np.uint8 and dtype.itemsize == 1 and dtype != np.bool_
    return (array.view(dtype) if bare else array).astype(np.float64)


@pytest.mark.parametrize(("case", "opset"), RUNS)
def test_agrees_with_onnxruntime(case, opset):
    model = model_of(case, opset, bent=True)
    serialized = model.proto.SerializeToString()
    if (case.op, schema_version(case, opset)) in NOT_IMPLEMENTED:
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented):
            onnxruntime.InferenceSession(serialized, OPTIONS, ["CPUExecutionProvider"])
        return
    session = onnxruntime.InferenceSession(serialized, OPTIONS, ["CPUExecutionProvider"])
    for image in np.random.default_rng(9).normal(size=(3, 1, FEATURES)).astype(np.float32):
        ours = onnx_si.evaluate(model, {"x": image})
        results = session.run(list(ours), {"x": image})
        for info, name, theirs in zip(model.proto.graph.output, ours, results, strict=True):
            theirs = as_declared(theirs, info.type.tensor_type.elem_type)
            assert ours[name].shape == theirs.shape
            np.testing.assert_allclose(ours[name], theirs, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("op", sorted(HANDLERS))
def test_every_version_is_run(op):
    """A handler lists each schema version that an opset can have, no other, and some case reaches it."""
    covered = {opset for case in CASES + SMOOTH + POINTS if case.op == op for opset in case.opsets()}
    oldest = 1 if HANDLERS[op].domain else 7
    assert covered == {max(version, oldest) for version in effective_versions(op)}
    assert [v for v in HANDLERS[op].versions if v <= NEWEST] == effective_versions(op)
