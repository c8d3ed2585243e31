"""Recipes that bend the line: products, squares, powers, ratios, variances, and what is done with them."""


def square(g, x):
    kind = g.rng.integers(3)
    if kind == 0:
        return g.op("Mul", x, x)
    if kind == 1:
        return g.op("Pow", x, g.fixed(2.0))
    return g.op("ReduceSumSquare", x, g.ints(1), keepdims=1)


def product(g, x):
    return g.op("Mul", x, g.partner(x))


def power(g, x):
    return g.op("Pow", g.op("Mul", x, g.fixed(0.25)), g.fixed(g.pick(3.0, 4.0)))


def positive(g, x):
    """What may divide: a square, or an absolute value, and a constant."""
    size = g.op("Mul", x, x) if g.chance(0.5) else g.op("Abs", x)
    if g.chance(0.4):
        size = g.op("ReduceMean", size, g.ints(2, 3), keepdims=1)
    return g.op("Add", size, g.fixed(g.pick(0.5, 1.0, 0.3)))


def ratio(g, x):
    return g.op("Div", x, positive(g, g.partner(x)))


def reciprocal(g, x):
    return g.op("Reciprocal", positive(g, x)) if g.chance(0.5) else g.op("Div", g.fixed(1.0), positive(g, x))


def centred(g, x):
    return g.op("Sub", x, g.op("ReduceMean", x, g.ints(2, 3), keepdims=1))


def variance(g, x):
    apart = centred(g, x)
    spread = g.op("ReduceMean", g.op("Mul", apart, apart), g.ints(2, 3), keepdims=1)
    return g.op("Div", g.op("Mul", apart, apart), g.op("Add", spread, g.fixed(0.5)))


def pooled(g, x):
    op = g.pick("AveragePool", "MaxPool")
    return g.op(
        op, x, kernel_shape=[2, 2], pads=[0, 0, 1, 1], **{"count_include_pad": 1} if op[0] == "A" else {}
    )


def compared(g, x):
    other = g.fixed(g.level_of(x)) if g.chance(0.5) else g.partner(x)
    return g.cast(g.op(g.pick("Greater", "LessOrEqual", "Equal"), x, other))


def gated(g, x):
    gate = g.op("Greater", x, g.fixed(g.level_of(x)))
    return g.op("Where", gate, x, g.fixed(g.level_of(x)))


def bent(g, x):
    return g.op(g.pick("Relu", "Abs", "Neg"), g.op("Sub", x, g.fixed(g.level_of(x))))


RECIPES = (
    *(square, square, product, power, ratio, ratio, reciprocal, variance, pooled, compared, gated, bent),
    centred,
)
