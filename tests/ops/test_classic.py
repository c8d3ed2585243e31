"""Models of the domain ai.onnx.ml as a whole: types, labels, what is behind them, and refusals."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnx_si
from onnx_si.errors import UnsupportedModel, UnsupportedOp
from onnx_si.graph import model_from_proto
from onnx_si.program.program import bind

from .making import CLASSIC
from .tables.classic import classes, doubles, labels, linear, regression, vectors

RANKS = {"label": 1, "number": 1, "hot": 3}
"""Axes of outputs that are no matrices."""

X = np.random.default_rng(8).normal(size=(4, 3)).astype(np.float32)


def classic(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=f"{op}_node", domain=CLASSIC, **attributes)


def model_with(nodes, outputs, element=TensorProto.FLOAT, opsets=(("", 17), (CLASSIC, 3)), constants=()):
    """A model of one input x (4, 3); outputs by name and element type."""
    graph = helper.make_graph(
        nodes,
        "classic",
        [helper.make_tensor_value_info("x", element, [4, 3])],
        [
            helper.make_tensor_value_info(name, kind, [f"axis {i}" for i in range(RANKS.get(name, 2))])
            for name, kind in outputs.items()
        ],
        list(constants),
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets], ir_version=8
    )


def agrees(proto, x):
    """Every output is onnxruntime's."""
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    ours = onnx_si.evaluate(model_from_proto(proto), {"x": x})
    for value, expected in zip(ours.values(), session.run(list(ours), {"x": x}), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    return ours


def test_a_pipeline_of_a_classifier():
    """What a converter writes: scaler, linear scores, normalised probabilities, a cast label."""
    proto = model_with(
        [
            classic("Scaler", ["x"], ["scaled"], offset=[0.5, 0.1, -0.2], scale=[2.0, 1.0, 0.5]),
            classic(
                "LinearClassifier",
                ["scaled"],
                ["label", "raw"],
                **linear(3),
                **labels(3),
                post_transform="LOGISTIC",
            ),
            classic("Normalizer", ["raw"], ["probabilities"], norm="L1"),
            helper.make_node("Cast", ["label"], ["number"], to=TensorProto.INT64),
        ],
        {"number": TensorProto.INT64, "probabilities": TensorProto.FLOAT},
    )
    ours = agrees(proto, X)
    np.testing.assert_allclose(ours["probabilities"].sum(axis=1), 1.0)
    assert set(ours["number"]) <= {7, 3, 5}


WEIGHTS = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def test_labels_looked_up_by_the_largest_score():
    """Another form of a classifier: scores, the place of the largest, and a list of labels."""
    proto = model_with(
        [
            helper.make_node("MatMul", ["x", "weights"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["place"], axis=1, keepdims=0),
            classic("ArrayFeatureExtractor", ["labels", "place"], ["row"]),
            helper.make_node("Reshape", ["row", "all"], ["label"]),
        ],
        {"label": TensorProto.INT64},
        constants=[
            numpy_helper.from_array(
                np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32), "weights"
            ),
            numpy_helper.from_array(np.array([3, 1, 4, 1, 5]), "labels"),
            numpy_helper.from_array(np.array([-1]), "all"),
        ],
    )
    assert len(set(agrees(proto, X)["label"])) > 1


@pytest.mark.parametrize("place", [-1, 3])
def test_a_feature_that_does_not_exist(place):
    node = classic("ArrayFeatureExtractor", ["x", "places"], ["y"])
    proto = model_with(
        [node], {"y": TensorProto.FLOAT}, constants=[numpy_helper.from_array(np.array([place]), "places")]
    )
    with pytest.raises(UnsupportedOp, match=rf"features \[{place}\] of 3"):
        onnx_si.evaluate(model_from_proto(proto), {"x": X})


def zip_map():
    return model_with(
        [
            classic("LinearClassifier", ["x"], ["label", "scores"], **linear(3), **labels(3)),
            classic("ZipMap", ["scores"], ["maps"], classlabels_int64s=[7, 3, 5]),
        ],
        {"label": TensorProto.INT64, "scores": TensorProto.FLOAT},
    )


def test_an_output_of_maps_is_the_scores_in_the_order_of_the_labels():
    proto = zip_map()
    maps = onnx.ValueInfoProto(name="maps")
    key = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    maps.type.CopyFrom(helper.make_sequence_type_proto(key))
    proto.graph.output.append(maps)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["maps"], {"x": X})
    ours = onnx_si.evaluate(model_from_proto(proto), {"x": X})
    np.testing.assert_allclose(ours["maps"], [[row[label] for label in (7, 3, 5)] for row in expected], 1e-5)
    np.testing.assert_array_equal(ours["maps"], ours["scores"])
    bind(model_from_proto(proto), X, ("maps",)).require_exact()


def test_maps_need_a_label_for_each_score():
    proto = zip_map()
    proto.graph.node[1].attribute[0].ints.pop()
    with pytest.raises(UnsupportedOp, match=r"2 labels for scores of shape \(4, 3\)"):
        bind(model_from_proto(proto), X, ("maps",)).require_exact()


WORDS = ["cat", "dog", "eel"]
BY_PLACE = numpy_helper.from_array(np.array(WORDS[::-1], dtype=object), "words")


def worded(kind):
    """Labels that are words: of each kind of model, and from a list of them."""
    if kind == "linear":
        return [
            classic("LinearClassifier", ["x"], ["label", "scores"], **linear(3), classlabels_strings=WORDS)
        ]
    if kind == "vectors":
        given = {
            **vectors(6, rho=3),
            "coefficients": linear(6, 2)["coefficients"],
            "vectors_per_class": [2, 2, 2],
        }
        return [classic("SVMClassifier", ["x"], ["label", "scores"], **given, classlabels_strings=WORDS)]
    if kind == "trees":
        given = classes(3)
        given.pop("classlabels_int64s")
        return [
            classic("TreeEnsembleClassifier", ["x"], ["label", "scores"], **given, classlabels_strings=WORDS)
        ]
    numbers = helper.make_node("ArgMax", ["x"], ["number"], axis=1, keepdims=0)
    if kind == "places":
        return [numbers, classic("ArrayFeatureExtractor", ["words", "number"], ["label"])]
    return [
        numbers,
        classic("LabelEncoder", ["number"], ["label"], keys_int64s=[2, 0], values_strings=["two", "none"]),
    ]


@pytest.mark.parametrize("kind", ["linear", "vectors", "trees", "places", "encoded"])
def test_labels_may_be_words(kind):
    """As onnxruntime gives them; the scores beside them are exact, the words are no map."""
    shape = helper.make_node("Constant", [], ["flat"], value_ints=[-1])
    nodes = [*worded(kind), shape, helper.make_node("Reshape", ["label", "flat"], ["said"])]
    proto = model_with(nodes, {}, constants=[BY_PLACE])
    proto.graph.output.append(helper.make_tensor_value_info("said", TensorProto.STRING, [4]))
    if "scores" in nodes[0].output:
        proto.graph.output.append(helper.make_tensor_value_info("scores", TensorProto.FLOAT, [4, None]))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    model, seen = model_from_proto(proto), set()
    for seed in range(8):
        x = 3 * np.random.default_rng(seed).normal(size=X.shape).astype(np.float32)
        ours = onnx_si.evaluate(model, {"x": x})
        said, *scores = session.run(list(ours), {"x": x})
        assert ours["said"].tolist() == said.tolist()
        for value in scores:
            np.testing.assert_allclose(ours["scores"], value, rtol=1e-5, atol=1e-5)
        seen |= set(said.tolist())
    assert len(seen) > 1


def test_text_is_passed_on_and_nothing_else():
    nodes = [*worded("places"), helper.make_node("Equal", ["label", "label"], ["same"])]
    proto = model_with(nodes, {}, opsets=(("", 19), (CLASSIC, 3)), constants=[BY_PLACE])
    proto.graph.output.append(helper.make_tensor_value_info("same", TensorProto.BOOL, [1, 4]))
    with pytest.raises(UnsupportedOp, match="Equal of text; choose an output that needs no text"):
        onnx_si.evaluate(model_from_proto(proto), {"x": X})


def test_an_output_has_its_inputs_type_where_the_schema_infers_none():
    """A quotient of integers is cut; imputed integers stay integers."""
    proto = model_with(
        [
            classic("Imputer", ["x"], ["imputed"], imputed_value_int64s=[9, 8, 7], replaced_value_int64=0),
            helper.make_node("Div", ["imputed", "two"], ["half"]),
        ],
        {"half": TensorProto.INT64},
        element=TensorProto.INT64,
        constants=[numpy_helper.from_array(np.array(2), "two")],
    )
    agrees(proto, np.array([[0, 1, 2], [3, 0, 5], [-3, 7, 0], [1, 1, 1]]))


@pytest.mark.parametrize(
    ("op", "leaf", "attributes"),
    [("Regressor", "target", regression(2)), ("Classifier", "class", classes(3))],
    ids=["regressor", "classifier"],
)
def test_trees_in_double_precision(op, leaf, attributes):
    outputs = ["label", "scores"] if op == "Classifier" else ["scores"]
    node = classic(
        f"TreeEnsemble{op}", ["x"], outputs, **doubles(attributes, "nodes_values", f"{leaf}_weights")
    )
    kinds = {name: TensorProto.INT64 if name == "label" else TensorProto.FLOAT for name in outputs}
    agrees(model_with([node], kinds, element=TensorProto.DOUBLE), X.astype(np.float64))


def test_a_value_on_a_threshold_goes_where_the_stored_number_says():
    """0.1 as float32 is larger than 0.1: comparing with the decimal number would go the other way."""
    attributes = regression(1, mode="BRANCH_LEQ")
    attributes["nodes_values"] = [float(np.float32(0.1))] * len(attributes["nodes_values"])
    node = classic("TreeEnsembleRegressor", ["x"], ["y"], **attributes)
    below, above = np.nextafter(np.float32(0.1), np.float32([0, 1]))
    x = np.array([[0.1] * 3, [below] * 3, [above] * 3, [-0.1] * 3], dtype=np.float32)
    y = agrees(model_with([node], {"y": TensorProto.FLOAT}), x)["y"]
    assert y[0] == y[1]
    assert y[0] != y[2]


@pytest.mark.parametrize("zeros", [0, 1])
def test_one_hot_with_an_unknown_category(zeros):
    node = classic("OneHotEncoder", ["x"], ["hot"], cats_int64s=[0, 1, 2], zeros=zeros)
    proto = model_with([node], {"hot": TensorProto.FLOAT})
    known = np.abs(X) % 3
    agrees(proto, known)
    if zeros:
        agrees(proto, known + 1)
        return
    with pytest.raises(UnsupportedOp, match="a value is of no category; export with zeros=1"):
        onnx_si.evaluate(model_from_proto(proto), {"x": known + 1})
    with pytest.raises(UnsupportedOp, match="a value of no category is an error"):
        bind(model_from_proto(proto), known, ("hot",)).require_exact()


def test_a_model_without_the_standard_opset():
    node = classic("Binarizer", ["x"], ["y"], threshold=0.5)
    proto = model_with([node], {"y": TensorProto.FLOAT}, opsets=[(CLASSIC, 1)])
    agrees(proto, X)
    assert len(proto.opset_import) == 1
    proto.graph.node.append(helper.make_node("Relu", ["y"], ["z"]))
    with pytest.raises(UnsupportedModel, match="opset None"):
        model_from_proto(proto)


TREE = regression(1)
ENCODED = {"keys_strings": ["a"], "values_int64s": [1]}
REFUSED = [
    (
        "Scaler",
        {"offset": [0.0, 1.0], "scale": [1.0, 2.0]},
        "2 values in offset for a tensor",
    ),
    ("Scaler", {"offset": [0.0], "scale": [1.0, 2.0, 3.0]}, "1 offsets and 3 scales"),
    ("Normalizer", {"norm": "L3"}, "norm L3"),
    ("OneHotEncoder", {"cats_strings": ["a"]}, "its categories are strings"),
    ("LabelEncoder", ENCODED, "its keys are strings"),
    ("FeatureVectorizer", {"inputdimensions": [2]}, r"shapes \[\(4, 3\)\] for the input dimensions \[2\]"),
    ("LinearRegressor", linear(2), "coefficients for 2 targets, not 1"),
    (
        "LinearRegressor",
        {**linear(1), "post_transform": "LOGISTIC"},
        "LOGISTIC of a regression",
    ),
    ("LinearRegressor", linear(1, features=4), "4 coefficients do not fit 3 columns"),
    (
        "SVMRegressor",
        {"n_supports": 2, "coefficients": [1.0, 2.0], **vectors(3)},
        "3 vectors, 2",
    ),
    ("TreeEnsembleRegressor", {**TREE, "post_transform": "SOFTMAX"}, "post_transform SOFTMAX of one target"),
    ("TreeEnsembleRegressor", {**TREE, "base_values": [1.0, 2.0]}, "2 base values for 1 targets"),
    ("TreeEnsembleRegressor", {**TREE, "aggregate_function": "PRODUCT"}, "aggregate_function PRODUCT"),
    ("TreeEnsembleRegressor", {**TREE, "nodes_featureids": [5] * 22}, "does not fit 3 features"),
    (
        "TreeEnsembleRegressor",
        {**TREE, "nodes_truenodeids": [99] * 22},
        "that does not exist",
    ),
    ("TreeEnsembleRegressor", {**TREE, "nodes_truenodeids": [0] * 22}, "roots of 4 trees"),
    ("TreeEnsembleRegressor", {**TREE, "nodes_modes": ["BRANCH_NEAR"] * 22}, "branches BRANCH_NEAR"),
    ("TreeEnsembleRegressor", {**TREE, "target_ids": [3] * 13}, "weights for target 3 of 1"),
]


@pytest.mark.parametrize(("op", "attributes", "reason"), REFUSED, ids=[r[2][:30] for r in REFUSED])
def test_refused(op, attributes, reason):
    proto = model_with([classic(op, ["x"], ["y"], **attributes)], {"y": TensorProto.FLOAT})
    with pytest.raises(UnsupportedOp, match=reason):
        onnx_si.evaluate(model_from_proto(proto), {"x": X})


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("LinearClassifier", {**linear(2), **labels(3)}, "coefficients for 2 scores and 3 class labels"),
        (
            "LinearClassifier",
            {**linear(3), **labels(3), "post_transform": "PROBIT"},
            "runtimes",
        ),
        ("TreeEnsembleClassifier", classes(2), "two classes with weights for the second one"),
        ("TreeEnsembleClassifier", classes(1), "1 class labels"),
        (
            "SVMClassifier",
            {**labels(3), "coefficients": [1.0] * 9},
            "3 labels, vectors of 0 classes",
        ),
    ],
)
def test_refused_classifier(op, attributes, reason):
    node = classic(op, ["x"], ["label", "scores"], **attributes)
    proto = model_with([node], {"scores": TensorProto.FLOAT})
    with pytest.raises(UnsupportedOp, match=reason):
        onnx_si.evaluate(model_from_proto(proto), {"x": X})
