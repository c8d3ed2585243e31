"""Before an audit: a configuration to start from, and what would be done."""

import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path

from onnx_si.analysis.options import Options
from onnx_si.analysis.options.of_image import how_of
from onnx_si.analysis.prepare import Analysis
from onnx_si.auditing.gates import GATES
from onnx_si.auditing.images import Entry, entries
from onnx_si.auditing.wish import KEYS, Wish
from onnx_si.errors import NothingToTest, UnsupportedModel
from onnx_si.graph import load
from onnx_si.ground.files import read_image
from onnx_si.inspection.inspector import inspect_model

EXAMPLES = {
    "max_failed": "0",
    "min_rejected": "{ lesion = 0.8 }",
    "max_rejected": "{ empty = 0.1 }",
    "max_parity_pixels": "0",
    "min_guarantee": '"exact"',
    "noise_known": "true",
    "uniform_at": "{ empty = 0.001 }",
}


def commented(model: str, images: Sequence[str]) -> str:
    """A TOML file with every key, those that are not needed commented out."""
    manifest = next((name for name in images if name.endswith((".csv", ".parquet"))), None)
    given = {"model": json.dumps(model)}
    if manifest is None:
        given["images"] = json.dumps(list(images) or ["images"])
    else:
        given["manifest"] = json.dumps(manifest)
    examples = {
        "images": '["images/*.npy"]',
        "manifest": '"images.csv"',
        "reference": '"reference.npy"',
        "mask": '"mask.npy"',
        "covariance": '"covariance.npz"',
        "noise_from": '["background/*.npy"]',
        "sigma_from": '"background.npy"',
        "control": '"benjamini-hochberg"',
        "rate": "0.05",
        "pictures": "true",
    }
    lines = ["# An audit: onnx-si audit THIS_FILE. Paths are relative to this file.", ""]
    for key, (_, what) in KEYS.items():
        value = given.get(key)
        lines += [f"# {what}", f"{key} = {value}" if value else f"# {key} = {examples[key]}", ""]
    lines += ["# options of the test, the same for every image: see onnx-si --help", "[test]"]
    lines += ["# sigma = 1.0", '# threshold = "max:0.5"', '# hypothesis = "background"', ""]
    lines += [
        "# what must hold; exit code 1 where it does not. A number is for all images, a table for groups",
        "[gates]",
    ]
    for name, gate in GATES.items():
        lines += [f"# {gate.what}", f"# {name} = {EXAMPLES[name]}"]
    return "\n".join(lines) + "\n"


def plan(wish: Wish, folder: Path) -> str:
    """What would be done: the images, the model's guarantee, and the time by the first image.

    Raises
    ------
    UsageError, InputError
        If there are no images, or the model can't be read.
    """
    model = load(wish.place(wish.model))
    found = inspect_model(model, layout=wish.options.get("layout"))
    count = sum(1 for _ in entries(wish))
    first = next(iter(itertools.islice(entries(wish), 1)))
    took, what = _first(wish, Analysis(model, Options(**wish.options)), first)
    return "\n".join(
        [
            f"model      {wish.model}: {found.guarantee}: {'; '.join(found.reasons)}",
            f"images     {count}, the first is {first.image}",
            f"           {what}",
            f"time       {took:.2g} s for the first image, about {took * count:.3g} s of one core for all",
            f"control    {wish.control} at {wish.rate:g}",
            f"gates      {', '.join(f'{g.gate} {g.allowed} ({g.group})' for g in wish.gates) or 'none'}",
            f"output     {folder}",
        ]
    )


def _first(wish: Wish, analysis: Analysis, entry: Entry) -> tuple[float, str]:
    how = how_of(wish.options)
    values = read_image(wish.place(entry.image), how=how)
    others = [read_image(wish.place(path), how=how) for path in entry.reference] or None
    started = time.perf_counter()
    try:
        result = analysis.test(values, others)
        what = f"of shape {values.shape}: p-value {result.p_value:.4g} ({result.guarantee})"
    except (NothingToTest, UnsupportedModel) as error:
        what = f"of shape {values.shape}: {str(error).splitlines()[0]}"
    return time.perf_counter() - started, what
