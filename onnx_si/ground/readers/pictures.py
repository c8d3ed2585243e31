"""Pictures as a user asked for them: one page or all, without transparency, in RGB, turned by EXIF."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from onnx_si.errors import InputError
from onnx_si.ground.readers import ALL_PAGES, DROP, RGB, How
from onnx_si.ground.readers.stored import require_kept

LOSSY = ("jpeg", "tiff_jpeg", "webp")  # compressions of a TIFF
UPRIGHT = 1
WITHOUT_ALPHA = {"LA": "L", "La": "L", "RGBA": "RGB", "RGBa": "RGB", "PA": "RGB"}
MOST_PAGE_BYTES = 2**30  # of all pages together


def prepared(file: Path, picture: Image.Image, kind: str, how: How) -> Image.Image:
    """One picture in a plain mode, as far as the user's choices go; what is left is refused elsewhere."""
    made = _page(file, picture, kind, how.page)
    if how.transparency == DROP:
        made = _opaque(made)
    if how.colours == RGB and made.mode in ("P", "CMYK"):
        made = made.convert("RGB")
    return ImageOps.exif_transpose(made) if how.exif and _orientation(picture) != UPRIGHT else made


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture without transparency: its colours as they are, also where they are not seen."""
    mode = WITHOUT_ALPHA.get(picture.mode, picture.mode)
    if mode != picture.mode:
        if picture.mode == "RGBA":  # a conversion would not change these; others need one
            return Image.merge("RGB", picture.split()[:3])
        return picture.convert("RGBA").convert(mode) if picture.mode == "PA" else picture.convert(mode)
    copy = picture.copy()
    copy.info.pop("transparency", None)
    return copy


def _page(file: Path, picture: Image.Image, kind: str, page: str | None) -> Image.Image:
    count = int(getattr(picture, "n_frames", 1))
    if page is None or page == ALL_PAGES:
        return picture
    if not 1 <= int(page) <= count:
        raise InputError(f"{file}: page {page}; it holds {count}, numbered from 1")
    picture.seek(int(page) - 1)
    require_as_it_is(file, picture, kind)
    return picture.copy()


def stacked(file: Path, picture: Image.Image, kind: str, read: Any) -> NDArray[Any]:
    """All pages as a volume (pages, height, width); `read` gives the array of one.

    Raises
    ------
    InputError
        If they differ in size or kind, or are too large together.
    """
    count = int(getattr(picture, "n_frames", 1))
    pages: list[NDArray[Any]] = []
    for number in range(count):
        picture.seek(number)
        require_as_it_is(file, picture, kind)
        pages.append(read(picture))
        first = pages[0]
        if pages[-1].shape != first.shape or pages[-1].dtype != first.dtype:
            raise InputError(
                f"{file}: page {number + 1} has shape {pages[-1].shape} of {pages[-1].dtype}, page 1 "
                f"{first.shape} of {first.dtype}; a volume needs pages of one kind: choose one with --page N"
            )
        if first.nbytes * count > MOST_PAGE_BYTES:
            raise InputError(f"{file}: {count} pages of {first.nbytes} bytes; choose one with --page N")
    return np.stack(pages)


def require_as_it_is(file: Path, picture: Image.Image, kind: str) -> None:
    """Refuse a page whose numbers would be changed, and a TIFF that is to be turned: Pillow does that itself,
    and mixes up the values of some.

    Raises
    ------
    InputError
    """
    require_kept(file, picture, kind)
    turned = getattr(picture, "tag_v2", {}).get(ExifTags.Base.Orientation, UPRIGHT)
    if turned != UPRIGHT:
        raise InputError(f"{file}: a TIFF with orientation {turned}; save it upright, or as .npy")


def _orientation(picture: Image.Image) -> int:
    return int(picture.getexif().get(ExifTags.Base.Orientation, UPRIGHT))


def told(path: str | os.PathLike[str], how: How) -> tuple[str, ...]:
    """What a user must know of a picture's file; nothing of one that can't be read."""
    try:
        with Image.open(path, formats=["JPEG", "PNG", "TIFF"]) as picture:
            orientation, lossy = _orientation(picture), _is_lossy(picture)
    except Exception:  # reading it says what is wrong with it
        return ()
    found = []
    if lossy:
        found.append(
            f"{path}: its compression (JPEG or the like) changes the noise in blocks, so that it is neither "
            "independent nor of the size it was; take the image as it was before (.npy, PNG)"
        )
    if orientation != UPRIGHT and not how.exif:
        found.append(
            f"{path}: its EXIF orientation is {orientation}, so viewers turn or flip it; the numbers are "
            "read as they are stored: --exif turns them"
        )
    return tuple(found)


def _is_lossy(picture: Image.Image) -> bool:
    """Whether what was saved is not what is read: JPEG, and a TIFF that holds such."""
    return picture.format == "JPEG" or picture.info.get("compression") in LOSSY
