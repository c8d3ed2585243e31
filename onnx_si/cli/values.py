"""Values of options as numbers: text of any length is read, or refused in words."""

import argparse
import re
from collections.abc import Sequence

from onnx_si.errors import UsageError
from onnx_si.ground.words import shown, whole_number

LARGEST_DIM = 2**20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def sizes(texts: Sequence[str]) -> dict[str, int]:
    """Read `NAME=N` of --dim.

    Raises
    ------
    UsageError
        If one is not of that form.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        size = whole_number(number) if number.isdecimal() else None
        if not name or size is None or not 1 <= size <= LARGEST_DIM:
            raise UsageError(
                f"--dim {shown(text)}; give NAME=N with a size of at least 1, at most {LARGEST_DIM}"
            )
        found[name] = size
    return found


def whole(text: str) -> int:
    """A whole number of a size that someone may mean."""
    found = whole_number(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{shown(text)}'; give a whole number")
    return found


def target(text: str) -> int | str:
    """A class of the map."""
    if text == "predicted":
        return text
    found = whole_number(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"'{shown(text)}'; give a class index, or predicted")
    return found


def indices(text: str) -> tuple[int, ...]:
    """Whole numbers, separated by commas."""
    found = tuple(whole_number(part) for part in text.split(","))
    if None in found:
        raise argparse.ArgumentTypeError(f"'{shown(text)}'; give whole numbers separated by commas")
    return tuple(number for number in found if number is not None)


def memory_size(text: str) -> int:
    """Read `2G`, `500M` or a number of bytes."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    size = 0 if match is None else int(match[1]) * UNITS[match[2].upper()]
    if size < UNITS["M"]:
        raise argparse.ArgumentTypeError(f"'{shown(text)}'; give a size such as 2G or 500M")
    return size


def numbers(text: str) -> tuple[float, ...]:
    """Numbers, separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{shown(text)}'; give numbers separated by commas") from None
