"""Read an image file without trusting it: .npy, .npz, PNG, JPEG and TIFF; values stay as they are."""

import functools
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from onnx_si.errors import InputError, OnnxSIError
from onnx_si.ground.budget import excess
from onnx_si.ground.paths import FILE, NOTHING, what_is_at
from onnx_si.ground.terminal import shown

COPIES = 3  # of an image in double precision that a test holds beside the file's values

MOST_ENTRIES = 8  # arrays of a .npz file that holds a structure

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
SUFFIXES = (".npy", ".npz", *PICTURES)

# Pillow's modes that keep a file's values: grey of 1, 8, 16 or 32 bits, float, and colour of 3 x 8 bits.
_PLAIN_MODES = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N", "F", "RGB"})
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_BITS_PER_SAMPLE = 258  # TIFF tag

Shape = tuple[int, ...]
Accept = Callable[[Shape], object]
"""Called with the shape that a header says; raises for one that is not wanted, before values are read."""


def _any(shape: Shape) -> None:
    """Every shape is wanted."""


def read_image(path: str | os.PathLike[str], accept: Accept = _any) -> NDArray[Any]:
    """Read one image with the values and the type that the file holds.

    Parameters
    ----------
    path : path-like
        `.npy`, `.npz` (exactly one array), `.png`, `.jpg`, `.tif`; the suffix decides how it is read.
    accept : callable, optional
        Called with the image's shape before values are read.

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
    if suffix not in SUFFIXES:
        raise InputError(
            f"{shown(file)}: images are read from {', '.join(SUFFIXES)}; convert it to one of these"
        )
    found = what_is_at(file)
    if found != FILE:
        what = "does not exist" if found == NOTHING else "is no file"
        raise InputError(f"{shown(file)}: {what}; give the path of an image")
    try:
        if suffix == ".npy":
            with file.open("rb") as stream:
                return _read_npy(stream, file.stat().st_size, shown(file), accept)
        return _read_npz(file, accept) if suffix == ".npz" else _read_picture(file, PICTURES[suffix], accept)
    except OSError as error:
        raise InputError(
            f"{shown(file)}: can't be read ({error.strerror or error}); save it again"
        ) from error


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


def _read_picture(file: Path, kind: str, accept: Accept) -> NDArray[Any]:
    """Read a picture; Pillow itself refuses more than about 180 million pixels when it reads the header."""
    with _as_input_error(shown(file), f"a {kind} picture"), Image.open(file, formats=[kind]) as picture:
        if picture.mode == "P":
            raise InputError(
                f"{shown(file)}: a picture with a palette; its numbers are no intensities: "
                "save it as grey or RGB"
            )
        if picture.mode in _ALPHA_MODES or "transparency" in picture.info:
            raise InputError(
                f"{shown(file)}: a picture with transparency ({picture.mode}); "
                "save it as grey or RGB without alpha"
            )
        if picture.mode not in _PLAIN_MODES:
            raise InputError(
                f"{shown(file)}: a picture of colour mode {picture.mode}; save it as grey or RGB"
            )
        if picture.mode == "RGB" and _bits(file, picture, kind) > 8:
            raise InputError(
                f"{shown(file)}: colour of more than 8 bits can't be read without loss; save it as .npy"
            )
        pages = getattr(picture, "n_frames", 1) if kind != "JPEG" else 1
        if pages != 1:
            raise InputError(
                f"{shown(file)}: holds {pages} pages; one image is needed: save the one, or a volume, as .npy"
            )
        shape = (picture.height, picture.width, *([3] if picture.mode == "RGB" else []))
        accept(shape)
        _require_room(shown(file), shape, 8)
        picture.load()
        return np.asarray(picture)


def _bits(file: Path, picture: Image.Image, kind: str) -> int:
    """Bits per colour value in the file; Pillow itself cuts 16-bit colour down to 8 without a word."""
    if kind == "PNG":
        with file.open("rb") as stream:
            return stream.read(25)[
                24
            ]  # IHDR comes first: signature 8, length 4, type 4, width 4, height 4, bit depth
    if kind == "TIFF":
        return int(max(picture.tag_v2.get(_BITS_PER_SAMPLE, (8,))))  # type: ignore[attr-defined]
    return 8
