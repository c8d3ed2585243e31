"""Recipes: values are moved, cut, joined and repeated. Each takes (graph, x) of four axes and gives one."""

import numpy as np


def split_and_joined(g, x):
    """Cut in two along an axis, one part changed, joined the other way round."""
    axis = g.pick(2, 3)
    size = x.shape[axis]
    first = int(g.rng.integers(1, size))
    a, b = g.op("Split", x, g.ints(first, size - first), outputs=2, axis=axis)
    parts = [g.op(g.pick("Relu", "Neg", "Abs"), a), b]
    return g.op("Concat", *(parts if g.chance(0.5) else parts[::-1]), axis=axis)


def joined_channels(g, x):
    more = g.op("Concat", x, g.partner(x), axis=1)
    return g.op("ReduceMax", more, g.ints(1), keepdims=1) if g.chance(0.5) else g.conv(more)


def slid(g, x):
    """A slice and padding: the map moves by a pixel."""
    axis, mode = g.pick(2, 3), g.pick("constant", "edge", "reflect")
    cut = g.op("Slice", x, g.ints(1), g.ints(np.iinfo(np.int64).max), g.ints(axis))
    pads = [0] * 8
    pads[axis + 4 * g.pick(0, 1)] = 1
    value = [g.fixed(g.pick(0.0, 1.0, -1.0))] if mode == "constant" and g.chance(0.5) else []
    return g.op("Pad", cut, g.ints(*pads), *value, mode=mode)


def difference_along(g, x):
    """Each pixel less its neighbour, the edge kept by padding; with equal pixels it is zero."""
    axis = g.pick(2, 3)
    whole = np.iinfo(np.int64).max
    ahead = g.op("Slice", x, g.ints(1), g.ints(whole), g.ints(axis))
    behind = g.op("Slice", x, g.ints(0), g.ints(-1), g.ints(axis))
    pads = [0] * 8
    pads[4 + axis] = 1
    return g.op("Pad", g.op("Sub", ahead, behind), g.ints(*pads))


def turned_back(g, x):
    """Every other row or all of them backwards."""
    axis = g.pick(2, 3)
    return g.op("Slice", x, g.ints(-1), g.ints(-1000), g.ints(axis), g.ints(-1))


def gathered(g, x):
    axis = g.pick(2, 3)
    places = g.rng.integers(0, x.shape[axis], size=x.shape[axis])  # some twice
    return g.op("Gather", x, g.ints(*places.tolist()), axis=axis)


def gathered_one_by_one(g, x):
    axis = g.pick(2, 3)
    index = g.fixed(g.rng.integers(0, x.shape[axis], size=x.shape))
    return g.op("GatherElements", x, index, axis=axis)


def picked_by_place(g, x):
    """GatherND: pixels by their rows and columns."""
    height, width = x.space
    rows, columns = np.indices((height, width))
    order = g.rng.permutation(height)
    index = np.stack([np.zeros_like(rows), np.zeros_like(rows), order[rows], columns], axis=-1)
    return g.shape_to(g.op("GatherND", x, g.fixed(index)), 1, 1, height, width)


def scattered(g, x):
    if g.chance(0.5):
        index = g.fixed(np.array([[0, 0, 1, 1], [0, 0, 0, 1]]))
        return g.op("ScatterND", x, index, g.fixed(np.array([1.0, -1.0])))
    index = g.fixed(g.rng.permutation(x.space[0]).reshape(1, 1, -1, 1).repeat(x.channels, 1))
    updates = g.op("Slice", g.op("Neg", x), g.ints(0), g.ints(1), g.ints(3))
    return g.op("ScatterElements", x, index, updates, axis=2)


def turned(g, x):
    """Rows become columns and, on an image that is not square, back after something in between."""
    t = g.op("Transpose", x, perm=[0, 1, 3, 2])
    t = g.op("CumSum", t, g.fixed(np.array(2))) if g.chance(0.3) else g.op("Relu", t)
    return g.op("Transpose", t, perm=[0, 1, 3, 2])


def by_rows(g, x):
    """Other shapes and back: axes taken away and put in."""
    flat = g.shape_to(x, 0, -1)
    flat = g.op("Unsqueeze", g.op(g.pick("Abs", "Relu"), flat), g.ints(0))
    return g.shape_to(g.op("Squeeze", flat, g.ints(0)), *x.shape)


def repeated(g, x):
    """One row, expanded or tiled to all."""
    row = g.op("ReduceMean", x, g.ints(2), keepdims=1)
    if g.chance(0.5):
        wide = g.op("Expand", row, g.ints(*x.shape))
    else:
        wide = g.op("Tile", row, g.ints(1, 1, x.space[0], 1))
    return g.op("Sub", x, wide)


def compressed(g, x):
    """Rows left out by a constant, the rest padded."""
    keep = np.ones(x.space[0], bool)
    keep[int(g.rng.integers(x.space[0]))] = False
    kept = g.op("Compress", x, g.fixed(keep), axis=2)
    return g.op("Pad", kept, g.ints(0, 0, 0, 0, 0, 0, 1, 0), mode="edge")


def triangle(g, x):
    return g.op("Trilu", x, g.fixed(np.array(g.pick(-1, 0, 1))), upper=g.pick(0, 1))


def one_hot_of_choice(g, x):
    """The largest of each row, as ones and zeros."""
    place = g.op("ArgMax", x, axis=3, keepdims=0)
    depth = g.fixed(np.array(x.space[1]))
    return g.op("OneHot", place, depth, g.fixed(np.array([0.0, 1.0])), axis=-1)


RECIPES = (
    *(split_and_joined, joined_channels, slid, difference_along, turned_back, gathered, gathered_one_by_one),
    *(picked_by_place, scattered, turned, by_rows, repeated, compressed, triangle, one_hot_of_choice),
)
