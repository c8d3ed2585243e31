"""Answers job folders with the onnx_si that is on PYTHONPATH, whichever revision: one line of JSON each.

Run by `benchmarks.speed.pairs`. `seconds` is the least processor time of a test, after one that warms up.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

import onnx_si

OPTIONS = ("sigma", "saliency", "threshold", "hypothesis", "precision", "target")
ALTERNATIVE = "two-sided"  # as every revision has it
FEWEST = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--core")
    arguments = parser.parse_args()
    if arguments.core:
        os.sched_setaffinity(0, set(map(int, arguments.core.split(","))))
    for folder in arguments.folders:
        print(json.dumps(answer(folder, arguments.seconds, arguments.whole)), flush=True)


def answer(folder: Path, seconds: float, whole: bool) -> dict[str, object]:
    spec = json.loads((folder / "job.json").read_text())
    options = {key: spec[key] for key in OPTIONS} | {"alternative": ALTERNATIVE}
    options |= {} if whole else {"p_value_only": True, "verify": 0}
    model, image = onnx_si.load(str(folder / "model.onnx")), np.load(folder / "data.npz")["image"]
    result, spent = onnx_si.test(model, image, **options), list[float]()
    while len(spent) < FEWEST or sum(spent) < seconds:
        began = time.process_time()
        result = onnx_si.test(model, image, **options)
        spent.append(time.process_time() - began)
    return {
        "seconds": min(spent),
        "repeats": len(spent),
        "p_value": result.p_value,
        "package": str(Path(onnx_si.__file__).parents[1]),
    }


if __name__ == "__main__":
    main()
