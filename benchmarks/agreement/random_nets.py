"""Random small networks and the cases of `benchmarks.agreement`. The same seed gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from benchmarks.peer.graphs import INPUT, Case, Net, NetBuilder, evaluate

# A saliency value this close to the threshold (relative to the map's range) would make the observed region
# depend on the evaluator's rounding; such a draw is not used. Exact equality (dead units) is no tie.
TIE_MARGIN = 1e-5


def paper_like(rng: np.random.Generator, side: int) -> Net:
    """The paper's layers: two convolutions, pooling, one or two more, upsampling, one logistic unit."""
    b = NetBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.relu(b.conv(INPUT, 1, width))
    x = b.relu(b.conv(x, width, width))
    x = b.max_pool(x)
    for _ in range(int(rng.integers(1, 3))):
        x = b.relu(b.conv(x, width, width))
    x = b.upsample(x)
    return b.classifier(x, width, side, kind="paper-like", sigmoid=True)


def plain_classifier(rng: np.random.Generator, side: int) -> Net:
    """Two or three convolutions at full size, several classes, the map of a fixed class."""
    b = NetBuilder(rng)
    width, classes = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    kernel = int(rng.choice([3, 5]))
    x = b.relu(b.conv(INPUT, 1, width, kernel=kernel))
    for _ in range(int(rng.integers(1, 3))):
        x = b.relu(b.conv(x, width, width))
    target = int(rng.integers(classes))
    return b.classifier(x, width, side, kind="plain", classes=classes, target=target)


def pooled_classifier(rng: np.random.Generator, side: int) -> Net:
    """LeakyRelu, average pooling down, transposed convolution up."""
    b = NetBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.leaky_relu(b.conv(INPUT, 1, width))
    x = b.average_pool(x)
    x = b.relu(b.conv(x, width, width))
    x = b.relu(b.conv_transpose(x, width, width))
    return b.classifier(x, width, side, kind="average-pool")


def coarse_classifier(rng: np.random.Generator, side: int) -> Net:
    """Pooled twice: a map of side / 4 squares (side rounded down to a multiple of 4), class 0 of two.

    With so few squares the same region comes back further along the line: S has several intervals.
    """
    b = NetBuilder(rng)
    side -= side % 4
    width = int(rng.integers(3, 6))
    x = b.max_pool(b.relu(b.conv(INPUT, 1, width)))
    x = b.max_pool(b.relu(b.conv(x, width, width)))
    x = b.upsample(b.relu(b.conv(x, width, width)), factor=4)
    return b.classifier(x, width, side, kind="coarse", classes=2, target=0)


def conv_map(rng: np.random.Generator, side: int) -> Net:
    """Two or three convolutions to a one-channel map, some dilated or depthwise."""
    b = NetBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.relu(b.conv(INPUT, 1, width))
    variant = str(rng.choice(["standard", "dilated", "depthwise"]))
    x = b.relu(
        b.conv(
            x,
            width,
            width,
            dilation=2 if variant == "dilated" else 1,
            group=width if variant == "depthwise" else 1,
        )
    )
    if rng.random() < 0.5:
        x = b.relu(b.conv(x, width, width))
    return b.mapper(x, width, side, kind=f"map-{variant}")


def sigmoid_map(rng: np.random.Generator, side: int) -> Net:
    """A max pooled and linearly upsampled map that ends in Sigmoid."""
    b = NetBuilder(rng)
    width = int(rng.integers(2, 5))
    x = b.max_pool(b.relu(b.conv(INPUT, 1, width)))
    x = b.upsample(b.relu(b.conv(x, width, width)), "linear")
    x = b.relu(b.conv(x, width, width))
    return b.mapper(x, width, side, kind="map-sigmoid", sigmoid=True)


def residual_map(rng: np.random.Generator, side: int) -> Net:
    """One residual block between two convolutions."""
    b = NetBuilder(rng)
    width = int(rng.integers(2, 4))
    x = b.relu(b.conv(INPUT, 1, width))
    y = b.conv(b.relu(b.conv(x, width, width)), width, width)
    x = b.relu(b.add("Add", y, x))
    return b.mapper(x, width, side, kind="map-residual")


def small_unet(rng: np.random.Generator, side: int) -> Net:
    """One level down and up with a skip connection, 5 convolutions."""
    b = NetBuilder(rng)
    width = int(rng.integers(2, 5))
    skip = b.relu(b.conv(INPUT, 1, width))
    x = b.max_pool(skip)
    x = b.relu(b.conv(x, width, width))
    x = b.relu(b.conv(x, width, width))
    x = b.conv_transpose(x, width, width) if rng.random() < 0.5 else b.upsample(x)
    x = b.add("Concat", x, skip, axis=1)
    x = b.relu(b.conv(x, 2 * width, width))
    return b.mapper(x, width, side, kind="unet-small")


# Kind, and the thresholds it is asked with. All are exact in float32.
FAMILIES: list[tuple[Callable[[np.random.Generator, int], Net], list[float | str]]] = [
    (paper_like, [0.0, 0.0, 0.25]),
    (conv_map, [0.0, 0.25, "minmax:0.5"]),
    (coarse_classifier, [0.0, "minmax:0.5", 0.125]),
    (plain_classifier, [0.0, 0.125, "minmax:0.5"]),
    (small_unet, [0.0, -0.25, "minmax:0.75"]),
    (pooled_classifier, [0.0, -0.125, "minmax:0.5"]),
    (residual_map, [0.0, 0.5]),
    (sigmoid_map, [0.5, 0.25]),
]
SIDES = [8, 10, 12, 14, 16]
SIGNALS = [0.0, 0.0, 1.0, 2.0]


def cases(count: int = 50, seed: int = 0) -> list[Case]:
    """Random tests on random small networks, with a region that is neither empty nor everything.

    Families, sides, hypotheses, thresholds and signals are dealt in turn; weights, images and references are
    drawn. Case i depends on `seed` and i alone.
    """
    return [_case(index, seed) for index in range(count)]


def digest(chosen: list[Case]) -> str:
    """SHA-256 over networks, data and questions: two runs with the same digest asked the same things."""
    total = hashlib.sha256()
    for case in chosen:
        for model in (case.net.model, case.net.saliency_model):
            total.update(model.SerializeToString(deterministic=True))
        for array in (case.image, case.reference):
            total.update(b"" if array is None else array.tobytes())
        total.update(repr((case.name, case.net.target, case.threshold, case.hypothesis)).encode())
    return total.hexdigest()


def _case(index: int, seed: int) -> Case:
    rng = np.random.default_rng([seed, index])
    family, thresholds = FAMILIES[index % len(FAMILIES)]
    turn = index // len(FAMILIES)
    wanted_side = SIDES[index % len(SIDES)]
    hypothesis = ("mean", "background")[turn % 2]
    threshold = thresholds[turn % len(thresholds)]
    signal = SIGNALS[(index + turn) % len(SIGNALS)]
    while True:
        net = family(rng, wanted_side)
        side = net.side
        image = _image(rng, side, signal)
        reference = _image(rng, side, 0.0) if hypothesis == "mean" else None
        values = evaluate(net.saliency_model, image)[0, 0].astype(np.float64)
        region = _region(values, threshold)
        if region is not None and region.any() and not region.all():
            name = f"{index:02d}-{net.kind}-{side}"
            return Case(name, net, image, reference, threshold, hypothesis, region)


def _image(rng: np.random.Generator, side: int, signal: float) -> np.ndarray:
    """Standard normal noise, with a square of half the side and mean `signal` at a random place."""
    image = rng.normal(size=(1, 1, side, side))
    top, left = rng.integers(0, side - side // 2 + 1, 2)
    image[:, :, top : top + side // 2, left : left + side // 2] += signal
    return image.astype(np.float32).astype(np.float64)


def _region(values: np.ndarray, threshold: float | str) -> np.ndarray | None:
    """Pixels above the threshold; None where rounding could decide."""
    spread = float(np.ptp(values))
    if spread == 0.0:
        return None
    if isinstance(threshold, str):
        level = values.min() + float(threshold.removeprefix("minmax:")) * spread
    else:
        level = threshold
    distance = np.abs(values - level)
    if np.any((distance > 0) & (distance < TIE_MARGIN * spread)):
        return None
    return values > level
