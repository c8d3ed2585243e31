# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.*", "onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"]
# ///
"""Train a small 3-D U-Net that segments balls in N(0, 1) noise, and write unet_3d.

    uv run models/make_unet_3d.py

Strides take the place of poolings, at full size there are a convolution of 2 x 2 x 2 and the last one only: a
volume of 96^3 is one pass of about 0.4 billion products. Any volume fits whose sides are multiples of 8.
`make_volume.py` makes volumes to try it on.
"""

from __future__ import annotations

import common
import numpy as np
import onnx
import torch
from torch import Tensor, nn
from training import train_on_masks

SEED = 0
SIDE = 32
STEPS = 1500
BATCH = 8
CONTRAST = 0.8
OBJECT_WEIGHT = 8.0
METADATA = {"onnx_si.noise_std": "1", "onnx_si.saliency": "output:mask", "onnx_si.threshold": "0.5"}


def convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(before, after, 3, padding=1), nn.ReLU())


def half(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(before, after, 2, stride=2), nn.ReLU())


def double(before: int, after: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(before, after, 2, stride=2)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down_1 = nn.Sequential(half(1, 6), convolution(6, 6))
        self.down_2 = nn.Sequential(half(6, 8), convolution(8, 8))
        self.bottom = nn.Sequential(half(8, 12), convolution(12, 12))
        self.widen_2 = double(12, 8)
        self.up_2 = convolution(16, 8)
        self.widen_1 = double(8, 6)
        self.up_1 = convolution(12, 6)
        self.widen = double(6, 3)
        self.head = nn.Conv3d(4, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        first = self.down_1(image)
        second = self.down_2(first)
        second = self.up_2(torch.cat([self.widen_2(self.bottom(second)), second], dim=1))
        first = self.up_1(torch.cat([self.widen_1(second), first], dim=1))
        return torch.sigmoid(self.head(torch.cat([self.widen(first), image], dim=1)))


def draw(count: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Volumes and masks (count, 1, SIDE, SIDE, SIDE); most with a ball of 5 to 13 voxels."""
    places = np.mgrid[:SIDE, :SIDE, :SIDE]
    masks = np.zeros((count, SIDE, SIDE, SIDE), dtype=bool)
    for index in range(count):
        if index % 4 == 0:
            continue
        radius = random.uniform(2.5, 6.5)
        centre = random.uniform(radius, SIDE - 1 - radius, 3).reshape(3, 1, 1, 1)
        masks[index] = np.square(places - centre).sum(axis=0) <= radius**2
    images = random.standard_normal(masks.shape) + CONTRAST * masks
    images, masks = (torch.from_numpy(array[:, None].astype(np.float32)) for array in (images, masks))
    return images, masks


def any_size(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Sides of space left free: no node holds them."""
    del proto.graph.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output):
        for dim, name in zip(value.type.tensor_type.shape.dim[2:], "DHW", strict=True):
            dim.dim_param = name
    onnx.checker.check_model(proto, full_check=True)
    return proto


@torch.no_grad()
def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    random = np.random.default_rng(SEED)
    model = UNet()
    with torch.enable_grad():
        train_on_masks(model, draw, random, steps=STEPS, batch=BATCH, object_weight=OBJECT_WEIGHT)

    images, masks = draw(80, random)
    found, truth = model(images) > 0.5, masks > 0.5
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    null = (model(torch.randn(80, 1, SIDE, SIDE, SIDE)) > 0.5).flatten(1)
    print(
        f"unet_3d: voxel accuracy {(found == truth).float().mean():.4f}, Dice {dice:.3f}; "
        f"null volumes: region empty {(~null.any(1)).float().mean():.2f}, "
        f"mean share {null.float().mean():.5f}"
    )
    proto = common.converter("torch_to_onnx").convert(
        model,
        torch.zeros(1, 1, SIDE, SIDE, SIDE),
        exporter="torchscript",
        input_names=["image"],
        output_names=["mask"],
        metadata={**METADATA, "onnx_si.made_by": common.made_by(__file__, SEED, "torch")},
    )
    common.save_model(any_size(proto), "unet_3d")


if __name__ == "__main__":
    main()
