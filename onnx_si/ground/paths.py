"""Places that strangers name: every question about one that can raise is asked here."""

import os
from pathlib import Path

NOTHING, FILE, FOLDER, OTHER = "nothing", "a file", "a folder", "neither a file nor a folder"


def what_is_at(path: str | os.PathLike[str]) -> str:
    """What a path leads to; `NOTHING` for one that can't be a path, or that no one may follow."""
    try:
        place = Path(path)
        if place.is_file():
            return FILE
        if place.is_dir():
            return FOLDER
        return OTHER if place.exists() else NOTHING
    except (OSError, ValueError, RuntimeError):  # a byte 0, a circle of links, a name that is too long
        return NOTHING


def inside(folder: Path, location: str) -> Path | None:
    """The file that a location names within a folder; None where it names none, or one elsewhere."""
    try:
        target = (folder / location).resolve()
        within = bool(location) and not Path(location).is_absolute() and target.is_relative_to(folder)
        target.is_file()
    except (OSError, ValueError, RuntimeError):
        return None
    return target if within else None


def why_not_written(path: str | os.PathLike[str]) -> str:
    """Why a path that is not `writable` is not, and what to do."""
    place = Path(path).absolute()
    found = what_is_at(place)
    if found == FOLDER:
        return "is a folder; give a file"
    if found == NOTHING and what_is_at(place.parent) != FOLDER:
        return "can't be written; give a file in a folder that exists"
    if found not in (FILE, NOTHING):
        return "is no plain file; give one (--json writes to stdout)"
    return "can't be written, its folder does not allow it; give a file in another one"


def writable(path: str | os.PathLike[str]) -> bool:
    """Whether a file can be written there, as far as can be told without doing it."""
    try:
        place = Path(path).absolute()
        if place.is_dir() or (place.exists() and not place.is_file()):
            return False
        return place.parent.is_dir() and os.access(place.parent, os.W_OK) and _can_be_named(place)
    except (OSError, ValueError, RuntimeError):
        return False


def resolved(path: str | os.PathLike[str]) -> Path | None:
    """Where a path leads to, links followed; None for one that can't be a path."""
    try:
        return Path(path).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def same_place(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one file, be it there or not."""
    try:
        return Path(one).resolve() == Path(other).resolve() or Path(one).samefile(other)
    except (OSError, ValueError, RuntimeError):
        return False


def _can_be_named(place: Path) -> bool:
    """Whether the file system takes the name: asking for what is there raises where it does not."""
    try:
        os.lstat(place)
    except FileNotFoundError:
        return True
    return True
