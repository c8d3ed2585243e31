"""What an audit writes is none of what it reads."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from onnx_si.auditing.images import Entry
from onnx_si.auditing.journal import MADE, PICTURES
from onnx_si.auditing.of_files import input_files
from onnx_si.auditing.wish import Wish
from onnx_si.errors import UsageError
from onnx_si.ground.paths import resolved
from onnx_si.ground.terminal import shown


def require_apart(wish: Wish, images: Iterable[Entry], folder: Path) -> None:
    """Refuse an audit that would write over a file that it reads, or remove it by a restart.

    Parameters
    ----------
    wish : Wish
    images : iterable of Entry
    folder : Path
        Where everything is written.

    Raises
    ------
    UsageError
        Naming the first such file.
    """
    written = {resolved(folder / name) for name in MADE}
    own = resolved(folder / PICTURES)
    for what, name in _read(wish, images):
        place = resolved(wish.place(name))
        if place is not None and (place in written or own in (place, *place.parents)):
            raise UsageError(
                f"{shown(folder)}: the audit would write over {what}, {shown(name)}; give another --output"
            )


def _read(wish: Wish, images: Iterable[Entry]) -> Iterator[tuple[str, str]]:
    files = (wish.reference, wish.mask, wish.covariance, wish.sigma_from, *wish.noise_from)
    files += input_files(wish.options)
    yield "the model", wish.model
    yield "the folder of the configuration", "."
    yield from (("the manifest", name) for name in (wish.manifest,) if name is not None)
    yield from (("a file that it reads", name) for name in files if name is not None)
    for entry in images:
        yield from (("an image", name) for name in (entry.image,) if name)
        yield from (("a file that it reads", name) for name in (entry.mask, *entry.reference) if name)
