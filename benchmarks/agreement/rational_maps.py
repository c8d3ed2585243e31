"""The same p-values as autosi 0.1.0 on small networks whose maps are polynomials and ratios along the line.

    python -m benchmarks.agreement.rational_maps --peer-python PATH [--count 20] [--seed 0]

`PATH` is a Python with autosi 0.1.0 and sicore 3. Writes results/rational_maps.md. Ends with status 1 where
bounds don't meet or regions differ.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import onnx_si
from benchmarks.agreement.elsewhere import answers
from onnx_si.graph import model_from_proto

ROOT = Path(__file__).resolve().parents[1]
KINDS = (
    *("squared error", "fourth power", "product of errors", "over the size", "over the variance"),
    "signed squared cosine",
)
ROUNDING = 1e-6  # bounds that miss each other by less meet
PRECISION = 1e-4
Case = dict[str, Any]


class Net:
    """A graph in double precision, node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def const(self, values: Any) -> str:
        """Append a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def summed(self, x: str) -> str:
        """Over the channels."""
        return self.add("ReduceSum", x, self.const(np.array([1])), keepdims=1)


def network(case: Case, side: int) -> onnx.ModelProto:
    """The autoencoder and its map over an image of channels and pixels."""
    net, shape = Net(), [1, case["channels"], side, side]
    flat = net.add("Reshape", "x", net.const(np.array([1, -1])))
    hidden = net.add("Add", net.add("MatMul", flat, net.const(case["inward"])), net.const(case["bias"]))
    back = net.add("MatMul", net.add("Relu", hidden), net.const(case["outward"]))
    made = net.add("Reshape", back, net.const(np.array(shape)))
    d = net.add("Sub", "x", made)
    squares = net.summed(net.add("Mul", d, d))
    sizes = [net.summed(net.add("Mul", x, x)) for x in ("x", made)]
    kind = case["kind"]
    if kind == "squared error":
        out = net.add("Identity", squares)
    elif kind == "fourth power":
        out = net.summed(net.add("Pow", d, net.const(np.array(4.0))))
    elif kind == "product of errors":
        out = net.add("Mul", squares, net.add("ReduceL1", d, net.const(np.array([1])), keepdims=1))
    elif kind == "over the size":
        out = net.add("Div", squares, net.add("Add", sizes[0], net.const(np.array(0.5))))
    elif kind == "over the variance":
        apart = net.add("Sub", "x", net.add("ReduceMean", "x", net.const(np.array([1, 2, 3])), keepdims=1))
        spread = net.add(
            "ReduceMean", net.add("Mul", apart, apart), net.const(np.array([1, 2, 3])), keepdims=1
        )
        out = net.add("Div", squares, net.add("Add", spread, net.const(np.array(0.5))))
    else:
        dot = net.summed(net.add("Mul", "x", made))
        below = net.add("Add", net.add("Mul", *sizes), net.const(np.array(0.01)))
        out = net.add("Div", net.add("Mul", dot, net.add("Abs", dot)), below)
    graph = helper.make_graph(
        net.nodes,
        "map",
        [helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, shape)],
        [helper.make_tensor_value_info(out, onnx.TensorProto.DOUBLE, [1, 1, side, side])],
        net.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def cases(count: int, seed: int) -> list[tuple[Case, onnx.ModelProto]]:
    """Random autoencoders, images and levels; a region is neither empty nor everything."""
    found: list[tuple[Case, onnx.ModelProto]] = []
    for number in range(count):
        rng, side, hidden = np.random.default_rng([seed, number]), int(4 + number % 2), 4
        channels = 1 + number % 2
        size = channels * side * side
        while True:
            case: Case = {
                "kind": KINDS[number % len(KINDS)],
                "channels": channels,
                "inward": rng.normal(size=(size, hidden)) / np.sqrt(size),
                "bias": 0.1 * rng.normal(size=hidden),
                "outward": rng.normal(size=(hidden, size)),
                "image": rng.normal(size=size),
                "relative": number % 3 == 2,
                "precision": PRECISION,
                "level": 0.5,
            }
            model = network(case, side)
            values = onnx_si.evaluate(model_from_proto(model), {"x": image_of(case, side)})
            (values,) = values.values()
            if not case["relative"]:
                case["level"] = float(np.round(np.quantile(values, 0.7), 3))
            region = values > (case["level"] * values.max() if case["relative"] else case["level"])
            if 0 < region.sum() < region.size:
                found.append((case, model))
                break
    return found


def image_of(case: Case, side: int) -> np.ndarray:
    """As the network takes it."""
    return np.asarray(case["image"].reshape(1, case["channels"], side, side))


def ours(case: Case, model: onnx.ModelProto) -> dict[str, Any]:
    """One test by this package; the model is loaded before, as theirs is written."""
    side = model.graph.input[0].type.tensor_type.shape.dim[3].dim_value
    loaded = model_from_proto(model)
    threshold = f"max:{case['level']}" if case["relative"] else case["level"]
    start, busy = time.perf_counter(), time.process_time()
    found = onnx_si.test(
        loaded,
        image_of(case, side),
        sigma=1.0,
        saliency=f"output:{model.graph.output[0].name}",
        threshold=threshold,
        hypothesis="background",
        alternative="two-sided",
        precision=PRECISION,
        layout="NCHW",
        engine="exact",
        p_value_only=True,
        verify=0,
    )
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy,
        "p_value_bounds": list(found.p_value_bounds),
        "region": np.asarray(found.region).ravel().astype(int).tolist(),
        "pieces": found.search.pieces,
    }


def theirs(python: str, chosen: list[Case]) -> tuple[str, list[dict[str, Any]]]:
    """The peer's answers, and what it is."""
    arrays = {f"{i}/{name}": np.asarray(v) for i, case in enumerate(chosen) for name, v in case.items()}
    return answers(python, "autosi_worker.py", {"count": len(chosen), **arrays})


def gap(a: dict[str, Any], b: dict[str, Any]) -> float:
    """How far two pairs of bounds miss each other."""
    (low, high), (least, most) = a["p_value_bounds"], b["p_value_bounds"]
    return max(0.0, low - most, least - high)


HEAD = "| case | map | threshold | region | autosi s | our s | ratio | autosi bounds | our bounds | gap |"


def row(number: int, case: Case, peer: dict[str, Any], own: dict[str, Any]) -> str:
    """One line of the table."""
    threshold = f"max:{case['level']}" if case["relative"] else f"{case['level']:g}"
    bounds = ("{:.6f} to {:.6f}".format(*one["p_value_bounds"]) for one in (peer, own))
    cells = [
        *(f"{number:02d}", case["kind"], threshold, f"{sum(own['region'])} of {len(own['region'])}"),
        *(f"{peer['seconds']:.3g}", f"{own['seconds']:.3g}", f"{peer['seconds'] / own['seconds']:.3g}"),
        *(*bounds, f"{gap(peer, own):.1g}"),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Ask both, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "rational_maps.md")
    wanted = parser.parse_args()
    chosen = cases(wanted.count, wanted.seed)
    ours(*chosen[0])  # imports are not part of a test
    own = [ours(case, model) for case, model in chosen]
    program, peers = theirs(wanted.peer_python, [case for case, _ in chosen])
    good = [gap(a, b) <= ROUNDING and a["region"] == b["region"] for a, b in zip(peers, own, strict=True)]
    ratios = [a["seconds"] / b["seconds"] for a, b in zip(peers, own, strict=True)]
    lines = [
        "# Agreement with autosi\n",
        "Made by `benchmarks.agreement.rational_maps`; what is compared: "
        "[README](../README.md#maps-of-higher-degree).\n",
        f"- {len(chosen)} cases, seed {wanted.seed}, {sum(good)} with the same region and bounds that meet",
        f"- {program}; onnx_si {onnx_si.__version__}; precision {PRECISION:g}, equal tails",
        f"- {platform.machine()}, one thread; autosi seconds / our seconds: median "
        f"{statistics.median(ratios):.3g}, from {min(ratios):.3g} to {max(ratios):.3g}\n",
        HEAD,
        "|---" * (HEAD.count("|") - 1) + "|",
        *(row(i, case, a, b) for i, ((case, _), a, b) in enumerate(zip(chosen, peers, own, strict=True))),
    ]
    wanted.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
