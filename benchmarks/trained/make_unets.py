# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.*", "onnx>=1.17", "onnxscript>=0.5"]
# ///
"""Train U-Nets as users have them, for benchmarks: 64 x 64 pixels, ten 3 x 3 convolutions, 8 to 16 channels.

    uv run benchmarks/trained/make_unets.py [NAME...]

`bilinear` and `transposed` say where a bright disc or square is in N(0, 1) noise, with a Sigmoid at the end;
`classes` tells discs (1) from squares (2) and background (0). Each takes about a minute on one core. Their
weights are not those of random networks: what they see in noise is faint nearly everywhere, so that many
pixels are near the threshold along the whole line.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
SEED, SIDE, STEPS, BATCH = 0, 64, 500, 16
CONTRAST = (0.7, 2.0)
IMAGES = 3  # of each model, with an object of contrast 1


def convolutions(*channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def widening(channels: int, *, transposed: bool) -> nn.Module:
    if transposed:
        return nn.ConvTranspose2d(channels, channels, 2, stride=2)
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


class UNet(nn.Module):
    """Two poolings, two skip connections, ten 3 x 3 convolutions and a 1 x 1 head."""

    def __init__(self, outputs: int, *, transposed: bool) -> None:
        super().__init__()
        self.first, self.second, self.bottom = (
            convolutions(1, 8, 8),
            convolutions(8, 16, 16),
            convolutions(16, 16, 16),
        )
        self.pool = nn.MaxPool2d(2)
        self.widen_2 = widening(16, transposed=transposed)
        self.widen_1 = widening(16, transposed=transposed)
        self.up_2, self.up_1 = convolutions(32, 16, 16), convolutions(24, 8, 8)
        self.head = nn.Conv2d(8, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        second = self.second(self.pool(first))
        bottom = self.bottom(self.pool(second))
        up = self.up_2(torch.cat([self.widen_2(bottom), second], dim=1))
        scores = self.head(self.up_1(torch.cat([self.widen_1(up), first], dim=1)))
        return torch.sigmoid(scores) if scores.shape[1] == 1 else scores


def draw(rng: np.random.Generator, contrast: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """An image of noise with a disc or a square, and the class of each pixel: 1 or 2 on it."""
    half, kind = int(rng.integers(5, 12)), int(rng.integers(1, 3))
    row, column = rng.integers(half, SIDE - half, size=2)
    y, x = np.mgrid[:SIDE, :SIDE]
    far = np.hypot(y - row, x - column) if kind == 1 else np.maximum(abs(y - row), abs(x - column))
    labels = np.where(far <= half, kind, 0)
    height = rng.uniform(*CONTRAST) if contrast is None else contrast
    return rng.normal(size=(SIDE, SIDE)) + height * (labels > 0), labels


def trained(name: str, rng: np.random.Generator) -> UNet:
    torch.manual_seed(SEED)
    net = UNet(3 if name == "classes" else 1, transposed=name == "transposed").train()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for step in range(STEPS):
        images, labels = map(np.stack, zip(*(draw(rng) for _ in range(BATCH)), strict=True))
        found = net(torch.tensor(images[:, None], dtype=torch.float32))
        if name == "classes":
            loss = nn.functional.cross_entropy(found, torch.tensor(labels))
        else:
            wanted = torch.tensor(labels[:, None] > 0, dtype=torch.float32)
            loss = nn.functional.binary_cross_entropy(found, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 99:
            print(f"{name}: step {step + 1}, loss {loss.item():.4f}", flush=True)
    return net.eval()


def make(name: str) -> None:
    started, rng = time.perf_counter(), np.random.default_rng(SEED)
    net = trained(name, rng)
    path = HERE / f"{name}.onnx"
    outputs = ["scores" if name == "classes" else "mask"]
    program = torch.onnx.export(net, (torch.zeros(1, 1, SIDE, SIDE),), dynamo=True, verbose=False)
    proto = program.model_proto
    proto.graph.doc_string = f"benchmarks/trained/make_unets.py, seed {SEED}, torch {torch.__version__}"
    for old, new in zip((o.name for o in list(proto.graph.output)), outputs, strict=True):
        for node in proto.graph.node:
            node.output[:] = [new if output == old else output for output in node.output]
            node.input[:] = [new if read == old else read for read in node.input]
        proto.graph.output[0].name = new
    for node in proto.graph.node:  # where each was traced: a path of the machine
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.graph.value_info[:]
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())
    images = np.stack([draw(np.random.default_rng([SEED, i]), 1.0)[0] for i in range(IMAGES)])
    np.save(HERE / "images.npy", images.astype(np.float32), allow_pickle=False)
    print(f"{path.name}: {path.stat().st_size} bytes, {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or ["bilinear", "transposed", "classes"]:
        make(chosen)
