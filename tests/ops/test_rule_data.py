"""Constants of rules are data: no array is hidden in a closure, and all of them can be put elsewhere."""

from functools import partial

import numpy as np
import pytest
from support import nets

from onnx_si.domains.points.value import Points, evaluate
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import bind

from .cases import CASES, HANDLERS, POINTS, SMOOTH, model_of
from .hidden import arrays, hidden


def bound(case):
    outputs = tuple(f"y{i}" for i in range(case.outputs))
    with np.errstate(all="ignore"):  # constants may be infinite
        return bind(model_of(case, case.opsets()[-1]), np.zeros((1, 6)), outputs)


@pytest.mark.parametrize("op", sorted(HANDLERS))
def test_no_array_is_hidden_in_a_closure(op):
    """In the tables; the node cases are looked at where they are bound (test_node_cases.py)."""
    programs = [bound(case) for case in (*CASES, *SMOOTH, *POINTS) if case.op == op]
    assert programs
    for step in (step for program in programs for step in program.evaluation):
        assert not hidden(step.rule), step.op


def test_a_hidden_array_is_found():
    array = np.ones(3)

    def by_default(x, w=array):
        return x * w

    class Opaque:
        def __call__(self, x):
            return x

    assert hidden(lambda x: x * array) and hidden(by_default) and hidden(Opaque())
    assert hidden(partial(np.add, (1, {"k": [lambda x: x * array]})))
    assert hidden(lambda x: (lambda y: y * array)(x))
    assert not hidden(np.abs) and not hidden(np.zeros_like) and not hidden(partial(np.add, array))
    assert not hidden(lambda x, n=2: x * n)


class Elsewhere(np.ndarray):
    """An array of another library, as far as a program can tell."""


def margins(program, images):
    (found,) = walk(program, evaluate, Points(images), Tally())
    return {name: value.values for name, value in found.items()}


def rules(program):
    return [step.rule for step in (*program.instructions, *program.evaluation)]


NETS = [nets.cam_nchw, nets.residual_net, nets.quantised_net, nets.trees_net]


@pytest.mark.parametrize("net", NETS)
def test_a_program_s_constants_can_be_put_elsewhere(net):
    model = net(seed=1)
    shape = tuple(model.inputs[0].shape)
    rng = np.random.default_rng(2)
    program = bind(model, rng.normal(size=shape), tuple(info.name for info in model.outputs))
    moved = program.on(lambda array: array.view(Elsewhere))
    found, before = ({id(array): array for array in arrays(rules(p), {})} for p in (moved, program))
    assert len(found) == len(before) > 3
    assert {type(array) for array in found.values()} == {Elsewhere}
    assert {type(array) for array in before.values()} == {np.ndarray}
    images = rng.normal(size=(3, *shape))
    before, after = margins(program, images), margins(moved, images)
    for name, values in before.items():
        assert isinstance(after[name], Elsewhere)
        np.testing.assert_array_equal(after[name], values)
