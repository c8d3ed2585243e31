"""Readers of image files that need more than one choice, each told by `How`."""

from dataclasses import dataclass

ALL_PAGES = "all"
DROP, RGB = "drop", "rgb"


@dataclass(frozen=True, kw_only=True)
class How:
    """What a user chose about the reading of files.

    Parameters
    ----------
    page : str, optional
        Of a file of several: a number from 1 on, or `all`, which stacks them to a volume.
    transparency : str, optional
        `drop`: it is left out.
    colours : str, optional
        `rgb`: palettes are looked up, and CMYK is converted.
    exif : bool
        Whether a picture is turned as its EXIF orientation says.
    """

    page: str | None = None
    transparency: str | None = None
    colours: str | None = None
    exif: bool = False


PLAINLY = How()
