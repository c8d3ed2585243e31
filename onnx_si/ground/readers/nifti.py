"""NIfTI files: values with the header's slope and intercept, axes as stored, voxels placed by an affine."""

from pathlib import Path
from typing import Any

import numpy as np

from onnx_si.errors import InputError
from onnx_si.ground.readers import ALL_PAGES, How
from onnx_si.ground.readers.scan import Scan, as_floats, damaged, library, require_size
from onnx_si.ground.words import so_many

SUFFIXES = (".nii", ".nii.gz")
MILLIMETRES = {"mm": 1.0, "meter": 1e3, "micron": 1e-3, "unknown": 1.0}
AXES_OF_SPACE = 3
ALIKE = 1e-3  # share of a size by which the header's and the affine's may differ: they are float32


def is_nifti(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES)


def opened(file: Path) -> Any:
    """The image of a file, checked, its data not yet read.

    Raises
    ------
    InputError
        If it is damaged, says nowhere where its voxels lie, holds other than real numbers, or is too large.
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
        kind = image.get_data_dtype()
        if kind.kind not in "iuf":
            raise InputError(f"{file}: holds values of type {kind}; save real numbers, one for each voxel")
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
    if how.page not in (None, ALL_PAGES) and not 1 <= int(how.page or 0) <= count:
        raise InputError(f"{file}: page {how.page}; it holds {so_many(count, 'volume')}, numbered from 1")
    if count > 1:
        if how.page is None or how.page == ALL_PAGES:
            raise InputError(f"{file}: holds a series of {count} volumes {shape}; choose one with --page N")
        values = values.reshape(*shape[:AXES_OF_SPACE], count)[..., int(how.page) - 1]
    values = values.reshape(shape[:AXES_OF_SPACE])
    sides: list[int] = [*values.shape]
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    codes = "".join(library("nibabel", file).aff2axcodes(image.affine))
    spacing, doubt = _sizes(file, image)
    told = (f"{file}: axes as stored, which point to {codes}", *doubt)
    return Scan(values.reshape(sides), None if spacing is None else spacing[: len(sides)], told)


def _sizes(file: Path, image: Any) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """The size of a voxel in mm, where the header and the affine say the same, and what to tell if not."""
    unit = MILLIMETRES[image.header.get_xyzt_units()[0]]
    stated = np.ones(AXES_OF_SPACE)
    zooms = np.asarray(image.header.get_zooms()[:AXES_OF_SPACE], np.float64)
    stated[: len(zooms)] = zooms
    placed = np.sqrt(np.square(image.affine[:AXES_OF_SPACE, :AXES_OF_SPACE]).sum(axis=0))
    if not (np.isfinite(zooms) & (zooms > 0)).all():
        return None, ()
    if (np.abs(stated - placed)[: len(zooms)] > ALIKE * placed[: len(zooms)]).any():
        words = " x ".join(f"{size:.4g}" for size in stated), " x ".join(f"{size:.4g}" for size in placed)
        doubt = (
            f"{file}: its header says voxels of {words[0]}, its affine {words[1]}: its size is not "
            "known; --pixel-size says it"
        )
        return None, (doubt,)
    return tuple(float(size) * unit for size in stated), ()
