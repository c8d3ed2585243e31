"""The case families of `speed.py`: which network, which threshold, which images.

The images are N(0, 1) noise without signal, one channel; sigma 1 is known, and the region is compared with
the background. Image i of a family has its own network, drawn with the same seed at every size: no single
draw of weights decides a median, and sizes can be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime
from graphs import INPUT, Case, Net
from timing_nets import paper_cnn, resnet18, unet

PAPER_SIDES = (8, 16, 32, 64, 128, 256)
UNET_SIDES = (32, 64, 128)
TOP_TENTH = 0.9  # quantile of the map that is the threshold of networks whose map has no natural zero
GRID = 2.0**-12  # of thresholds: exact in float32, and the same on machines that round the map differently
MOST_REDRAWS = 200


@dataclass(frozen=True)
class Family:
    """One row of the table.

    Attributes
    ----------
    name : what `--family` takes; the part before the dash selects the whole group
    what : one line for the reader
    side : pixels a side
    net : (side, seed) -> Net
    quantile : the threshold is this quantile of the image's own map; None: it is the value 0
    searches : the searches measured beside the p-value, names in `stages.SEARCHES`
    memoization : si4onnx's; it is unsound on networks with a shortcut that has a node (README)
    large : only with `--large`
    """

    name: str
    what: str
    side: int
    net: Callable[[int, int], Net]
    quantile: float | None = None
    searches: tuple[str, ...] = ("exact_alone", "plain_10_sd")
    memoization: bool = True
    large: bool = False


@dataclass(frozen=True)
class Draw:
    """A case, and how many images were thrown away before it because their region was empty or everything."""

    case: Case
    redrawn: int


def _resnet_small(side: int, seed: int) -> Net:
    return resnet18(16, side, seed, resize="nearest")


def _resnet_large(side: int, seed: int) -> Net:
    return resnet18(64, side, seed, classes=1000, large_stem=True)


FAMILIES = (
    *(
        Family(
            f"paper-{side}",
            f"paper CNN, {side}x{side}, CAM, threshold 0",
            side,
            paper_cnn,
            searches=("ours_narrow", "exact_alone", "plain_10_sd"),
        )
        for side in PAPER_SIDES
    ),
    *(
        Family(
            f"unet-{side}",
            f"U-Net (11 convolutions, 8 wide), {side}x{side}, threshold at the map's 90 % quantile",
            side,
            unet,
            TOP_TENTH,
        )
        for side in UNET_SIDES
    ),
    Family(
        "resnet-64",
        "ResNet-18, 16 wide, 64x64, CAM at its own 8x8 resolution, threshold at its 90 % quantile",
        64,
        _resnet_small,
        TOP_TENTH,
        memoization=False,
    ),
    Family(
        "resnet-224",
        "ResNet-18, full width, 224x224, 7x7 CAM resized bilinearly, threshold at its 90 % quantile",
        224,
        _resnet_large,
        TOP_TENTH,
        searches=(),
        memoization=False,
        large=True,
    ),
)


def draw(family: Family, index: int, seed: int) -> Draw:
    """Image `index` of a family; depends on family, seed and index alone.

    Raises
    ------
    RuntimeError
        If no image gave a region.
    """
    net = family.net(family.side, 1000 * seed + index)
    rng = np.random.default_rng([seed, index, zlib.crc32(family.name.encode())])
    run = _single_precision(net)
    for redrawn in range(MOST_REDRAWS):
        image = rng.normal(size=(1, 1, family.side, family.side)).astype(np.float32).astype(np.float64)
        values = run(image)
        threshold = 0.0 if family.quantile is None else _on_grid(np.quantile(values, family.quantile))
        region = values > threshold
        if region.any() and not region.all():
            name = f"{family.name}-{index}"
            return Draw(Case(name, net, image, None, threshold, "background", region), redrawn)
    raise RuntimeError(f"{family.name}, image {index}: {MOST_REDRAWS} images without a region")


def _on_grid(value: float) -> float:
    return float(np.round(value / GRID) * GRID)


def _single_precision(net: Net) -> Callable[[np.ndarray], np.ndarray]:
    """The map by onnxruntime, one thread: the reference evaluator takes minutes to resize at 256 pixels.

    A pixel that rounding puts on either side of the threshold does no harm: whether both programs see the
    same region is checked on their own answers.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(net.saliency_model.SerializeToString(), options)
    return lambda image: np.asarray(session.run(None, {INPUT: image.astype(np.float32)})[0][0, 0])
