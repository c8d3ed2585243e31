"""How often a square is found: by size of the image, kind of map, and what is asked for more power.

    python benchmarks/validity/power.py --output benchmarks/results/power.json [--sizes 8 16] [--seconds 240]
    python benchmarks/validity/power.py --output benchmarks/results/power.json --table

Images are N(0, 1) noise with a square of mean 1, a quarter of the image's side (at least 4 pixels), at a
random place; the hypothesis is `background`, the threshold `max:0.5`, the level 0.05. The networks have fixed
weights: two smoothing convolutions with a Relu between them (`fine`), and the same pooled by 4 with another
convolution, brought back to the image's size by `--resize linear` or `nearest`. Every row keeps its seed and
number of trials; a row that is in the output is not run again. Larger images have fewer trials.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_si.simulation.experiment import simulate

SEED, SIGNAL, POOL = 0, 1.0, 4
TRIALS = {8: 100, 16: 100, 32: 100, 64: 60, 128: 24, 256: 8}
MAPS = {"fine": None, "coarse linear": "linear", "coarse nearest": "nearest"}
SHARES = (0.1, 0.2, 0.5, 1.0)
PLAIN = {"plain": {}}
WAYS = {
    **PLAIN,
    **{f"randomise {share:g}": {"randomise": share} for share in SHARES},
    **{f"thin {share:g}": {"thin": share} for share in SHARES},
    **{f"coarsen {side}": {"coarsen": side} for side in (2, 4, 8)},
    "coarsen 4, randomise 0.2": {"coarsen": 4, "randomise": 0.2},
}


def blur(side: int) -> np.ndarray:
    """Binomial weights of sum 1."""
    row = np.array([1.0])
    for _ in range(side - 1):
        row = np.convolve(row, [0.5, 0.5])
    return np.outer(row, row)


def network(size: int, *, coarse: bool) -> onnx.ModelProto:
    """Smoothing, Relu, smoothing; pooled and smoothed once more for a coarse map."""
    weights = {
        "w1": blur(5)[None, None],
        "b1": np.array([-0.1]),
        "w2": blur(5)[None, None],
        "w3": blur(3)[None, None],
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[2] * 4),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2" if coarse else "map"], pads=[2] * 4),
    ]
    if coarse:
        nodes += [
            helper.make_node("AveragePool", ["c2"], ["p"], kernel_shape=[POOL] * 2, strides=[POOL] * 2),
            helper.make_node("Conv", ["p", "w3"], ["map"], pads=[1] * 4),
        ]
    out = size // POOL if coarse else size
    graph = helper.make_graph(
        nodes,
        "smoothing",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, size, size])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, out, out])],
        [
            numpy_helper.from_array(w.astype(np.float32), name)
            for name, w in weights.items()
            if coarse or name != "w3"
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cases(sizes: list[int]) -> list[tuple[int, str, str]]:
    """Size, map and way, where blocks are neither the whole image nor finer than the map."""
    found = []
    for size in sizes:
        for name, resize in MAPS.items():
            for way, options in WAYS.items():
                side = options.get("coarsen", 1)
                if resize and size < 16:
                    continue
                if side * 2 <= size and not (resize and 1 < side < 2 * POOL):
                    found.append((size, name, way))
    return found


def row(folder: str, size: int, name: str, way: str, trials: int) -> dict:
    resize = MAPS[name]
    path = Path(folder) / f"{size}_{bool(resize)}.onnx"
    onnx.save(network(size, coarse=bool(resize)), path)
    options = {**WAYS[way], **({"resize": resize} if resize else {})}
    search = {} if "thin" in options else {"precision": 1e-3, "decide": True}
    started = time.process_time()
    found = simulate(
        str(path),
        (SIGNAL,),
        trials=trials,
        size=max(4, size // 4),
        seed=SEED,
        jobs=1,
        hypothesis="background",
        threshold="max:0.5",
        saliency="output:map",
        **search,
        **options,
    )
    (one,) = found.rows
    seconds = (time.process_time() - started) / trials
    kept = {k: getattr(one, k) for k in ("trials", "tested", "rejected", "reject_rate", "reject_interval")}
    return {
        "size": size,
        "map": name,
        "way": way,
        "seed": SEED,
        "cpu_seconds_each": round(seconds, 4),
        **kept,
    }


def table(rows: list[dict]) -> str:
    """Power by size, one table for each map, with the intervals' half width as a guide below."""
    lines = []
    for name in MAPS:
        chosen = [r for r in rows if r["map"] == name]
        sizes = sorted({r["size"] for r in chosen})
        lines += [
            f"\n### {name}\n",
            "| | " + " | ".join(f"{s} x {s}" for s in sizes) + " |",
            "|---" * (len(sizes) + 1) + "|",
        ]
        for way in WAYS:
            by_size = {r["size"]: r for r in chosen if r["way"] == way}
            if by_size:
                cells = [f"{by_size[s]['reject_rate']:.2f}" if s in by_size else "" for s in sizes]
                lines.append(f"| {way} | " + " | ".join(cells) + " |")
        counts = [str(max(r["tested"] for r in chosen if r["size"] == s)) for s in sizes]
        lines.append("| tests | " + " | ".join(counts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=sorted(TRIALS))
    parser.add_argument("--seconds", type=float, default=1e9, help="start no row after so many seconds")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    asked = parser.parse_args()
    rows = json.loads(asked.output.read_text()) if asked.output.exists() else []
    if asked.table:
        print(table(rows))
        return
    done, started = {(r["size"], r["map"], r["way"]) for r in rows}, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(asked.sizes):
            if case in done or time.monotonic() - started > asked.seconds:
                continue
            rows.append(row(folder, *case, TRIALS[case[0]]))
            part = asked.output.with_suffix(".part")
            part.write_text(json.dumps(rows, indent=1) + "\n")
            part.replace(asked.output)
            print(rows[-1]["size"], rows[-1]["map"], rows[-1]["way"], rows[-1]["reject_rate"], flush=True)


if __name__ == "__main__":
    main()
