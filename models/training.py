"""What the scripts that train a segmenting network share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

Draw = Callable[[int, np.random.Generator], tuple[Tensor, Tensor]]


def train_on_masks(
    model: nn.Module, draw: Draw, random: np.random.Generator, *, steps: int, batch: int, object_weight: float
) -> None:
    """Adam on one cycle of rates up to 0.01; an object's pixels weigh more than the others."""
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(steps):
        images, masks = draw(batch, random)
        optimizer.zero_grad()
        weight = 1 + (object_weight - 1) * masks
        nn.functional.binary_cross_entropy(model(images), masks, weight).backward()
        optimizer.step()
        schedule.step()
    model.eval()
