"""Every document has the shape that its schema in docs/schema says."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from support import nets

import onnx_si
from onnx_si.analysis.run import refusal
from onnx_si.inspection.inspector import inspect_model
from onnx_si.report import to_json
from onnx_si.report.documents import DOCUMENTS, INSPECTION, RESULT, SIMULATION

FOLDER = Path(__file__).parents[2] / "docs" / "schema"


def valid(content, document):
    """Check a document as it is written, against the schema as it is shipped."""
    schema = json.loads((FOLDER / document.file).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(to_json(content)), schema)
    return content


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_the_shipped_schemas_are_those_of_the_program(document):
    """Made by `python -m onnx_si.report.documents docs/schema`."""
    shipped = json.loads((FOLDER / document.file).read_text(encoding="utf-8"))
    assert shipped == document.schema()


def test_every_value_is_described():
    def leaves(schema, path):
        if "properties" in schema:
            for key, inner in schema["properties"].items():
                yield from leaves(inner, f"{path}.{key}")
        else:
            yield path, schema

    for document in DOCUMENTS:
        assert [
            p for p, leaf in leaves(document.schema(), document.name) if not leaf.get("description")
        ] == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"randomise": 0.3, "alternative": "two-sided"},
        {"components": True, "methods": ("selective", "naive", "over-conditioning", "bonferroni")},
        {"hypothesis": "global", "reference": True},
        {"sigma_df": 5},
        {"p_value_only": True},
        {"decide": True},
    ],
    ids=str,
)
def test_results(options):
    model = nets.map_net(seed=1, size=8)
    image, other = np.random.default_rng(3).normal(size=(2, 8, 8))
    reference = other if options.get("reference") else None
    told = {name: value for name, value in options.items() if name != "reference"}
    result = onnx_si.test(model, image, reference, sigma=1.0, threshold="minmax:0.5", **told)
    valid(result.to_dict(), RESULT)


def test_refusals():
    model = nets.map_net(seed=1, size=8)
    with pytest.raises(onnx_si.NothingToTest) as nothing:
        onnx_si.test(model, np.ones((8, 8)) * 0.1, sigma=1.0, threshold=1e6)
    valid(refusal(nothing.value, model, has_reference=False).to_dict(), RESULT)
    net = nets.Net(0, (1, 1, 4, 4))
    smooth = net.finish(net.add("Add", net.add("Sin", "x"), net.add("Cos", "x")))
    with pytest.raises(onnx_si.UnsupportedModel) as refused:
        onnx_si.test(smooth, np.eye(4), sigma=1.0, threshold=0.5, engine="exact")
    content = valid(refusal(refused.value, None, has_reference=False).to_dict(), RESULT)
    assert content["findings"]


def test_inspections():
    for model in (nets.map_net(seed=1, size=8), nets.cam_nchw(1, size=8, classes=2)):
        valid(inspect_model(model).to_dict(), INSPECTION)


@pytest.mark.parametrize("more", [{}, {"signals": (0.0, 2.0), "components": True}, {"noise": "t:0.02"}])
def test_simulations(tmp_path, more):
    path = tmp_path / "model.onnx"
    path.write_bytes(nets.map_net(seed=1, size=8).proto.SerializeToString())
    model = onnx_si.load(str(path))
    found = onnx_si.simulate(model, trials=3, sigma=1.0, threshold="minmax:0.5", jobs=1, **more)
    valid(found.to_dict(), SIMULATION)


def test_a_document_that_lacks_a_key_or_has_another_is_not_valid():
    content = inspect_model(nets.map_net(seed=1, size=8)).to_dict()
    for wrong in (
        {**content, "more": 1},
        {key: value for key, value in content.items() if key != "ops"},
        {**content, "guarantee": None},
    ):
        with pytest.raises(jsonschema.ValidationError):
            valid(wrong, INSPECTION)
