"""Smooth networks: proven bounds beside chains; writes results/smooth.md.

    python -m benchmarks.smooth [--images 3] [--time-limit 120] [--only NAME]

Random weights, images of noise with standard deviation 1, a value threshold that marks a part of the image;
InstanceNorm or GroupNorm after each of six convolutions of a U-Net with one level, 8 and 16 channels. The
vision transformer is the trained one of the attention benchmark, its map attention rollout. Passes are
multiply-adds over those of a forward pass in float64; of chains, runs of the model in onnxruntime (float32).
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnx_si

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "smooth.md"
VIT = HERE / "reproduction" / "attention_vit_16.onnx"
PRECISIONS = (1e-3, 1e-6)
HEAD = """\
# Smooth networks

Made by `python -m benchmarks.smooth`, on one core. Seconds are the processor's: other work on the machine
makes them more, by up to a half, and the clock's far more. Certified p-values have proven bounds; the table
has the widest of all images, and means of the rest. A pass is the arithmetic of one forward pass in float64,
of chains a run in onnxruntime. A search that ended early, at its time limit or because only rounding was
left, has true bounds that are wider than wanted. Where it is refused,
rounding, as far as it can be bounded, may lead to another region at the image itself. The transformer is
beside si4attention in [attention_peer.md](attention_peer.md), maps of higher degree are beside autosi in
[rational_maps.md](rational_maps.md).

| network | engine | wanted | images | widest bounds | passes | cells | processor seconds | ended early |
|---|---|---|---|---|---|---|---|---|
"""


class Graph:
    """A network in the making, with weights from one seed."""

    def __init__(self, size: int):
        self.size, self.rng = size, np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(value)
        kept = array if array.dtype.kind == "i" else array.astype(np.float32)
        self.constants.append(numpy_helper.from_array(kept, name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, list(inputs), [name], name=f"n{len(self.nodes)}", **attributes)
        )
        return name

    def conv(self, x: str, inside: int, outside: int, kernel: int = 3) -> str:
        weight = self.rng.normal(size=(outside, inside, kernel, kernel)) / np.sqrt(inside * kernel**2)
        bias = 0.3 * self.rng.normal(size=outside)
        return self.add("Conv", x, self.constant(weight), self.constant(bias), pads=[kernel // 2] * 4)

    def finish(self, output: str) -> onnx_si.Model:
        shape = [1, 1, self.size, self.size]
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [output], ["map"])],
            "smooth",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("map", TensorProto.FLOAT, None)],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return onnx_si.load(onnx.shape_inference.infer_shapes(made).SerializeToString())


def activation(graph: Graph, x: str, kind: str) -> str:
    """SiLU as it is exported, any other op by its name."""
    return graph.add("Mul", x, graph.add("Sigmoid", x)) if kind == "SiLU" else graph.add(kind, x)


def norm(graph: Graph, x: str, channels: int, kind: str) -> str:
    """A normalisation with factors of one."""
    ones, zeros = graph.constant(np.ones(channels)), graph.constant(np.zeros(channels))
    groups = {"num_groups": 2} if kind == "Group" else {}
    return graph.add(f"{kind}Normalization", x, ones, zeros, **groups)


def unet(size: int, kind: str, normed: str = "Instance", width: int = 8) -> onnx_si.Model:
    """Two convolutions, a level below with two of twice the width, two more, and one that makes the map."""
    graph = Graph(size)

    def block(x: str, inside: int, outside: int) -> str:
        for read in (inside, outside):
            x = activation(graph, norm(graph, graph.conv(x, read, outside), outside, normed), kind)
        return x

    top = block("x", 1, width)
    low = block(graph.add("AveragePool", top, kernel_shape=[2, 2], strides=[2, 2]), width, 2 * width)
    up = graph.add("Resize", low, "", graph.constant(np.array([1.0, 1, 2, 2])), mode="nearest")
    x = block(graph.add("Concat", top, up, axis=1), 3 * width, width)
    return graph.finish(graph.conv(x, width, 1, kernel=1))


def deep_unet(size: int, kind: str, width: int = 16) -> onnx_si.Model:
    """A U-Net with two levels below the first: 16, 32 and 64 channels."""
    graph = Graph(size)

    def block(x: str, inside: int, outside: int) -> str:
        for read in (inside, outside):
            x = activation(graph, norm(graph, graph.conv(x, read, outside), outside, "Instance"), kind)
        return x

    def down(x: str) -> str:
        return graph.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])

    def up(x: str) -> str:
        return graph.add("Resize", x, "", graph.constant(np.array([1.0, 1, 2, 2])), mode="nearest")

    top = block("x", 1, width)
    low = block(down(top), width, 2 * width)
    lowest = block(down(low), 2 * width, 4 * width)
    low = block(graph.add("Concat", low, up(lowest), axis=1), 6 * width, 2 * width)
    x = block(graph.add("Concat", top, up(low), axis=1), 3 * width, width)
    return graph.finish(graph.conv(x, width, 1, kernel=1))


def layered(size: int, width: int = 8) -> onnx_si.Model:
    """GELU convolutions with layer normalisation over channels, as ConvNeXt's, in front of a linear head."""
    graph = Graph(size)
    x = graph.conv("x", 1, width)
    for _ in range(2):
        rows = graph.add("Transpose", x, perm=[0, 2, 3, 1])
        ones, zeros = graph.constant(np.ones(width)), graph.constant(np.zeros(width))
        rows = graph.add("LayerNormalization", rows, ones, zeros, axis=-1)
        x = activation(
            graph, graph.conv(graph.add("Transpose", rows, perm=[0, 3, 1, 2]), width, width), "Gelu"
        )
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    head = graph.constant(graph.rng.normal(size=(3, width)))
    return graph.finish(graph.add("Gemm", flat, head, graph.constant(np.zeros(3)), transB=1))


def excited(size: int, width: int = 8) -> onnx_si.Model:
    """SiLU convolutions with a squeeze-and-excitation block in front of a linear head."""
    graph = Graph(size)
    x = activation(graph, graph.conv("x", 1, width), "SiLU")
    gate = activation(graph, graph.conv(graph.add("GlobalAveragePool", x), width, 4, kernel=1), "SiLU")
    x = graph.add("Mul", x, graph.add("Sigmoid", graph.conv(gate, 4, width, kernel=1)))
    x = activation(graph, graph.conv(x, width, width), "SiLU")
    flat = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    head = graph.constant(graph.rng.normal(size=(3, width)))
    return graph.finish(graph.add("Gemm", flat, head, graph.constant(np.zeros(3)), transB=1))


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network and what is asked of it."""

    name: str
    size: int
    make: Callable[[], Any]
    options: dict[str, Any] = field(default_factory=dict)
    precisions: tuple[float, ...] = PRECISIONS


MAP = {"saliency": "output:map", "threshold": 0.5}
ROWS = [
    *(
        Row(
            name=f"U-Net, {normed}Norm, {kind}, {size} x {size}",
            size=size,
            make=lambda size=size, kind=kind, normed=normed: unet(size, kind, normed),
            options=MAP,
        )
        for size in (16, 32)
        for kind, normed in (
            ("SiLU", "Instance"),
            ("Gelu", "Instance"),
            ("Tanh", "Instance"),
            ("SiLU", "Group"),
        )
    ),
    Row(
        name="squeeze-and-excitation classifier, SiLU, 32 x 32, gradcam",
        size=32,
        make=lambda: excited(32),
        options={"saliency": "gradcam", "threshold": "max:0.5"},
    ),
    Row(
        name="classifier with LayerNorm, Gelu, 32 x 32, gradcam",
        size=32,
        make=lambda: layered(32),
        options={"saliency": "gradcam", "threshold": "max:0.5"},
    ),
    Row(
        name="U-Net of 16, 32, 64 channels, InstanceNorm, SiLU, 64 x 64",
        size=64,
        make=lambda: deep_unet(64, "SiLU"),
        options=MAP,
        precisions=(1e-3,),
    ),
    Row(
        name="U-Net, InstanceNorm, LeakyRelu, 32 x 32",
        size=32,
        make=lambda: unet(32, "LeakyRelu"),
        options=MAP,
        precisions=(1e-2,),
    ),
    Row(
        name="vision transformer of 8 blocks, 16 x 16, rollout",
        size=16,
        make=lambda: str(VIT),
        options={"saliency": "rollout", "threshold": "minmax:0.6"},
    ),
]


def images(row: Row, count: int) -> Iterator[Any]:
    for seed in range(count):
        yield np.random.default_rng([seed, row.size]).normal(size=(row.size, row.size))


def measured(row: Row, engine: str, precision: float, count: int, limit: float) -> str:
    """One line of the table."""
    options = {"sigma": 1.0, "hypothesis": "background", "verify": 0, **row.options}
    options |= {"engine": engine}
    if engine == "certified":
        options |= {"precision": precision, "time_limit": limit}
    analysis, found, seconds = onnx_si.prepare(row.make(), **options), [], []
    for image in images(row, count):
        began = time.process_time()
        try:
            found.append(analysis.test(image))
            seconds.append(time.process_time() - began)
        except onnx_si.OnnxSIError as error:
            print(f"{row.name}: {error}", flush=True)
    if not found:
        return f"| {row.name} | {engine} | {precision:g} | {count} | refused | | | | |"
    mean = {
        name: np.mean([getattr(result.search, name) or 0 for result in found])
        for name in ("forward_passes", "cells")
    }
    widths = [high - low for low, high in (result.p_value_bounds for result in found)]
    early = sum(not result.search.complete for result in found)
    proven = engine == "certified"
    cells = [
        row.name,
        engine,
        f"{precision:g}" if proven else "999 chains",
        str(len(found)),
        f"{max(widths):.1e}" if proven else "none proven",
        f"{mean['forward_passes']:.0f}",
        f"{mean['cells']:.0f}" if proven else "",
        f"{np.mean(seconds):.1f}",
        str(early) if proven else "",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure every row and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--time-limit", type=float, default=120.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", type=Path, help="lines so far, to go on from (JSON)")
    asked = parser.parse_args()
    lines = json.loads(asked.keep.read_text()) if asked.keep and asked.keep.exists() else {}
    keys = list[str]()
    for row in ROWS:
        for engine, precision in (*(("certified", p) for p in row.precisions), ("monte-carlo", 0.0)):
            key = f"{row.name} {engine} {precision:g}"
            keys.append(key)
            if asked.only not in row.name or key in lines:
                continue
            lines[key] = measured(row, engine, precision, asked.images, asked.time_limit)
            print(lines[key], flush=True)
            if asked.keep:
                asked.keep.write_text(json.dumps(lines))
    made = "\n".join(lines[key] for key in keys if key in lines)
    RESULTS.write_text(f"{HEAD}{made}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
