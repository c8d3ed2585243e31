"""NIfTI files: values with the header's slope and intercept, axes as stored, voxels placed by an affine."""

from pathlib import Path
from typing import Any

import numpy as np

from onnx_si.errors import InputError
from onnx_si.ground.readers import ALL_PAGES, How
from onnx_si.ground.readers.scan import Scan, as_floats, damaged, library, require_size

SUFFIXES = (".nii", ".nii.gz")
MILLIMETRES = {"mm": 1.0, "meter": 1e3, "micron": 1e-3, "unknown": 1.0}
AXES_OF_SPACE = 3


def is_nifti(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES)


def opened(file: Path) -> Any:
    """The image of a file, checked, its data not yet read.

    Raises
    ------
    InputError
        If it is damaged, says nowhere where its voxels lie, or is too large.
    """
    nibabel = library("nibabel", file)
    with damaged(file, "a NIfTI file"):
        image = nibabel.load(file)
        header = image.header
        require_size(file, tuple(image.shape))
        if not int(header["qform_code"]) and not int(header["sform_code"]):
            raise InputError(
                f"{file}: has neither a qform nor an sform, so nothing says where its voxels lie; set one, "
                "or save the numbers as .npy"
            )
        affine = np.asarray(image.affine, np.float64)
        space = affine[:AXES_OF_SPACE, :AXES_OF_SPACE]
        if not np.isfinite(affine).all() or np.linalg.matrix_rank(space) < AXES_OF_SPACE:
            raise InputError(
                f"{file}: its affine is not finite, or flat, so nothing says where its voxels lie; mend it, "
                "or save the numbers as .npy"
            )
    return image


def read(file: Path, how: How) -> Scan:
    """Read one volume, or one slice.

    Raises
    ------
    InputError
        If it can't be read, or holds a series of volumes and none was chosen.
    """
    image = opened(file)
    with damaged(file, "a NIfTI file"):
        values = as_floats(image.dataobj)
    shape, count = values.shape, int(np.prod(values.shape[AXES_OF_SPACE:]))
    told: tuple[str, ...] = ()
    if count > 1:
        if how.page is None or how.page == ALL_PAGES:
            raise InputError(f"{file}: holds a series of {count} volumes {shape}; choose one with --page N")
        if not 1 <= int(how.page) <= count:
            raise InputError(f"{file}: page {how.page}; it holds {count} volumes, numbered from 1")
        values = values.reshape(*shape[:AXES_OF_SPACE], count)[..., int(how.page) - 1]
    values = values.reshape(shape[:AXES_OF_SPACE])
    unit = MILLIMETRES[image.header.get_xyzt_units()[0]]
    spacing: tuple[float, ...] = tuple(float(size) * unit for size in image.header.get_zooms()[: values.ndim])
    sides: list[int] = [*values.shape]
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    codes = "".join(library("nibabel", file).aff2axcodes(image.affine))
    told = (f"{file}: axes as stored, which point to {codes}",)
    spacing = spacing[: len(sides)]
    told_sizes = all(np.isfinite(size) and size > 0 for size in spacing)
    return Scan(values.reshape(sides), spacing if told_sizes else None, told)
