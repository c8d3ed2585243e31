"""The case families of `benchmarks.speed`: which network, which threshold, which images.

The images are N(0, 1) noise without signal, one channel; sigma 1 is known, and the region is compared with
the background. Where the weights are random, image i has its own network, with the same weights at every
size: no single draw decides a median, and sizes can be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime

from benchmarks.peer.graphs import INPUT, Case, Net
from benchmarks.speed.timing_nets import paper_cnn, resnet18, trained_paper_cnn, unet

PAPER_SIDES = (8, 16, 32, 64, 128, 256)
RANDOM_SIDES = (8, 16, 32, 64)
UNET_SIDES = (32, 64, 128)
TOP_TENTH = 0.9  # quantile of the map that is the threshold of networks whose map has no natural zero
GRID = 2.0**-12  # of thresholds: exact in float32, and the same on machines that round the map differently
MOST_REDRAWS = 200
BESIDE = ("exact_alone", "plain_10_sd")


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
    searches: tuple[str, ...] = BESIDE
    memoization: bool = True
    large: bool = False


@dataclass(frozen=True)
class Draw:
    """A case, and how many images were thrown away before it because their region was empty or everything."""

    case: Case
    redrawn: int


def _paper(group: str, what: str, side: int, net: Callable[[int, int], Net]) -> Family:
    title = f"paper CNN, {what}, {side}x{side}, CAM, threshold 0"
    return Family(f"{group}-{side}", title, side, net, searches=("ours_narrow", *BESIDE))


def _unet(side: int) -> Family:
    title = f"U-Net (11 convolutions, 8 wide), {side}x{side}, threshold at the map's 90 % quantile"
    return Family(f"unet-{side}", title, side, unet, TOP_TENTH)


RESNETS = (
    Family(
        "resnet-64",
        "ResNet-18 shape, 16 wide, stem strides 2 2, stages 1 2 1 1, 64x64, 8x8 CAM as blocks, 90 % quantile",
        64,
        lambda side, seed: resnet18(
            (16, 16, 16, 16), side, seed, stem="photograph", strides=(1, 2, 1, 1), resize="nearest"
        ),
        TOP_TENTH,
        memoization=False,
    ),
    Family(
        "resnet-64-fine",
        "ResNet-18 shape, 16 to 128, stem stride 1, stages 1 2 2 2, 64x64, 8x8 CAM as blocks, 90 % quantile",
        64,
        lambda side, seed: resnet18((16, 32, 64, 128), side, seed, resize="nearest"),
        TOP_TENTH,
        memoization=False,
        large=True,
    ),
    Family(
        "resnet-224",
        "ResNet-18, full width, 224x224, 7x7 CAM resized bilinearly to the image, 90 % quantile",
        224,
        lambda side, seed: resnet18((64, 128, 256, 512), side, seed, stem="photograph", classes=1000),
        TOP_TENTH,
        searches=(),
        memoization=False,
        large=True,
    ),
)
FAMILIES = (
    *(_paper("paper", "trained", side, lambda s, seed: trained_paper_cnn(s)) for side in PAPER_SIDES),
    *(_paper("random", "random weights", side, paper_cnn) for side in RANDOM_SIDES),
    *map(_unet, UNET_SIDES),
    *RESNETS,
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
