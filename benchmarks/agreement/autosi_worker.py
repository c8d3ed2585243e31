"""Answers cases with autosi, in its own environment: `python autosi_worker.py CASES.npz`; one JSON a line.

autosi knows no networks: the autoencoder and its map are written here in its tracked arrays. A Relu is a
number times whether it is positive.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import autosi as asi
import numpy as np


def reconstructed(y: Any, case: dict[str, np.ndarray]) -> Any:
    """What a dense autoencoder with one hidden layer makes of an image."""
    hidden = y @ asi.array(case["inward"]) + case["bias"]
    return (hidden * (hidden > 0)) @ asi.array(case["outward"])


def map_of(y: Any, case: dict[str, np.ndarray]) -> Any:
    """The map, a row of pixels: images are channels times pixels."""
    channels = int(case["channels"])
    pixels = y.size // channels
    made = reconstructed(y, case)
    d = (y - made).reshape(channels, pixels)
    x, made = y.reshape(channels, pixels), made.reshape(channels, pixels)
    squares = asi.sum(d * d, axis=0)
    kind = str(case["kind"])
    if kind == "squared error":
        return squares
    if kind == "fourth power":
        return asi.sum(d * d * d * d, axis=0)
    if kind == "product of errors":
        return squares * asi.sum(asi.abs(d), axis=0)
    if kind == "over the size":
        return squares / (asi.sum(x * x, axis=0) + 0.5)
    if kind == "over the variance":
        return squares / (asi.var(y) + 0.5)
    dot = asi.sum(x * made, axis=0)  # the squared cosine with its sign
    return dot * asi.abs(dot) / (asi.sum(x * x, axis=0) * asi.sum(made * made, axis=0) + 0.01)


def region_of(y: Any, case: dict[str, np.ndarray]) -> Any:
    """Pixels above the level, or above a share of the largest value."""
    values = map_of(y, case)
    level = float(case["level"])
    bound = asi.max(values) * level if bool(case["relative"]) else level
    return np.asarray(values > bound).astype(float)


def answer(case: dict[str, np.ndarray]) -> dict[str, Any]:
    """One test: region against the rest, equal tails (sicore's two-sided)."""
    image = case["image"]
    y = asi.array(image)
    region = region_of(y, case)
    inside = np.tile(region, int(case["channels"])) > 0
    eta = np.where(inside, 1 / inside.sum(), -1 / (~inside).sum())
    start, busy = time.perf_counter(), time.process_time()
    found = asi.inference(
        eta=asi.array(eta),
        prob_vec=y,
        var=1.0,
        algorithm=lambda y: region_of(y, case),
        model=region,
        precision=float(case["precision"]),
    )
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "p_value_bounds": [float(found.inf_p), float(found.sup_p)],
        "region": region.astype(int).tolist(),
        "pieces": int(found.search_count),
    }


def main() -> None:
    """Every case of the file."""
    print(json.dumps({"program": f"autosi {version('autosi')}, sicore {version('sicore')}"}), flush=True)
    with np.load(sys.argv[1]) as data:
        count = int(data["count"])
        for number in range(count):
            start = f"{number}/"
            case = {name.removeprefix(start): data[name] for name in data.files if name.startswith(start)}
            print(json.dumps(answer(case)), flush=True)


if __name__ == "__main__":
    main()
