"""The region of a DICOM image as a DICOM segmentation, which viewers lay over the image."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError, UsageError
from onnx_si.ground.readers import ALL_PAGES, How, dicom
from onnx_si.ground.readers.scan import library
from onnx_si.report.figures import inside
from onnx_si.report.result import Result

NAMELESS = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
LONGEST_DESCRIPTION = 64  # characters of a value of kind LO


def require_source(image: str | os.PathLike[str]) -> None:
    """Told before a long search: only the files of a DICOM image say what the region belongs to.

    Raises
    ------
    UsageError
        If the image is another one.
    InputError
        If highdicom is not installed.
    """
    if not dicom.is_dicom(Path(image)):
        raise UsageError(f"--dicom-seg: {image} is no DICOM file or series; --nifti writes for NIfTI files")
    library("highdicom", Path(image))


def write(result: Result, image: str | os.PathLike[str], path: str, how: How) -> None:
    """Write the region as one segment of a binary segmentation.

    It refers to image, study and frame of reference by their identifiers; name, number, birth date and sex of
    the patient stay empty, as the standard allows.

    Raises
    ------
    InputError
        If the image's files lack what a segmentation has to state.
    """
    highdicom = library("highdicom", Path(image))
    sources = dicom.datasets(Path(image))
    mask = _frames(result.region, sources, how)
    for source in sources:
        for name in NAMELESS:
            setattr(source, name, "")
    try:
        made = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=mask,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_described(highdicom, result)],
            series_instance_uid=highdicom.UID(),
            series_number=100,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="onnx-si",
            manufacturer_model_name="onnx-si",
            software_versions=result.versions.get("onnx-si", ""),
            device_serial_number=str(result.model.sha256 or "model in memory")[:LONGEST_DESCRIPTION],
            series_description=f"onnx-si region, p-value {inside(result.p_value, result.p_value_bounds, 4)}",
            content_description=f"{result.hypothesis}, {result.guarantee}"[:LONGEST_DESCRIPTION],
            content_creator_name=None,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        words = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"--dicom-seg: {image} does not say all that a segmentation states ({words})"
        ) from error
    made.save_as(path)


def _described(highdicom: Any, result: Result) -> Any:
    coded = highdicom.sr.CodedConcept
    return highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="salient region",
        segmented_property_category=coded("309825002", "SCT", "Spatial and Relational Concept"),
        segmented_property_type=coded("111099", "DCM", "Selected region"),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=f"{result.saliency.method}, threshold {result.saliency.threshold}"[:LONGEST_DESCRIPTION],
            version=result.versions.get("onnx-si", "unknown"),
            family=coded("123110", "DCM", "Artificial Intelligence"),
        ),
    )


def _frames(region: NDArray[np.bool_], sources: list[Any], how: How) -> NDArray[np.uint8]:
    """The region as (frames, rows, columns); of one frame of several, the others empty."""
    count = int(sources[0].get("NumberOfFrames", 1) or 1) if len(sources) == 1 else len(sources)
    mask = region.astype(np.uint8).reshape(-1, int(sources[0].Rows), int(sources[0].Columns))
    if len(mask) == count:
        return mask
    if len(mask) != 1 or how.page in (None, ALL_PAGES):
        raise InputError(f"--dicom-seg: a region of {region.shape} does not fit an image of {count} frames")
    whole = np.zeros((count, *mask.shape[1:]), np.uint8)
    whole[int(how.page or 1) - 1] = mask[0]
    return whole
