"""One random model with its image and the question asked of it, from a seed alone."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx

from . import recipes_layers, recipes_moves, recipes_points, recipes_ties
from .growing import Graph

RECIPES = (
    *recipes_points.RECIPES,
    *recipes_layers.RECIPES,
    *recipes_moves.RECIPES,
)
TIES = recipes_ties.RECIPES
SIZES = ((4, 4), (4, 5), (5, 4), (6, 4), (5, 5), (4, 6))
LARGEST = 10**4  # a map beyond that says more about overflow than about regions


@dataclass(frozen=True)
class Sample:
    """`options` are those of `onnx_si.test`; `recipes` the names of what the graph is made of."""

    seed: int
    proto: onnx.ModelProto
    image: np.ndarray
    references: tuple
    options: dict
    recipes: tuple

    @property
    def ops(self):
        return {node.op_type for node in self.proto.graph.node}


def image_of(rng, shape, dtype):
    """Noise; whole numbers; few values; or noise with equal pixels. Exact in the model's type."""
    kind = rng.integers(5)
    noise = rng.normal(size=shape) * rng.choice([1.0, 2.0])
    if kind == 0:
        noise = rng.integers(-4, 5, size=shape).astype(float)
    elif kind == 1:
        noise = rng.integers(0, 3, size=shape).astype(float)
    elif kind == 2:
        noise.ravel()[rng.integers(noise.size, size=4)] = noise.ravel()[0]
    return noise.astype(dtype).astype(float)


def threshold_of(rng, values, whole):
    kind = rng.integers(6)
    if kind == 0:
        return f"top:{rng.choice([0.1, 0.2, 0.25, 0.5])}"
    share = rng.choice([0.5, 0.25, 0.75] if whole else [0.5, 0.25, 0.75, 0.3, 0.8])
    if kind in (1, 2):
        return f"{'max' if max(values) > 0 and kind == 1 else 'minmax'}:{share}"
    found = sorted(set(values))
    if kind == 3:
        return 0.0
    if kind == 4 and len(found) > 1:
        level = found[rng.integers(len(found) - 1)]
        if Fraction(float(level)) == level:  # else rounding of the level would decide
            return float(level)
    return float(np.round(rng.uniform(float(found[0]), float(found[-1])), 2))


def question_of(rng, graph, values, whole):
    hypothesis = str(rng.choice(["background", "mean", "neighborhood", "global"], p=[0.5, 0.2, 0.2, 0.1]))
    references = ()
    if hypothesis in ("mean", "global"):
        count = int(rng.integers(1, 3))
        references = tuple(image_of(rng, graph.shape, graph.dtype) for _ in range(count))
    alternatives = ["two-sided", "two-sided-abs", "greater", "less"]
    options = {
        "hypothesis": hypothesis,
        "alternative": "greater" if hypothesis == "global" else str(rng.choice(alternatives)),
        "threshold": threshold_of(rng, values, whole),
        "sigma": float(rng.choice([1.0, 0.5, 1.3])),
        "saliency": "output:map",
        "layout": "NCHW",
        "ring": int(rng.integers(1, 3)) if hypothesis == "neighborhood" else None,
        "p_value_only": bool(rng.integers(2)),
    }
    return references, options


def _as_map(g, x, space):
    """One channel, the size of the image, floating point."""
    if x.channels > 1:
        kind = g.rng.integers(4)
        if kind == 0:
            x = g.cast(g.op("ArgMax", x, axis=1, keepdims=1))
        elif kind == 1:
            x = g.op("ReduceMax", x, g.ints(1), keepdims=1)
        elif kind == 2:
            x = g.conv(x, 1, 1)
        else:
            x = g.op("Gather", x, g.ints(0), axis=1)
    if x.space != space:
        x = g.op("Resize", x, "", "", g.ints(1, 1, *space), mode="linear")
    return x


def sample_of(seed, ties=None, made_of=TIES):
    """The model, image and question of a seed; a map that is constant or huge is drawn again.

    `ties`: share of recipes that make equal numbers, as in `made_of`; None: a fifth of them.
    """
    for attempt in range(100):
        rng = np.random.default_rng([20261127, seed, attempt])
        found = _attempt(rng, seed, 0.2 if ties is None else ties, made_of)
        if found is not None:
            return found
    raise AssertionError(f"no model for seed {seed}")


def _attempt(rng, seed, ties, made_of):
    dtype = np.float64 if rng.random() < 0.3 else np.float32
    space = SIZES[rng.integers(len(SIZES))]
    shape = (1, int(rng.choice([1, 1, 1, 2])), *space)
    image = image_of(rng, shape, dtype)
    g = Graph(rng, image, dtype)
    x, names = g.grown[0], []
    if rng.random() < 0.5:
        x = g.conv(x)
        g.grown.append(x)
    for _ in range(int(rng.integers(1, 5))):
        recipes = made_of if rng.random() < ties else RECIPES
        recipe = recipes[rng.integers(len(recipes))]
        if recipe.__name__ == "picked_by_place" and x.channels > 1:
            x = g.op("ReduceMax", x, g.ints(1), keepdims=1)
        x = recipe(g, x)
        names.append(recipe.__name__)
        g.grown.append(x)
    x = _as_map(g, x, space)
    values = list(x.value.ravel())
    if len(set(values)) < 2 or max(map(abs, values)) > LARGEST:
        return None
    g.op("Identity", x)
    g.nodes[-1].output[0] = "map"
    whole = all(v.denominator == 1 for v in g.env["x"].ravel())
    references, options = question_of(rng, g, values, whole)
    return Sample(seed, g.proto("map"), image, references, options, tuple(names))
