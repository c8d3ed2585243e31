"""DICOM: a file, its frames, or the folder of a series; values rescaled, MONOCHROME1 inverted."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import InputError
from onnx_si.ground.readers import ALL_PAGES, How
from onnx_si.ground.readers.scan import Scan, as_floats, damaged, library, require_size
from onnx_si.ground.words import so_many

SUFFIX = ".dcm"
MOST_FILES = 4096
ALIKE = 1e-3  # direction cosines, and share of a distance, by which slices of one stack may differ
GREY = ("MONOCHROME1", "MONOCHROME2")


def is_dicom(file: Path) -> bool:
    return file.suffix.lower() == SUFFIX or (file.is_dir() and any(file.glob(f"*{SUFFIX}")))


def read(file: Path, how: How) -> Scan:
    """Read a file, or the series in a folder.

    Raises
    ------
    InputError
        If it is damaged, no image, or no stack of equally spaced slices.
    """
    return _series(file, how) if file.is_dir() else _single(file, how)


def _dataset(file: Path) -> Any:
    pydicom = library("pydicom", file)
    with damaged(file, "a DICOM file"):
        data = pydicom.dcmread(file)
        if "PixelData" not in data:
            raise InputError(f"{file}: a DICOM file without an image ({_kind(data)})")
        require_size(file, (_frames(data), int(data.Rows), int(data.Columns)))
        if int(data.HighBit) != int(data.BitsStored) - 1:
            raise InputError(
                f"{file}: its values end at bit {data.HighBit} of {data.BitsAllocated}, not at the "
                f"{data.BitsStored} that are stored, as files have it today; save it again"
            )
    return data


def _frames(data: Any) -> int:
    return int(data.get("NumberOfFrames", 1) or 1)


def _kind(data: Any) -> str:
    return str(getattr(data.get("SOPClassUID", ""), "name", "of an unknown class"))


def _values(file: Path, data: Any) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The numbers that the file means, and what was done to what it stores."""
    told: list[str] = []
    meta = getattr(data, "file_meta", None)
    syntax = str(getattr(getattr(meta, "TransferSyntaxUID", None), "name", "unknown transfer syntax"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = as_floats(data.pixel_array)
    except Exception as error:
        words = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{file}: its pixels can't be read ({syntax}: {words[:200]}); a compressed one may need a plugin "
            "such as pylibjpeg, a truncated one a new copy"
        ) from error
    colour = str(data.get("PhotometricInterpretation", ""))
    if int(data.get("SamplesPerPixel", 1)) > 1:
        return stored, (f"{file}: colour, as {colour} is read as RGB",)
    if colour not in GREY:
        raise InputError(
            f"{file}: pixels of kind {colour or 'unknown'} are no intensities; grey or RGB is needed"
        )
    if "ModalityLUTSequence" in data:
        raise InputError(f"{file}: its values go through a lookup table (Modality LUT), which is not linear")
    if colour == "MONOCHROME1":
        top = -1.0 if int(data.PixelRepresentation) else 2.0 ** int(data.BitsStored) - 1
        stored = top - stored
        told.append(f"{file}: MONOCHROME1, so its stored values v are inverted to {top:g} - v")
    slope, intercept = _rescale(file, data)
    if (slope, intercept) != (1.0, 0.0):
        stored = stored * slope + intercept
        told.append(f"{file}: values are {slope:g} times what is stored, plus {intercept:g}")
    return stored, tuple(told)


def _rescale(file: Path, data: Any) -> tuple[float, float]:
    """Slope and intercept, of the file or of all of its frames.

    Raises
    ------
    InputError
        If frames have different ones, some none, one of both is missing, or a slope is zero.
    """
    each = _transformations(data, "PerFrameFunctionalGroupsSequence")
    holders = [data, *_transformations(data, "SharedFunctionalGroupsSequence"), *each]
    stated = [one for one in holders if "RescaleSlope" in one or "RescaleIntercept" in one]
    if each and len(each) != _frames(data):
        raise InputError(f"{file}: {len(each)} of {_frames(data)} frames are rescaled; all or none is needed")
    if any(one.get("RescaleSlope") is None or one.get("RescaleIntercept") is None for one in stated):
        raise InputError(f"{file}: of rescale slope and intercept one is missing; both are needed, or none")
    found = {(float(one.RescaleSlope), float(one.RescaleIntercept)) for one in stated}
    if len(found) > 1 or any(not slope or not np.isfinite([slope, cut]).all() for slope, cut in found):
        raise InputError(
            f"{file}: its frames have the rescale slopes and intercepts {sorted(found)}; one is needed"
        )
    return next(iter(found), (1.0, 0.0))


def _transformations(data: Any, where: str) -> list[Any]:
    """What a sequence of groups, of all frames or of each, says of its values."""
    return [one for group in data.get(where, ()) for one in group.get("PixelValueTransformationSequence", ())]


def _single(file: Path, how: How) -> Scan:
    data = _dataset(file)
    values, told = _values(file, data)
    frames = _frames(data)
    spacing = _in_plane(data)
    if how.page not in (None, ALL_PAGES) and not 1 <= int(how.page or 0) <= frames:
        raise InputError(f"{file}: page {how.page}; it holds {so_many(frames, 'frame')}, numbered from 1")
    if frames > 1 and how.page is None:
        raise InputError(
            f"{file}: holds {frames} frames; one image is needed: --page N takes one, --page {ALL_PAGES} the "
            "stack as a volume"
        )
    if frames > 1 and how.page != ALL_PAGES:
        values = values[int(how.page or 0) - 1]
    elif frames > 1:
        spacing = None  # how far frames are from each other, or whether it is time, is not looked for
    return Scan(values, spacing, told)


def _in_plane(data: Any) -> tuple[float, ...] | None:
    known = data.get("PixelSpacing")
    return None if known is None else (float(known[0]), float(known[1]))


def datasets(file: Path) -> list[Any]:
    """The files behind an image, slices of a series in the order of its values.

    Raises
    ------
    InputError
        As for `read`.
    """
    pydicom = library("pydicom", file)
    if not file.is_dir():
        return [pydicom.dcmread(file)]
    slices = _slices(file)
    if len(slices) == 1:
        return [slices[0][1]]
    _, order = _order(file, [data for _, data in slices])
    return [slices[place][1] for place in order]


def _slices(folder: Path) -> list[tuple[Path, Any]]:
    files = sorted(folder.glob(f"*{SUFFIX}"))
    if len(files) > MOST_FILES:
        raise InputError(f"{folder}: {len(files)} files; a series of at most {MOST_FILES} is read")
    return [(file, _dataset(file)) for file in files]


def _series(folder: Path, how: How) -> Scan:
    """The slices of a folder in their order in space."""
    slices = _slices(folder)
    files = [file for file, _ in slices]
    if len(slices) == 1:
        return _single(files[0], How())
    if how.page not in (None, ALL_PAGES):
        raise InputError(
            f"{folder}: page {how.page} of a series, which is one volume; give that slice's file"
        )
    if any(_frames(data) > 1 for _, data in slices):
        raise InputError(f"{folder}: files of several frames are no slices of one series; give one of them")
    first = slices[0][1]
    for what in ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing", "SamplesPerPixel"):
        kinds = {str(data.get(what)) for _, data in slices}
        if len(kinds) > 1:
            shown = f"{len(kinds)} of them" if what.endswith("UID") else ", ".join(sorted(kinds)[:4])
            raise InputError(f"{folder}: its files differ in {what} ({shown}); one series is needed")
    require_size(folder, (len(slices), int(first.Rows), int(first.Columns)))
    step, order = _order(folder, [data for _, data in slices])
    parts = [_values(*slices[place]) for place in order]
    told = tuple(
        dict.fromkeys(text.replace(str(files[0].parent) + "/", "") for _, own in parts for text in own)
    )
    plane = _in_plane(first)
    spacing = None if plane is None else (step, *plane)
    summary = f"{folder}: {len(parts)} slices, {step:g} mm apart"
    rescaled = {_rescale(*slices[place]) for place in order}
    if len(rescaled) > 1:
        summary += "; their rescale slopes differ, and so does their noise: --covariance says how"
    return Scan(np.stack([values for values, _ in parts]), spacing, (summary, *told[:2]))


def _order(folder: Path, slices: list[Any]) -> tuple[float, list[int]]:
    """The distance of neighbours, and the slices from one end to the other.

    Raises
    ------
    InputError
        If they don't say where they are, lie askew, or are not equally spaced.
    """
    try:
        turns = np.array([[float(n) for n in data.ImageOrientationPatient] for data in slices])
        places = np.array([[float(n) for n in data.ImagePositionPatient] for data in slices])
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{folder}: a file says no position or orientation; no stack can be made") from error
    if np.abs(turns - turns[0]).max() > ALIKE:
        kinds = len(np.unique(np.round(turns, 2), axis=0))
        raise InputError(f"{folder}: slices of {kinds} orientations; those of one are needed")
    along = places @ np.cross(turns[0, :3], turns[0, 3:])
    order = np.argsort(along)
    steps = np.diff(along[order])
    usual = float(np.median(steps))
    if steps.min() <= 0:
        raise InputError(
            f"{folder}: two slices lie at {along[order][int(steps.argmin())]:g} mm; one is needed"
        )
    if np.abs(steps - usual).max() > ALIKE * usual:
        odd = int(np.abs(steps - usual).argmax())
        low, high = along[order][odd : odd + 2]
        raise InputError(
            f"{folder}: slices are {usual:g} mm apart, but those at {low:g} and {high:g} mm are "
            f"{steps[odd]:g}; a slice is missing, or too many are there"
        )
    return usual, [int(place) for place in order]
