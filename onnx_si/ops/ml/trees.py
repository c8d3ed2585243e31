"""TreeEnsembleRegressor and TreeEnsembleClassifier of the domain ai.onnx.ml: step functions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from onnx_si.errors import Refusal
from onnx_si.kernels.arrays import malformed
from onnx_si.ops.ml.forest import RELATIONS, Forest, Indices, leaf_weights
from onnx_si.ops.ml.post_transform import DOMAIN, numbers, transform, worded
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Context, Input, Variable, Worded, handles, variable
from onnx_si.rules.rules import Array, Composition, Disputed, Rule, Step


def _numbers(attributes: dict[str, Any], name: str) -> Array:
    """An attribute of numbers, or the tensor in its place."""
    stored = attributes.get(f"{name}_as_tensor")
    return np.asarray(attributes.get(name, ()) if stored is None else stored, dtype=np.float64).ravel()


def _places(trees: Sequence[int], nodes: Sequence[int], where: dict[tuple[int, int], int]) -> Indices:
    """Positions of nodes that are named by tree and number."""
    try:
        return np.array([where[key] for key in zip(trees, nodes, strict=True)], dtype=np.intp)
    except (KeyError, ValueError) as error:
        raise malformed(f"a node of a tree that does not exist ({error})") from error


def _mode(name: str) -> int:
    if name == "LEAF":
        return -1
    if name not in RELATIONS:
        raise Refusal(f"branches {name}", f"known are {', '.join(RELATIONS)}")
    return list(RELATIONS).index(name)


def _named_forest(attributes: dict[str, Any], leaf: str, targets: int) -> Forest:
    """A forest in the form of versions 1 and 3: nodes by tree and number, weights by leaf."""
    trees, names = attributes.get("nodes_treeids", ()), attributes.get("nodes_nodeids", ())
    where = {key: i for i, key in enumerate(zip(trees, names, strict=False))}
    mode = np.array([_mode(name) for name in attributes.get("nodes_modes", ())], dtype=np.intp)
    count, thresholds = len(mode), _numbers(attributes, "nodes_values")
    missing = np.asarray(attributes.get("nodes_missing_value_tracks_true") or [0] * count, dtype=bool)
    feature = np.asarray(attributes.get("nodes_featureids", ()), dtype=np.intp)
    lengths = {len(trees), len(names), len(where), count, len(thresholds), len(missing), len(feature)}
    if lengths != {count} or not count:
        raise malformed(f"a forest of lists of different lengths {sorted(lengths)}")
    inner, own = mode >= 0, np.arange(count)
    ways = []
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        ids = attributes.get(name, ())
        if len(ids) != count:
            raise malformed(f"{len(ids)} numbers in {name} for {count} nodes")
        way = own.copy()
        way[inner] = _places([trees[i] for i in own[inner]], [ids[i] for i in own[inner]], where)
        ways.append(way)
    children = np.concatenate([way[inner] for way in ways])
    roots = np.setdiff1d(own, children)
    if len(roots) != len(set(trees)) or len({trees[i] for i in roots}) != len(roots):
        raise malformed(f"{len(roots)} roots of {len(set(trees))} trees")
    leaves = _places(attributes.get(f"{leaf}_treeids", ()), attributes.get(f"{leaf}_nodeids", ()), where)
    if np.any(inner[leaves]):
        raise malformed("a weight of a node that is no leaf")
    weights, weighted = leaf_weights(
        count,
        targets,
        leaves,
        attributes.get(f"{leaf}_ids", ()),
        list(_numbers(attributes, f"{leaf}_weights")),
    )
    return Forest(
        feature=feature,
        threshold=thresholds,
        mode=mode,
        on_true=ways[0],
        on_false=ways[1],
        missing=missing,
        roots=roots,
        weights=weights,
        weighted=weighted,
    )


def _step(x: Variable, forest: Forest, value: Callable[[Array], Array]) -> Step:
    """A function of samples that is constant while no feature crosses a threshold."""
    if x.ndim != 2:
        raise malformed(f"a tensor of shape {x.shape}, where samples by features are read")
    forest.check(x.shape[-1])
    return Step(switches=forest.switches, evaluate=value)


def _aggregated(forest: Forest, how: str) -> Callable[[Array], Array]:
    match how:
        case "SUM":
            return forest.total
        case "AVERAGE":
            return forest.average
        case "MIN" | "MAX":
            return partial(forest.extreme, sign=1 if how == "MAX" else -1)
    raise malformed(f"aggregate_function {how}")


def regression(x: Variable, forest: Forest, how: str, base: Array, post_transform: str) -> Step | Disputed:
    """The leaves' weights put together for each target, and base values."""
    targets, aggregate, function = (
        forest.weights.shape[1],
        _aggregated(forest, how),
        transform(post_transform),
    )
    if len(base) not in (0, targets):
        raise malformed(f"{len(base)} base values for {targets} targets")
    if targets == 1 and post_transform != "NONE":
        raise Refusal(
            f"post_transform {post_transform} of one target", "runtimes leave it out; export with NONE"
        )
    start = base if len(base) else np.zeros(targets)
    rule = _step(x, forest, partial(_scores, aggregate=aggregate, start=start, function=function))
    if np.any(forest.avoidable() & (start != 0)):
        why = "base values of a target that no reached leaf may have a weight for: runtimes leave them out"
        return Disputed(evaluate=rule.evaluate, reason=why)
    return rule


def _scores(
    x: Array, aggregate: Callable[[Array], Array], start: Array, function: Callable[[Array], Array]
) -> Array:
    """What the leaves give and base values, transformed."""
    return function(aggregate(x) + start)


@handles("TreeEnsembleRegressor", since=(1, 3), domain=DOMAIN, axes=axis_rules.row_by_row)
def tree_ensemble_regressor(
    x: Input,
    *,
    aggregate_function: str = "SUM",
    n_targets: int = 1,
    post_transform: str = "NONE",
    **attributes: Any,
) -> Step | Disputed:
    forest = _named_forest(attributes, "target", n_targets)
    base = _numbers(attributes, "base_values")
    return regression(variable(x, "X"), forest, aggregate_function, base, post_transform)


@handles("TreeEnsembleClassifier", since=(1, 3), domain=DOMAIN, axes=axis_rules.row_by_row)
def tree_ensemble_classifier(
    x: Input,
    *,
    context: Context,
    classlabels_int64s: Sequence[int] = (),
    classlabels_strings: Sequence[str] = (),
    post_transform: str = "NONE",
    **attributes: Any,
) -> Rule | Composition | Worded:
    """The label of the largest score, the first one among equals, and all scores."""
    classes = len(classlabels_int64s) or len(classlabels_strings)
    forest, base = _named_forest(attributes, "class", max(classes, 1)), _numbers(attributes, "base_values")
    if classes < 2:
        raise Refusal(f"{classes} class labels", "export with a label for each of at least two classes")
    scores = (_single if classes == 2 else _several)(forest, base, transform(post_transform), post_transform)
    if context.output:
        return _step(variable(x, "X"), forest, scores[1])
    labels = numbers(classlabels_int64s, classlabels_strings)
    label = _step(variable(x, "X"), forest, partial(_labelled, place=scores[0], labels=labels))
    return worded(label, classlabels_strings)


def _labelled(x: Array, place: Callable[[Array], Array], labels: Array) -> Array:
    return np.asarray(labels[place(x).astype(np.intp)])


def _several(
    forest: Forest, base: Array, function: Callable[[Array], Array], _: str
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Label's place and scores of several classes; one that no leaf contributes to can't win."""
    targets = forest.weights.shape[1]
    if len(base) not in (0, targets):
        raise malformed(f"{len(base)} base values for {targets} classes")
    start = base if len(base) else np.zeros(targets)
    place = partial(_largest, forest=forest, start=start, all_able=len(base) > 0)
    return place, partial(_scores, aggregate=forest.total, start=start, function=function)


def _largest(x: Array, forest: Forest, start: Array, all_able: bool) -> Array:
    scores = forest.total(x) + start
    able = scores if all_able else np.where(forest.touched(x), scores, -np.inf)
    return np.asarray(np.argmax(able, axis=-1))


def _single(
    forest: Forest, base: Array, _: Callable[[Array], Array], post_transform: str
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Label's place and scores of two classes with one score: a probability if no weight is negative."""
    if forest.weighted[:, 1].any() or len(base) > 1:
        raise Refusal(
            f"two classes with weights for the second one or {len(base)} base values",
            "runtimes differ; export with one weight for each leaf, class id 0, and at most one base value",
        )
    start = float(base[0]) if len(base) else 0.0
    probability = bool(np.all(forest.weights >= 0))
    single = _Single(forest, start, probability)
    return single.second, single.logistic if post_transform == "LOGISTIC" else single.both


@dataclass(frozen=True, eq=False)
class _Single:
    """One score of two classes."""

    forest: Forest
    start: float
    probability: bool

    def score(self, x: Array) -> Array:
        return self.forest.total(x)[..., 0] + self.start

    def second(self, x: Array) -> Array:
        """Whether it is the second class."""
        return (self.score(x) > (0.5 if self.probability else 0.0)).astype(np.float64)

    def both(self, x: Array) -> Array:
        s = self.score(x)
        return np.stack([1 - s if self.probability else -s, s], axis=-1)

    def logistic(self, x: Array) -> Array:
        s = self.score(x)
        return np.stack([special.expit(-s), special.expit(s)], axis=-1)
