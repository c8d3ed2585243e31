"""The Monte-Carlo engine and thinning on real architectures at their sizes; writes results/large.md.

    python benchmarks/reproduction/large_nets.py FOLDER        (needs torch)
    python benchmarks/reproduction/large.py FOLDER [--only NAME] [--draws 199] [--threads 2]

Each test is a process of its own, so that its peak memory is its own. `share of onnxruntime` is the time in
the runtime's calls over that of the whole test, besides loading the file and making its map (`ready`).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CASES = {
    "mobilenet_v2": ({"saliency": "gradcam"}, 15),
    "resnet_18": ({"saliency": "gradcam"}, 60),
    "unet_256": ({"saliency": "output:scores"}, 90),
    "efficientnet_b0": ({"saliency": "gradcam"}, None),
    "convnext_t": ({"saliency": "gradcam"}, None),
    "vit_b_16": ({"saliency": "rollout"}, None),
    "vit_b_16, gradcam": ({"saliency": "gradcam"}, None),
}
HEAD = "| network | test | p-value | passes | chains | ready s | test s | of it onnxruntime | target s | peak GB |"


def one(path: str, options: dict[str, object], threads: int) -> dict[str, object]:
    """One test, in this process."""
    import numpy as np
    import onnxruntime

    import onnx_si
    from onnx_si.runtime import deployed

    spent = [0.0, 0]

    class Session(onnxruntime.InferenceSession):
        def __init__(self, *given: object, **named: object) -> None:
            super().__init__(*given, **named)

        def run(self, *given: object, **named: object) -> object:
            started = time.perf_counter()
            try:
                return super().run(*given, **named)
            finally:
                spent[0] += time.perf_counter() - started
                spent[1] += 1

    made = onnxruntime.InferenceSession
    onnxruntime.InferenceSession = Session
    del made, deployed
    model = onnx_si.load(path)
    shape = tuple(model.inputs[0].shape)
    image = np.random.default_rng(0).normal(size=shape)
    side = shape[-1] // 4
    image[..., side : 2 * side, side : 2 * side] += 0.5
    analysis = onnx_si.prepare(model, sigma=1.0, threshold="minmax:0.6", **options)
    first = []
    started = time.perf_counter()
    stamps: list[float] = []
    result = analysis.test(image, progress=lambda seen: stamps.append(time.perf_counter()))
    whole, runtime = time.perf_counter() - started, spent[0]
    del first
    engine = float(result.search["seconds"])
    return {
        "p": result.p_value,
        "guarantee": result.guarantee,
        "passes": result.search["forward_passes"],
        "chains": result.search.get("draws"),
        "ready": whole - engine,
        "seconds": engine,
        "runtime": runtime,
        "calls": spent[1],
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "pixels": int(result.region.sum()),
        "threads": threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--draws", type=int, default=199)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        told = json.loads(arguments.child)
        print(json.dumps(one(told["path"], told["options"], arguments.threads)))
        return
    print(HEAD, "|---" * 10 + "|", sep="\n", flush=True)
    for name, (options, target) in CASES.items():
        if arguments.only not in name:
            continue
        path = str(arguments.folder / f"{name.split(',')[0]}.onnx")
        ways = {"chains": {"engine": "monte-carlo", "draws": arguments.draws}, "thin 0.5": {"thin": 0.5}}
        for way, how in ways.items():
            told = json.dumps({"path": path, "options": {**options, **how}})
            command = [sys.executable, __file__, str(arguments.folder), "--child", told]
            found = subprocess.run(
                [*command, "--threads", str(arguments.threads)],
                capture_output=True,
                text=True,
                timeout=3600,
                check=False,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            if found.returncode:
                print(f"| {name} | {way} | {found.stderr.strip().splitlines()[-1]} |", flush=True)
                continue
            row = json.loads(found.stdout)
            cells = [
                f"{name} ({options['saliency']})",
                way,
                f"{row['p']:.3g}",
                row["passes"],
                row["chains"] or "-",
                f"{row['ready']:.1f}",
                f"{row['seconds']:.1f}",
                f"{row['runtime']:.1f} s in {row['calls']} calls",
                target if target and way == "chains" else "-",
                f"{row['peak']:.2f}",
            ]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
