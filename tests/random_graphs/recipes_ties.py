"""Recipes that make equal numbers on purpose: what decides there must not be rounding."""

from onnx import TensorProto


def relu_of_itself(g, x):
    """Where is it positive?"""
    return g.cast(g.op(g.pick("Equal", "GreaterOrEqual"), x, g.op("Relu", x)))


def pooled(g, x):
    return g.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)


def peak_distance(g, x):
    """How far below the largest around: zero at a peak."""
    return g.op("Sub", pooled(g, x), x)


def peaks(g, x):
    if g.chance(0.5):
        return g.cast(g.op("Equal", x, pooled(g, x)))
    apart = peak_distance(g, x)
    kind = g.rng.integers(3)
    if kind == 0:
        return g.cast(g.op("Equal", apart, g.fixed(0.0)))
    if kind == 1:
        return g.cast(g.op("LessOrEqual", apart, g.fixed(0.0)))
    return g.cast(g.op("Cast", apart, to=TensorProto.BOOL))


def step_of_difference(g, x):
    other = g.pick(g.op("Relu", x), g.op("Abs", x), pooled(g, x))
    return g.op(g.pick("Sign", "Ceil", "Floor", "Round"), g.op("Sub", other, x))


def largest_everywhere(g, x):
    largest = g.op("ReduceMax", x, g.ints(1, 2, 3) if g.chance(0.5) else g.ints(2, 3), keepdims=1)
    return g.cast(g.op(g.pick("Equal", "GreaterOrEqual"), x, largest))


def doubled(g, x):
    """Every pixel four times, then something that chooses among equals."""
    if x.space[0] % 2 or x.space[1] % 2:
        return peaks(g, x)
    small = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return g.op(
        "Resize",
        small,
        "",
        g.fixed([1.0, 1.0, 2.0, 2.0]),
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )


def sums_in_two_orders(g, x):
    """The same sum twice; then which is larger?"""
    a, b = g.fixed(g.factor() / 3), g.fixed(g.factor() / 7)
    left = g.op("Add", g.op("Add", x, a), b)
    right = g.op("Add", g.op("Add", x, b), a)
    if g.chance(0.5):
        return g.cast(g.op(g.pick("Greater", "LessOrEqual", "Equal"), left, right))
    return g.op("Sign", g.op("Sub", left, right))


def choice_among_dead(g, x):
    """ArgMax of channels of which several are zero; shifted, as a map of class numbers means classes."""
    many = g.op("Relu", g.conv(x, 3))
    return g.op("Add", g.cast(g.op("ArgMax", many, axis=1, keepdims=1)), g.fixed(0.25))


def row_of_place(g, x):
    """The index of the largest pixel, then its row."""
    pixels = x.space[0] * x.space[1]
    index = g.op("ArgMax", g.shape_to(x, 1, x.channels, pixels), axis=2, keepdims=1)
    row = g.op("Floor", g.op("Div", g.cast(index), g.fixed(float(x.space[1]))))
    return g.op("Sub", x, g.shape_to(row, 1, x.channels, 1, 1))


def mean_that_cancels(g, x):
    middle = g.op("ReduceMean", x, g.ints(2, 3), keepdims=1)
    return g.op("Sub", x, middle)


def share_of_steps(g, x):
    """A count divided, against a level that it may round to, or against the quotient made in another way."""
    size = int(g.pick(3, 5, 7, 10, 20))
    steps = g.cast(g.op("Greater", x, g.fixed(g.level_of(x))))
    if g.chance(0.3):
        count = g.op("AveragePool", steps, kernel_shape=[3, 3], pads=[1] * 4)
    else:
        count = g.op("ReduceSum", steps, g.ints(1, 2, 3), keepdims=1)
    share = g.op("Div", count, g.fixed(float(size)))
    other = _rival(g, count, share, size)
    relation = g.pick("Equal", "Greater", "GreaterOrEqual", "Less", "Sign", "ArgMax", "Max")
    if relation == "Sign":
        seen = g.op("Sign", g.op("Sub", share, other))
    elif relation == "Max":
        seen = g.op("Sub", g.op("Max", share, other), share)
    elif relation == "ArgMax":
        both = g.op("Concat", share, g.op("Add", other, g.op("Sub", share, share)), axis=1)
        seen = g.cast(g.op("ArgMax", both, axis=1, keepdims=1))
    else:
        seen = g.cast(g.op(relation, share, other))
    return g.op("Add", g.op("Mul", x, g.fixed(0.5)), seen)


def _rival(g, count, share, size):
    kind = g.rng.integers(4)
    if kind == 0:
        return g.op("Mul", count, g.fixed(1 / size))
    if kind == 1:
        return g.fixed(int(g.rng.integers(1, size)) / size)
    if kind == 2:
        more = g.op("Div", g.op("Add", count, g.fixed(1.0)), g.fixed(float(size)))
        return g.op("Sub", more, g.fixed(1 / size))
    return g.op("ReduceMax", share, g.ints(1, 2, 3), keepdims=1)


ROUNDED = (share_of_steps,)  # not among the others: seeds that once failed would be other graphs
RECIPES = (
    *(relu_of_itself, peak_distance, peaks, step_of_difference, largest_everywhere, doubled),
    *(sums_in_two_orders, choice_among_dead, row_of_place, mean_that_cancels),
)
