"""The witness catches each small model that once failed, when what mended it is taken out again."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

import onnx_si
from onnx_si.domains.enclosure import certified, value
from onnx_si.domains.enclosure.verdict import certify
from onnx_si.domains.walker import Tally, walk
from onnx_si.errors import Contradicted
from onnx_si.ground.intervals import Intervals
from onnx_si.search import Search

CASES = Path(__file__).parents[3] / "shared" / "cases"
exact_module = importlib.import_module("onnx_si.engines.exact")

TIES = {
    "single_point": ({"threshold": 0.5}, "holds the statistic with nothing but rounding"),
    "constant_but_for_rounding": (
        {"threshold": "top:0.2", "hypothesis": "neighborhood", "ring": 1},
        "at none of 33 points of the truncation set",
    ),
    # the order of a sum decides which of the two is seen first
    "middle_of_minmax": (
        {"threshold": "minmax:0.5"},
        "holds the statistic with nothing but rounding|contradicts the test by more than rounding",
    ),
    "zero_margin": ({"threshold": 0.0}, "contradicts the test by more than rounding"),
}


def case(name):
    if not CASES.is_dir():
        pytest.skip("the cases are not beside this checkout")
    model = onnx_si.load(CASES / f"{name}.onnx")
    options = {
        "saliency": f"output:{model.outputs[0].name}",
        "sigma": 1.0,
        "hypothesis": "background",
        "alternative": "two-sided",
    }
    return model, options


def without_arbiter(monkeypatch):
    """Margins are what they were computed as, and S may hold the statistic with nothing around it."""
    domain = importlib.import_module("onnx_si.domains.piecewise.domain")
    verdict_on = domain.verdict_on
    monkeypatch.setattr(domain, "verdict_on", lambda event, margin, arbiter=None: verdict_on(event, margin))
    loop = importlib.import_module("onnx_si.search.loop")
    monkeypatch.setattr(importlib.import_module("onnx_si.search.ledger"), "require_around", lambda *_: None)
    monkeypatch.setattr(loop, "ends_of", lambda *_: Intervals.empty())
    monkeypatch.setattr(importlib.import_module("onnx_si.maps.threshold"), "TIE", 0.0)


@pytest.mark.parametrize("name", TIES)
def test_ties_without_their_arbiter(name, monkeypatch):
    model, options = case(name)
    image = np.load(CASES / f"{name}.npy").astype(np.float64)
    own, words = TIES[name]
    without_arbiter(monkeypatch)
    assert onnx_si.test(model, image, verify=0, **{**options, **own}).p_value is not None
    with pytest.raises(Contradicted, match=words):
        onnx_si.test(model, image, **{**options, **own})


def by_enclosures(program, margin, line, event, how, progress):
    """A search that believes what enclosures say of 8 wide cells, and looks no closer."""
    edges = line.statistic + line.standard_error * np.linspace(-4.0, 4.0, 9)
    low, high = edges[:-1], edges[1:]
    domain = certified.EnclosureDomain(len(low))
    (found,) = walk(program, domain.apply, value.cells(line.start, line.direction, low, high), Tally())
    outside, open_ = certify(event, found[margin])
    inside = ~outside & ~open_.reshape(len(low), -1).any(axis=1) & ~domain.lost
    settled = (inside | outside) & ~domain.lost
    parts = np.stack([low, high], axis=1)
    rest = Intervals.of(parts[settled]).complement()
    return Search(
        inside=Intervals.of(parts[inside]),
        undecided=rest,
        p_value_bounds=(0.0, 1.0),
        seconds=0.0,
        forward_passes=0.0,
        pieces=1,
        cells=1,
        fates={},
        peak_bytes=0,
        complete=True,
        p_value=1.0,
    )


def test_a_product_whose_errors_are_left_out(monkeypatch):
    """A weight of both signs, behind steps and Relu: values lie outside of what is claimed."""
    model, options = case("einsum_of_three")
    monkeypatch.setattr(exact_module, "search", by_enclosures)
    images = np.random.default_rng(0).normal(size=(12, 1, 4, 6, 6))
    options = {**options, "threshold": 0.5, "p_value_only": True, "verify": 64, "sigma": 3.0}

    def contradicted():
        count = 0
        for image in images:
            try:
                onnx_si.test(model, image, **options)
            except Contradicted as error:
                count += "by more than rounding" in str(error)
        return count

    assert contradicted() == 0
    product = certified.gated_product
    monkeypatch.setattr(certified, "gated_product", lambda *given: without_radius(product(*given)))
    assert contradicted() > 0


def without_radius(found):
    return dataclasses.replace(found, radius=np.zeros_like(found.radius))


def test_a_tensor_without_elements_that_is_not_allowed_for(monkeypatch):
    """The crash that it was becomes a refusal in words: there is no p-value that a witness could doubt."""
    model, options = case("no_elements")
    image = np.load(CASES / "no_elements.npy").astype(np.float64)
    assert onnx_si.test(model, image, threshold="max:0.5", **options).p_value == pytest.approx(
        0.42411, abs=1e-4
    )

    monkeypatch.delenv("ONNX_SI_DEBUG", raising=False)

    def crash(*_):
        raise ValueError("zero-size array to reduction operation maximum which has no identity")

    monkeypatch.setattr(certified.EnclosureDomain, "apply", crash)
    with pytest.raises(onnx_si.OnnxSIError, match="report"):
        onnx_si.test(model, image, threshold="max:0.5", **options)
