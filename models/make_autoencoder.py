# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.13.*", "onnx>=1.17", "onnxscript>=0.5", "onnxruntime>=1.20"]
# ///
"""Train a convolutional autoencoder on smooth textures, and write autoencoder_32, which maps defects.

    uv run models/make_autoencoder.py

The output is the absolute difference between image and reconstruction, averaged over 3x3 pixels: no squares,
so it is piecewise linear in the image. The threshold passes one pixel in 500 of defect-free images.
"""

from __future__ import annotations

import common
import numpy as np
import torch
from torch import Tensor, nn

SEED = 0
SIDE = 32
NOISE_STD = 0.1
STEPS = 3000
BATCH = 64
FALSE_SHARE = 0.002
DEFECT = (18, 9, 5, 0.6)  # row, column, side, mean
METADATA = {"onnx_si.noise_std": str(NOISE_STD), "onnx_si.saliency": "output:error"}


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(8, 2, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(2, 8, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 1, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encoder(image))


class ErrorMap(nn.Module):
    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.average = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.average(torch.abs(image - self.autoencoder(image)))


def textures(count: int, random: np.random.Generator) -> np.ndarray:
    """Sums of three plane waves of at most two periods across the image, (count, SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE] * (2 * np.pi / SIDE)
    waves = random.uniform(-2, 2, (2, 3, count, 1, 1))
    phase = random.uniform(0, 2 * np.pi, (3, count, 1, 1))
    return (0.3 * np.sin(waves[0] * rows + waves[1] * columns + phase)).sum(axis=0)


def noisy(clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return clean + NOISE_STD * random.standard_normal(clean.shape)


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.reshape(-1, 1, SIDE, SIDE).astype(np.float32))


def train(model: Autoencoder, random: np.random.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=STEPS)
    for _ in range(STEPS):
        clean = textures(BATCH, random)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(tensor(noisy(clean, random))), tensor(clean)).backward()
        optimizer.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    random = np.random.default_rng(SEED)
    autoencoder = Autoencoder()
    with torch.enable_grad():
        train(autoencoder, random)
    model = ErrorMap(autoencoder).eval()

    error = model(tensor(noisy(textures(2000, random), random))).numpy()
    threshold = round(float(np.quantile(error, 1 - FALSE_SHARE)), 3)
    clean = textures(2000, random)
    rms = float((autoencoder(tensor(noisy(clean, random))) - tensor(clean)).square().mean().sqrt())
    null = model(tensor(noisy(clean, random))).numpy()[:, 0] > threshold
    row, column, side, mean = DEFECT
    inside = np.s_[row : row + side, column : column + side]
    damaged = clean.copy()
    damaged[:, *inside] += mean
    found = model(tensor(noisy(damaged, random))).numpy()[:, 0] > threshold
    print(
        f"autoencoder_32: reconstruction RMS error {rms:.3f}, threshold {threshold}; no defect: region empty "
        f"{np.mean(~null.any(axis=(1, 2))):.2f}, mean share {null.mean():.4f}; "
        f"defect: {found[:, *inside].mean():.3f} of its pixels found, "
        f"{np.mean(found[:, *inside].any(axis=(1, 2))):.3f} of defects touched"
    )
    texture = textures(1, random)[0]
    reference = noisy(texture, random)
    example = noisy(common.add_square(texture, *DEFECT), random).astype(np.float32)
    region = model(tensor(example)).numpy()[0, 0] > threshold
    print(
        f"example: {region.sum()} of {region.size} pixels in the region, "
        f"{region[inside].sum()} of the defect's {side**2}"
    )
    assert 0 < region.sum() < region.size

    proto = common.converter("torch_to_onnx").convert(
        model,
        torch.zeros(1, 1, SIDE, SIDE),
        exporter="torchscript",
        opset=17,
        input_names=["image"],
        output_names=["error"],
        metadata={
            **METADATA,
            "onnx_si.threshold": str(threshold),
            "onnx_si.made_by": common.made_by(__file__, SEED, "torch"),
        },
    )
    common.save_model(proto, "autoencoder_32")
    common.save_image(example, "autoencoder_32_image")
    common.save_image(reference, "autoencoder_32_reference")


if __name__ == "__main__":
    main()
