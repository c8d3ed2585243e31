"""Cones of a network against the whole network, and searches that use them against searches that do not."""

import functools
from collections import Counter

import numpy as np
import pytest
from support import nets
from support.scenes import AS_LARGE, LARGER, draw_case

from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import cells
from onnx_si.domains.standard import RESOLVING_ONLY, STANDARD
from onnx_si.domains.task import Task
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.cone import cone, cost_of_box
from onnx_si.program.program import bind
from onnx_si.rules.boxes import whole
from onnx_si.rules.registry import registered
from onnx_si.search.parts import Parts
from onnx_si.search.tuning import Tuning


def conv(net, x, stride=1, dilation=1, group=1, pads=(1, 1, 1, 1), **attributes):
    weight = net.normal(4, 2 // group, 3, 2)
    where = {} if "auto_pad" in attributes else {"pads": list(pads)}
    return net.add(
        "Conv",
        x,
        weight,
        net.normal(4),
        strides=[stride, 1],
        dilations=[1, dilation],
        group=group,
        **where,
        **attributes,
    )


def transposed(net, x, kernel=2, stride=2, group=1, **attributes):
    weight = net.normal(2, 3, kernel, kernel)
    bias = net.normal(3 * group)
    return net.add("ConvTranspose", x, weight, bias, strides=[stride, stride], group=group, **attributes)


def normalised(net, x):
    return net.add(
        "BatchNormalization", x, *(net.const(np.abs(net.rng.normal(size=2)) + 0.1) for _ in "abcd")
    )


def resized(net, x, height=2.0, width=2.0, mode="linear", **attributes):
    return net.add(
        "Resize", x, "", net.const(np.array([1, 1, height, width], np.float32)), mode=mode, **attributes
    )


def pooled(net, x, op="MaxPool", **attributes):
    return net.add(op, x, kernel_shape=[3, 2], **{"strides": [2, 1], "pads": [1, 0, 1, 1], **attributes})


def greater(net, x):
    gate = net.add("Greater", x, net.const(np.zeros((2, 1, 1))))
    return net.add("Where", gate, x, net.normal(1, 1, 9, 1))


def row(net, x):
    return net.add("Reshape", net.add("Conv", x, net.normal(1, 2, 1, 1)), net.ints(9, 8))


SMALL = {
    "Conv": [
        conv,
        functools.partial(conv, stride=2, pads=(0, 1, 2, 0)),
        functools.partial(conv, dilation=3, pads=(0, 0, 0, 3)),
        functools.partial(conv, group=2),
        functools.partial(conv, auto_pad="SAME_UPPER", stride=2),
        functools.partial(conv, auto_pad="VALID"),
        functools.partial(conv, pads=(5, 4, 6, 3)),  # some windows see pads only
    ],
    "ConvTranspose": [
        transposed,
        functools.partial(transposed, kernel=3, pads=[1, 0, 1, 2]),
        functools.partial(transposed, kernel=3, stride=2, output_padding=[1, 0]),
        functools.partial(transposed, kernel=1, stride=3),
        functools.partial(transposed, group=2),
    ],
    "MaxPool": [
        pooled,
        functools.partial(pooled, dilations=[2, 1]),
        functools.partial(pooled, ceil_mode=1, pads=[0, 0, 0, 0]),
    ],
    "AveragePool": [
        functools.partial(pooled, op="AveragePool"),
        functools.partial(pooled, op="AveragePool", count_include_pad=1),
    ],
    "Resize": [
        resized,
        functools.partial(resized, height=0.5, width=1.5),
        functools.partial(resized, mode="cubic"),
        functools.partial(
            resized, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        ),
        functools.partial(resized, coordinate_transformation_mode="align_corners"),
    ],
    "BatchNormalization": [normalised],
    "Concat": [
        lambda net, x: net.add("Concat", x, net.normal(1, 3, 9, 8), net.add("Neg", x), axis=1),
        lambda net, x: net.add("Concat", x, net.normal(1, 2, 9, 2), x, axis=-1),
    ],
    "MatMul": [
        lambda net, x: net.add("MatMul", x, net.const(np.tri(8, 12))),
        lambda net, x: net.add("MatMul", net.const(np.eye(12, 9, k=-1)), x),
    ],
    "Transpose": [
        lambda net, x: net.add("Transpose", x, perm=[0, 2, 3, 1]),
        lambda net, x: net.add("Transpose", x),
    ],
    "Reshape": [
        row,
        lambda net, x: net.add("Reshape", x, net.ints(2, 1, 9, 8, 1)),
        lambda net, x: net.add("Reshape", x, net.ints(1, 2, 3, 3, 4, 2)),
        lambda net, x: net.add("Reshape", x, net.ints(18, 8)),
        lambda net, x: net.add("Reshape", x, net.ints(6, 24)),
        lambda net, x: net.add("Reshape", x, net.ints(1, 144)),
    ],
    "Tile": [
        lambda net, x: net.add(
            "Tile", net.add("Reshape", x, net.ints(1, 2, 9, 1, 8, 1)), net.ints(1, 1, 1, 2, 1, 3)
        ),
        lambda net, x: net.add(
            "Reshape",
            net.add("Tile", net.add("Reshape", x, net.ints(1, 2, 9, 1, 8, 1)), net.ints(1, 1, 1, 2, 1, 3)),
            net.ints(1, 2, 18, 24),
        ),
        lambda net, x: net.add("Tile", x, net.ints(1, 1, 2, 1)),
    ],
    "Squeeze": [lambda net, x: net.add("Squeeze", x, net.ints(0))],
    "Unsqueeze": [lambda net, x: net.add("Unsqueeze", x, net.ints(0, 3))],
    "Flatten": [lambda net, x: net.add("Flatten", row(net, x))],
    "Upsample": [],  # only before opset 10; Resize covers its rule
    "Add": [
        lambda net, x: net.add("Add", x, net.normal(2, 1, 8)),
        lambda net, x: net.add("Add", x, net.add("Relu", x)),
    ],
    "Sub": [lambda net, x: net.add("Sub", net.normal(9, 1), x)],
    "Mul": [
        lambda net, x: net.add("Mul", x, net.normal(1, 2, 9, 8)),
        lambda net, x: net.add("Mul", x, x),
        lambda net, x: net.add("Mul", net.conv("x", 1, 1), x),
    ],
    "Pow": [
        lambda net, x: net.add("Pow", x, net.const(np.array(2.0))),
        lambda net, x: net.add("Pow", x, net.const(np.full((1, 2, 1, 8), 2.0))),
        lambda net, x: net.add("Pow", net.add("Abs", x), net.const(np.arange(8.0))),
    ],
    "Div": [lambda net, x: net.add("Div", x, net.normal(9, 8))],
    "Sum": [lambda net, x: net.add("Sum", x, x, net.normal(8))],
    "Mean": [lambda net, x: net.add("Mean", x, net.normal(9, 1))],
    "Max": [
        lambda net, x: net.add("Max", x, net.normal(9, 1)),
        lambda net, x: net.add("Max", x, net.add("Neg", x)),
    ],
    "Min": [lambda net, x: net.add("Min", x, net.normal(2, 1, 1))],
    "PRelu": [lambda net, x: net.add("PRelu", x, net.normal(2, 1, 1))],
    "LeakyRelu": [lambda net, x: net.add("LeakyRelu", x, alpha=0.3)],
    "HardSigmoid": [lambda net, x: net.add("HardSigmoid", x)],
    "Clip": [lambda net, x: net.add("Clip", x, net.const(np.array(-0.3)), net.const(np.array(0.4)))],
    "Abs": [lambda net, x: net.add("Abs", x)],
    "Neg": [lambda net, x: net.add("Neg", x)],
    "Relu": [lambda net, x: net.add("Relu", x)],
    "Identity": [lambda net, x: net.add("Identity", x)],
    "Dropout": [lambda net, x: net.add("Dropout", x)],
    "Cast": [lambda net, x: net.add("Cast", net.add("Cast", x, to=11), to=1)],
    "Where": [greater, lambda net, x: net.add("Where", net.const(np.eye(9, 8) > 0), x, net.normal(9, 8))],
    "Greater": [greater],
    **{
        op: [
            lambda net, x, op=op: net.add(
                "Where", net.add(op, x, net.normal(9, 1)), x, net.const(np.array(0.5))
            )
        ]
        for op in ("Less", "LessOrEqual", "GreaterOrEqual")
    },
    "Equal": [
        lambda net, x: net.add("Where", net.add("Equal", net.add("Relu", x), net.const(np.zeros(1))), x, x)
    ],
    **{
        op: [
            lambda net, x, op=op: net.add(op, x, axis=1),
            lambda net, x, op=op: net.add(op, x, axis=-1, keepdims=0),
            lambda net, x, op=op: net.add(op, x, axis=2, select_last_index=1),  # two rules: not cut
        ]
        for op in ("ArgMax", "ArgMin")
    },
    "Gather": [
        lambda net, x: net.add("Gather", x, net.ints(0, 0, 0, 1, 1, 4, 7, 7), axis=3),
        lambda net, x: net.add("Gather", x, net.const(np.array([[5, -1], [2, -9]])), axis=2),
        lambda net, x: net.add("Gather", x, net.const(np.array(-2)), axis=-1),
    ],
    "Not": [
        lambda net, x: net.add("Where", net.add("Not", net.add("Less", x, net.const(np.zeros(1)))), x, x)
    ],
}


def test_every_op_that_can_be_cut_has_a_network_here():
    assert set(SMALL) == {handler.op for handler in registered() if handler.traits.crop is not None}


def small_program(make, seed=0):
    """A convolution, the op, and whatever follows from its shape; its output is read at the image."""
    net = nets.Net(seed, (1, 1, 9, 8))
    out = make(net, net.conv("x", 1, 2))
    image = net.rng.normal(size=(1, 1, 9, 8))
    return bind(net.finish(out), image, (out,)), out, net.rng


def boxes(rng, shape, count=12):
    """Random boxes, single elements and the whole among them."""
    yield whole(shape)
    for _ in range(count):
        start = [int(rng.integers(n)) for n in shape]
        stop = [int(rng.integers(s + 1, n + 1)) for s, n in zip(start, shape, strict=True)]
        yield tuple(map(slice, start, stop))
        yield tuple(slice(s, s + 1) for s in start)


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, id=f"{op} {i}") for op, makes in SMALL.items() for i, make in enumerate(makes)],
)
def test_a_cone_computes_its_box_as_the_whole_does(make):
    program, out, rng = small_program(make)
    images = rng.normal(size=(4, *program.shape))
    expected = next(iter(outputs_of(program, images)))
    for box in boxes(rng, expected.shape[1:]):
        small = cone(program, out, box)
        (name,) = small.program.outputs
        (found,) = outputs_of(small.program, images[(slice(None), *small.reads)])
        assert name in small.program.shapes
        np.testing.assert_allclose(found, expected[(slice(None), *box)], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(small.program.values[name], program.values[out][box])
        assert cost_of_box(program, out, box) <= program.cost


def outputs_of(program, images):
    live = {program.input: images}
    for step in program.instructions:
        live[step.output] = step.rule.evaluate(*(live[name] for name in step.inputs))
        assert live[step.output].shape[1:] == step.shape
    return [live[name] for name in program.outputs]


@pytest.mark.parametrize(
    "op", ["Conv", "MaxPool", "Resize", "Relu", "Transpose", "ConvTranspose", "ArgMax", "Gather"]
)
def test_a_pixel_needs_a_small_part_of_a_local_network(op):
    program, out, _ = small_program(SMALL[op][0])
    shape = program.values[out].shape
    corner = tuple(slice(0, 1) for _ in shape)
    assert cost_of_box(program, out, corner) < 0.5 * program.cost
    assert cone(program, out, corner).program.cost < 0.5 * program.cost


def test_an_op_that_mixes_everything_keeps_the_whole_network():
    net = nets.Net(0, (1, 1, 6, 6))
    x = net.conv("x", 1, 2)
    out = net.add("Sub", x, net.add("GlobalAveragePool", x))
    program = bind(net.finish(out), net.rng.normal(size=(1, 1, 6, 6)), (out,))
    small = cone(program, out, tuple(slice(0, 1) for _ in range(4)))
    assert small.reads == whole(program.shape)


# --------------------------------------------------------------------------------
# Searches

NAMES_AND_SEEDS = [(name, seed) for name, (_, _, seeds) in LARGER.items() for seed in seeds]


@functools.cache
def larger(name, seed):
    make, options, _ = LARGER[name]
    return draw_case(make, seed, **options)


@pytest.mark.parametrize(("name", "seed"), NAMES_AND_SEEDS)
def test_parts_and_enclosures_find_the_same_set_as_the_exact_domain(name, seed):
    case = larger(name, seed)
    fast = case.search(precision=1e-9, **AS_LARGE)
    plain = case.search(precision=1e-9, domains=RESOLVING_ONLY, **AS_LARGE)
    assert fast.p_value_bounds == pytest.approx(plain.p_value_bounds, abs=3e-9)
    both = fast.inside.subtract(plain.inside.union(plain.undecided))
    other = plain.inside.subtract(fast.inside.union(fast.undecided))
    longest = max((high - low for low, high in (*both, *other)), default=0.0)
    assert longest < 1e-9 * case.line.standard_error
    at = case.line.statistic + case.line.standard_error * np.linspace(-4, 4, 1601)
    for z, member in zip(at, case.member(at), strict=True):
        if not fast.undecided.contains(z):
            assert fast.inside.contains(z) == member


def test_these_searches_use_every_way_to_examine_a_cell():
    fates = Counter()
    for name, seed in NAMES_AND_SEEDS:
        fates.update(larger(name, seed).search(precision=1e-9, **AS_LARGE).fates)
    assert all(fates[fate] for fate in ("exact", "accepted", "undecided", "sieved", "in_parts")), fates


def test_parts_cost_less_than_the_plain_search():
    for name in ("map", "cam, value"):
        case = larger(name, 0)
        plain = case.search(precision=1e-6, domains=RESOLVING_ONLY, **AS_LARGE)
        assert case.search(precision=1e-6, **AS_LARGE).forward_passes < 0.5 * plain.forward_passes


def test_a_box_whose_pixels_rounding_would_move_is_examined_by_the_whole_network():
    case = larger("map", 0)
    wrong = case.event.observed.copy()
    wrong[0, 0] = not wrong[0, 0]
    parts = Parts(
        task=Task(program=case.program, margin=case.margin, line=case.line, event=type(case.event)(wrong)),
        domains=STANDARD,
        tuning=Tuning(),
    )
    assert parts.around([0, 0], 2).task is parts.task
    assert parts.around([8, 8], 2).task is not parts.task


def test_a_cone_that_disagrees_with_the_whole_is_a_fault():
    case = larger("map", 0)
    values = {case.margin: case.program.values[case.margin] + 1e-3}
    program = type(case.program)(**{**vars_of(case.program), "values": values})
    with pytest.raises(AssertionError, match="differs from the whole network"):
        Parts(
            task=Task(program=program, margin=case.margin, line=case.line, event=case.event),
            domains=STANDARD,
            tuning=Tuning(),
        ).around([0, 0], 2)


def test_rounding_at_a_jump_is_no_fault_and_leaves_the_box_to_the_whole_network():
    case = larger("gates", 0)
    values = {case.margin: case.program.values[case.margin] + 1e-3}
    program = type(case.program)(**{**vars_of(case.program), "values": values})
    task = Task(program=program, margin=case.margin, line=case.line, event=case.event)
    parts = Parts(task=task, domains=STANDARD, tuning=Tuning())
    assert parts.around([0, 0], 2).task is parts.task


def vars_of(program):
    return {name: getattr(program, name) for name in program.__dataclass_fields__}


def test_dead_units_are_enclosed_by_exact_zeros():
    net = nets.Net(0, (1, 1, 3, 3))
    x = net.add("Relu", net.add("Conv", "x", net.normal(2, 1, 1, 1), net.const(np.array([-50.0, 0.3]))))
    out = net.add("Conv", x, net.const(np.array([[[[1.0]], [[0.0]]]])))
    image = net.rng.normal(size=(1, 1, 3, 3))
    program = bind(net.finish(out), image, (out,))
    start = cells(image, np.ones_like(image), np.array([-1.0]), np.array([1.0]))
    (found,) = walk(program, EnclosureDomain(1).apply, start, Tally())
    low, high = found[out].bounds()
    assert not low.any() and not high.any()


def test_cones_share_the_weights_of_the_whole_and_what_is_made_of_them():
    net = nets.Net(0, (1, 48, 16, 16))
    weight = net.normal(48, 48, 3, 3, scale=0.05)
    net.add("Conv", "x", weight, pads=[1] * 4, out="map")
    image = np.random.default_rng(0).normal(size=(1, 48, 16, 16))
    program = bind(net.finish("map"), image, ("map",))
    (rule,) = (step.rule for step in program.instructions)
    assert rule.fast is not None
    for corner in (0, 4):
        box = (slice(0, 1), slice(0, 48), slice(corner, corner + 8), slice(corner, corner + 8))
        small = cone(program, "map", box)
        (cut,) = (step.rule for step in small.program.instructions if step.rule.weights)
        assert cut.weights[0] is rule.weights[0]
        assert cut.fast.kernels is rule.fast.kernels
        np.testing.assert_allclose(cut.evaluate_fast(image[small.reads][None])[0], program.values["map"][box])
