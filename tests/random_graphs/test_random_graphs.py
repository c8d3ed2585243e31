"""Random graphs of all kinds of ops, judged in rational arithmetic: every end of S, and points between.

300 models by default. More: `ONNX_SI_RANDOM_GRAPHS=5000 pytest tests/random_graphs`, or by hand
`PYTHONPATH=tests python -m random_graphs --count 5000`; one of them: `--seed N`; `--save FOLDER` writes its
files.
"""

import dataclasses
import os

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as state

import onnx_si
from onnx_si.graph import model_from_proto
from onnx_si.ground.intervals import Intervals
from onnx_si.rules.registry import Variable
from random_graphs.rational import Exact, exact
from random_graphs.recipes_curves import RECIPES as CURVES
from random_graphs.recipes_ties import ROUNDED
from random_graphs.running import outcome_of, run
from random_graphs.sample import TIES, sample_of

MODELS = int(os.environ.get("ONNX_SI_RANDOM_GRAPHS", "300"))
BATCHES = 4
MOST_REFUSED = 0.35
OF_TIES = range(100_000, 100_200)  # seeds of graphs that are made of ties mostly


@pytest.fixture(scope="module")
def summaries():
    return [run(range(first, MODELS, BATCHES)) for first in range(BATCHES)]


def test_no_disagreement(summaries):
    wrong = [str(outcome) for summary in summaries for outcome in summary.wrong]
    assert not wrong, "\n".join([f"{len(wrong)} of {MODELS} models:", *wrong])


@pytest.mark.parametrize("seed", [1837, 3836, 4722, 4926])
def test_seeds_that_once_disagreed(seed):
    """Among 5,000: S around a place alone, and plateaus that only round to the level (6 / 20 and 0.3)."""
    outcome = outcome_of(sample_of(seed))
    assert not outcome.disagreements, str(outcome)


def test_most_are_tested_and_all_kinds_of_ops_occur(summaries):
    """A refusal is no disagreement, but a search that refuses everything is no search."""
    reasons = "\n".join(map(str, summaries))
    assert sum(summary.counts["refused"] for summary in summaries) < MOST_REFUSED * MODELS, reasons
    assert sum(summary.counts["tested"] for summary in summaries) > 0.5 * MODELS, reasons
    assert sum(summary.points for summary in summaries) > 10 * MODELS
    assert len(set.union(*(summary.ops for summary in summaries))) >= 60


@pytest.fixture(scope="module")
def of_ties():
    return run(OF_TIES, ties=0.8)


def test_graphs_of_ties(of_ties):
    assert not of_ties.wrong, "\n".join(map(str, of_ties.wrong))
    assert len(TIES) >= 8


OF_QUOTIENTS = (*range(300_000, 300_060), 300_259, 300_298, 300_449, 300_521, 300_577, 300_627, 300_773)


def test_quotients_that_only_round_to_one_number():
    """Steps that are counted and divided: 6 / 20 and 0.3 are one double, but not one number."""
    found = run(OF_QUOTIENTS, ties=0.6, made_of=ROUNDED)
    assert not found.wrong, "\n".join(map(str, found.wrong))
    assert found.counts["tested"] > 0.4 * len(OF_QUOTIENTS)


OF_CURVES = range(400_000, 400_000 + MODELS // 8)  # 38 by default
LONGEST_CURVES = {400_054}  # a minute each, with the tests that are asked for


def test_polynomials_and_ratios():
    """Products, squares, powers, ratios and variances, and what is done with them."""
    seeds = [seed for seed in OF_CURVES if MODELS > 300 or seed not in LONGEST_CURVES]
    found = run(seeds, ties=0.8, made_of=CURVES)
    assert not found.wrong, "\n".join(map(str, found.wrong))
    assert found.counts["tested"] > 0.5 * len(seeds)


@pytest.mark.parametrize("tie", [0.0, 0.05])
def test_the_tolerance_at_the_image_decides_nothing_by_itself(tie, of_ties, monkeypatch):
    """However large: a region that only it makes is refused, for S has another one there."""
    monkeypatch.setattr(Variable, "tie", tie)
    seeds = OF_TIES[:60]
    found = run(seeds, ties=0.8)
    assert not found.wrong, "\n".join(map(str, found.wrong))
    assert found.counts["tested"] > 0.5 * len(seeds)


def zeros_are_equal(monkeypatch):
    """What is zero to the last bit is zero."""
    monkeypatch.setattr("onnx_si.domains.judge.behind_jumps", lambda instructions: frozenset())


def test_the_judge_notices_zeros_that_only_round_to_zero(monkeypatch):
    zeros_are_equal(monkeypatch)
    assert run(OF_QUOTIENTS[-8:], ties=0.6, made_of=ROUNDED).wrong


def nothing_in_doubt(monkeypatch):
    """Steps and choices take every number for what it was computed as."""

    def none(rule, left, right, slack, zeros=False):
        return np.zeros((len(left[0]), 1), bool)

    monkeypatch.setattr("onnx_si.domains.piecewise.apply.doubtful", none)


# The mechanism that keeps rounding from deciding, taken out piece by piece: whoever changes it puts a
# function here that breaks it, and the judge must notice.
MUTATIONS = [nothing_in_doubt]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_judge_notices_a_broken_mechanism(mutation, of_ties, monkeypatch):
    """On models that it has nothing to say about as they are."""
    mutation(monkeypatch)
    broken = {outcome.sample.seed for outcome in run(OF_TIES, ties=0.8).wrong}
    assert broken - {outcome.sample.seed for outcome in of_ties.wrong}


def test_the_judge_notices_another_graph(monkeypatch):
    """A slope that is off by a hundredth."""
    sample = next(one for one in map(sample_of, range(200)) if is_tested_with(one, "LeakyRelu"))
    changed = onnx.ModelProto()
    changed.CopyFrom(sample.proto)
    for node in changed.graph.node:
        if node.op_type == "LeakyRelu":
            node.attribute[0].f += 0.01
    monkeypatch.setattr("random_graphs.running.model_from_proto", lambda proto: model_from_proto(changed))
    assert outcome_of(sample).disagreements


def moved_end(result):
    """An end of S, a millionth of a standard error further out."""
    (low, high), *rest = result.truncation
    return {"truncation": Intervals.of([(low - 1e-6 * result.standard_error, high), *rest])}


def another_p_value(result):
    low, high = (0.99 * value for value in result.p_value_bounds)
    return {"p_value_bounds": (low, high), "p_value": high}


def another_error(result):
    return {"standard_error": 1.001 * result.standard_error}


@pytest.mark.parametrize("change", [moved_end, another_p_value, another_error])
def test_the_judge_notices_a_changed_result(change, monkeypatch):
    """On several models that it has nothing to say about as they are."""
    noticed, asked = 0, 0
    for sample in map(sample_of, range(60)):
        if sample.options["hypothesis"] != "background" or outcome_of(sample).status != "tested":
            continue
        if outcome_of(sample).disagreements:
            continue
        with monkeypatch.context() as patch:
            test = onnx_si.test

            def changed(*given, _test=test, **options):
                result = _test(*given, **options)
                return dataclasses.replace(result, **change(result))

            patch.setattr(onnx_si, "test", changed)
            asked += 1
            outcome = outcome_of(sample)
            assert outcome.status == "tested", outcome
            noticed += bool(outcome.disagreements)
    assert asked > 5
    assert noticed > 0.6 * asked


def is_tested_with(sample, op):
    return op in sample.ops and sample.options["p_value_only"] and outcome_of(sample).status == "tested"


def deployed(proto, image, element):
    """The map by onnxruntime without rewriting; None where it has no kernel."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        return session.run(None, {"x": image.astype(element)})[0]
    except (state.NotImplemented, state.InvalidGraph):  # InvalidGraph: this opset has no double for the op
        return None


def test_evaluate_agrees_with_rational_arithmetic_and_with_the_runtime():
    """In double where the runtime has the kernels, else in float32, which may round a step the other way."""
    compared, doubles, rounded = 0, 0, 0
    for seed in range(MODELS // 2):
        sample = sample_of(seed, ties=0.0)
        kind = sample.proto.graph.input[0].type.tensor_type.elem_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        image = np.random.default_rng(seed).normal(size=sample.image.shape).astype(dtype)
        try:
            ours = onnx_si.evaluate(model_from_proto(sample.proto), {"x": image})["map"]
        except onnx_si.UnsupportedOp:
            continue
        truth = Exact(sample.proto)(exact(image)).astype(float)
        np.testing.assert_allclose(ours, truth, rtol=1e-9, atol=1e-9, err_msg=f"seed {seed}")
        theirs = deployed(sample.proto, image, dtype)
        if theirs is None:
            continue
        compared += 1
        close = np.allclose(theirs, truth, rtol=1e-3, atol=1e-3)
        if kind == onnx.TensorProto.DOUBLE:
            doubles += 1
            assert np.allclose(theirs, truth, rtol=1e-6, atol=1e-6), f"seed {seed}: {sample.recipes}"
        rounded += not close
    assert compared > 0.3 * MODELS
    assert doubles > 0.02 * MODELS
    assert rounded <= 0.05 * compared
