"""The same images and the same transformer as si4attention 1.0.0; writes results/attention_peer.md.

    python -m benchmarks.agreement.attention_maps --peer-python PATH [--count 10] [--seed 0]

`PATH` is a Python with si4attention 1.0.0 and sicore 2.2.0 (newer ones break it). The peer follows an
adaptive grid along the line and proves nothing between its points; chains have an exact level and chance of
drawing. So its p-values are set beside the interval that the chains state, in it or not.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

import onnx_si
from benchmarks.agreement.elsewhere import answers

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "reproduction" / "attention_vit_16.onnx"
SIDE, DRAWS, NARROWEST = 16, 999, 1e-4
SIGNALS = (0.0, 2.0)  # of every other image
LINEAR = ("packed", "out", "hidden.0", "hidden.2")  # an exporter's products have no names, but an order
Answer = dict[str, Any]


def weights() -> dict[str, NDArray[Any]]:
    """The file's, by the names of the torch module."""
    found, products = dict[str, NDArray[Any]](), list[NDArray[Any]]()
    for tensor in onnx.load(MODEL).graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name.startswith("onnx::"):
            products.append(array.T)
        else:
            found[tensor.name] = array
    names = [f"blocks.{i}.{part}.weight" for i in range(len(products) // len(LINEAR)) for part in LINEAR]
    return found | dict(zip(names, products, strict=True))


def images(count: int, seed: int) -> NDArray[np.float64]:
    """Noise, every other image with a square."""
    found = []
    for number in range(count):
        rng, side = np.random.default_rng([seed, number]), SIDE // 3
        image = rng.normal(size=(SIDE, SIDE))
        row, column = rng.integers(SIDE - side + 1, size=2)
        image[row : row + side, column : column + side] += SIGNALS[number % len(SIGNALS)]
        found.append(image.astype(np.float32).astype(np.float64))
    return np.stack(found)


def ours(given: NDArray[np.float64]) -> list[Answer]:
    """Chains on the same images."""
    analysis = onnx_si.prepare(
        onnx_si.load(MODEL),
        sigma=1.0,
        saliency="rollout",
        threshold="minmax:0.6",
        hypothesis="background",
        alternative="two-sided-abs",
        engine="monte-carlo",
        draws=DRAWS,
        p_value_only=True,
    )
    analysis.test(given[0], seed=0)  # imports and the session are not part of a test
    found = []
    for number, image in enumerate(given):
        start, busy = time.perf_counter(), time.process_time()
        result = analysis.test(image, seed=number)
        took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - busy}
        bounds, passes = list(result.p_value_bounds), result.search.forward_passes
        region = np.asarray(result.region).ravel().astype(int).tolist()
        answer: Answer = {"p_value": result.p_value, "p_value_bounds": bounds, "region": region}
        found.append(answer | {"passes": passes} | took)
    return found


HEAD = "| image | signal | region | si4attention p | our p | 99 % of drawing | in it | their s | our s |"


def row(number: int, peer: Answer, own: Answer) -> str:
    """One line of the table."""
    low, high = own["p_value_bounds"]
    same = peer["region"] == own["region"]
    region = f"{sum(own['region'])}" if same else f"{sum(own['region'])}, theirs {sum(peer['region'])}"
    cells = [
        *(f"{number:02d}", f"{SIGNALS[number % len(SIGNALS)]:g}", region),
        *(f"{peer['p_value']:.4f}", f"{own['p_value']:.4f}", f"{low:.4f} to {high:.4f}"),
        "yes" if low <= peer["p_value"] <= high else "no",
        *(f"{peer['cpu_seconds']:.2f}", f"{own['cpu_seconds']:.2f}"),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Ask both, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "attention_peer.md")
    wanted = parser.parse_args()
    given = images(wanted.count, wanted.seed)
    own = ours(given)
    cases = {"images": given, "min_width": NARROWEST, **weights()}
    program, peers = answers(wanted.peer_python, "attention_worker.py", cases)
    pairs = list(zip(peers, own, strict=True))
    inside = sum(b["p_value_bounds"][0] <= a["p_value"] <= b["p_value_bounds"][1] for a, b in pairs)
    same = sum(a["region"] == b["region"] for a, b in pairs)
    ratios = [a["cpu_seconds"] / b["cpu_seconds"] for a, b in pairs]
    lines = [
        "# Beside si4attention\n",
        "Made by `python -m benchmarks.agreement.attention_maps`: the vision transformer of the attention\n"
        "benchmark on the same images, attention rollout, two-sided by absolute value. si4attention follows\n"
        f"a grid of widths {NARROWEST:g} to 0.1 and proves nothing between its points; ours are {DRAWS}\n"
        "chains, with the interval for infinitely many. Seconds are of the processor, one thread.\n",
        f"- {program}; onnx_si {onnx_si.__version__}; {platform.machine()}",
        f"- {len(pairs)} images, seed {wanted.seed}: {same} with the same region, {inside} p-values of "
        "theirs inside the interval",
        f"- their seconds / ours: median {statistics.median(ratios):.3g}, from {min(ratios):.3g} to "
        f"{max(ratios):.3g}\n",
        HEAD,
        "|---" * (HEAD.count("|") - 1) + "|",
        *(row(i, a, b) for i, (a, b) in enumerate(pairs)),
    ]
    wanted.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
