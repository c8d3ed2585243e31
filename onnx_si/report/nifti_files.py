"""Region, map and p-value as NIfTI files that lie where the image's own voxels lie."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UsageError
from onnx_si.ground.readers import nifti
from onnx_si.ground.readers.scan import library
from onnx_si.report.result import Result


def require_source(image: str | os.PathLike[str]) -> None:
    """Told before a long search: only the file of a NIfTI image says where voxels lie.

    Raises
    ------
    UsageError
        If the image is another one.
    """
    if not nifti.is_nifti(Path(image)):
        raise UsageError(f"--nifti: {image} is no NIfTI file; nothing says where its pixels lie")


def write(result: Result, image: str | os.PathLike[str], prefix: str) -> tuple[str, ...]:
    """Write `PREFIX_region`, `PREFIX_map` and `PREFIX_p` (1 outside the region); gives the files' names.

    Affine, its codes and the unit are the image's; nothing else of its header is kept, so no name is.
    """
    source = nifti.opened(Path(image))
    nibabel = library("nibabel", Path(image))
    p_values = np.where(result.region, result.p_value, 1.0)
    made = (
        ("region", result.region.astype(np.uint8)),
        ("map", result.saliency_map.astype(np.float32)),
        ("p", p_values.astype(np.float64)),
    )
    names = []
    for what, values in made:
        name = f"{prefix}_{what}.nii.gz"
        volume = nibabel.Nifti1Image(_as_stored(values, tuple(source.shape)), source.affine)
        volume.set_qform(*source.header.get_qform(coded=True))
        volume.set_sform(*source.header.get_sform(coded=True))
        volume.header.set_xyzt_units(source.header.get_xyzt_units()[0])
        nibabel.save(volume, name)
        names.append(name)
    return tuple(names)


def _as_stored(values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """In the shape of one volume of the file, axes of length one included."""
    return values.reshape((*shape[: nifti.AXES_OF_SPACE],))
