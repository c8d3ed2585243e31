"""Whole calls beside p-values alone, small networks and trained U-Nets: processor seconds, forward passes.

A whole call has the confidence interval, the estimate and the comparison with onnxruntime as well. Both are
`prepare` and `test` in this process, the least of several. Run `python -m benchmarks.speed.whole`.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np

from onnx_si.analysis.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("paper_cam_16", "paper_cam_32", "paper_cam_64", "autoencoder_32", "unet_32")
TRAINED: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("bilinear", 0, {}),
    ("bilinear", 1, {}),
    ("transposed", 1, {}),
    ("transposed", 2, {}),
    ("classes", 1, {"target": 2}),
    ("classes", 2, {"target": 1}),
)


def measured(model: Path, image: np.ndarray, times: int, **options: Any) -> tuple[float, float]:
    """The least processor seconds, and forward passes."""
    least = float("inf")
    for _ in range(times):
        before = time.process_time()
        result = prepare(str(model), sigma=1.0, **options).test(image)
        least = min(least, time.process_time() - before)
    return least, result.search.forward_passes


def show(name: str, model: Path, image: np.ndarray, times: int, **options: Any) -> None:
    """One row."""
    whole, passes = measured(model, image, times, **options)
    alone, alone_passes = measured(model, image, times, p_value_only=True, **options)
    print(
        f"{name:24}{whole:8.3f}{alone:8.3f}{whole / alone:8.2f}{passes:8.0f}{alone_passes:8.0f}", flush=True
    )


def main() -> None:
    print(f"{'':24}{'whole':>8}{'alone':>8}{'ratio':>8}{'passes':>8}{'alone':>8}")
    for name in SMALL:
        image = np.load(ROOT / "models" / f"{name}_image.npy")
        show(name, ROOT / "models" / f"{name}.onnx", image, 10)
    folder = ROOT / "benchmarks" / "trained"
    images = np.load(folder / "images.npy")
    for name, number, options in TRAINED:
        show(f"{name}, {number}", folder / f"{name}.onnx", images[number], 3, **options)


if __name__ == "__main__":
    main()
