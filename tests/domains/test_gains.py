"""Norms of affine rules against the singular values of matrices, and how errors grow in normalisations."""

import numpy as np
import pytest
from ops.cases import CASES, model_of

from onnx_si.domains.polynomial.gains import Gains
from onnx_si.ops.convolution import conv
from onnx_si.ops.made_of import Sketch, standardised
from onnx_si.program.program import bind
from onnx_si.rules.registry import Variable
from onnx_si.rules.rules import Affine, Maximum


def matrices(rule, shapes):
    """The matrix of an affine rule for each of its inputs."""
    for i, shape in enumerate(shapes):
        size = int(np.prod(shape))
        xs = [np.zeros((size, *other)) for other in shapes]
        xs[i] = np.eye(size).reshape(size, *shape)
        yield rule.slope(*xs).reshape(size, -1)


AFFINE = [case for case in CASES if case.op not in {"Loop", "If"}]


@pytest.mark.parametrize(
    "case",
    list({case.op: case for case in AFFINE}.values())
    + [
        case
        for case in AFFINE
        if case.op in {"Conv", "ConvTranspose", "AveragePool", "MatMul", "Resize", "Gemm"}
    ],
    ids=str,
)
def test_a_norm_is_no_smaller_than_that_of_the_matrix(case):
    rng, gains = np.random.default_rng(0), Gains()
    model = model_of(case, case.opsets()[-1])
    program = bind(model, rng.normal(size=model.inputs[0].shape), tuple(o.name for o in model.outputs))
    for step in program.instructions:
        if not isinstance(step.rule, Affine):
            continue
        shapes = [program.shapes[name] for name in step.inputs]
        gain, found = gains.of(step.rule, shapes), list(matrices(step.rule, shapes))
        together = np.concatenate(found)
        assert np.all(np.sqrt((together**2).sum(axis=0)) <= gain.rows.ravel())
        if gain.norms is not None:
            for bound, matrix in zip(gain.norms, found, strict=True):
                assert np.linalg.norm(matrix, 2) <= bound


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("taps", [1, 2, 3, 5])
def test_the_norm_of_a_convolution_is_close(stride, taps):
    """On an image that is large enough for its border not to count."""
    rng = np.random.default_rng(taps)
    weight = rng.normal(size=(3, 2, taps, taps)).astype(np.float32)
    rule = conv(Variable((1, 2, 12, 12)), weight, pads=[taps // 2] * 4, strides=[stride] * 2)
    (matrix,), (bound,) = matrices(rule, [(1, 2, 12, 12)]), Gains().of(rule, [(1, 2, 12, 12)]).norms
    true = np.linalg.norm(matrix, 2)
    assert true <= bound <= (1.6 if stride == 1 else 3.5) * true


def test_candidates_are_read_as_often_as_windows_overlap():
    def windows(x):
        return [x[..., i : i + 4] for i in range(3)]

    assert Gains().of(Maximum(windows), [(6,)]).norms[0] == pytest.approx(np.sqrt(3))


@pytest.mark.parametrize("seed", range(5))
def test_no_error_of_a_normalised_tensor_grows_more(seed):
    rng = np.random.default_rng(seed)
    sketch = Sketch([(2, 9)])
    standardised(sketch, 0, (1,), 1e-3)
    centring, normalising = (stage.rule for stage in sketch.finish().stages)
    for size in (1e-6, 0.1, 1.0):
        x, error = rng.normal(size=(2, 1, 2, 9)) * np.array([1.0, size]).reshape(2, 1, 1, 1)
        a, b = (centring.evaluate(y) for y in (x, x + error))
        least = np.where(np.sign(a) == np.sign(b), np.minimum(np.abs(a), np.abs(b)), 0.0)
        moved = np.linalg.norm(normalising.evaluate(a) - normalising.evaluate(b))
        assert moved <= normalising.steepness(least)[0] * np.linalg.norm(error)
