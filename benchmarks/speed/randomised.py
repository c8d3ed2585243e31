"""What a p-value of `--randomise F` costs beside the plain test's; writes results/randomised.md.

    python -m benchmarks.speed.randomised [--images 5]

The work in float64 forward passes, of the p-value alone. The region is selected on a noisier image, so it is
another one: medians over images are compared, and the ratio of each image's two searches is told beside them.
"""

import argparse
import platform
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import onnx_si

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "randomised.md"
SHARES = (0.2, 0.5)
SHIPPED = ("paper_cam_32", "paper_cam_64", "autoencoder_32", "unet_32")
TRAINED = ("bilinear", "transposed")
HEAD = """\
# Randomised selection: work beside the plain test's

Made by `python -m benchmarks.speed.randomised`. Medians of float64 forward passes of the p-value alone, over
images of the shipped models' scenes with fresh noise, and of the trained U-Nets' images. In brackets ratios
of single images, smallest to largest; `unfinished`: searches that ended before the precision was reached.

| network | plain | --randomise 0.2 | --randomise 0.5 | ratios at 0.2 | ratios at 0.5 | unfinished |
|---|---|---|---|---|---|---|
"""


def scenes(count: int) -> list[tuple[str, Path, list[NDArray[Any]]]]:
    """Networks and their images."""
    found = []
    for name in SHIPPED:
        base = np.load(ROOT / "models" / f"{name}_image.npy")
        noisy = [base + 0.3 * np.random.default_rng(i).normal(size=base.shape) for i in range(count)]
        found.append((name, ROOT / "models" / f"{name}.onnx", noisy))
    folder = ROOT / "benchmarks" / "trained"
    images = list(np.load(folder / "images.npy"))
    return [*found, *((f"trained {name}", folder / f"{name}.onnx", images) for name in TRAINED)]


def passes(path: Path, images: list[NDArray[Any]], share: float | None) -> list[tuple[float, bool]]:
    """The work of each image's p-value, and whether it is as narrow as wanted; nan without a region."""
    analysis = onnx_si.prepare(str(path), sigma=1.0, p_value_only=True, randomise=share)
    found = []
    for image in images:
        try:
            search = analysis.test(image).search
        except onnx_si.NothingToTest:
            found.append((float("nan"), True))
        else:
            found.append((float(search.forward_passes), bool(search.complete)))
    return found


def row(name: str, path: Path, images: list[NDArray[Any]]) -> str:
    """One line of the table."""
    plain, *others = (passes(path, images, share) for share in (None, *SHARES))
    medians = [f"{np.nanmedian([work for work, _ in done]):.0f}" for done in (plain, *others)]
    ratios = []
    for done in others:
        each = [a / b for (a, _), (b, _) in zip(done, plain, strict=True) if a == a and b == b]
        ratios.append(
            f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})" if each else "no region"
        )
    open_ones = sum(not complete for done in (plain, *others) for _, complete in done)
    return f"| {' | '.join([name, *medians, *ratios, str(open_ones)])} |"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5)
    lines = []
    for name, path, images in scenes(parser.parse_args().images):
        lines.append(row(name, path, images))
        print(lines[-1], flush=True)
    told = f"\n{platform.machine()}, onnx_si {onnx_si.__version__}.\n"
    RESULTS.write_text(HEAD + "\n".join(lines) + "\n" + told, encoding="utf-8")


if __name__ == "__main__":
    main()
