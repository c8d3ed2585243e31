# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.*",
#   "scikit-learn>=1.5",
#   "onnx>=1.17",
#   "onnxscript>=0.5",
#   "onnxruntime>=1.20",
# ]
# ///
"""Train a CNN on scikit-learn's handwritten digits, and write digits_8.

    uv run models/make_digits.py

Real images: 1797 digits of 8x8 pixels (UCI "Optical Recognition of Handwritten Digits", CC BY 4.0), scaled
from 0..16 to 0..1, with N(0, 0.1^2) noise added in training and in the test.
"""

from __future__ import annotations

import common
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

SEED = 0
SIDE = 8
NOISE_STD = 0.1
EPOCHS = 80
BATCH = 64
METADATA = {"onnx_si.noise_std": str(NOISE_STD), "onnx_si.saliency": "cam", "onnx_si.threshold": "max:0.5"}


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, 10),
        nn.Softmax(dim=1),
    )


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.reshape(-1, 1, SIDE, SIDE).astype(np.float32))


def train(model: nn.Sequential, images: Tensor, labels: Tensor) -> None:
    logits = model[:-1]
    optimizer = torch.optim.Adam(model.parameters())
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(images)).split(BATCH):
            batch = images[chosen] + NOISE_STD * torch.randn(len(chosen), 1, SIDE, SIDE)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits(batch), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def main() -> None:
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    digits = load_digits()
    train_images, test_images, train_labels, test_labels = train_test_split(
        digits.images / 16, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )
    model = network()
    with torch.enable_grad():
        train(model, tensor(train_images), torch.from_numpy(train_labels))

    random = np.random.default_rng(SEED)
    noise = NOISE_STD * random.standard_normal(test_images.shape)
    observed = (test_images + noise).astype(np.float32)
    predicted = model(tensor(observed)).argmax(1).numpy()
    clean = model(tensor(test_images)).argmax(1).numpy()
    print(
        f"digits_8: test accuracy {np.mean(predicted == test_labels):.3f} with noise, "
        f"{np.mean(clean == test_labels):.3f} without ({len(test_labels)} images)"
    )
    index = int(np.flatnonzero((test_labels == 3) & (predicted == 3))[0])
    weights = model[-2].weight[3]
    cam = torch.einsum("c,chw->hw", weights, model[:6](tensor(observed[index]))[0])
    region = cam > 0.5 * cam.max()
    print(f"example: a {test_labels[index]}, {region.sum()} of {region.numel()} pixels in the region")
    assert 0 < region.sum() < region.numel()

    proto = common.converter("torch_to_onnx").convert(
        model,
        torch.zeros(2, 1, SIDE, SIDE),
        exporter="dynamo",
        dynamic_batch=True,
        input_names=["image"],
        output_names=["probability"],
        metadata={
            **METADATA,
            "onnx_si.made_by": common.made_by(__file__, SEED, "torch", "onnxscript", "scikit-learn"),
        },
    )
    common.save_model(proto, "digits_8")
    common.save_image(observed[index], "digits_8_image")


if __name__ == "__main__":
    main()
