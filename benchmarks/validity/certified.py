"""Level of the certified engine: p-values that are proven, of smooth networks on images of noise.

    python -m benchmarks.validity.certified --trials 2000 [--only NAME] [--resume FOLDER]

Networks, tests, draws and columns as in `benchmarks.validity.montecarlo`, the U-Net with SiLU in place of
LeakyRelu. Bounds are at most 1e-3 apart unless a search ends before; the p-value is the upper one.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

import onnx_si
from benchmarks.smooth import unet
from benchmarks.validity.montecarlo import LEVELS, Row, band, levels, rejections, smooth_nets

NETS: dict[str, tuple[Callable[[], onnx_si.Model], dict[str, Any]]] = {
    "SiLU U-Net 16 x 16": (lambda: unet(16, "SiLU", width=4), {"threshold": 0.5}),
    "SiLU squeeze-excite 16 x 16": (lambda: smooth_nets.squeeze_excite(), {"threshold": "max:0.5"}),
}
HOW = {"engine": "certified", "precision": 1e-3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="draws with a region, for each row")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--resume", type=Path, help="folder of the draws that are done")
    asked = parser.parse_args()
    if asked.resume is not None:
        asked.resume.mkdir(parents=True, exist_ok=True)
    heads = (f"{at:g} ({low:.3f} to {high:.3f})" for at in LEVELS for low, high in [band(asked.trials, at)])
    titles = ["network and test", *heads, "within bands"]
    print(f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (make, options)) in enumerate(NETS.items()):
            if asked.only not in name:
                continue
            path = Path(folder) / f"net_{number}.onnx"
            onnx.save(make().file, path)
            row = Row(f"{name}, certified", path, {**options, **HOW})
            values, seconds = rejections(row, asked.trials, asked.resume)
            print(f"| {levels(row, values)} |", flush=True)
            print(f"{row.name}: {seconds:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
