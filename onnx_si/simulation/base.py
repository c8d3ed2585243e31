"""What signal and noise are added to: a value, an image, or one of several images."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.inputs import array_of, several
from onnx_si.errors import InputError
from onnx_si.ground.files import is_picture
from onnx_si.ground.layout import Layout, fit
from onnx_si.ground.terminal import shown

Array = NDArray[np.float64]
MOST_NAMED = 3


@dataclass(frozen=True, eq=False)
class Base:
    """Images (or single values) that noise is added to, with their names; one of them for each trial."""

    images: tuple[Array, ...]
    names: tuple[str, ...]

    def drawn(self, rng: np.random.Generator) -> Array:
        """One of them; where there is one, nothing is drawn."""
        return self.images[0 if len(self.images) == 1 else int(rng.integers(len(self.images)))]

    def is_constant(self, axes: tuple[int, ...]) -> bool:
        """Whether none of them changes along the axes of space: what hypotheses without a reference
        suppose of an image without signal.
        """
        return all(image.ndim == 0 or not np.ptp(image, axis=axes).any() for image in self.images)

    def __str__(self) -> str:
        named = ", ".join(map(shown, self.names[:MOST_NAMED]))
        if len(self.names) == 1:
            return named
        more = ", ..." if len(self.names) > MOST_NAMED else ""
        return f"one of {len(self.names)} images, drawn for each trial ({named}{more})"

    @property
    def checksum(self) -> str:
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(f"{image.shape};".encode() + image.tobytes())
        return digest.hexdigest()


def base_of(given: Any, shape: tuple[int, ...], layout: Layout, scaled: bool = True) -> Base | None:
    """The base of images of a shape.

    Parameters
    ----------
    given : number, text, path, array, or a sequence of these, or None
        A text that is no number is a file's name. Values are taken as they are, in the file's units.
    shape : tuple of int
    layout : Layout
    scaled : bool
        Whether somebody said what the whole numbers of a picture mean.

    Raises
    ------
    UsageError, InputError
        If it is neither, does not fit, or holds values that are not finite.
    """
    if given is None:
        return None
    wanted: Sequence[Any] = several(given)
    images = tuple(_image(one, shape, layout, scaled) for one in wanted)
    return Base(images, tuple(_name(one, number) for number, one in enumerate(wanted, 1)))


def _image(one: Any, shape: tuple[int, ...], layout: Layout, scaled: bool) -> Array:
    value = _value(one)
    array = np.asarray(array_of("base", one) if value is None else value)
    if array.dtype.kind not in "fiub" or array.size == 0 or not np.isfinite(array).all():
        raise InputError(f"base {_name(one, 1)}: it must hold finite numbers")
    named = value is None and isinstance(one, str | os.PathLike)
    if named and is_picture(one) and array.dtype.kind in "iub" and not scaled:
        how = "say how they become the model's input: --scale 1/255, or --scale 1 for as they are"
        raise InputError(f"base {_name(one, 1)} holds integers ({array.dtype}); {how}")
    image = np.asarray(array, np.float64)
    if image.ndim == 0:
        return image
    try:
        return fit(image, shape, layout, f"base {_name(one, 1)}")
    except InputError as error:  # its advice is for an image of a test
        what = str(error).partition("; ")[0]
        raise InputError(f"{what}; give a base of that size, or a single value") from error


def _value(one: Any) -> float | None:
    """The number that it is, or is the text of."""
    try:
        return float(one)
    except (TypeError, ValueError):
        return None


def _name(one: Any, number: int) -> str:
    value = _value(one)
    if value is not None:
        return f"{value:g}"
    return Path(one).name if isinstance(one, str | Path) else f"array {number}"
