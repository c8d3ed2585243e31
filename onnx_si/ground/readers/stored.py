"""The numbers that a picture's file stores, where Pillow gives others: undone, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnx_si.errors import InputError
from onnx_si.ground.terminal import shown

BITS, PHOTOMETRIC, SAMPLES, EXTRA, FORMAT = 258, 262, 277, 338, 339  # tags of TIFF
WHITE_IS_ZERO, PLAIN_ALPHA, SIGNED = 0, (2, 999), 2  # their values; 999 is written by one program for plain
BIT_DEPTH = 24  # place in a PNG: IHDR comes first, signature 8, length 4, type 4, width 4, height 4
COARSE = (2, 4)  # bits of a grey value, which Pillow stretches to 8


def require_kept(file: Path, picture: Image.Image, kind: str) -> None:
    """Refuse a page of a file whose numbers Pillow changes, or leaves out, without a word.

    Raises
    ------
    InputError
    """
    if picture.mode in ("RGB", "RGBA", "CMYK", "LA") and _bits(file, picture, kind) > 8:
        raise InputError(
            f"{shown(file)}: colour of more than 8 bits can't be read without loss; save it as .npy"
        )
    if kind != "TIFF":
        return
    tags = _tags(picture)
    if int(tags.get(PHOTOMETRIC, WHITE_IS_ZERO)) == WHITE_IS_ZERO:
        raise InputError(
            f"{shown(file)}: a TIFF in which zero is white, so that viewers invert it; save it with zero as "
            "black, or its numbers as .npy"
        )
    extra = tuple(tags.get(EXTRA, ()))
    if any(one not in PLAIN_ALPHA for one in extra):
        raise InputError(
            f"{shown(file)}: {tags.get(SAMPLES, 1)} values a pixel, of which {len(extra)} are neither colour "
            "nor plain transparency; save those that the model takes as .npy"
        )


def as_stored(file: Path, picture: Image.Image, kind: str, values: NDArray[Any]) -> NDArray[Any]:
    """The values of a page as its file stores them: grey of 2 and 4 bits is stretched to 8 by Pillow, and
    signs of 8 and 32 bits are mistaken.
    """
    if picture.mode == "L" and (bits := _bits(file, picture, kind)) in COARSE:
        return np.asarray(values // np.uint8(255 // (2**bits - 1)))
    if kind != "TIFF":
        return values
    signed = max(_tags(picture).get(FORMAT, (1,))) == SIGNED
    if picture.mode == "L" and signed:
        return values.view(np.int8)
    return (
        values.view(np.uint32)
        if picture.mode == "I" and _bits(file, picture, kind) == 32 and not signed
        else values
    )


def _tags(picture: Image.Image) -> Any:
    return getattr(picture, "tag_v2", {})


def _bits(file: Path, picture: Image.Image, kind: str) -> int:
    """Bits per value in the file; Pillow itself cuts 16-bit colour down to 8 without a word."""
    if kind == "PNG":
        with file.open("rb") as stream:
            return stream.read(BIT_DEPTH + 1)[BIT_DEPTH]
    if kind == "TIFF":
        return int(max(_tags(picture).get(BITS, (1,))))
    return 8
