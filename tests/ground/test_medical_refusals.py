"""Medical files whose numbers can be read in two ways, or would be read in part: refused, and why."""

import numpy as np
import pytest
from support.medical import STORED, dicom, nibabel, nifti, pydicom, series

from onnx_si.errors import InputError
from onnx_si.ground.files import read_image, spacing, told
from onnx_si.ground.readers import How

FRAMES = np.stack([STORED, STORED + 7, STORED + 9]).astype(np.uint16)


def groups(*slopes):
    """One group for each frame, with a transformation of its values, or none."""
    made = []
    for slope in slopes:
        group, values = pydicom.Dataset(), pydicom.Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope or 1, 3, "US"
        if slope is not None:
            group.PixelValueTransformationSequence = pydicom.Sequence([values])
        made.append(group)
    return pydicom.Sequence(made)


def refused(path, words, how=None):
    with pytest.raises(InputError, match=words) as caught:
        read_image(path, how=how or How())
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_half_of_a_rescaling_is_refused(tmp_path, missing):
    """An intercept without a slope was left out."""
    path = dicom(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    del data[missing]
    data.save_as(path)
    refused(path, "one is missing")


@pytest.mark.parametrize(
    ("slopes", "words"),
    [((2, None, 2), "2 of 3 frames"), ((2, 3, 2), "one is needed"), ((2, 2, 2), None), ((None,) * 3, None)],
)
def test_frames_are_rescaled_alike_or_refused(tmp_path, slopes, words):
    """The transformation of some frames was that of the others, too."""
    path = dicom(tmp_path / "a.dcm", FRAMES, PerFrameFunctionalGroupsSequence=groups(*slopes))
    data = pydicom.dcmread(path)
    del data.RescaleSlope, data.RescaleIntercept
    data.save_as(path)
    if words is not None:
        refused(path, words, How(page="2"))
        return
    wanted = FRAMES[1] * 2.0 + 3 if slopes[0] else FRAMES[1]
    np.testing.assert_array_equal(read_image(path, how=How(page="2")), wanted)


def test_values_at_the_upper_end_of_their_bits_are_refused(tmp_path):
    """Files of before 2007 may hold them so; the library reads the lower bits."""
    refused(dicom(tmp_path / "a.dcm", (STORED << 4).astype(np.uint16), HighBit=15), "bit 15 of 16")


def test_a_page_that_is_not_there_is_refused_in_files_of_one(tmp_path):
    path = dicom(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_image(path, how=How(page="1")), read_image(path))
    refused(path, "page 2; it holds 1 frame,", How(page="2"))
    volume = nifti(tmp_path / "a.nii", np.ones((4, 5, 3), np.float32))
    assert read_image(volume, how=How(page="1")).shape == (4, 5, 3)
    refused(volume, "page 3; it holds 1 volume,", How(page="3"))


def test_a_page_of_a_series_is_refused(tmp_path):
    folder = series(tmp_path / "s")
    assert read_image(folder, how=How(page="all")).shape == (4, *STORED.shape)
    refused(folder, "page 2 of a series", How(page="2"))


def test_files_of_several_frames_are_no_slices(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    for place in (0, 3):
        dicom(folder / f"{place}.dcm", FRAMES, ImagePositionPatient=[0, 0, place])
    refused(folder, "several frames")


@pytest.mark.parametrize("kind", [np.complex64, np.complex128, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_a_nifti_of_no_real_numbers_is_refused(tmp_path, kind):
    """Of complex ones the imaginary part was left out."""
    refused(nifti(tmp_path / "a.nii", np.zeros((4, 5, 3), kind)), "real numbers")


@pytest.mark.parametrize(("sizes", "known"), [((2.0, 3.0, 4.0), True), ((2.0, 3.0, 4.1), False)])
def test_the_size_of_a_voxel_is_what_header_and_affine_say(tmp_path, sizes, known):
    """Turned and mirrored, an affine has the same sizes; where it has others, neither is taken."""
    affine = np.array([[0, -3.0, 0, 1], [2.0, 0, 0, 1], [0, 0, 4.0, 1], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(np.ones((4, 5, 3), np.float32), affine)
    image.set_qform(None, 0)
    image.set_sform(affine, 1)
    image.header["pixdim"][1:4] = sizes
    path = tmp_path / "a.nii"
    nibabel.save(image, path)
    assert spacing(path) == ((2.0, 3.0, 4.0) if known else None)
    assert any("--pixel-size" in text for text in told(path)) == (not known)
