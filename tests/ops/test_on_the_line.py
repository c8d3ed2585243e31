"""The exact domain agrees with single evaluations at, around and between all knots, for every op."""

import numpy as np
import pytest

import onnx_si
from onnx_si.errors import UnsupportedOp
from onnx_si.program.program import bind
from onnx_si.rules.rules import Affine, Opaque, Smooth

from .cases import CASES, FEATURES, HANDLERS, POINTS, SMOOTH, model_of
from .line import assert_exact, at_points, on_line


def random_line(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, FEATURES)), rng.normal(size=(1, FEATURES))


def bound(case, bent=False):
    start, _ = random_line(1)
    program = bind(
        model_of(case, case.opsets()[-1], bent), start, tuple(f"y{i}" for i in range(case.outputs))
    )
    program.require_exact()
    return program


def test_every_op_has_a_case():
    assert set(HANDLERS) == {case.op for case in CASES + SMOOTH + POINTS}


def test_labels_are_unique():
    labels = [str(case) for case in CASES + SMOOTH + POINTS]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize("bent", [False, True], ids=["straight", "bent"])
@pytest.mark.parametrize("case", CASES + SMOOTH, ids=str)
def test_agrees_with_single_points(case, bent):
    program = bound(case, bent)
    assert_exact(program, *random_line(2), seed=3)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_in_small_pieces(case):
    """A budget of a few knots makes the walker split the line again and again."""
    assert_exact(bound(case, bent=True), *random_line(2), budget=4000)


def test_a_small_budget_splits_the_line():
    (case,) = (case for case in CASES if str(case) == "MaxPool-2-D")
    whole = assert_exact(bound(case, bent=True), *random_line(2))["y0"]
    parts = assert_exact(bound(case, bent=True), *random_line(2), budget=4000)["y0"]
    assert len(whole) == 1
    assert len(parts) > 5


@pytest.mark.parametrize("case", CASES, ids=str)
def test_points_are_what_evaluate_gives(case):
    """The oracle of these tests and the public `evaluate` are the same function of the image."""
    model = model_of(case, case.opsets()[-1], bent=True)
    program = bound(case, bent=True)
    start, direction = random_line(2)
    images = on_line(start, direction, [-1.7, 0.4])
    many = at_points(program, images)
    for i, image in enumerate(images):
        for name, value in onnx_si.evaluate(model, {"x": image}).items():
            np.testing.assert_allclose(many[name][i], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_affine_triple(case):
    """Evaluation is slope plus offset, the slope is linear, and the spread bounds it."""
    rng = np.random.default_rng(5)
    program = bound(case)
    shape_of = {step.output: step.shape for step in program.instructions}
    for step in program.instructions:
        rule = step.rule
        if step.node != "tested" or not isinstance(rule, Affine):
            continue
        shapes = [shape_of[name] for name in step.inputs]
        xs, ys = ([rng.normal(size=(3, *shape)) for shape in shapes] for _ in range(2))
        slope = rule.slope(*xs)
        offset = 0.0 if rule.offset is None else rule.offset
        np.testing.assert_array_equal(rule.evaluate(*xs), slope + offset)
        both = rule.slope(*(2.0 * x - 3.0 * y for x, y in zip(xs, ys, strict=True)))
        np.testing.assert_allclose(both, 2.0 * slope - 3.0 * rule.slope(*ys), rtol=1e-12, atol=1e-12)
        spread = rule.spread(*map(np.abs, xs))
        assert np.all(spread >= np.abs(slope) * (1 - 1e-12))
        np.testing.assert_array_equal(rule.slope(*map(np.zeros_like, xs)), 0.0)
        assert slope.shape[1:] == step.shape


def test_smooth_cases_are_of_smooth_rules():
    """They are exact in this file because their inputs only jump; any other is refused (test_refusals)."""
    for case in SMOOTH:
        assert any(isinstance(step.rule, Smooth | Opaque) for step in bound(case).instructions), case


@pytest.mark.parametrize("case", POINTS, ids=str)
def test_outputs_at_points_are_constant_or_refused_on_a_line(case):
    """They change their shape with the values, or depend on no value at all."""
    model, start = model_of(case, case.opsets()[-1], bent=True), random_line(1)[0]
    program = bind(model, start, tuple(f"y{i}" for i in range(case.outputs)))
    opaque = [step for step in program.instructions if isinstance(step.rule, Opaque)]
    assert bool(opaque) == bool(program.findings)
    if opaque:
        with pytest.raises(UnsupportedOp, match=opaque[0].rule.reason):
            program.require_exact()
    else:
        assert program.folded >= set(program.outputs)


KINDS = {
    "TopK-input": ("discrete", "discrete"),
    "ReduceL1-all": ("piecewise-linear",),
    "Mod-cut": ("piecewise-linear",),
    "ArgMax-last_index": ("discrete",),
    "DynamicQuantizeLinear-bytes": ("discrete", "discrete", "discrete"),
    "RoiAlign-max_2": ("piecewise-linear",),
}


@pytest.mark.parametrize("label", KINDS)
def test_kind_of_several_rules_together(label):
    """A node is as general as the rules that its outputs are made of."""
    (case,) = (case for case in CASES if str(case) == label)
    kinds = bound(case).kinds
    assert tuple(kinds[f"y{i}"] for i in range(case.outputs)) == KINDS[label]
