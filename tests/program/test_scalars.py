"""Which quotients are cosines, and what an enclosure makes of them."""

import numpy as np
import pytest
from support import nets

from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import cells
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import Program, bind
from onnx_si.program.scalars import Scalars

SHAPE = (1, 3, 4, 4)


def number(net, value):
    return net.const(np.array(value))


def total(net, x, op="ReduceSum", axis=1):
    return net.add(op, x, net.ints(axis), keepdims=1)


def squares(net, x, **how):
    return total(net, net.add("Mul", x, x), **how)


def dot(net, a, b, **how):
    return total(net, net.add("Mul", a, b), **how)


def norm(net, x):
    return net.add("ReduceL2", x, net.ints(1), keepdims=1)


def at_least(net, x, least=1e-3):
    return net.add("Max", x, number(net, least))


def over_both(net, a, b):
    return net.add("Div", dot(net, a, b), at_least(net, net.add("Mul", norm(net, a), norm(net, b))))


def torch_script(net, a, b):
    lengths = net.add("Sqrt", net.add("Mul", squares(net, a), squares(net, b)))
    return net.add("Div", dot(net, a, b), at_least(net, lengths))


def clipped_lengths(net, a, b):
    each = [net.add("Clip", norm(net, x), number(net, 1e-3)) for x in (a, b)]
    return net.add("Div", dot(net, a, b), net.add("Mul", *each))


def parts(net, a, b):
    each = [net.add("Div", x, at_least(net, norm(net, x))) for x in (a, b)]
    return dot(net, *each)


def added(net, a, b):
    lengths = net.add("Mul", norm(net, a), norm(net, b))
    return net.add("Div", dot(net, a, b), net.add("Add", lengths, number(net, 1e-3)))


def means(net, a, b):
    how = {"op": "ReduceMean"}
    each = [net.add("Sqrt", at_least(net, squares(net, x, **how))) for x in (a, b)]
    return net.add("Div", dot(net, a, b, **how), net.add("Mul", *each))


def may_be_zero(net, a, b):
    return net.add("Div", dot(net, a, b), net.add("Mul", norm(net, a), norm(net, b)))


def other_axis(net, a, b):
    lengths = net.add("Sqrt", at_least(net, net.add("Mul", *(squares(net, x, axis=2) for x in (a, b)))))
    return net.add("Div", dot(net, a, b, axis=3), net.add("Transpose", lengths, perm=[0, 1, 3, 2]))


def other_factor(net, a, b):
    return net.add("Div", dot(net, a, b), at_least(net, net.add("Mul", norm(net, a), norm(net, a))))


def sum_over_means(net, a, b):
    lengths = net.add("Mul", *(net.add("Sqrt", squares(net, x, op="ReduceMean")) for x in (a, b)))
    return net.add("Div", dot(net, a, b), at_least(net, lengths))


def lowered(net, a, b):
    lengths = net.add("Mul", norm(net, a), norm(net, b))
    return net.add("Div", dot(net, a, b), net.add("Abs", net.add("Sub", lengths, number(net, 0.5))))


def halved(net, a, b):
    lengths = net.add("Mul", norm(net, a), net.add("Mul", norm(net, b), number(net, 0.5)))
    return net.add("Div", dot(net, a, b), at_least(net, lengths))


def of_another(net, a, b):
    return net.add("Div", a, at_least(net, norm(net, b)))


def over_no_squares(net, a, b):
    product = net.add("Mul", dot(net, a, b), dot(net, a, b))
    return net.add("Div", dot(net, a, a), net.add("Sqrt", at_least(net, product)))


def at_least_zero(net, a, b):
    lengths = net.add("Mul", norm(net, a), norm(net, b))
    return net.add("Div", dot(net, a, b), at_least(net, lengths, least=0.0))


def program_of(way, seed=0):
    net = nets.Net(seed, SHAPE, opset=18)
    a = net.conv("x", 3, 3)
    b = net.conv(net.add("Relu", net.conv("x", 3, 4)), 4, 3)
    model = net.finish(way(net, a, b))
    rng = np.random.default_rng(seed)
    start = rng.normal(size=SHAPE)
    return bind(model, start, (model.outputs[0].name,)), start, rng.normal(size=SHAPE)


def behind_bends(net, a, b):
    cosines = net.add("Clip", may_be_zero(net, a, b), number(net, -0.5), number(net, 0.5))
    return net.add("MaxPool", net.add("Abs", net.add("Relu", cosines)), kernel_shape=[2, 2])


def counted(net, a, b):
    """A comparison takes what is no number for false."""
    return net.add("Cast", net.add("Greater", may_be_zero(net, a, b), number(net, 0.5)), to=1)


def left_out_where_zero(net, a, b):
    lengths = net.add("Mul", norm(net, a), norm(net, b))
    there = net.add("Greater", lengths, number(net, 0.0))
    return net.add("Where", there, net.add("Div", dot(net, a, b), lengths), number(net, 0.0))


COSINES = [over_both, torch_script, clipped_lengths, parts, added, means]
NO_NUMBERS = [may_be_zero, at_least_zero, behind_bends]
NONE = [
    counted,
    left_out_where_zero,
    other_axis,
    other_factor,
    sum_over_means,
    lowered,
    halved,
    of_another,
    over_no_squares,
]


@pytest.mark.parametrize("way", COSINES)
def test_it_is_a_cosine_and_no_larger_than_one(way):
    program, start, direction = program_of(way)
    assert program.scalars.cosines
    assert not program.scalars.no_numbers
    low, high = np.array([-40.0, -3.0, -0.1]), np.array([40.0, 3.0, 0.1])
    domain, found = EnclosureDomain(3, program=program), {}

    def apply(rule, inputs):
        output = domain.output
        found[output] = domain.apply(rule, inputs)
        return found[output]

    list(walk(program, apply, cells(start, direction, low, high), Tally()))
    assert not domain.lost.any()
    live = {program.input: start + direction * np.linspace(-40, 40, 401).reshape(-1, 1, 1, 1, 1)}
    for step in program.instructions:
        live[step.output] = step.rule.evaluate(*(live[name] for name in step.inputs))
    for name in program.scalars.cosines:
        assert np.abs(live[name]).max() <= 1 + 1e-12
        assert found[name].radius.max() <= 1 + 1e-8
    for name, value in found.items():  # the widest cell holds all of them
        least, most = value.centre[0] - value.reach[0], value.centre[0] + value.reach[0]
        assert np.all(least <= live[name] + 1e-12)
        assert np.all(live[name] <= most + 1e-12)


@pytest.mark.parametrize("way", NO_NUMBERS)
def test_one_whose_divisor_may_be_zero_is_told_apart(way):
    program, start, direction = program_of(way)
    assert program.scalars.cosines == program.scalars.no_numbers != frozenset()
    domain = EnclosureDomain(2, program=program)
    wide, narrow = (-40.0, 40.0), (-1e-3, 1e-3)
    low, high = np.array([wide, narrow]).T
    list(walk(program, domain.apply, cells(start, direction, low, high), Tally()))
    assert domain.no_numbers.tolist() == [True, False]
    assert not domain.lost.any()


@pytest.mark.parametrize("way", NONE)
def test_it_is_none(way):
    program, *_ = program_of(way)
    assert not program.scalars.cosines


def test_without_its_bound_nothing_is_known_of_a_wide_cell(monkeypatch):
    """A length may be zero there, and whatever is compared with the quotient is lost."""
    monkeypatch.setattr(Program, "scalars", Scalars())
    program, start, direction = program_of(over_both)
    domain = EnclosureDomain(1, program=program)
    wide = cells(start, direction, np.array([-40.0]), np.array([40.0]))
    list(walk(program, domain.apply, wide, Tally()))
    assert domain.lost.all()
