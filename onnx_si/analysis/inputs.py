"""What a caller gives: arrays, or the files that hold them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from onnx_si.analysis.scene import Accepts, Given
from onnx_si.errors import InputError, UsageError, WrongType
from onnx_si.ground import terminal
from onnx_si.ground.files import Accept, has_pages, is_picture, read_image, spacing, told
from onnx_si.ground.paths import FOLDER, what_is_at
from onnx_si.ground.readers import PLAINLY, How
from onnx_si.ground.words import shown
from onnx_si.report import Refused, Result
from onnx_si.report.pieces import IN_MEMORY
from onnx_si.statistics.noise import read_covariance

Outcome = TypeVar("Outcome", Result, Refused)
Path = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Image, references, mask and noise as a caller gave them; a text or a path names a file."""

    image: Any
    reference: Any = None
    mask: Any = None
    covariance: Any = None
    noise_from: Any = ()
    sigma_from: Any = None
    how: How = PLAINLY

    def given(self, accepts: Accepts) -> Given:
        """The arrays; of a file, if its header says a shape that is accepted.

        Raises
        ------
        InputError
            If a file can't be read.
        UsageError
            If something is neither a file nor an array.
        """
        image = array_of("image", self.image, accepts.image("the image"), self.how)
        reference, noise = accepts.image("a reference"), accepts.image("an image of noise")
        return Given(
            image=image,
            references=tuple(
                array_of("reference", one, reference, self.how) for one in several(self.reference)
            ),
            noise_images=tuple(
                array_of("noise_from", one, noise, self.how) for one in several(self.noise_from)
            ),
            mask=None
            if self.mask is None
            else array_of("mask", self.mask, accepts.mask(np.shape(image)), self.how),
            background=None
            if self.sigma_from is None
            else array_of(
                "sigma_from", self.sigma_from, accepts.mask(np.shape(image), "background"), self.how
            ),
        )

    def told(self) -> tuple[str, ...]:
        """What the user must know of the files."""
        images = (self.image, *several(self.reference), *several(self.noise_from))
        return tuple(text for one in images if _name(one) is not None for text in told(one, self.how))

    def spacing(self) -> tuple[float, ...] | None:
        """Size of a pixel in mm along each axis, where the image's file says it."""
        return None if _name(self.image) is None else spacing(self.image, self.how)

    def known_covariance(self, accepts: Accepts, image: Any) -> Any:
        """The covariance of an image, read from its file if it is one."""
        named = isinstance(self.covariance, str | os.PathLike)
        return covariance_of_file(self.covariance, accepts.covariance(np.shape(image)) if named else None)

    def named_in(self, outcome: Outcome) -> Outcome:
        """A result or refusal that names the files, where files were given."""
        references: tuple[str, ...] = _names(self.reference)
        files: dict[str, Any] = {
            "mask": _name(self.mask),
            "covariance": _name(self.covariance),
            "noise_from": list(_names(self.noise_from)) or None,
            "sigma_from": _name(self.sigma_from),
        }
        if not any((*files.values(), *references, _name(self.image))):
            return outcome
        if isinstance(outcome, Result):
            given = ((name, getattr(self, name)) for name in files if files[name] is None)
            kept = {f"config.{name}": IN_MEMORY for name, value in given if len(several(value))}
            outcome = replace(outcome, reasons={**outcome.reasons, **kept})
        return replace(
            outcome,
            image_path=_name(self.image),
            reference_paths=references,
            config={**outcome.config, **files},
        )


def require_read_so(how: How, files: Iterable[Any]) -> None:
    """Refuse a choice about the reading of files that has no effect on any of those given.

    Raises
    ------
    UsageError
        If none is a picture; of pages, if none is of a kind that has some.
    """
    if how == PLAINLY:
        return
    names = [name for one in files if (name := _name(one)) is not None]
    of_pictures = {"transparency": how.transparency, "colours": how.colours, "exif": how.exif}
    chosen = [name for name, value in of_pictures.items() if value]
    if chosen and not any(map(is_picture, names)):
        raise UsageError(f"--{chosen[0]} has no effect here: it needs a picture (PNG, JPEG, TIFF)")
    if how.page is not None and not any(map(has_pages, names)):
        raise UsageError("--page has no effect here: it needs a file with pages (TIFF, PNG, DICOM, NIfTI)")


def several(given: Any) -> tuple[Any, ...]:
    """One array or file, or a list of them, as a tuple; None: none."""
    if given is None:
        return ()
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def array_of(name: str, given: Any, accept: Accept | None = None, how: How = PLAINLY) -> Any:
    """An array as it is, or the one that a file holds.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if isinstance(given, str | os.PathLike):
        if name != "image" and what_is_at(given) == FOLDER and not has_pages(given):
            raise InputError(f"{terminal.shown(given)}: is a folder; {name} takes a file")
        return read_image(given, how=how) if accept is None else read_image(given, accept, how)
    if np.ma.is_masked(given):
        raise WrongType(
            f"{name}: a masked array; give its values, and mask=, which is 0 where nothing may count"
        )
    if isinstance(given, np.ndarray):
        return given
    try:
        array = np.asarray(given)
    except (TypeError, ValueError) as error:
        raise WrongType(f"{name}: an array of numbers or the path of a file, not {shown(given)}") from error
    if array.dtype.kind not in "biufcV":
        raise WrongType(f"{name}: an array of numbers or the path of a file, not {shown(given)}")
    return array


def covariance_of_file(given: Any, accept: Any = None) -> Any:
    """A covariance as it is, or the one that a file holds.

    Raises
    ------
    UsageError
        If it is neither a file, nor an array, nor some by name.
    """
    if isinstance(given, str | os.PathLike):
        return read_covariance(given) if accept is None else read_covariance(given, accept)
    known = given is None or isinstance(given, Mapping) or hasattr(given, "sample")
    return given if known else array_of("covariance", given)


def _names(given: Any) -> tuple[str, ...]:
    """The files of several; nothing where one is an array."""
    names = [_name(one) for one in several(given)]
    return () if None in names else tuple(str(name) for name in names)


def _name(given: Any) -> str | None:
    return os.fspath(given) if isinstance(given, str | os.PathLike) else None
