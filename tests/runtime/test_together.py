"""Many images in one call of the runtime: no bit of a map may depend on what else is asked."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support import nets, smooth_nets

import onnx_si
from onnx_si.analysis.blackbox import BlackBox
from onnx_si.analysis.frame import frame_of, input_of
from onnx_si.analysis.marking import marking_of
from onnx_si.analysis.options import Options
from onnx_si.analysis.settings import settle
from onnx_si.errors import UnsupportedModel
from onnx_si.runtime import deployed, together
from onnx_si.runtime.deployed import FileMap
from onnx_si.runtime.providers import CPU
from onnx_si.runtime.session import session_of
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
        found = checked(self, proto, stacks)
        made.append(found is not None)
        return found

    monkeypatch.setattr(Together, "_checked", noting)
    return made


@pytest.fixture(autouse=True)
def worth_it(monkeypatch):
    """From the first call on, as few images as there are here."""
    monkeypatch.setattr(together, "WORTH", 0)


@pytest.mark.parametrize("name", smooth_nets.ZOO)
def test_every_architecture_is_the_same_alone_and_together(name):
    model = smooth_nets.ZOO[name]()
    images = images_for(model, LEAST + 1)
    box = box_of(model, images[0], **MAPS.get(name, {}))
    alone = one_by_one(box, images)
    assert np.array_equal(box.maps(images), alone, equal_nan=True)
    assert np.array_equal(box.maps(images[2:4]), alone[2:4], equal_nan=True)


@pytest.mark.parametrize("saliency", ["cam", "gradcam", "grad-input"])
def test_nodes_behind_the_file_are_run_together(monkeypatch, saliency):
    """Those that read the image as well: a session for the file, one for what is behind it."""
    made = runs(monkeypatch)
    model = smooth_nets.squeeze_excite()
    images = images_for(model, LEAST)
    box = box_of(model, images[0], saliency=saliency)
    alone = one_by_one(box, images)
    assert np.array_equal(box.maps(images), alone)
    assert made == [True, True]


def test_nodes_behind_a_batch_are_run_together(monkeypatch):
    made = runs(monkeypatch)
    model = onnx_si.load(MODELS / "paper_cam_8.onnx")
    images = images_for(model, LEAST)
    box = box_of(model, images[0], saliency="cam")
    alone = one_by_one(box, images)
    assert np.array_equal(box.maps(images), alone)
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
    box = box_of(model, images[0])
    box.maps(images[:1])
    assert np.array_equal(box.maps(images), wanted)
    assert made == [False]


def test_what_a_scan_cannot_do_is_run_one_by_one(monkeypatch):
    def fails(*given):
        raise RuntimeError("no such body")

    model = smooth_nets.unet()
    images = images_for(model, LEAST)
    wanted = box_of(model, images[0]).maps(images)
    monkeypatch.setattr(together, "over_each", fails)
    box = box_of(model, images[0])
    box.maps(images[:1])
    assert np.array_equal(box.maps(images), wanted)


def test_large_graphs_are_not_kept(monkeypatch):
    monkeypatch.setattr(together, "LARGEST", 100)
    made = runs(monkeypatch)
    images = images_for(smooth_nets.unet(), LEAST)
    one_by_one(box := box_of(smooth_nets.unet(), images[0]), images)
    box.maps(images)
    assert made == []


def test_statistics_that_a_body_would_write_over_are_not_run_together(monkeypatch):
    made = runs(monkeypatch)
    model = smooth_nets.batch_norm_in_training()
    images = images_for(model, LEAST)
    one_by_one(box := box_of(model, images[0]), images)
    box.maps(images)
    assert made == []


@pytest.mark.parametrize(("seconds", "calls"), [(0.001, [20]), (0.02, [12, 8]), (0.1, [])])
def test_calls_are_short_enough_to_be_interrupted(monkeypatch, seconds, calls):
    """By the time that one image takes; how they are divided changes no bit."""
    sizes, through = [], Together._through
    model = smooth_nets.unet()
    images = images_for(model, 20)
    box = box_of(model, images[0])
    alone = one_by_one(box, images)
    monkeypatch.setattr(box._file, "_pace", seconds)

    def noting(self, session, stacks):
        sizes.append(len(next(iter(stacks.values()))))
        return through(self, session, stacks)

    monkeypatch.setattr(Together, "_through", noting)
    assert np.array_equal(box.maps(images), alone)
    assert sizes == calls


def rounds_by_batch(net):
    """Nodes behind `x` that change the last bits of each image by the number of images beside it."""
    count = net.add("Cast", net.add("Gather", net.add("Shape", "x"), net.ints(0), axis=0), to=1)
    factor = net.add("Add", net.const(np.ones(1)), net.add("Mul", count, net.const(np.full(1, 2.0**-22))))
    return net.finish(net.add("Sigmoid", net.add("Mul", net.conv("x", 1, 1), factor), out="mask"))


def test_a_batch_that_rounds_otherwise_is_not_run_as_one():
    """The file takes any batch; an image's bits must not hang on how many there are."""
    model = rounds_by_batch(nets.Net(0, ("n", 1, 8, 8)))
    images = images_for(model, LEAST + 3)
    box = box_of(model, images[0])
    alone = one_by_one(box, images)
    assert np.array_equal(box.maps(images), alone)
    assert np.array_equal(box.maps(images[:2]), alone[:2])
    onnx_si.test(model, images[0], sigma=1.0, draws=19, engine="monte-carlo", threshold="minmax:0.6")


class Restless:
    """A session whose answers differ by a share of their size, on some runs or at some places of a batch."""

    def __init__(self, session, share, moves):
        self._session, self._share, self._moves, self._runs = session, share, moves, 0

    def run(self, names, given, *more):
        self._runs += 1
        found = [np.array(value) for value in self._session.run(names, given, *more)]
        for value in found:
            for row in range(len(value)):
                value[row] *= np.float32(1 + self._share * self._moves(self._runs, row))
        return found

    def __getattr__(self, name):
        return getattr(self._session, name)


def restless(monkeypatch, share, moves):
    made = deployed.session_of
    monkeypatch.setattr(deployed, "session_of", lambda *given: Restless(made(*given), share, moves))


def asked(model, image, **options):
    return onnx_si.test(model, image, **{"sigma": 1.0, "draws": 19, "engine": "monte-carlo", **options})


@pytest.mark.parametrize("engine", [{}, {"draws": None, "engine": None, "thin": 0.5}])
def test_a_map_that_differs_by_rounding_between_two_runs_is_told(monkeypatch, engine):
    model = smooth_nets.unet()
    restless(monkeypatch, 2.0**-22, lambda run, row: run % 2)
    options = {
        name: value for name, value in {"sigma": 1.0, "draws": 19, **engine}.items() if value is not None
    }
    with pytest.raises(UnsupportedModel, match=r"flickers: run again, the map differs by .*--saliency"):
        onnx_si.test(model, images_for(model, 1)[0], threshold=0.5, **options)


def test_a_map_that_differs_by_more_is_random(monkeypatch):
    model = smooth_nets.unet()
    restless(monkeypatch, 1e-3, lambda run, row: run % 2)
    with pytest.raises(UnsupportedModel, match=r"same image is run again: it draws random numbers"):
        asked(model, images_for(model, 1)[0], threshold=0.5)


def test_on_an_accelerator_the_region_decides(monkeypatch):
    """There two runs may differ in the last digits, if no pixel is so close to the threshold."""
    model = smooth_nets.unet()
    (image,) = images_for(model, 1)
    values = np.sort(box_of(model, image).maps(image[None])[0].ravel())
    restless(monkeypatch, 2.0**-22, lambda run, row: run % 2)
    off = property(lambda self: False, lambda self, value: None)
    monkeypatch.setattr(FileMap, "on_cpu", off, raising=False)
    widest = int(np.argmax(np.diff(values)))
    assert 0 < asked(model, image, threshold=float(values[widest : widest + 2].mean())).p_value <= 1
    with pytest.raises(UnsupportedModel, match=r"flickers: .* 1 pixels .*leave --provider out"):
        asked(model, image, threshold=float(values[widest]))


def test_a_place_of_a_batch_that_rounds_otherwise_is_not_used(monkeypatch):
    """Not the first rows only: what a kernel does to the rows that are left over."""
    model = nets.Net(0, ("n", 1, 8, 8))
    model = model.finish(model.add("Sigmoid", model.conv("x", 1, 1), out="mask"))
    images = images_for(model, LEAST)
    wanted = one_by_one(box_of(model, images[0]), images)
    restless(monkeypatch, 2.0**-22, lambda run, row: row == 32)
    box = box_of(model, images[0])
    assert np.array_equal(box.maps(np.repeat(images, 5, axis=0)), np.repeat(wanted, 5, axis=0))


def test_p_values_do_not_depend_on_it(monkeypatch):
    model = smooth_nets.squeeze_excite()
    (image,) = images_for(model, 1)
    options = {"sigma": 1.0, "draws": 99, "threshold": "minmax:0.6", "seed": 3}
    together_ = onnx_si.test(model, image, **options)
    monkeypatch.setattr(together, "LARGEST", 0)
    alone = onnx_si.test(model, image, **options)
    assert together_.p_value == alone.p_value
    assert together_.search["forward_passes"] == alone.search["forward_passes"]


def test_numbers_of_each_image_stay_arrays():
    """A shape that the graph computes is one whole number for each image."""
    net = nets.Net(0, (2,))
    net.add("Mul", "x", net.add("Cast", "n", to=onnx.TensorProto.FLOAT), out="y")
    proto = net.proto("y")
    proto.graph.input.append(onnx.helper.make_tensor_value_info("n", onnx.TensorProto.INT64, []))
    alone = session_of(proto, (CPU,), 1)
    asked = Together(proto, ["y"], lambda one: {"y": alone.run(["y"], dict(one))[0]}, (CPU,), 1)
    stacks = {"x": np.ones((LEAST, 2), np.float32), "n": np.arange(LEAST)}
    assert np.array_equal(asked.run(stacks)["y"], np.arange(LEAST)[:, None] * np.ones((1, 2)))


def test_few_images_make_no_second_session(monkeypatch):
    """Those of one test: it is made when many were asked for, by whatever number of calls."""
    monkeypatch.setattr(together, "WORTH", 3 * LEAST)
    made, over = [], together.over_each
    monkeypatch.setattr(together, "over_each", lambda *asked: made.append(1) or over(*asked))
    model = smooth_nets.unet()
    images = images_for(model, LEAST)
    box = box_of(model, images[0])
    alone = one_by_one(box, images)
    for calls in (1, 2, 3):
        assert np.array_equal(box.maps(images), alone)
        assert len(made) == (calls == 3)
