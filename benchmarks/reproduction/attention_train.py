"""Trains the vision transformer of benchmarks.reproduction.attention, and writes it as ONNX (needs torch).

    python -m benchmarks.reproduction.attention_train --size 16 --steps 1000

Patches of max(2, d/8), 8 blocks, 4 heads, width 64, a class token; half of the images are N(0, 1) noise, the
others have a square of side d/3 at a random place, 1 to 4 brighter. Fresh images at every step, by a seed.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

WIDTH, HEADS, BLOCKS, HIDDEN = 64, 4, 8, 128


class Block(nn.Module):
    """Attention by its definition, so that its matrix is a tensor of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.packed, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.hidden = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, _ = x.shape
        parts = self.packed(self.first(x)).reshape(n, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        weights = torch.softmax(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, -1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(n, tokens, WIDTH))
        return x + self.hidden(self.second(x))


class Transformer(nn.Module):
    """Two scores: no square, a square."""

    def __init__(self, size: int) -> None:
        super().__init__()
        patch = max(2, size // 8)
        self.patches = nn.Conv2d(1, WIDTH, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.places = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, WIDTH) * 0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.norm, self.scores = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        return self.scores(self.norm(self.blocks(x))[:, 0])


def drawn(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, and which of them have a square."""
    x, side = torch.randn(count, 1, size, size), size // 3
    has = torch.arange(count) % 2
    for i in torch.nonzero(has).ravel().tolist():
        row, column = torch.randint(size - side + 1, (2,)).tolist()
        x[i, 0, row : row + side, column : column + side] += float(torch.rand(1)) * 3 + 1
    return x, has


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)
    net = Transformer(arguments.size)
    optimiser = torch.optim.AdamW(net.parameters(), 5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, arguments.steps)
    for step in range(arguments.steps):
        x, has = drawn(arguments.batch, arguments.size)
        loss = nn.functional.cross_entropy(net(x), has)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"{step}: {loss.item():.3f}", flush=True)
    net.eval()
    x, has = drawn(1000, arguments.size)
    with torch.no_grad():
        print(f"right: {(net(x).argmax(1) == has).float().mean().item():.3f} of 1000 new images")
    path = Path(__file__).with_name(f"attention_vit_{arguments.size}.onnx")
    names = {"input_names": ["image"], "output_names": ["scores"], "dynamic_axes": {"image": {0: "n"}}}
    torch.onnx.export(net, (x[:1],), str(path), dynamo=False, opset_version=17, **names)
    print(f"written: {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
