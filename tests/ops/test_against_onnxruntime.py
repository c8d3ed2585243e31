"""The deployed runtime gives the same outputs, for every case in every schema version that the case fits."""

import numpy as np
import onnxruntime
import pytest

import onnx_si

from .cases import CASES, FEATURES, HANDLERS, NEWEST, SMOOTH, effective_versions, model_of

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = 1
OPTIONS.log_severity_level = 4

# float32 against float64: each output is a sum of at most a few dozen terms of size one
RTOL, ATOL = 1e-4, 1e-4

RUNS = [
    pytest.param(case, opset, id=f"{case}-opset{opset}") for case in CASES + SMOOTH for opset in case.opsets()
]


@pytest.mark.parametrize(("case", "opset"), RUNS)
def test_agrees_with_onnxruntime(case, opset):
    model = model_of(case, opset, bent=True)
    session = onnxruntime.InferenceSession(model.proto.SerializeToString(), OPTIONS, ["CPUExecutionProvider"])
    for image in np.random.default_rng(9).normal(size=(3, 1, FEATURES)).astype(np.float32):
        ours = onnx_si.evaluate(model, {"x": image})
        for name, theirs in zip(ours, session.run(list(ours), {"x": image}), strict=True):
            assert ours[name].shape == theirs.shape
            np.testing.assert_allclose(ours[name], theirs, rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("op", sorted(HANDLERS))
def test_every_version_is_run(op):
    """A handler lists each schema version that an opset can have, no other, and some case reaches it."""
    covered = {opset for case in CASES + SMOOTH if case.op == op for opset in case.opsets()}
    assert covered == {max(version, 7) for version in effective_versions(op)}
    assert [v for v in HANDLERS[op].versions if v <= NEWEST] == effective_versions(op)
