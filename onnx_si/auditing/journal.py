"""The folder of an audit: rows written durably as they finish, everything else whole or not at all."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from onnx_si.errors import InputError, UsageError

ROWS, TIMINGS, LOCK, RUNNING = "results.jsonl", "timings.jsonl", "audit.lock.json", ".running"
PICTURES = "pictures"
MADE = (ROWS, TIMINGS, LOCK, "summary.json", "results.csv", "results.parquet", "junit.xml", "report.html")

STRANGE = "backslashreplace"  # what becomes of the parts of a file's name that are no UTF-8


class Full(UsageError):
    """The disk is full; what is written so far is kept."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Faults of the file system in words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Full(
                f"{path}: the disk is full; nothing that was finished is lost: make room and run it again"
            ) from error
        raise UsageError(f"{path}: can't be written ({error.strerror or error})") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that it is never seen half."""
    with writing(path), as_whole(path) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def as_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside a path, which becomes the path when all went well."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def encoded(text: str) -> bytes:
    """As UTF-8; bytes of a file's name that are none stand as escapes, which JSON reads back."""
    return text.encode("utf-8", STRANGE)


class Journal:
    """Appends lines to a file; half a line at its end is cut off.

    Parameters
    ----------
    path : Path
    durable : bool
        Each line is on the disk before the next. Without, the last ones may be lost where power fails.
    """

    def __init__(self, path: Path, *, durable: bool = True):
        self.path, self._durable = path, durable
        with writing(path):
            path.touch()
            with path.open("rb+") as stream:
                stream.truncate(_whole(path))

    def add(self, content: Mapping[str, Any]) -> None:
        """Append a document as one line."""
        line = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n"
        before = self.path.stat().st_size
        with writing(self.path):
            try:
                with self.path.open("ab") as stream:
                    stream.write(encoded(line))
                    stream.flush()
                    if self._durable:
                        os.fsync(stream.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, before)
                raise

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return read_lines(self.path)

    def count(self) -> int:
        """How many lines there are."""
        return sum(1 for _ in _lines(self.path))

    def cut(self, count: int) -> None:
        """Keep so many lines."""
        end = 0
        for number, line in enumerate(_lines(self.path)):
            if number == count:
                break
            end += len(line)
        os.truncate(self.path, end)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The documents of a file, one by one.

    Raises
    ------
    InputError
        If a line is no JSON object.
    """
    for number, line in enumerate(_lines(path), 1):
        try:
            content = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: is no JSON ({error})") from error
        if not isinstance(content, dict):
            raise InputError(f"{path}, line {number}: is no JSON object")
        yield content


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for line in stream:
            if line.endswith(b"\n"):
                yield line


def _whole(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    return sum(len(line) for line in _lines(path))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other run on this folder while this one lives; the system lifts the lock if it is killed.

    Raises
    ------
    UsageError
        If another run lives.
    """
    import fcntl

    path = folder / RUNNING
    taken = UsageError(f"{folder}: another audit runs there; wait for it, or give another folder")
    with writing(path):
        stream = path.open("ab")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise taken from error
        if not _is_still(path, stream):  # another run ended between opening and locking, and took it away
            raise taken
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is locked: who opened it meanwhile finds it gone


def _is_still(path: Path, stream: BinaryIO) -> bool:
    """Whether a path leads to the open file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    return False
