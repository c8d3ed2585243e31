"""What handlers state of their ops holds in the ONNX package's node cases; nobody else lists ops by name."""

import ast
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import onnx_si
from onnx_si.ops.crops import elementwise
from onnx_si.rules import axis_rules
from onnx_si.rules.axes import Part, size_of
from onnx_si.rules.registry import registered, traits_of
from onnx_si.rules.traits import ALL_VALUES, IN_ORDER, Combination, Decision, Increasing, Moves

from .node_cases import all_cases

PACKAGE = Path(onnx_si.__file__).parent


def numbers(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"


def stating(fact):
    """Node cases of one node with numbers, of ops that state a fact: (node, inputs, outputs)."""
    found = []
    for case in all_cases().values():
        nodes = case.model.graph.node
        if len(nodes) != 1 or not fact(traits_of(nodes[0])):
            continue
        for given, made in case.data_sets or []:
            if all(map(numbers, (*given, *made))):
                found.append(pytest.param(nodes[0], given, made, id=case.name))
    return found


def attribute(node, name, default):
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


@pytest.mark.parametrize(("node", "given", "made"), stating(lambda traits: traits.moves))
def test_moved_values_are_the_input_s(node, given, made):
    moves, x = traits_of(node).moves, given[0]
    if attribute(node, "training_mode", 0) or (len(made) > 1 and moves is Moves.KEEPS):
        pytest.skip("a dropout in training mode, or its mask")
    for y in made:
        if moves is Moves.CASTS:
            assert y.shape == x.shape
        elif moves in IN_ORDER:
            np.testing.assert_array_equal(y.ravel(), x.ravel())
        elif moves in ALL_VALUES:
            np.testing.assert_array_equal(np.sort(y, axis=None), np.sort(x, axis=None))
        else:
            assert np.isin(y, x).all()


@pytest.mark.parametrize(
    ("node", "given", "made"), stating(lambda traits: traits.no_larger or traits.moves in ALL_VALUES)
)
def test_outputs_that_are_no_larger(node, given, made):
    assert made[0].size <= sum(x.size + x.ndim for x in given)


@pytest.mark.parametrize(("node", "given", "made"), stating(lambda traits: traits.axes))
def test_axes_that_are_told_have_the_output_s_lengths(node, given, made):
    """Every input but the first one, or the constants of the specification, is a constant."""
    names = [name for name in node.input if name]
    arrays = dict(zip(names, given, strict=True))
    whole = tuple((Part(source=axis, size=size),) for axis, size in enumerate(given[0].shape))
    axes = tuple(whole if position == 0 else None for position, _ in enumerate(node.input))
    constants = {name: array for name, array in arrays.items() if name != node.input[0]}
    try:
        found = traits_of(node).axes(
            axis_rules.Place(node=node, inputs=axes, constants=constants, shape=made[0].shape, position=0)
        )
    except (LookupError, ValueError, ZeroDivisionError):
        found = None
    if found is None:
        pytest.skip("its axes can't be told")
    assert tuple(map(size_of, found)) == made[0].shape


ENTRY_BY_ENTRY = (axis_rules.elementwise, axis_rules.same)


@pytest.mark.parametrize(
    ("node", "given", "made"),
    stating(lambda t: t.axes in ENTRY_BY_ENTRY or t.crop is elementwise),
)
def test_entries_stay_where_they_are(node, given, made):
    """The shape is that of the first input (scales and limits may have others), or of all, broadcast."""
    shapes = [x.shape for x in given]
    assert made[0].shape == shapes[0] or made[0].shape == np.broadcast_shapes(*shapes)


@pytest.mark.parametrize(
    ("node", "given", "made"),
    stating(lambda traits: traits.increasing not in (None, Increasing.NORM)),
)
def test_increasing_functions_keep_the_order(node, given, made):
    x, y, link = given[0], made[0], traits_of(node).increasing
    if link is Increasing.SIGMOID:
        x, y = x.ravel(), y.ravel()
    axis = -1 if link is Increasing.SIGMOID else attribute(node, "axis", -1)
    np.testing.assert_array_equal(np.argmax(x, axis), np.argmax(y, axis))
    gaps = np.diff(np.take_along_axis(y, np.argsort(x, axis), axis), axis=axis)
    assert (gaps >= 0).all() and (gaps > 0).any()


@pytest.mark.parametrize(
    ("node", "given", "made"), stating(lambda traits: traits.increasing is Increasing.NORM)
)
def test_a_norm_is_the_root_of_a_sum_of_squares(node, given, made):
    axes = tuple(attribute(node, "axes", ())) or (tuple(given[1].ravel()) if len(given) > 1 else ())
    keep = bool(attribute(node, "keepdims", 1))
    squares = np.square(given[0]).sum(axis=axes or None, keepdims=keep)
    np.testing.assert_allclose(made[0], np.sqrt(squares), rtol=1e-6)


@pytest.mark.parametrize(("node", "given", "made"), stating(lambda traits: traits.decides))
def test_decisions_are_what_they_say(node, given, made):
    decides = traits_of(node).decides
    if decides is Decision.ORDER:
        a, b = given
        assert any(np.array_equal(made[0], holds) for holds in (a > b, a >= b, a < b, a <= b))
        return
    best = np.max if decides is Decision.LARGEST else np.min
    axis, keepdims = attribute(node, "axis", 0), bool(attribute(node, "keepdims", 1))
    index = made[0] if keepdims else np.expand_dims(made[0], axis)
    taken = np.take_along_axis(given[0], index, axis)
    np.testing.assert_array_equal(taken, best(given[0], axis=axis, keepdims=True))


COMBINED = {
    Combination.SUM: np.add,
    Combination.PRODUCT: np.multiply,
    Combination.QUOTIENT: np.divide,
    Combination.CHOICE: np.where,
}


@pytest.mark.parametrize(("node", "given", "made"), stating(lambda traits: traits.combines in COMBINED))
def test_inputs_are_combined_as_it_says(node, given, made):
    combined = COMBINED[traits_of(node).combines](*given)
    whole = made[0].dtype.kind in "iu"
    np.testing.assert_allclose(made[0], np.trunc(combined) if whole else combined, rtol=1e-6)


@pytest.mark.parametrize(("node", "given", "made"), stating(lambda traits: traits.running))
def test_running_statistics_follow_the_batch(node, given, made):
    if not attribute(node, traits_of(node).running, 0):
        assert len(made) == 1
        return
    x, old, share = given[0], given[3:], attribute(node, "momentum", 0.9)
    axes = (0, *range(2, x.ndim))
    for before, new, after in zip(old, (x.mean(axis=axes), x.var(axis=axes)), made[1:], strict=True):
        np.testing.assert_allclose(after, before * share + new * (1 - share), rtol=1e-4)


MAY_NAME = {
    "graph/dag.py": "which op hands its input on",
    "graph/fused.py": "ops and activations that onnxruntime fused, and what they are written out as",
    "graph/lift.py": "what ops of old opsets are lifted to",
    "graph/mend.py": "what runtimes run but the checker refuses",
    "graph/schema.py": "inputs on which onnx's own native inference dies",
    "graph/survivable.py": "inputs and attributes of which a runtime dies",
    "runtime/reshaping.py": "the few nodes that a map is appended by, done to a tensor of the runtime",
}
"""Modules outside `ops/` and `maps/backward/` that name ops other than those of nodes that they make.

Those of `graph/` read a file before any handler is asked."""


def op_names():
    """Ops with a handler: what is known of them stands there. `If`, `Loop` and `Constant` have none."""
    return {handler.op for handler in registered()}


def named_in(file):
    """Op names among a module's strings, but for those of nodes that it makes: `add("Mul", ...)`, or
    `node.op_type = "Mul"`.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = [call for call in ast.walk(tree) if isinstance(call, ast.Call) and call.args]
    makes = [call.args[0] for call in calls if getattr(call.func, "attr", "") in ("add", "make_node")]
    sets = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    makes += [node.value for node in sets if getattr(node.targets[0], "attr", "") == "op_type"]
    made = {id(string) for part in makes for string in ast.walk(part)}
    strings = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in made)
    return {string.value for string in strings if isinstance(string.value, str)} & op_names()


def modules():
    return {file.relative_to(PACKAGE).as_posix(): file for file in sorted(PACKAGE.rglob("*.py"))}


def test_no_other_module_lists_ops():
    outside = {
        name: file for name, file in modules().items() if not name.startswith(("ops/", "maps/backward/"))
    }
    found = {name: named for name, file in outside.items() if (named := named_in(file))}
    assert found.keys() == MAY_NAME.keys(), "state it where the op is: a trait of its handler"


def test_a_family_s_file_names_its_own_ops_only():
    own = {}
    for handler in registered():
        own.setdefault(handler.function.__module__, set()).add(handler.op)
    for name, file in modules().items():
        if name.startswith("ops/"):
            module = f"onnx_si.{name.removesuffix('.py').replace('/', '.')}"
            assert named_in(file) <= own.get(module, set()), name
