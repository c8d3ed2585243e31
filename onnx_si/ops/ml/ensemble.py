"""TreeEnsemble of the domain ai.onnx.ml, version 5: branches and leaves by their places."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnx_si.kernels.arrays import malformed
from onnx_si.ops.ml.forest import RELATIONS, Forest, Indices, leaf_weights
from onnx_si.ops.ml.post_transform import DOMAIN, no_transform
from onnx_si.ops.ml.trees import regression
from onnx_si.rules import axis_rules
from onnx_si.rules.registry import Input, handles, variable
from onnx_si.rules.rules import Array, Disputed, Step

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
MEMBER = len(RELATIONS)  # the number of the mode that looks a value up in a set
EQUAL = list(RELATIONS).index("BRANCH_EQ")


@handles("TreeEnsemble", since=(5,), domain=DOMAIN, axes=axis_rules.row_by_row)
def tree_ensemble(
    x: Input,
    *,
    aggregate_function: int = 1,
    n_targets: int = 1,
    post_transform: int = 0,
    **attributes: Any,
) -> Step | Disputed:
    """Numbers of transforms mean different functions to the text and to onnxruntime: none but 0."""
    if not 0 <= aggregate_function < len(AGGREGATES):
        raise malformed(f"aggregate_function {aggregate_function}")
    no_transform("NONE" if post_transform == 0 else str(post_transform), "a tree ensemble")
    forest = _indexed_forest(attributes, n_targets)
    return regression(variable(x, "X"), forest, AGGREGATES[aggregate_function], np.empty(0), "NONE")


def _indexed_forest(attributes: dict[str, Any], targets: int) -> Forest:
    """Leaves stand behind branches, and branches that look further members of a set up behind leaves."""
    branches = _branches(attributes)
    count, leaves = len(branches["modes"]), np.ravel(attributes["leaf_weights"]).astype(np.float64)
    for way in ("true", "false"):
        goal, ends = branches[f"{way}nodeids"], branches[f"{way}leafs"] != 0
        if np.any((goal < 0) | (goal >= np.where(ends, len(leaves), count))):
            raise malformed(f"a {way} branch to a node that does not exist")
        branches[way] = goal + np.where(ends, count, 0)
    roots = np.asarray(attributes["tree_roots"], dtype=np.intp)
    if np.any((roots < 0) | (roots >= count)):
        raise malformed("a root that does not exist")
    own, none = np.arange(count, count + len(leaves)), np.zeros(len(leaves))
    fill = {"featureids": none, "splits": none, "modes": none - 1, "true": own, "false": own, "missing": none}
    nodes = {name: np.concatenate([branches[name], rest]) for name, rest in fill.items()}
    _look_up(nodes, np.ravel(attributes.get("membership_values", ())))
    total = len(nodes["modes"])
    weights, weighted = leaf_weights(total, targets, own, attributes["leaf_targetids"], list(leaves))
    places: list[Indices] = [nodes[name].astype(np.intp) for name in ("featureids", "modes", "true", "false")]
    feature, mode, on_true, on_false = places
    return Forest(
        feature=feature,
        threshold=nodes["splits"],
        mode=mode,
        on_true=on_true,
        on_false=on_false,
        missing=nodes["missing"] != 0,
        roots=roots,
        weights=weights,
        weighted=weighted,
    )


def _branches(attributes: dict[str, Any]) -> dict[str, Array]:
    names = ("featureids", "splits", "modes", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    lists = {name: np.asarray(attributes[f"nodes_{name}"]).ravel().astype(np.float64) for name in names}
    count = len(lists["modes"])
    missing: Sequence[int] = attributes.get("nodes_missing_value_tracks_true") or [0] * count
    lists["missing"] = np.asarray(missing, dtype=np.float64)
    if {len(values) for values in lists.values()} != {count} or not count:
        raise malformed(f"a forest of {count} branches with lists of other lengths")
    if np.any((lists["modes"] < 0) | (lists["modes"] > MEMBER)):
        raise malformed("a mode that is not in the specification")
    return lists


def _look_up(nodes: dict[str, Array], members: Array) -> None:
    """Replace each look-up in a set by comparisons in a row; a set ends with what is no number."""
    looking = np.flatnonzero(nodes["modes"] == MEMBER)
    ends = np.flatnonzero(np.isnan(members))
    if len(looking) != len(ends):
        raise malformed(f"{len(looking)} branches that look a value up in {len(ends)} sets")
    for node, wanted in zip(looking, np.split(members, ends), strict=False):
        values = wanted[~np.isnan(wanted)].astype(np.float64)
        if not len(values):
            raise malformed("a branch that looks a value up in an empty set")
        last, size = nodes["false"][node], len(nodes["modes"])
        chain = [node, *range(size, size + len(values) - 1)]
        more = {name: np.repeat(array[node], len(values) - 1) for name, array in nodes.items()}
        for name, rest in more.items():
            nodes[name] = np.concatenate([nodes[name], rest])
        nodes["modes"][chain], nodes["splits"][chain] = EQUAL, values
        nodes["false"][chain] = [*chain[1:], last]
