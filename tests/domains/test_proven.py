"""What is not a number proves nothing: NaN and infinity in every place of an enclosure, and none at all."""

import numpy as np
import pytest
from support import nets

from onnx_si.domains.enclosure.certified import EnclosureDomain
from onnx_si.domains.enclosure.value import Enclosure, cells
from onnx_si.domains.enclosure.verdict import certify
from onnx_si.domains.event import RegionEvent
from onnx_si.domains.walker import Tally, walk
from onnx_si.program.program import bind
from onnx_si.rules.rules import Affine, Bilinear, Kinked, Maximum, Step, Winner, product_of

PLACES = ("centre", "slope", "radius")
WRONG = (np.nan, np.inf, -np.inf)
RULES = {
    "affine": Affine(linear=lambda x, w: x * w, weights=(np.ones(2),)),
    "relu": Kinked(lambda x: np.maximum(x, 0.0), (np.zeros(()),)),
    "maximum": Maximum(lambda x: (x[:, :1], x[:, 1:])),
    "winner": Winner(lambda x: (x[:, :1], x[:, 1:])),
    "step": Step(switches=lambda x: (x,), evaluate=lambda x: (x > 0).astype(float)),
    "spaced": Step(switches=lambda x: (x,), evaluate=np.floor, spacing=np.ones_like),
    "gated": product_of(lambda x: x * 2, (0,)),
    "product": Bilinear(product=np.multiply),
}


def spoiled(place, value, element):
    """Two elements at 5.2 and 3.2 with a radius of .01, of which one number is spoiled."""
    parts = {"centre": np.array([[5.2, 3.2]]), "slope": np.zeros((1, 2)), "radius": np.full((1, 2), 0.01)}
    parts[place][0, element] = value
    return Enclosure(**parts, half_width=np.ones(1))


@pytest.mark.parametrize("element", range(2))
@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("place", PLACES)
def test_no_verdict_on_a_margin_that_is_no_number(place, value, element):
    margin = spoiled(place, value, element)
    for side in (True, False):
        observed = np.array([True, True])
        observed[element] = side
        outside, open_ = certify(RegionEvent(observed), margin)
        assert not outside[0]
        assert open_[0, element]


@pytest.mark.parametrize("element", range(2))
@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_loses_the_cell(rule, place, value, element):
    domain = EnclosureDomain(1)
    domain.apply(rule, [spoiled(place, value, element)])
    assert domain.lost[0]


def test_a_radius_that_overflows_in_a_deep_network_proves_nothing():
    """Values stay of ordinary size while the radius grows by a factor of 5 with each layer."""
    rng = np.random.default_rng(0)
    net = nets.Net(0, (1, 36))
    hidden = "x"
    for _ in range(480):
        weight = np.sqrt(2) * np.linalg.qr(rng.normal(size=(36, 36)))[0]
        hidden = net.add("Relu", net.add("MatMul", hidden, net.const(weight)))
    model = net.finish(net.add("Add", hidden, net.const(np.ones(1)), out="y"))
    image = rng.normal(size=(1, 36))
    program = bind(model, image, ("y",))
    assert np.isfinite(program.values["y"]).all()
    domain = EnclosureDomain(1)
    start = cells(image, rng.normal(size=(1, 36)), np.array([-1.0]), np.array([1.0]))
    (outputs,) = walk(program, domain.apply, start, Tally())
    assert not np.isfinite(outputs["y"].radius).any()
    outside, open_ = certify(RegionEvent(np.ones((1, 36), dtype=bool)), outputs["y"])
    assert domain.lost[0] and not outside[0] and open_.all()


@pytest.mark.parametrize("rule", [RULES["relu"], Maximum(lambda x: (x, x))], ids=["relu", "maximum"])
def test_a_tensor_without_elements(rule):
    nothing = np.empty((1, 0))
    domain = EnclosureDomain(1)
    assert domain.apply(
        rule, [Enclosure(centre=nothing, slope=nothing, radius=nothing, half_width=np.ones(1))]
    ).centre.shape == (1, 0)
    assert not domain.lost[0]
