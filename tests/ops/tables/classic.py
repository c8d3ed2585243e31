"""Ops of the domain ai.onnx.ml: features, linear models, support vectors, trees."""

import numpy as np
from onnx import numpy_helper

from ..making import Case, V, index, ints, level

_rng = np.random.default_rng(4711)


def numbers(*shape):
    """Random numbers that float32 holds, as a flat attribute."""
    return [float(v) for v in _rng.normal(size=shape).astype(np.float32).ravel()]


def table(*shape):
    return _rng.normal(size=shape).astype(np.float32)


def tensor(values, dtype, name="values"):
    return numpy_helper.from_array(np.array(values, dtype=dtype), name)


def linear(scores, features=3):
    return {"coefficients": numbers(scores, features), "intercepts": numbers(scores)}


def vectors(rows, features=3, rho=1):
    given = {"support_vectors": numbers(rows, features)} if rows else {}
    return {**given, "rho": numbers(rho), "kernel_params": [0.5, 0.3, 2.0]}


def labels(count):
    return {"classlabels_ints": [7, 3, 5, 9][:count]}


BRANCHES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]


def trees(leaf, count, targets, features=3, ids=None, positive=False, mode=None):
    """Trees with three branches and four leaves each, and a tree that is one leaf."""
    nodes = {key: [] for key in ("treeids", "nodeids", "featureids", "modes", "truenodeids", "falsenodeids")}
    leaves = {key: [] for key in ("treeids", "nodeids", "ids")}
    for tree in range(count):
        alone = tree == count - 1
        for node in range(1 if alone else 7):
            inner = node < 3 and not alone
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(int(_rng.integers(features)) if inner else 0)
            nodes["modes"].append((mode or BRANCHES[int(_rng.integers(4))]) if inner else "LEAF")
            nodes["truenodeids"].append(2 * node + 1 if inner else 0)
            nodes["falsenodeids"].append(2 * node + 2 if inner else 0)
            for target in [] if inner else (range(targets) if ids is None else ids):
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(node)
                leaves["ids"].append(target)
    weights = numbers(len(leaves["ids"]))
    weights = [abs(weight) / count for weight in weights] if positive else weights
    return {
        **{f"nodes_{key}": value for key, value in nodes.items()},
        **{f"{leaf}_{key}": value for key, value in leaves.items()},
        "nodes_values": numbers(len(nodes["modes"])),
        f"{leaf}_weights": weights,
    }


def regression(targets=1, **options):
    return {**trees("target", 4, targets, **options), "n_targets": targets}


def classes(count, **options):
    return {**trees("class", 5, count, **options), "classlabels_int64s": [7, 3, 5, 9][:count]}


def doubles(attributes, *names):
    """Number lists stored as tensors of doubles."""
    rest = {key: value for key, value in attributes.items() if key not in names}
    return rest | {f"{name}_as_tensor": tensor(attributes[name], np.float64) for name in names}


def ensemble(targets, **others):
    """Two trees of version 5: a branch over two branches, and one over two leaves."""
    return {
        "tree_roots": [0, 3],
        "nodes_modes": tensor([0, 1, 2, 3], np.uint8),
        "nodes_featureids": [0, 1, 2, 1],
        "nodes_splits": tensor(numbers(4), np.float32),
        "nodes_truenodeids": [1, 0, 2, 4],
        "nodes_trueleafs": [0, 1, 1, 1],
        "nodes_falsenodeids": [2, 1, 3, 5],
        "nodes_falseleafs": [0, 1, 1, 1],
        "leaf_targetids": [i % targets for i in range(6)],
        "leaf_weights": tensor(numbers(6), np.float32),
        "n_targets": targets,
        **others,
    }


CASES = [
    Case("each feature", "Scaler", (V(2, 3),), {"offset": numbers(3), "scale": numbers(3)}),
    Case("one for all", "Scaler", (V(1, 2, 3),), {"offset": [0.5], "scale": [-2.0]}),
    Case("vector", "Scaler", (V(3),), {"offset": numbers(3), "scale": numbers(3)}),
    Case("integers", "Scaler", (index(5, 2, 3),), {"offset": numbers(3), "scale": numbers(3)}),
    Case("default", "Binarizer", (V(2, 3),)),
    Case("threshold", "Binarizer", (V(2, 3),), {"threshold": 0.25}),
    Case(
        "zeros", "Imputer", (level(2, 3),), {"imputed_value_floats": numbers(3), "replaced_value_float": 0.5}
    ),
    Case("one for all", "Imputer", (V(2, 3),), {"imputed_value_floats": [4.0]}),
    Case("no number", "Imputer", (V(2, 3),), {"imputed_value_floats": [4.0], "replaced_value_float": np.nan}),
    Case("matrix", "ZipMap", (V(2, 3),), {"classlabels_int64s": [3, 5, 7]}),
    Case("vector", "ZipMap", (V(2),), {"classlabels_strings": ["a", "b"]}),
    Case("matrix", "ArrayFeatureExtractor", (V(2, 4), ints(3, 0, 3))),
    Case("vector", "ArrayFeatureExtractor", (V(4), ints(2))),
    Case("three axes", "ArrayFeatureExtractor", (V(2, 1, 4), ints(1, 2))),
    Case("labels", "ArrayFeatureExtractor", (ints(7, 3, 5), index(3, 4))),
    Case("rows of labels", "ArrayFeatureExtractor", (table(2, 3), index(3, 2, 1))),
    Case("both change", "ArrayFeatureExtractor", (V(2, 3), index(3, 2))),
    Case("both change, vector", "ArrayFeatureExtractor", (V(3), index(3, 2))),
    Case("two", "FeatureVectorizer", (V(2, 3), V(2, 1)), {"inputdimensions": [3, 1]}),
    Case("constant", "FeatureVectorizer", (table(2, 2), V(2, 3)), {"inputdimensions": [2, 3]}),
    Case("vectors", "FeatureVectorizer", (V(3), V(2)), {"inputdimensions": [3, 2]}),
    Case("values", "OneHotEncoder", (V(2, 3),), {"cats_int64s": [1, 0, -1, 2]}),
    Case("repeated", "OneHotEncoder", (index(4, 3),), {"cats_int64s": [1, 0, 1]}),
    Case(
        "floats",
        "LabelEncoder",
        (level(2, 3),),
        {"keys_floats": [0.5, 3.0, 0.5], "values_floats": [5.0, 6.0, 7.0], "default_float": -9.0},
        versions=(2, 99),
    ),
    Case(
        "integers",
        "LabelEncoder",
        (index(4, 3),),
        {"keys_int64s": [0, 3, 1], "values_int64s": [5, 6, 7]},
        versions=(2, 99),
    ),
    Case(
        "to floats",
        "LabelEncoder",
        (index(4, 3),),
        {"keys_int64s": [0, 3, 1], "values_floats": [0.5, 6.0, 7.0]},
        versions=(2, 99),
    ),
    Case(
        "tensors",
        "LabelEncoder",
        (index(4, 3),),
        {
            "keys_tensor": tensor([2, 0], np.int64),
            "values_tensor": tensor([4, 8], np.int64),
            "default_tensor": tensor([6], np.int64),
        },
        versions=(4, 99),
    ),
    Case("one target", "LinearRegressor", (V(2, 3),), linear(1)),
    Case("targets", "LinearRegressor", (V(2, 3),), {**linear(2), "targets": 2}),
    Case("no intercepts", "LinearRegressor", (V(3),), {"coefficients": numbers(3)}),
    Case("classes", "LinearClassifier", (V(2, 3),), {**linear(3), **labels(3)}, outputs=2),
    Case("two classes", "LinearClassifier", (V(3),), {**linear(2), **labels(2)}, outputs=2),
    Case("one score", "LinearClassifier", (V(2, 3),), {**linear(1), **labels(2)}, outputs=2),
    Case(
        "linear",
        "SVMRegressor",
        (V(2, 3),),
        {"coefficients": numbers(4), "n_supports": 4, **vectors(4)},
    ),
    Case("of features", "SVMRegressor", (V(2, 3),), {"coefficients": numbers(3), **vectors(0)}),
    Case(
        "one class",
        "SVMRegressor",
        (V(2, 3),),
        {"coefficients": numbers(4), "n_supports": 4, "one_class": 1, **vectors(4)},
    ),
    Case(
        "classes",
        "SVMClassifier",
        (V(2, 3),),
        {"coefficients": numbers(2, 6), "vectors_per_class": [2, 1, 3], **vectors(6, rho=3), **labels(3)},
        outputs=2,
    ),
    Case(
        "two classes",
        "SVMClassifier",
        (V(2, 3),),
        {"coefficients": numbers(5), "vectors_per_class": [2, 3], **vectors(5), **labels(2)},
        outputs=2,
    ),
    *(
        Case(how.lower(), "TreeEnsembleRegressor", (V(2, 3),), {**regression(), "aggregate_function": how})
        for how in ("SUM", "AVERAGE", "MIN", "MAX")
    ),
    *(
        Case(
            f"{how.lower()} of targets",
            "TreeEnsembleRegressor",
            (V(2, 3),),
            {**regression(2), "aggregate_function": how, "base_values": numbers(2)},
        )
        for how in ("SUM", "AVERAGE", "MIN", "MAX")
    ),
    Case("softmax", "TreeEnsembleRegressor", (V(2, 3),), {**regression(3), "post_transform": "SOFTMAX"}),
    Case("base value", "TreeEnsembleRegressor", (V(2, 3),), {**regression(), "base_values": numbers(1)}),
    *(
        Case(
            f"{mode.lower()}",
            "TreeEnsembleRegressor",
            (level(2, 3),),
            {**regression(mode=mode), "nodes_values": [0.5] * 22},
        )
        for mode in (*BRANCHES, "BRANCH_EQ", "BRANCH_NEQ")
    ),
    *(
        Case(
            f"{post.lower()}",
            "TreeEnsembleClassifier",
            (V(2, 3),),
            {**classes(3), "post_transform": post},
            outputs=2,
        )
        for post in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
    ),
    Case(
        "base values",
        "TreeEnsembleClassifier",
        (V(2, 3),),
        {**classes(3), "base_values": numbers(3)},
        outputs=2,
    ),
    Case("some classes", "TreeEnsembleClassifier", (V(2, 3),), classes(4, ids=[0, 2]), outputs=2),
    Case("one score", "TreeEnsembleClassifier", (V(2, 3),), classes(2, ids=[0]), outputs=2),
    Case(
        "one score, base",
        "TreeEnsembleClassifier",
        (V(2, 3),),
        {**classes(2, ids=[0]), "base_values": [0.3], "post_transform": "LOGISTIC"},
        outputs=2,
    ),
    Case("probability", "TreeEnsembleClassifier", (V(2, 3),), classes(2, ids=[0], positive=True), outputs=2),
    *(
        Case(
            f"{name} {how}",
            "TreeEnsemble",
            (V(2, 3),),
            ensemble(targets, aggregate_function=how),
        )
        for name, targets in (("one target", 1), ("targets", 2))
        for how in range(4)
    ),
    Case(
        "members",
        "TreeEnsemble",
        (level(2, 3),),
        ensemble(
            2,
            nodes_modes=tensor([6, 1, 2, 6], np.uint8),
            membership_values=tensor([0.25, 1.5, 0.5, np.nan, 0.5, np.nan], np.float32),
        ),
    ),
]

SMOOTH = [
    *(Case(f"norm {norm}", "Normalizer", (level(2, 3),), {"norm": norm}) for norm in ("MAX", "L1", "L2")),
    Case("vector", "Normalizer", (level(3),), {"norm": "L2"}),
    *(
        Case(
            post.lower(),
            "LinearClassifier",
            (level(2, 3),),
            {**linear(3), **labels(3), "post_transform": post},
            outputs=2,
        )
        for post in ("LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
    ),
    Case(
        "one score, logistic",
        "LinearClassifier",
        (level(2, 3),),
        {**linear(1), **labels(2), "post_transform": "LOGISTIC"},
        outputs=2,
    ),
    *(
        Case(
            f"{kernel.lower()} {name}",
            "SVMRegressor",
            (level(2, 3),),
            {"coefficients": numbers(4), "n_supports": 4, "kernel_type": kernel, **vectors(4), **others},
        )
        for kernel in ("POLY", "RBF", "SIGMOID")
        for name, others in (("value", {}), ("one class", {"one_class": 1}))
    ),
    *(
        Case(
            f"{kernel.lower()} {count}",
            "SVMClassifier",
            (level(2, 3),),
            {
                "coefficients": numbers(count - 1, 2 * count),
                "vectors_per_class": [2] * count,
                "kernel_type": kernel,
                **vectors(2 * count, rho=count * (count - 1) // 2),
                **labels(count),
            },
            outputs=2,
        )
        for kernel in ("POLY", "RBF", "SIGMOID")
        for count in (2, 4)
    ),
    *(
        Case(
            f"probabilities {count}",
            "SVMClassifier",
            (level(2, 3),),
            {
                "coefficients": numbers(count - 1, 2 * count),
                "vectors_per_class": [2] * count,
                "kernel_type": "RBF",
                "prob_a": [-1.5 - 0.1 * i for i in range(count * (count - 1) // 2)],
                "prob_b": numbers(count * (count - 1) // 2),
                **vectors(2 * count, rho=count * (count - 1) // 2),
                **labels(count),
            },
            outputs=2,
        )
        for count in (2, 3, 4)
    ),
]
