"""Many images in one call of the runtime: no bit of a map may depend on what else is asked."""

from pathlib import Path

import numpy as np
import pytest
from support import smooth_nets

import onnx_si
from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.frame import frame_of, input_of
from onnx_si.analysis.marking import marking_of
from onnx_si.analysis.options import Options
from onnx_si.analysis.settings import settle
from onnx_si.runtime import together
from onnx_si.runtime.together import LEAST, Together

MODELS = Path(__file__).resolve().parents[2] / "models"
MAPS = {"softmax segmentation": {"saliency": "output:map", "target": 1}}


def box_of(model, image, **options):
    settings = settle(Options(engine="monte-carlo", threshold=0.0, **options), {}, False)
    frame = frame_of(model, input_of(model, settings), image.shape, settings)
    return BlackBox(marking_of(frame, image, None, settings))


def images_for(model, count):
    shape = [size if isinstance(size, int) else 1 for size in model.inputs[0].shape]
    images = np.random.default_rng(0).normal(size=(count, *shape))
    return images if model.inputs[0].is_floating else 128 + 20 * images


def one_by_one(box, images):
    return np.concatenate([box.maps(image[None]) for image in images])


def runs(monkeypatch):
    """How many sessions of many images were made, and kept."""
    made = []
    checked = Together._checked

    def noting(self, proto, stacks):
        session = checked(self, proto, stacks)
        made.append(session is not None)
        return session

    monkeypatch.setattr(Together, "_checked", noting)
    return made


@pytest.mark.parametrize("name", smooth_nets.ZOO)
def test_every_architecture_is_the_same_alone_and_together(name):
    model = smooth_nets.ZOO[name]()
    images = images_for(model, LEAST + 1)
    box = box_of(model, images[0], **MAPS.get(name, {}))
    many = box.maps(images)
    assert np.array_equal(many, one_by_one(box, images), equal_nan=True)
    assert np.array_equal(many[2:4], box.maps(images[2:4]), equal_nan=True)


@pytest.mark.parametrize("saliency", ["cam", "gradcam", "grad-input"])
def test_nodes_behind_the_file_are_run_together(monkeypatch, saliency):
    """Those that read the image as well: a session for the file, one for what is behind it."""
    made = runs(monkeypatch)
    model = smooth_nets.squeeze_excite()
    images = images_for(model, LEAST)
    box = box_of(model, images[0], saliency=saliency)
    assert np.array_equal(box.maps(images), one_by_one(box, images))
    assert made == [True, True]


def test_nodes_behind_a_batch_are_run_together(monkeypatch):
    made = runs(monkeypatch)
    model = onnx_si.load(MODELS / "paper_cam_8.onnx")
    images = images_for(model, LEAST)
    box = box_of(model, images[0], saliency="cam")
    assert np.array_equal(box.maps(images), one_by_one(box, images))
    assert made == [True]


def test_another_rounding_is_given_up(monkeypatch):
    """A Scan whose body the runtime rounds otherwise, in one image, in the last bit."""
    model = smooth_nets.unet()
    images = images_for(model, LEAST)
    wanted = one_by_one(box_of(model, images[0]), images)
    through = Together._through

    def otherwise(self, session, stacks):
        found = {name: value.copy() for name, value in through(self, session, stacks).items()}
        for value in found.values():
            value[-1].flat[3] = np.nextafter(value[-1].flat[3], np.float32(9))
        return found

    monkeypatch.setattr(Together, "_through", otherwise)
    made = runs(monkeypatch)
    assert np.array_equal(box_of(model, images[0]).maps(images), wanted)
    assert made == [False]


def test_what_a_scan_cannot_do_is_run_one_by_one(monkeypatch):
    def fails(*given):
        raise RuntimeError("no such body")

    model = smooth_nets.unet()
    images = images_for(model, LEAST)
    wanted = box_of(model, images[0]).maps(images)
    monkeypatch.setattr(together, "over_each", fails)
    assert np.array_equal(box_of(model, images[0]).maps(images), wanted)


def test_large_graphs_are_not_kept(monkeypatch):
    monkeypatch.setattr(together, "LARGEST", 100)
    made = runs(monkeypatch)
    images = images_for(smooth_nets.unet(), LEAST)
    box_of(smooth_nets.unet(), images[0]).maps(images)
    assert made == []


def test_statistics_that_a_body_would_write_over_are_not_run_together(monkeypatch):
    made = runs(monkeypatch)
    model = smooth_nets.batch_norm_in_training()
    images = images_for(model, LEAST)
    box_of(model, images[0]).maps(images)
    assert made == []


def test_p_values_do_not_depend_on_it(monkeypatch):
    model = smooth_nets.squeeze_excite()
    (image,) = images_for(model, 1)
    options = {"sigma": 1.0, "draws": 99, "threshold": "minmax:0.6", "seed": 3}
    together_ = onnx_si.test(model, image, **options)
    monkeypatch.setattr(together, "LARGEST", 0)
    alone = onnx_si.test(model, image, **options)
    assert together_.p_value == alone.p_value
    assert together_.search["forward_passes"] == alone.search["forward_passes"]
