"""A forest of decision trees as arrays, walked down by all samples at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.kernels.arrays import malformed
from onnx_si.rules.rules import Array

Indices = NDArray[np.intp]

RELATIONS = {
    "BRANCH_LEQ": np.less_equal,
    "BRANCH_LT": np.less,
    "BRANCH_GTE": np.greater_equal,
    "BRANCH_GT": np.greater,
    "BRANCH_EQ": np.equal,
    "BRANCH_NEQ": np.not_equal,
}
"""How a branch compares its feature with its threshold."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """Nodes of all trees; of a leaf both successors are the leaf itself, and `mode` is -1.

    Parameters
    ----------
    feature, on_true, on_false : array of int (nodes,)
    threshold : array (nodes,)
    mode : array of int (nodes,)
        The number of the branch's relation in `RELATIONS`.
    missing : array of bool (nodes,)
        Whether a value that is no number goes to `on_true`.
    roots : array of int (trees,)
    weights : array (nodes, targets)
        What a leaf contributes to each target.
    weighted : array of bool (nodes, targets)
        Whether it contributes at all.
    """

    feature: Indices
    threshold: Array
    mode: Indices
    on_true: Indices
    on_false: Indices
    missing: NDArray[np.bool_]
    roots: Indices
    weights: Array
    weighted: NDArray[np.bool_]

    def check(self, features: int) -> None:
        """Refuse a forest that leaves the features, the nodes or the weights, or that has no end."""
        inner = self.mode >= 0
        if not len(self.roots) or np.any(inner & ((self.feature < 0) | (self.feature >= features))):
            raise malformed(f"a forest of {len(self.roots)} trees that does not fit {features} features")
        if not np.all(np.isfinite(self.threshold[inner])):
            raise malformed("a threshold that is not finite")
        own = np.flatnonzero(inner)
        ways = [zip(own.tolist(), way[own].tolist(), strict=True) for way in (self.on_true, self.on_false)]
        import networkx as nx  # most models have no trees

        if not nx.is_directed_acyclic_graph(nx.DiGraph([edge for way in ways for edge in way])):
            raise malformed("a tree without an end")
        if not self.weighted[~inner].any(axis=1).all():
            raise malformed("a leaf without a weight")

    def switches(self, x: Array) -> tuple[Array, ...]:
        """Feature minus threshold, for every pair of them that occurs: (batch, samples, pairs)."""
        inner = self.mode >= 0
        pairs = np.unique(np.stack([self.feature[inner], self.threshold[inner]], axis=1), axis=0)
        return (x[..., pairs[:, 0].astype(np.intp)] - pairs[:, 1],)

    def leaves(self, x: Array) -> Indices:
        """The leaf that each sample ends in: (..., trees) for samples (..., features)."""
        place = np.broadcast_to(self.roots, (*x.shape[:-1], len(self.roots)))
        while np.any(self.mode[place] >= 0):
            values, modes = np.take_along_axis(x, self.feature[place], axis=-1), self.mode[place]
            limits = self.threshold[place]
            held = self.missing[place] & np.isnan(values)
            for number, relation in enumerate(RELATIONS.values()):
                held |= (modes == number) & relation(values, limits)
            place = np.where(held, self.on_true[place], self.on_false[place])
        return place

    def total(self, x: Array) -> Array:
        """Sum of the leaves' weights: (..., targets)."""
        places = self.leaves(x)
        result = np.zeros((*x.shape[:-1], self.weights.shape[1]))
        for tree in range(len(self.roots)):
            result += self.weights[places[..., tree]]
        return result

    def average(self, x: Array) -> Array:
        """The mean of the trees."""
        return self.total(x) / len(self.roots)

    def extreme(self, x: Array, sign: int) -> Array:
        """Largest (sign +1) or smallest weight among the leaves that have one, else 0."""
        places = self.leaves(x)
        best = np.full((*x.shape[:-1], self.weights.shape[1]), -np.inf)
        for tree in range(len(self.roots)):
            at = places[..., tree]
            best = np.maximum(best, np.where(self.weighted[at], sign * self.weights[at], -np.inf))
        return np.where(np.isneginf(best), 0.0, sign * best)

    def avoidable(self) -> NDArray[np.bool_]:
        """Whether a sample may end in leaves none of which contributes to a target: (targets,).

        Leaves are taken as independent between trees, and all of them as reachable.
        """
        leaf = self.mode < 0
        result = np.ones(self.weights.shape[1], dtype=bool)
        for root in self.roots:
            reached, pending = set[int](), [int(root)]
            while pending:
                place = pending.pop()
                if place not in reached:
                    reached.add(place)
                    pending += [int(self.on_true[place]), int(self.on_false[place])]
            own = np.array(sorted(reached), dtype=np.intp)
            result &= ~self.weighted[own[leaf[own]]].all(axis=0)
        return result

    def touched(self, x: Array) -> NDArray[np.bool_]:
        """Whether any leaf contributes to each target: (..., targets)."""
        return np.asarray(self.weighted[self.leaves(x)].any(axis=-2))


def leaf_weights(
    nodes: int, targets: int, places: Indices, ids: Sequence[int], values: Sequence[float]
) -> tuple[Array, NDArray[np.bool_]]:
    """Weights of leaves as a table (nodes, targets), and which of them are given."""
    if not len(places) == len(ids) == len(values) or not len(places):
        raise malformed(f"{len(places)} leaves, {len(ids)} targets and {len(values)} weights")
    columns = np.asarray(ids, dtype=np.intp)
    if targets < 1 or columns.min() < 0 or columns.max() >= targets:
        raise malformed(f"weights for target {columns.max()} of {targets}")
    weights, weighted = np.zeros((nodes, targets)), np.zeros((nodes, targets), dtype=bool)
    weights[places, columns] = values
    weighted[places, columns] = True
    if np.count_nonzero(weighted) != len(places):
        raise malformed("two weights of one leaf for one target")
    return weights, weighted
