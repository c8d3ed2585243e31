"""Medical files for the tests, made by the libraries that read them; without those the test is skipped."""

import numpy as np
import pytest

from support import nets

nibabel = pytest.importorskip("nibabel", reason="the extra 'medical' is not installed")
pydicom = pytest.importorskip("pydicom", reason="the extra 'medical' is not installed")

PATIENT = "DOE^JOHN"
STORED = np.random.default_rng(3).integers(380, 440, (12, 10)).astype(np.uint16)


def dicom(path, stored=STORED, **changed):
    """A file of 12 bits, slope 2.5, intercept -1024."""
    data = pydicom.dataset.FileDataset(str(path), {}, preamble=b"\0" * 128)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.SOPClassUID = pydicom.uid.CTImageStorage
    data.PatientName, data.PatientID = PATIENT, PATIENT
    data.SeriesInstanceUID = "1.2.3"
    data.Rows, data.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        data.NumberOfFrames = len(stored)
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PhotometricInterpretation = "MONOCHROME2"
    data.RescaleSlope, data.RescaleIntercept = 2.5, -1024
    data.PixelSpacing = [0.5, 0.75]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [0, 0, 0]
    data.PixelData = stored.tobytes()
    for name, value in changed.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def series(folder, places=(0, 3, 6, 9), **changed):
    """Slices in files whose names don't follow their order in space."""
    folder.mkdir()
    for number, place in enumerate(places):
        stored = (STORED + 10 * number).astype(np.uint16)
        own = {name: value[number] for name, value in changed.items()}
        dicom(folder / f"{99 - number}.dcm", stored, ImagePositionPatient=[0, 0, place], **own)
    return folder


def nifti(path, values, affine=None, code=1):
    image = nibabel.Nifti1Image(values, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine)
    image.set_qform(image.affine, code)
    image.set_sform(image.affine, code)
    image.header["descrip"] = PATIENT.encode()
    nibabel.save(image, path)
    return path


def model(*space):
    net = nets.Net(0, (1, 1, *space))
    rank = len(space)
    weight = net.normal(1, 1, *(3,) * rank, scale=1 / 50)
    net.add("Relu", net.add("Conv", "x", weight, pads=[1] * 2 * rank), out="map")
    return net.finish("map")
