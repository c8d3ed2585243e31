"""Sizes in mm: resampling as a part of the model, and rings; the noise stays in the file's own pixels."""

import itertools
import json

import numpy as np
import onnx
import pytest
from support import nets
from support.maps import run_onnx

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.errors import InputError, NothingToTest, UsageError
from onnx_si.maps import resize_matrix
from onnx_si.statistics.hypotheses.neighborhood import within_millimetres

RAW = (12, 9)
SIZES = {"pixel_size": (0.5, 1.0), "spacing": (1.0, 0.75)}
SMALL = (6, 12)
LEVEL = "minmax:0.6"


def segmenter(space=("H", "W"), seed=4):
    """Any size fits, where sides are names."""
    net = nets.Net(seed, (1, 1, *space))
    net.conv(net.add("Relu", net.conv("x", 1, 2)), 2, 1)
    net.nodes[-1].output[0] = "map"
    return net.finish("map")


def image(seed=2):
    return np.random.default_rng(seed).normal(size=RAW)


def above(shown):
    return shown > shown.min() + 0.6 * (shown.max() - shown.min())


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("space", [("H", "W"), SMALL])
def test_the_region_is_that_of_the_resampled_image_brought_back(space, mode):
    model, values = segmenter(space), image()
    result = onnx_si.test(model, values, sigma=0.8, threshold=LEVEL, resample=mode, resize="linear", **SIZES)
    rows, columns = (resize_matrix(a, b, mode) for a, b in zip(RAW, SMALL, strict=True))
    small = (rows @ values @ columns.T).astype(np.float32)[None, None]
    (shown,) = run_onnx(model, small, "map")
    back = [resize_matrix(b, a, "linear") for a, b in zip(RAW, SMALL, strict=True)]
    assert np.array_equal(result.region, above(back[0] @ shown[0, 0] @ back[1].T))
    inside, outside = result.region.sum(), (~result.region).sum()
    assert result.standard_error == pytest.approx(0.8 * np.sqrt(1 / inside + 1 / outside))
    assert result.statistic == pytest.approx(values[result.region].mean() - values[~result.region].mean())
    assert (
        result.parity.pixels == () and result.parity.agreeing == result.parity.points - result.parity.too_near
    )
    region = result.to_dict()["region"]
    assert region["spacing_mm"] == [0.5, 1.0] and region["size_mm"] == 0.5 * inside
    sides = " x ".join(f"{high - low:.4g}" for low, high in region["bbox_mm"])
    assert f"mm² in a box of {sides} mm" in " ".join(result.summary().split())
    assert result.config["spacing"] == (1.0, 0.75) and result.config["resample"] == mode


def test_an_image_of_the_right_spacing_is_left_alone():
    model, values = segmenter(), image()
    plain = onnx_si.test(model, values, sigma=1.0, threshold=LEVEL)
    same = onnx_si.test(model, values, sigma=1.0, threshold=LEVEL, pixel_size=2.0, spacing=2.0)
    assert same.p_value == plain.p_value and same.spacing == (2.0, 2.0) and plain.spacing is None


def test_what_is_resampled_is_padded_to_the_strides():
    net = nets.Net(1, (1, 1, "H", "W"))
    x = net.add("MaxPool", net.conv("x", 1, 2), kernel_shape=[2, 2], strides=[2, 2])
    up = net.add("ConvTranspose", x, net.normal(2, 2, 2, 2), strides=[2, 2])
    net.add("Add", up, net.conv("x", 1, 2))
    net.conv(net.nodes[-1].output[0], 2, 1)
    net.nodes[-1].output[0] = "map"
    model = net.finish("map")
    how = {"sigma": 1.0, "threshold": LEVEL, "pixel_size": 1.0, "spacing": (1.0, 9 / 7)}
    with pytest.raises(onnx_si.OnnxSIError, match="does not fit"):
        onnx_si.test(model, image(), **how)
    result = onnx_si.test(model, image(), pad=0.0, **how)
    small = image() @ resize_matrix(9, 7, "linear").T
    (shown,) = run_onnx(model, np.pad(small, ((0, 0), (0, 1)))[None, None].astype(np.float32), "map")
    assert np.array_equal(result.region, above(shown[0, 0, :, :7] @ resize_matrix(7, 9, "linear").T))


@pytest.mark.parametrize(
    ("space", "options", "error", "words"),
    [
        (("H", "W"), {"spacing": 1.0}, InputError, "does not say how large a pixel is; give --pixel-size"),
        ((5, 5), SIZES, InputError, "at 1, 0.75 mm the image has 6 x 12 pixels"),
        (("H", "W"), {"spacing": (1.0, 1.0, 1.0), "pixel_size": 1.0}, UsageError, "one for each of 2 axes"),
        (("H", "W"), {"spacing": 0.0}, UsageError, "above 0"),
        (("H", "W"), {"resample": "nearest"}, UsageError, "no effect here: it needs --spacing"),
        (("H", "W"), {"ring_mm": 2.0}, UsageError, "needs hypothesis neighborhood"),
        (
            ("H", "W"),
            {"ring_mm": 2.0, "hypothesis": "neighborhood"},
            InputError,
            "give --pixel-size, or --ring",
        ),
        (("H", "W"), {"ring_mm": 2.0, "ring": 1, "hypothesis": "neighborhood"}, UsageError, "one of them"),
    ],
)
def test_what_can_not_be_is_told(space, options, error, words):
    with pytest.raises(error, match=words):
        onnx_si.test(segmenter(space), image(), sigma=1.0, threshold=LEVEL, **options)


def test_a_ring_in_millimetres_is_as_wide_along_every_axis():
    region = np.zeros((1, 2, 9, 9), bool)
    region[0, :, 4, 4] = True
    ring = within_millimetres(region, 2.0, (1.0, 2.0), (2, 3))
    wanted = {(2, 4), (3, 4), (5, 4), (6, 4), (4, 3), (4, 5)}
    assert {tuple(place) for place in np.argwhere(ring[0, 0])} == wanted
    assert np.array_equal(ring[0, 0], ring[0, 1])
    others = {(3, 3), (5, 3), (3, 5), (5, 5)}
    wider = within_millimetres(region, 2.25, (1.0, 2.0), (2, 3))
    assert {tuple(place) for place in np.argwhere(wider[0, 0])} == wanted | others


def test_a_pixel_at_the_very_end_of_a_ring_is_in_it():
    """Distances of decimal sizes, as whole numbers of tenths: 0.7 and 3 x 0.8 mm are 2.5 mm."""
    middle = np.zeros((15, 15), np.bool_)
    middle[7, 7] = True
    down, across = np.abs(np.indices(middle.shape) - 7)
    for first, second, width in itertools.product(
        (3, 5, 6, 7, 8, 10, 15), (3, 5, 6, 7, 8, 10, 15), (15, 25, 32)
    ):
        wanted = (down * first) ** 2 + (across * second) ** 2 <= width**2
        found = within_millimetres(middle, width / 10, (first / 10, second / 10), (0, 1))
        np.testing.assert_array_equal(found, wanted & ~middle)


def test_the_statistic_compares_with_that_ring():
    values = image()
    how = {"sigma": 1.0, "threshold": LEVEL, "hypothesis": "neighborhood", "pixel_size": (1.0, 2.0)}
    result = onnx_si.test(segmenter(), values, ring_mm=2.0, **how)
    ring = within_millimetres(result.region, 2.0, (1.0, 2.0), (0, 1))
    assert result.statistic == pytest.approx(values[result.region].mean() - values[ring].mean())
    with pytest.raises(NothingToTest, match=r"ring of 0\.5 mm"):
        onnx_si.test(segmenter(), values, ring_mm=0.5, **how)


def test_a_nifti_file_says_its_own_sizes_also_in_an_audit_and_a_replay(tmp_path, capsys):
    nibabel = pytest.importorskip("nibabel", reason="the extra 'medical' is not installed")
    volume = nibabel.Nifti1Image(image().astype(np.float32), np.diag([0.5, 1.0, 1.0, 1.0]))
    nibabel.save(volume, tmp_path / "a.nii.gz")
    onnx.save(segmenter().file, tmp_path / "m.onnx")
    how = ["--sigma", "0.8", "--threshold", LEVEL, "--spacing", "1,0.75"]
    base = [str(tmp_path / "m.onnx"), str(tmp_path / "a.nii.gz")]
    assert cli.main([*base, *how, "--output", str(tmp_path / "r.json"), "--quiet"]) == 0
    document = json.loads((tmp_path / "r.json").read_text())
    given = onnx_si.test(base[0], image().astype(np.float32), sigma=0.8, threshold=LEVEL, **SIZES)
    assert document["p_value"] == given.p_value and document["region"]["spacing_mm"] == [0.5, 1.0]
    assert cli.main(["replay", str(tmp_path / "r.json")]) == 0
    audit = ["audit", *base, "--output", str(tmp_path / "audit"), "--jobs", "0", "--no-isolate", "--quiet"]
    assert cli.main([*audit, *how]) == 0
    (row,) = (json.loads(line) for line in (tmp_path / "audit" / "results.jsonl").read_text().splitlines())
    assert row["result"]["p_value"] == document["p_value"]
    assert row["result"]["region"]["spacing_mm"] == [0.5, 1.0]
    assert "a.nii.gz: axes as stored, which point to RAS" in row["result"]["warnings"][0]
    assert cli.main(["replay", str(tmp_path / "audit" / "results.jsonl")]) == 0
