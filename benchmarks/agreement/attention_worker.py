"""Answers cases with si4attention, in its own environment: `attention_worker.py CASES.npz`; one JSON a line.

The transformer is the trained one of this repository, with the ONNX file's weights, in double precision. The
peer takes a torch module that gives the attention matrices of all layers, averaged over heads. It would
resize its map with the corners aligned; here with half-pixel centres as ours, so that both test one map.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from si4attention import test_attention_map

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reproduction"))
from attention_train import HEADS, WIDTH, Block, Transformer  # type: ignore[import-not-found]


class HalfPixel(torch.nn.Upsample):
    """The resizing that the peer asks for, with half-pixel centres."""

    def __init__(self, *, size: tuple[int, ...], mode: str, align_corners: bool) -> None:
        super().__init__(size=size, mode=mode, align_corners=False)


def attention_of(block: Block, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A block's attention matrix, and what it hands on."""
    n, tokens, _ = x.shape
    parts = block.packed(block.first(x)).reshape(n, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    query, key, value = parts[0], parts[1], parts[2]
    weights = torch.softmax(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, -1)
    x = x + block.out((weights @ value).transpose(1, 2).reshape(n, tokens, WIDTH))
    return weights.mean(1), x + block.hidden(block.second(x))


class Shown(Transformer):
    """The transformer, by its attention matrices: (images, layers, tokens, tokens)."""

    def extract_weights(self, image: torch.Tensor) -> torch.Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        found = []
        for block in self.blocks:
            weights, x = attention_of(block, x)
            found.append(weights)
        return torch.stack(found, 1)


def main() -> None:
    torch.set_num_threads(1)
    torch.nn.Upsample = HalfPixel  # type: ignore[misc]
    arrays = dict(np.load(sys.argv[1]))
    images, width = arrays.pop("images"), float(arrays.pop("min_width"))
    net = Shown(images.shape[-1])
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    net = net.double().eval()
    print(json.dumps({"program": f"si4attention {version('si4attention')}, sicore {version('sicore')}"}))
    for image in images:
        start, busy = time.perf_counter(), time.process_time()
        p_value, _, shown = test_attention_map(
            net, torch.from_numpy(image)[None, None], cov=1.0, threshold=0.6, min_width=width
        )
        took = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - busy}
        region = (shown > 0.6).ravel().int().tolist()
        print(json.dumps({"p_value": float(p_value), "region": region, **took}), flush=True)


if __name__ == "__main__":
    main()
