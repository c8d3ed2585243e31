"""A model made ready once, for many images."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import nets

import onnx_si
from onnx_si.ground.kept import Kept

KINDS = {
    "plain": {},
    "preprocessing": {"scale": 2.0, "mean": (0.5,), "std": (1.5,)},
    "resized": {"resize_input": "linear"},
    "mask": {},
    "class activation map": {"saliency": "cam"},
}


def images_of(count, size, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 1, 1, size, size))


def model_of(kind):
    return nets.cam_nchw(1, size=8, classes=2) if "activation" in kind else nets.map_net(seed=1, size=8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_bound_once_for_images_of_a_shape(kind, monkeypatch):
    """Map, margin and program are made for the first image, with any preprocessing; numbers are the same."""
    options = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 8, **KINDS[kind]}
    mask = np.pad(np.ones((6, 6)), 1) if kind == "mask" else None
    model, images = model_of(kind), images_of(3, 10 if kind == "resized" else 8)
    bound = []
    for name, module in list(sys.modules.items()):
        if name.startswith("onnx_si.") and hasattr(module, "bind") and name != "onnx_si.program.program":
            own = module.bind

            def counted(*args, own=own, **kwargs):
                bound.append(args[2])
                return own(*args, **kwargs)

            monkeypatch.setattr(module, "bind", counted)
    analysis = onnx_si.prepare(model, **options)
    found = [analysis.test(images[0], mask=mask)]
    first = len(bound)
    assert first == 2  # the model, to find its map, and the margin: which goes on from there (test_going_on)
    found += [analysis.test(image, mask=mask) for image in images[1:]]
    assert len(bound) == first
    monkeypatch.undo()
    for image, one in zip(images, found, strict=True):
        alone = onnx_si.test(model, image, mask=mask, **options)
        assert one.p_value == alone.p_value and one.truncation.to_list() == alone.truncation.to_list()


def test_threads_share_an_analysis():
    model, images = model_of("plain"), images_of(8, 8)
    options = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 4}
    alone = [onnx_si.test(model, image, **options).p_value for image in images]
    analysis = onnx_si.prepare(model, **options)
    with ThreadPoolExecutor(4) as workers:
        together = [found.p_value for found in workers.map(analysis.test, images)]
    assert together == alone


def test_a_test_s_own_sigma_and_seed():
    model, (image,) = model_of("plain"), images_of(1, 8)
    analysis = onnx_si.prepare(model, sigma=1.0, threshold="minmax:0.5", randomise=0.3, verify=0)
    other = analysis.test(image, sigma=2.0, seed=5)
    alone = onnx_si.test(model, image, sigma=2.0, seed=5, threshold="minmax:0.5", randomise=0.3, verify=0)
    assert other.p_value == alone.p_value and other.config["sigma"] == 2.0


def test_what_is_kept_is_the_last_used():
    made = []
    kept = Kept(2)

    def value(key):
        return kept.get(key, lambda: made.append(key) or key.upper())

    assert [value(key) for key in "abacab"] == list("ABACAB")
    assert made == ["a", "b", "c", "b"]
    with pytest.raises(ZeroDivisionError):
        kept.get("d", lambda: 1 / 0)
    assert value("a") == "A" and made[-1] == "b"


def test_an_option_that_is_wrong_is_told_at_once():
    with pytest.raises(onnx_si.UsageError, match="verify"):
        onnx_si.prepare(model_of("plain"), verify=-1)
    with pytest.raises(onnx_si.UnsupportedModel, match="2 inputs"):
        net = nets.Net(0, (1, 1, 4, 4))
        proto = net.finish(net.add("Relu", "x")).proto
        second = proto.graph.input.add()
        second.CopyFrom(proto.graph.input[0])
        second.name = "age"
        onnx_si.prepare(onnx_si.Model(proto=proto))
