"""Chains that are interrupted: what they have shown so far is the result."""

import numpy as np
import pytest
from support import nets

import onnx_si
from onnx_si.search import Stop

MODEL = nets.map_net(seed=3, size=8)
IMAGE = np.random.default_rng(1).normal(size=(8, 8))
HOW = {"sigma": 1.0, "threshold": "minmax:0.5", "engine": "monte-carlo", "seed": 5, "draws": 100_000}


@pytest.mark.parametrize("after", [1, 3])
def test_they_give_what_they_have(after):
    stop, seen = Stop(), []

    def watch(progress):
        seen.append(progress)
        if len(seen) == after:
            stop.ask()

    result = onnx_si.test(MODEL, IMAGE, progress=watch, stop=stop, **HOW)
    chains = seen[-1].chains
    assert chains < 1000
    assert result.search.draws == chains and not result.search.complete
    assert result.guarantee == "monte-carlo" and result.p_value_bounds == seen[-1].bounds
    share = result.p_value / 2 * (chains + 1)  # the smaller of two tails, the observed place among its chains
    assert share == pytest.approx(round(share)) and share >= 1
    assert any(f"interrupted after {chains} of 100000 chains" in text for text in result.warnings)


def test_chains_that_never_ran_tell_nothing():
    stop = Stop()
    stop.ask()
    with pytest.raises(KeyboardInterrupt):
        onnx_si.test(MODEL, IMAGE, stop=stop, **HOW)


def test_a_block_that_is_cut_short_is_not_counted():
    """A signal ends the block under way; those before it count whole."""
    stop, seen, calls = Stop(), [], []

    def watch(progress):
        seen.append(progress)

    def during(step):
        calls.append(step)
        if len(calls) == 3:
            stop.asked = True
        return Stop.during(stop, step)

    stop.during = during
    result = onnx_si.test(MODEL, IMAGE, progress=watch, stop=stop, **HOW)
    assert len(seen) == 2 and result.search.draws == seen[-1].chains


@pytest.mark.parametrize(("chains", "told"), [(5, True), (18, True), (19, False)])
def test_chains_that_can_decide_nothing_are_told(chains, told):
    """Of B chains the rarest outcome has a chance of 1 in B + 1."""
    how = {**HOW, "draws": chains, "steps": 1}
    said = onnx_si.test(MODEL, IMAGE, **how).warnings
    assert any("can give no p-value below" in text and "--draws" in text for text in said) is told
