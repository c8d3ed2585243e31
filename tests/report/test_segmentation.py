"""The region of a DICOM image as a DICOM segmentation: where the image lies, and nothing of a patient."""

import json

import numpy as np
import pytest
from support import nets

from onnx_si.cli import main as cli

pydicom = pytest.importorskip("pydicom", reason="the extra 'medical' is not installed")
highdicom = pytest.importorskip("highdicom", reason="the extra 'medical' is not installed")

PATIENT = "DOE^JOHN"
STUDY, FRAME = "1.2.3.4", "1.2.3.5"


def dicom(path, stored, place=0.0, **changed):
    """A CT slice, as complete as a scanner writes it."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = (
        PATIENT,
        "P-77",
        "19700101",
        "M",
    )
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = STUDY, "1.2.3", FRAME
    data.StudyID = data.AccessionNumber = data.ReferringPhysicianName = data.PositionReferenceIndicator = ""
    data.StudyDate = data.StudyTime = ""
    data.Modality, data.SeriesNumber, data.InstanceNumber = "CT", 1, 1
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PhotometricInterpretation = "MONOCHROME2"
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelSpacing, data.SliceThickness = [0.5, 0.75], 3
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [5, 6, place]
    data.PixelData = stored.tobytes()
    for name, value in changed.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def segmenter(path, *space):
    net = nets.Net(0, (1, 1, *space))
    weight = net.normal(1, 1, *(3,) * len(space), scale=1 / 50)
    net.add("Conv", "x", weight, pads=[1] * 2 * len(space), out="map")
    path.write_bytes(net.finish("map").proto.SerializeToString())
    return path


def segmented(tmp_path, image, *space):
    """The segmentation that the command line writes, and the result beside it."""
    model, out = segmenter(tmp_path / "m.onnx", *space), tmp_path / "seg.dcm"
    written = ["--dicom-seg", str(out), "--output", str(tmp_path / "r.json"), "--quiet"]
    assert cli.main([str(model), str(image), "--sigma", "40", "--threshold", "minmax:0.7", *written]) == 0
    return highdicom.seg.segread(out), json.loads((tmp_path / "r.json").read_text()), out


def stored(seed):
    return np.random.default_rng(seed).integers(380, 440, (12, 10)).astype(np.uint16)


def test_of_a_series_it_lies_slice_by_slice_where_the_image_lies(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    places = [9.0, 0.0, 6.0, 3.0]
    for number, place in enumerate(places):
        dicom(folder / f"{number}.dcm", stored(number), place)
    found, result, _ = segmented(tmp_path, folder, 4, 12, 10)
    assert (found.Rows, found.Columns, found.number_of_segments) == (12, 10, 1)
    total = 0
    for number, place in enumerate(places):
        source = pydicom.dcmread(folder / f"{number}.dcm").SOPInstanceUID
        frame = found.get_pixels_by_source_instance(
            [source],
            ignore_spatial_locations=False,
            combine_segments=True,
            assert_missing_frames_are_empty=True,
        )[0]
        low, high = result["region"]["bbox"][0]
        assert frame.any() <= (low <= place / 3 < high)
        total += np.count_nonzero(frame)
    assert total == result["region"]["pixels"] > 0
    assert found.FrameOfReferenceUID == FRAME and found.StudyInstanceUID == STUDY


def test_of_one_slice_it_is_the_region_and_holds_nothing_of_a_patient(tmp_path):
    image = dicom(tmp_path / "a.dcm", stored(1))
    found, result, out = segmented(tmp_path, image, 12, 10)
    (frame,) = found.get_pixels_by_source_instance(
        [pydicom.dcmread(image).SOPInstanceUID], combine_segments=True
    )
    rows, columns = np.nonzero(frame)
    assert len(rows) == result["region"]["pixels"]
    assert [[rows.min(), rows.max() + 1], [columns.min(), columns.max() + 1]] == result["region"]["bbox"]
    content = out.read_bytes()
    assert not any(text in content for text in (b"DOE", b"JOHN", b"P-77", b"19700101"))
    assert found.PatientName == "" and found.PatientSex == ""
    assert f"{result['p_value']:.6g}" in found.SeriesDescription


def test_what_a_segmentation_needs_is_told(tmp_path, capsys):
    model = segmenter(tmp_path / "m.onnx", 12, 10)
    np.save(tmp_path / "a.npy", stored(1).astype(float))
    base = [str(model), str(tmp_path / "a.npy"), "--sigma", "40", "--quiet"]
    assert cli.main([*base, "--dicom-seg", str(tmp_path / "o.dcm")]) == 2
    assert "is no DICOM file or series" in capsys.readouterr().err
    image = dicom(tmp_path / "a.dcm", stored(1))
    data = pydicom.dcmread(image)
    del data.FrameOfReferenceUID, data.ImagePositionPatient, data.StudyInstanceUID
    data.save_as(image)
    base[1] = str(image)
    assert cli.main([*base, "--dicom-seg", str(tmp_path / "o.dcm")]) == 4
    assert "does not say all that a segmentation states" in capsys.readouterr().err
