"""Read an image file without trusting it: .npy, .npz, PNG, JPEG and TIFF; values stay as they are."""

import functools
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from onnx_si.errors import InputError, OnnxSIError
from onnx_si.ground.budget import excess
from onnx_si.ground.foreign import PICTURES, SUFFIXES, not_an_image
from onnx_si.ground.paths import FILE, NOTHING, what_is_at
from onnx_si.ground.readers import ALL_PAGES, PLAINLY, How, dicom, nifti
from onnx_si.ground.readers.scan import Scan, damaged
from onnx_si.ground.terminal import shown, shown_line

if TYPE_CHECKING:
    from PIL import Image

COPIES = 3  # of an image in double precision that a test holds beside the file's values

MOST_ENTRIES = 8  # arrays of a .npz file that holds a structure

MEDICAL = (*nifti.SUFFIXES, dicom.SUFFIX)


# Pillow's modes that keep a file's values: grey of 1, 8, 16 or 32 bits, float, and colour of 3 x 8 bits.
_PLAIN_MODES = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N", "F", "RGB"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})

Shape = tuple[int, ...]
Accept = Callable[[Shape], object]
"""Called with the shape that a header says; raises for one that is not wanted, before values are read."""


def _any(shape: Shape) -> None:
    """Every shape is wanted."""


def read_image(path: str | os.PathLike[str], accept: Accept = _any, how: How = PLAINLY) -> NDArray[Any]:
    """Read one image with the values and the type that the file holds.

    Parameters
    ----------
    path : path-like
        `.npy`, `.npz` (exactly one array), `.png`, `.jpg`, `.tif`; the suffix decides how it is read.
    accept : callable, optional
        Called with the image's shape before values are read.
    how : How, optional
        What the user chose about it.

    Returns
    -------
    array
        Of any shape for .npy and .npz; (height, width) or (height, width, 3) for pictures.

    Raises
    ------
    InputError
        If the file can't be read, is damaged or too large, or holds anything but one plain image.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if (scan := _scan(file, how)) is not None:
        accept(scan.values.shape)
        return scan.values
    foreign = not_an_image(file)
    if foreign is not None:
        raise InputError(f"{shown(file)}: {foreign}")
    if suffix not in SUFFIXES:
        known = ", ".join((*SUFFIXES, *MEDICAL))
        raise InputError(
            f"{shown(file)}: images are read from {known}, or a folder of a DICOM series; convert it to one "
            "of these"
        )
    found = what_is_at(file)
    if found != FILE:
        what = "does not exist" if found == NOTHING else "is no file"
        raise InputError(f"{shown(file)}: {what}; give the path of an image")
    try:
        if suffix == ".npy":
            with file.open("rb") as stream:
                return _read_npy(stream, file.stat().st_size, shown(file), accept)
        if suffix == ".npz":
            return _read_npz(file, accept)
        return _read_picture(file, PICTURES[suffix], accept, how)
    except OSError as error:
        raise InputError(
            f"{shown(file)}: can't be read ({error.strerror or error}); save it again"
        ) from error


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Whether it is read as a picture, by its name."""
    return Path(path).suffix.lower() in PICTURES


def has_pages(path: str | os.PathLike[str]) -> bool:
    """Whether a file of its kind may hold several images."""
    return is_picture(path) or nifti.is_nifti(Path(path)) or dicom.is_dicom(Path(path))


def told(path: str | os.PathLike[str], how: How = PLAINLY) -> tuple[str, ...]:
    """What a user must know of the way an image's file is read."""
    if (scan := _scan(Path(path), how)) is not None:
        return scan.told
    if Path(path).suffix.lower() not in PICTURES:
        return ()
    from onnx_si.ground.readers import pictures  # with Pillow, which arrays don't need

    return pictures.told(path, how)


def spacing(path: str | os.PathLike[str], how: How = PLAINLY) -> tuple[float, ...] | None:
    """Size of a pixel in mm along each axis, where the file says it."""
    scan = _scan(Path(path), how)
    return None if scan is None else scan.spacing


def _scan(file: Path, how: How) -> Scan | None:
    """A medical image that exists; None of any other file."""
    if what_is_at(file) == NOTHING:
        return None
    try:
        with damaged(file, "a NIfTI or DICOM image"):
            if nifti.is_nifti(file):
                return nifti.read(file, how)
            return dicom.read(file, how) if dicom.is_dicom(file) else None
    except InputError as error:  # its words hold the file's name, and what a library quotes of its content
        raise InputError(shown_line(error)) from error


def read_arrays(
    path: str | os.PathLike[str], accept: Callable[[str | None, Shape], object] = lambda name, shape: None
) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Read the array of a `.npy` file, or all arrays of a `.npz` file by their names.

    Parameters
    ----------
    path : path-like
    accept : callable, optional
        Called with the name (None in a `.npy` file) and the shape of an array before its values are read.

    Raises
    ------
    InputError
        If it is neither, can't be read, or is damaged or too large.
    """
    file = Path(path)
    if file.suffix.lower() not in (".npy", ".npz") or what_is_at(file) != FILE:
        raise InputError(
            f"{shown(file)}: arrays are read from existing .npy and .npz files; give one of these"
        )
    try:
        if file.suffix.lower() == ".npz":
            return _read_npz_arrays(file, accept)
        with file.open("rb") as stream:
            return _read_npy(stream, file.stat().st_size, shown(file), lambda shape: accept(None, shape))
    except OSError as error:
        raise InputError(
            f"{shown(file)}: can't be read ({error.strerror or error}); save it again"
        ) from error


@contextmanager
def _as_input_error(what: str, kind: str) -> Iterator[None]:
    """Parsers of damaged files raise whatever they stumble over; all of it means that the file is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow and numpy warn about what is checked here
            yield
    except (OnnxSIError, MemoryError):
        raise
    except Exception as error:
        detail = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(
            f"{what}: not {kind}, or a damaged one ({shown(detail, 120)}); save it again"
        ) from error


def _require_possible(what: str, shape: Shape) -> None:
    """Refuse a shape that no array has."""
    if not all(n >= 0 for n in shape) or math.prod(max(n, 1) for n in shape) >= 2**58:
        raise InputError(f"{what}: says it holds an array of shape {shown(shape)}; there is no such array")


def _require_room(what: str, shape: Shape, item_bytes: int) -> int:
    """Bytes that an array needs in the file; refuses one that would not fit into memory, copies included."""
    values = math.prod(shape)
    why = excess(values * (item_bytes + 8 * COPIES))
    if why is not None:
        raise InputError(f"{what}: says it holds an array of shape {shown(shape)}; {why}")
    return values * item_bytes


def _read_npy(stream: IO[bytes], available: int, what: str, accept: Accept) -> NDArray[Any]:
    """Read an array; its header is checked against the size of the file before any memory is taken."""
    with _as_input_error(what, "a .npy file"):
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise InputError(f"{what}: .npy version {version}; save plain numbers with numpy.save")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
        if dtype.hasobject or dtype.kind not in "biuf":
            raise InputError(f"{what}: holds values of type {dtype}; save plain real numbers, no objects")
        _require_possible(what, shape)
        accept(shape)
        needed = _require_room(what, shape, dtype.itemsize)
        follow = max(0, available - stream.tell())
        if needed > follow:
            raise InputError(
                f"{what}: its header says {shape} of {dtype}, which is {needed} bytes, but {follow} follow; "
                "the file is truncated"
            )
        content = stream.read(needed)
        if len(content) != needed:
            raise InputError(f"{what}: ends after {len(content)} of {needed} bytes; the file is truncated")
        flat = np.frombuffer(content, dtype=dtype)
        return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _read_npz(file: Path, accept: Accept) -> NDArray[Any]:
    with _as_input_error(shown(file), "a .npz file"), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if len(names) != 1 or not names[0].endswith(".npy"):
            some = ", ".join(map(shown, names[:8])) or "nothing"
            raise InputError(
                f"{shown(file)}: holds {len(names)} entries ({some}); exactly one array is needed: "
                "save it as .npy"
            )
        return _read_member(file, archive, members[0], accept)


def _read_npz_arrays(file: Path, accept: Callable[[str | None, Shape], object]) -> dict[str, NDArray[Any]]:
    with _as_input_error(shown(file), "a .npz file"), zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MOST_ENTRIES or not all(member.filename.endswith(".npy") for member in members):
            raise InputError(
                f"{shown(file)}: holds {len(members)} entries; at most {MOST_ENTRIES} arrays are needed"
            )
        named = {member.filename.removesuffix(".npy"): member for member in members}
        return {
            name: _read_member(file, archive, member, functools.partial(accept, name))
            for name, member in named.items()
        }


def _read_member(
    file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, accept: Accept
) -> NDArray[Any]:
    with archive.open(member) as stream:
        name = shown(member.filename.removesuffix(".npy"))
        return _read_npy(stream, member.file_size, f"{shown(file)}, array {name}", accept)


def _read_picture(file: Path, kind: str, accept: Accept, how: How) -> NDArray[Any]:
    """Read a picture; Pillow itself refuses more than about 180 million pixels when it reads the header."""
    from PIL import Image  # not needed for arrays

    from onnx_si.ground.readers import pictures

    with _as_input_error(shown(file), f"a {kind} picture"), Image.open(file, formats=[kind]) as picture:
        pictures.require_as_it_is(file, picture, kind)
        pages = getattr(picture, "n_frames", 1) if kind != "JPEG" else 1
        if pages != 1 and how.page is None:
            raise InputError(
                f"{shown(file)}: holds {pages} pages; one image is needed: --page N takes one, --page "
                f"{ALL_PAGES} the stack as a volume"
            )
        if pages != 1 and how.page == ALL_PAGES:
            volume = pictures.stacked(
                file, picture, kind, lambda page: _plain(file, page, kind, accept, how, several=True)
            )
            accept(volume.shape)
            return volume
        return _plain(file, picture, kind, accept, how)


def _plain(
    file: Path, opened: "Image.Image", kind: str, accept: Accept, how: How, *, several: bool = False
) -> NDArray[Any]:
    """The values of one page in a plain mode, as they are stored."""
    from onnx_si.ground.readers import pictures, stored

    picture = pictures.prepared(file, opened, kind, how)
    if picture.mode == "P":
        raise InputError(
            f"{shown(file)}: a picture with a palette; its numbers are no intensities: --colours rgb looks "
            "them up, or save it as grey or RGB"
        )
    if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
        raise InputError(
            f"{shown(file)}: a picture with transparency ({picture.mode}): --transparency drop leaves it "
            "out, or save it as grey or RGB without alpha"
        )
    if picture.mode not in _PLAIN_MODES:
        advice = "--colours rgb converts it, or " if picture.mode == "CMYK" else ""
        raise InputError(
            f"{shown(file)}: a picture of colour mode {picture.mode}; {advice}save it as grey or RGB"
        )
    shape = (picture.height, picture.width, *([3] if picture.mode == "RGB" else []))
    if not several:  # of a volume only the whole has the shape that is wanted
        accept(shape)
    _require_room(shown(file), shape, 8)
    picture.load()
    return stored.as_stored(file, opened, kind, np.asarray(picture))
