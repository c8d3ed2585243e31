"""An audit from Python: files as on the command line, or arrays and a model in memory."""

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike

from onnx_si.analysis.options import AllOptions
from onnx_si.auditing.journal import ROWS, write_whole, writing
from onnx_si.auditing.running import Audit, run_audit
from onnx_si.auditing.wish import Wish, read_wish, wish_of
from onnx_si.errors import UsageError
from onnx_si.graph import Loadable, as_model

Files = str | os.PathLike[str]
INPUTS = "inputs"  # of an audit's folder: what was in memory


class Temporary:
    """A folder that is removed with this object, or when the program ends."""

    def __init__(self) -> None:
        self.name = tempfile.mkdtemp(prefix="onnx-si-audit-")
        weakref.finalize(self, shutil.rmtree, self.name, ignore_errors=True)


def audit(
    model: Loadable,
    images: Files | Sequence[Files] | Sequence[ArrayLike] | None = None,
    folder: Files | None = None,
    *,
    reference: Files | ArrayLike | None = None,
    mask: Files | ArrayLike | None = None,
    covariance: Files | None = None,
    noise_from: Sequence[Files] = (),
    sigma_from: Files | None = None,
    control: str = "benjamini-hochberg",
    rate: float = 0.05,
    gates: Mapping[str, Any] | None = None,
    pictures: bool = True,
    jobs: int = -1,
    scheduler: str | None = None,
    restart: bool = False,
    **options: Unpack[AllOptions],
) -> Audit:
    """Test many images and judge them together.

    Parameters
    ----------
    model : Model, or what `onnx_si.load` takes
        Of a path: the .onnx file; or an audit's .toml file, which says everything else as well.
    images : path, paths or arrays
        Files, folders and patterns, one manifest (.csv or .parquet), or images in memory.
    folder : path, optional
        Where everything is written. An audit that was interrupted there goes on. Default: a temporary folder
        that lives as long as what is returned; `save` keeps it.
    reference, mask : path or array, optional
        For every image that a manifest gives none.
    covariance, noise_from, sigma_from : paths, optional
        Of the noise, as for `--covariance`, `--noise-from` and `--sigma-from`.
    control, rate
        Of the error over images: `benjamini-hochberg`, `benjamini-yekutieli` or `holm`, and at which it
        rejects.
    gates : mapping, optional
        What must hold, as in the table `[gates]` of an audit's file.
    pictures : bool
        Whether a picture of each result is drawn.
    jobs : int
        Worker processes; -1: one for each core, 0: this process.
    scheduler : str, optional
        Address of a Dask scheduler in place of `jobs`.
    restart : bool
        Begin anew, whatever the folder holds of an audit.
    **options
        Those of `onnx_si.test`, for every image.

    Returns
    -------
    Audit

    Raises
    ------
    UsageError, InputError, UnsupportedModel
        If the audit can't begin, or go on. What is wrong with one image is in its row.
    """
    if "output" in options:
        raise UsageError("output: in Python the folder is the third argument, folder=")
    kept = None
    if folder is None:
        kept = Temporary()
        folder = kept.name
    place = Path(folder)
    how: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler, "restart": restart}
    if isinstance(model, str | os.PathLike) and str(model).endswith(".toml"):
        if images is not None or options or gates:
            raise UsageError(f"{model}: says what is audited; write images, gates and options there")
        wish = read_wish(os.fspath(model))
    else:
        content: dict[str, Any] = {"control": control, "rate": rate, "pictures": pictures, "test": options}
        content |= {"model": _model(model, place), **_images(images, place)}
        content |= {
            name: _file(value, place, name)
            for name, value in (
                ("reference", reference),
                ("mask", mask),
                ("covariance", covariance),
                ("sigma_from", sigma_from),
            )
            if value is not None
        }
        content |= {"noise_from": [str(path) for path in noise_from]} if noise_from else {}
        wish = _wish({**content, "gates": dict(gates or {})})
    return run_audit(wish, place, kept=kept, **how)


def _wish(content: Mapping[str, Any]) -> Wish:
    return wish_of(content, base=Path(), where="the arguments of audit")


def _model(model: Loadable, place: Path) -> str:
    """Its file; one in memory is written into the audit's folder."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    known = as_model(model)
    if known.path is not None:
        return known.path
    path = _inside(place) / "model.onnx"
    write_whole(path, known.proto.SerializeToString())
    return str(path)


def _images(images: Any, place: Path) -> dict[str, Any]:
    if images is None:
        return {}
    if isinstance(images, str | os.PathLike):
        name = os.fspath(images)
        return {"manifest": name} if name.endswith((".csv", ".parquet")) else {"images": name}
    found = list(images)
    if all(isinstance(one, str | os.PathLike) for one in found):
        return {"images": [os.fspath(one) for one in found]}
    width = len(str(len(found)))
    return {"images": [_file(one, place, f"image{number:0{width}d}") for number, one in enumerate(found)]}


def _file(value: Any, place: Path, name: str) -> str:
    """A path; an array becomes a file in the audit's folder."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    path = _inside(place) / f"{name}.npy"
    values = np.asarray(value)
    if values.dtype.hasobject:
        raise UsageError(f"{name}: is no array of numbers; give arrays, or paths of files")
    with writing(path), path.open("wb") as stream:
        np.save(stream, values, allow_pickle=False)
    return str(path)


def _inside(place: Path) -> Path:
    """Where inputs from memory are written; not into a folder that belongs to something else."""
    inputs = place / INPUTS
    if place.is_dir() and any(place.iterdir()) and not inputs.is_dir() and not (place / ROWS).is_file():
        raise UsageError(f"{place}: is not empty and holds no audit; give a new folder")
    with writing(inputs):
        inputs.mkdir(parents=True, exist_ok=True)
    return inputs
