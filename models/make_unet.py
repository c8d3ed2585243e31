# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.*", "onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"]
# ///
"""Train a small U-Net that segments a square or a disc in N(0, 1) noise, and write unet_32.

    uv run models/make_unet.py

The object is faint, every training image carries one, and its pixels weigh more than the others: a network
that would rather find too much than too little, and finds objects in pure noise too. Its p-values matter.

Two poolings, one ConvTranspose and one bilinear upsampling, skip connections by concatenation, BatchNorm
after the convolutions (folded into them at export) and once on a concatenated tensor (which stays a node).
"""

from __future__ import annotations

from itertools import pairwise

import common
import numpy as np
import torch
from torch import Tensor, nn
from training import train_on_masks

SEED = 0
SIDE = 32
STEPS = 1200
BATCH = 32
CONTRAST = 1.0
OBJECT_WEIGHT = 5.0
METADATA = {"onnx_si.noise_std": "1", "onnx_si.saliency": "output:mask", "onnx_si.threshold": "0.5"}


def convolutions(*channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down_1 = convolutions(1, 6, 6)
        self.down_2 = convolutions(6, 8, 8)
        self.bottom = convolutions(8, 8, 8)
        self.pool = nn.MaxPool2d(2)
        self.widen_2 = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.up_2 = nn.Sequential(nn.BatchNorm2d(16), *convolutions(16, 8, 8))
        self.widen_1 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.up_1 = convolutions(14, 6)
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.down_1(image)
        second = self.down_2(self.pool(first))
        bottom = self.bottom(self.pool(second))
        second = self.up_2(torch.cat([self.widen_2(bottom), second], dim=1))
        first = self.up_1(torch.cat([self.widen_1(second), first], dim=1))
        return torch.sigmoid(self.head(first))


def draw(count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images and masks (count, 1, SIDE, SIDE); each with an object 4 to 10 pixels wide."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    masks = np.zeros((count, SIDE, SIDE), dtype=bool)
    for index in range(count):
        radius = random.uniform(2, 5)
        row, column = random.uniform(radius, SIDE - 1 - radius, 2)
        if index % 2:
            masks[index] = np.maximum(abs(rows - row), abs(columns - column)) <= radius
        else:
            masks[index] = np.hypot(rows - row, columns - column) <= radius
    images = random.standard_normal(masks.shape) + CONTRAST * masks
    return tuple(torch.from_numpy(array[:, None].astype(np.float32)) for array in (images, masks))


@torch.no_grad()
def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    random = np.random.default_rng(SEED)
    model = UNet()
    with torch.enable_grad():
        train_on_masks(model, draw, random, steps=STEPS, batch=BATCH, object_weight=OBJECT_WEIGHT)

    images, masks = draw(1000, random)
    found, truth = model(images) > 0.5, masks > 0.5
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    null = (model(torch.randn(1000, 1, SIDE, SIDE)) > 0.5).flatten(1)
    print(
        f"unet_32: pixel accuracy {(found == truth).float().mean():.4f}, Dice {dice:.3f}; "
        f"null images: region empty {(~null.any(1)).float().mean():.2f}, mean share {null.float().mean():.4f}"
    )
    example, reference = random.standard_normal((2, SIDE, SIDE))
    example = common.add_square(example, 8, 14, 8, CONTRAST).astype(np.float32)
    region = (model(torch.from_numpy(example[None, None])) > 0.5)[0, 0]
    inside = region[8:16, 14:22].sum()
    print(f"example: {region.sum()} of {region.numel()} pixels in the region, {inside} of the square's 64")
    assert 0 < region.sum() < region.numel()

    proto = common.converter("torch_to_onnx").convert(
        model,
        torch.zeros(1, 1, SIDE, SIDE),
        exporter="dynamo",
        input_names=["image"],
        output_names=["mask"],
        metadata={**METADATA, "onnx_si.made_by": common.made_by(__file__, SEED, "torch", "onnxscript")},
    )
    common.save_model(proto, "unet_32")
    common.save_image(example, "unet_32_image")
    common.save_image(reference, "unet_32_reference")


if __name__ == "__main__":
    main()
