"""Medical files: the p-value of their numbers, their place in space, and nothing of a patient."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import nets
from support.medical import PATIENT, STORED, dicom, model, nibabel, nifti, pydicom, series

import onnx_si
from onnx_si.cli import main as cli
from onnx_si.errors import InputError
from onnx_si.ground.budget import budget
from onnx_si.ground.files import read_image, spacing, told
from onnx_si.ground.readers import How

SIGMA = 40.0


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_a_dicom_file_has_the_p_value_of_its_numbers(tmp_path, kind):
    path = dicom(tmp_path / "a.dcm", PhotometricInterpretation=kind)
    stored = STORED.astype(float)
    values = (4095 - stored if kind == "MONOCHROME1" else stored) * 2.5 - 1024
    np.save(tmp_path / "a.npy", values)
    found, wanted = (onnx_si.test(model(12, 10), tmp_path / name, sigma=SIGMA) for name in ("a.dcm", "a.npy"))
    assert np.array_equal(read_image(path), values)
    assert found.p_value == wanted.p_value and np.array_equal(found.region, wanted.region)
    assert any("MONOCHROME1" in text for text in found.warnings) == (kind == "MONOCHROME1")
    region = found.to_dict()["region"]
    assert region["spacing_mm"] == [0.5, 0.75] and region["size_mm"] == region["pixels"] * 0.375
    assert wanted.to_dict()["region"]["spacing_mm"] is None


def test_nothing_of_a_patient_is_in_results(tmp_path, capsys):
    onnx_path, path = tmp_path / "m.onnx", dicom(tmp_path / "a.dcm")
    onnx_path.write_bytes(model(12, 10).proto.SerializeToString())
    assert cli.main([str(onnx_path), str(path), "--sigma", "40", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["status"] == "tested"
    page, picture = tmp_path / "r.html", tmp_path / "r.png"
    written = ["--html", str(page), "--plot", str(picture), "--verbose"]
    assert cli.main([str(onnx_path), str(path), "--sigma", "40", *written]) == 0
    shown = [*shown, *capsys.readouterr(), page.read_text(), picture.read_bytes().decode("latin-1")]
    folder = tmp_path / "audit"
    audit = ["audit", str(onnx_path), str(path), "--sigma", "40", "--output", str(folder), "--jobs", "0"]
    assert cli.main([*audit, "--no-isolate"]) == 0
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 4
    shown += [*capsys.readouterr(), *(file.read_bytes().decode("latin-1") for file in files)]
    assert not any("DOE" in text or "JOHN" in text for text in shown)


def test_a_window_clips_as_a_part_of_the_model(tmp_path):
    path = dicom(tmp_path / "a.dcm")
    values = STORED * 2.5 - 1024
    found = onnx_si.test(model(12, 10), path, sigma=SIGMA, window=(0, 60), threshold="max:0.7")
    clipped = np.clip(values, -30, 30)
    shown = nets.value_of(model(12, 10), clipped[None, None], "map")[0, 0]
    assert np.array_equal(found.region, shown > 0.7 * shown.max())
    assert not found.parity.pixels and found.parity.points == found.parity.agreeing + found.parity.too_near
    assert np.array_equal(found.image.reshape(values.shape), values)  # noise stays in the file's units


def test_frames_are_chosen(tmp_path):
    stored = np.stack([STORED, STORED + 7]).astype(np.uint16)
    path = dicom(tmp_path / "a.dcm", stored)
    with pytest.raises(InputError, match=r"2 frames.*--page N"):
        read_image(path)
    assert np.array_equal(read_image(path, how=How(page="2")), stored[1] * 2.5 - 1024)
    assert np.array_equal(read_image(path, how=How(page="all")), stored * 2.5 - 1024)
    with pytest.raises(InputError, match="page 3; it holds 2"):
        read_image(path, how=How(page="3"))


def test_a_series_is_a_volume_in_its_order_in_space(tmp_path):
    folder = series(tmp_path / "s", places=(9, 3, 6, 0))
    volume = read_image(folder)
    wanted = np.stack([(STORED + 10 * n) * 2.5 - 1024 for n in (3, 1, 2, 0)])
    assert np.array_equal(volume, wanted) and spacing(folder) == (3.0, 0.5, 0.75)


@pytest.mark.parametrize(
    ("places", "changed", "words"),
    [
        ((0, 3, 9), {}, "a slice is missing"),
        ((0, 3, 3, 6), {}, "two slices lie at 3 mm"),
        ((0, 3), {"ImageOrientationPatient": [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1]]}, "2 orientations"),
        ((0, 3), {"SeriesInstanceUID": ["1.2", "1.3"]}, "SeriesInstanceUID"),
        ((0, 3), {"PixelSpacing": [[1, 1], [1, 2]]}, "PixelSpacing"),
    ],
)
def test_what_is_no_stack_is_told(tmp_path, places, changed, words):
    with pytest.raises(InputError, match=words):
        read_image(series(tmp_path / "s", places, **changed))


def test_bad_dicom_files_say_what_was_found(tmp_path):
    path = dicom(tmp_path / "a.dcm")
    content = path.read_bytes()
    path.write_bytes(content[:-60])
    with pytest.raises(InputError, match=r"can't be read.*bytes"):
        read_image(path)
    path.write_bytes(content[200:])
    with pytest.raises(InputError, match="not a DICOM file"):
        read_image(path)
    with pytest.raises(InputError, match="PALETTE COLOR"):
        read_image(dicom(tmp_path / "b.dcm", PhotometricInterpretation="PALETTE COLOR"))


def test_a_region_in_nifti_lies_where_the_image_lies(tmp_path):
    affine = np.array([[-2.0, 0, 0.1, 9], [0, 3, 0, -4], [0, 0.2, 4, 7], [0, 0, 0, 1]])
    values = np.random.default_rng(0).normal(size=(5, 6, 4)).astype(np.float32)
    path, onnx_path = nifti(tmp_path / "a.nii.gz", values, affine), tmp_path / "m.onnx"
    onnx_path.write_bytes(model(5, 6, 4).proto.SerializeToString())
    prefix, output = tmp_path / "out", tmp_path / "r.json"
    options = ["--sigma", "1", "--nifti", str(prefix), "--output", str(output)]
    assert cli.main([str(onnx_path), str(path), *options]) == 0
    wanted = onnx_si.test(onnx_path, values.astype(np.float64), sigma=1.0)
    found = json.loads(output.read_text())
    assert found["p_value"] == wanted.p_value
    kept = {name: nibabel.load(f"{prefix}_{name}.nii.gz") for name in ("region", "map", "p")}
    source = nibabel.load(path)
    for one in kept.values():
        assert np.array_equal(one.affine, source.affine) and one.header.get_sform(coded=True)[1] == 1
        assert PATIENT.encode() not in one.header.binaryblock
    assert np.array_equal(np.asarray(kept["region"].dataobj) > 0, wanted.region)
    p_values = np.asarray(kept["p"].dataobj)
    assert (p_values[wanted.region] == wanted.p_value).all() and (p_values[~wanted.region] == 1).all()
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    assert np.allclose(found["region"]["size_mm"], wanted.region.sum() * sizes.prod())


def test_slope_and_intercept_of_nifti_are_applied(tmp_path):
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "a.nii")
    wanted = np.asarray(nibabel.load(tmp_path / "a.nii").dataobj, np.float64)
    assert (
        np.array_equal(read_image(tmp_path / "a.nii"), wanted)
        and read_image(tmp_path / "a.nii").dtype == float
    )


def test_bad_nifti_files_say_what_was_found(tmp_path):
    with pytest.raises(InputError, match=r"neither a qform nor an sform"):
        read_image(nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), np.float32), code=0))
    placed = nifti(tmp_path / "c.nii", np.zeros((2, 3, 4), np.float32))
    content = placed.read_bytes()
    sform, units, pixel, qform_code = 280, 123, 80, 252
    for place, bytes_, words in (
        (sform, np.full(12, np.nan, "<f4").tobytes(), "affine is not finite, or flat"),
        (sform, np.zeros(12, "<f4").tobytes(), "affine is not finite, or flat"),
        (units, b"\xff", "damaged"),
    ):
        placed.write_bytes(content[:place] + bytes_ + content[place + len(bytes_) :])
        with pytest.raises(InputError, match=words):
            read_image(placed)
    no_size = content[:pixel] + np.full(3, np.nan, "<f4").tobytes() + content[pixel + 12 :]
    placed.write_bytes(no_size[:qform_code] + bytes(2) + no_size[qform_code + 2 :])
    assert read_image(placed).shape == (2, 3, 4) and spacing(placed) is None
    with budget(1 << 20), pytest.raises(InputError, match="--memory"):
        read_image(nifti(tmp_path / "d.nii", np.zeros((64, 64, 64), np.int8)))
    path = nifti(tmp_path / "b.nii", np.arange(48, dtype=np.float32).reshape(2, 3, 4, 2))
    with pytest.raises(InputError, match=r"series of 2 volumes.*--page N"):
        read_image(path)
    assert np.array_equal(read_image(path, how=How(page="2")), np.arange(48.0).reshape(2, 3, 4, 2)[..., 1])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        read_image(path, how=How(page="2"))


def test_files_of_the_libraries_themselves_are_read_or_refused_in_words():
    folders = [
        Path(pydicom.__file__).parent / "data" / "test_files",
        Path(nibabel.__file__).parent / "tests" / "data",
    ]
    files = [
        path for folder in folders for kind in ("*.dcm", "*.nii", "*.nii.gz") for path in folder.glob(kind)
    ]
    read = []
    for path in files:
        try:
            values = read_image(path)
        except InputError:
            continue
        assert values.dtype == np.float64 and values.ndim in (2, 3)
        read.append(path.name)
        assert told(path) == told(path, How())
    assert {"CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "anatomical.nii"} <= set(read)
    small = next(path for path in files if path.name == "CT_small.dcm")
    raw = pydicom.dcmread(small)
    assert np.array_equal(
        read_image(small), raw.pixel_array.astype(float) * raw.RescaleSlope + raw.RescaleIntercept
    )
