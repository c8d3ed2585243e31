"""Makes what docs/gallery.md shows: inputs that are not shipped, and the pictures.

    python docs/gallery/make.py inputs gallery     # the folder that the page's commands name
    python docs/gallery/make.py pictures           # docs/gallery/*.png, by the page's own commands

Seeded: the same numbers again. Run it in the repository's root.
"""

import argparse
import contextlib
import io
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from onnx_si.cli.main import main as onnx_si

HERE = Path(__file__).resolve().parent
ROOT, PAGE = HERE.parents[1], HERE.parent / "gallery.md"
COLOURS = 256  # of a picture: half its size, and nobody sees a difference


def signal() -> np.ndarray:
    """256 values of noise and a bump of width 24."""
    values = np.random.default_rng(11).standard_normal(256)
    values[150:174] += 1.2
    return values.astype(np.float32)


def patches() -> np.ndarray:
    """Noise, and a square of mean 3 for the vision transformer."""
    values = np.random.default_rng(12).standard_normal((16, 16))
    values[4:8, 8:12] += 3
    return values.astype(np.float32)


def volume() -> np.ndarray:
    """Noise, and a ball of radius 5 and mean 1."""
    places = np.indices((32, 32, 32))
    ball = np.square(places - 13).sum(axis=0) <= 25
    return (np.random.default_rng(13).standard_normal((32, 32, 32)) + ball).astype(np.float32)


def detector() -> onnx.ModelProto:
    """A signal's moving averages above and below zero, each pooled and averaged again."""
    wide = np.stack([np.full((1, 9), 1 / 9), np.full((1, 9), -1 / 9)])
    weights = {"wide": wide, "mean": np.array([[[1 / 5] * 5, [-1 / 5] * 5]])}
    nodes = [
        helper.make_node("Conv", ["signal", "wide"], ["two"], pads=[4, 4]),
        helper.make_node("Relu", ["two"], ["kept"]),
        helper.make_node("MaxPool", ["kept"], ["largest"], kernel_shape=[3], pads=[1, 1]),
        helper.make_node("Conv", ["largest", "mean"], ["map"], pads=[2, 2]),
    ]
    shape = [1, 1, 256]
    graph = helper.make_graph(
        nodes,
        "bump",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_inputs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in (("signal", signal()), ("patches", patches()), ("volume", volume())):
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    onnx.save(detector(), folder / "bump.onnx")


def commands() -> list[list[str]]:
    """What the page runs, as arguments of onnx-si; the last two are --plot and the picture's name."""
    blocks = re.findall(
        r"^```sh\n(onnx-si .*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [shlex.split(block.replace("\\\n", " "))[1:] for block in blocks]


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[None]:
    """A folder where the page's commands find what they name, as the working directory."""
    for name in ("models", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    write_inputs(folder / "gallery")
    with contextlib.chdir(folder):
        yield


def run(arguments: list[str]) -> str:
    """What one command prints on stdout."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = onnx_si(arguments)
    if code:
        raise SystemExit(f"exit code {code}: onnx-si {shlex.join(arguments)}")
    return out.getvalue()


def draw() -> None:
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder)):
        for arguments in commands():
            print(run(arguments))
            picture = Image.open(arguments[-1]).convert("RGB")
            small = picture.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            small.save(HERE / arguments[-1], optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    jobs = parser.add_subparsers(dest="job", required=True)
    jobs.add_parser("inputs").add_argument("folder", type=Path)
    jobs.add_parser("pictures")
    options = parser.parse_args()
    if options.job == "inputs":
        write_inputs(options.folder)
    else:
        draw()


if __name__ == "__main__":
    main()
