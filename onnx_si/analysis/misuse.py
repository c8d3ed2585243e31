"""What speaks against the noise that a test supposes: other units, clipped values, the same data twice."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.scene import Array, Mask, Scene
from onnx_si.errors import InputError
from onnx_si.statistics.noise import (
    Diagonal,
    Noise,
    Scalar,
    clipped_at,
    correlation,
    detail_std,
    robust_std,
)

FAR_OFF = 5.0  # factor between a stated noise and the image's own, from which units are in doubt
MOST_LABELS = 32  # different numbers in a mask
FEWEST_DETAILS = 64  # of two channels, to be compared
ONE_NOISE = 0.5  # correlation of the finest details of two channels, from which their noise is hardly two


def require_independent(scene: Scene, *, covariance: bool) -> None:
    """Refuse data that is there twice, or holds no noise: a test supposes that it is independent.

    `covariance`: how channels go together is stated.

    Raises
    ------
    InputError
    """
    image = scene.image
    named = [("the image", image)]
    named += [(f"reference {i + 1}", one) for i, one in enumerate(scene.references)]
    _require_different(named, "a reference is another image of the same kind of scene, with noise of its own")
    named = [("the image", image)]
    named += [(f"noise image {i + 1}", one) for i, one in enumerate(scene.noise_images)]
    _require_different(named, "the noise is estimated from images that are independent of the one tested")
    for name, one in named[1:]:
        if one.size > 1 and one.min() == one.max():
            raise InputError(f"{name} is {one.flat[0]:g} everywhere: there is no noise in it; leave it out")
    if not covariance:
        _require_different_channels(scene)


def _require_different_channels(scene: Scene) -> None:
    """Refuse a gray image that was saved in colour: its channels' noise is one, taken for several."""
    channels = _channels(scene)
    for place, (name, one) in enumerate(channels):
        for other, earlier in channels[:place]:
            if one.min() < one.max() and np.array_equal(one, earlier):
                raise InputError(
                    f"channels {other} and {name} of the image are the same, value by value: their noise is "
                    "one, and the p-value would take it for two; --gray takes the image as one channel that "
                    "the model is given several times"
                )


def _channels(scene: Scene) -> list[tuple[int, Array]]:
    """Those that enter the statistic, by their numbers."""
    axis = scene.layout.channel_axis
    if axis is None:
        return []
    chosen = range(scene.image.shape[axis]) if scene.channels is None else scene.channels
    return [(channel, np.take(scene.image, [channel], axis=axis)) for channel in chosen]


def _require_different(named: Sequence[tuple[str, Array]], why: str) -> None:
    for place, (name, one) in enumerate(named):
        for other, earlier in named[:place]:
            if np.array_equal(one, earlier):
                raise InputError(f"{name} is {other}, value by value: {why}")


def doubts_of_mask(values: NDArray[Any]) -> Iterator[str]:
    """What of a mask looks like another file: every number but 0 is a yes, so a photo marks nearly all."""
    if values.dtype.kind in "iuf" and len(np.unique(values)) > MOST_LABELS:
        yield (
            f"the mask holds {len(np.unique(values))} different numbers, as a photo does, and "
            f"{np.count_nonzero(values) / values.size:.0%} of its pixels are not 0: these may count; a mask "
            "is 0 where nothing may"
        )
    elif values.size and np.count_nonzero(values) == values.size:
        yield "the mask is 0 nowhere, so it leaves nothing out: pixels that may not count are 0 in it"


def doubts(scene: Scene, noise: Noise) -> Iterator[str]:
    """What a user should look at before the p-value is believed."""
    axes, mask = scene.layout.spatial_axes, scene.mask_of_values
    whole = np.ones(scene.image.shape, np.bool_) if mask is None else mask
    whole = np.broadcast_to(whole, scene.image.shape)
    counted = scene.image[whole]
    yield from _clipped(counted, "image's")
    if scene.image.size > 1 and counted.min() == counted.max():
        yield (
            f"every value of the image is {counted.flat[0]:g}: there is no noise in it, and the p-value "
            "supposes noise"
        )
    stated = detail_std(noise.covariance, scene.image.shape, axes)
    own = robust_std(scene.image, axes, mask)
    if "from the image" not in noise.source and own > 0:
        yield from _off(stated, own, noise)
    if isinstance(noise.covariance, Scalar | Diagonal):
        yield from _one_noise(scene, whole)
    for number, reference in enumerate(scene.references, start=1):
        yield from _clipped(reference[whole], f"{number}. reference's")
        its = robust_std(reference, axes, mask)
        if max(its, stated) > FAR_OFF * min(its, stated):
            much = "next to no noise of its own" if its < stated else "much more noise"
            yield (
                f"reference {number} has {much} (sigma {its:.3g} by its finest details, not {stated:.3g}): "
                "the test supposes that it has the image's noise, in the image's units"
            )


def _one_noise(scene: Scene, whole: Mask) -> Iterator[str]:
    """Channels that hardly have a noise each, as those of a gray image that was saved in colour with loss."""
    axes, channels = scene.layout.spatial_axes, _channels(scene)
    axis = scene.layout.channel_axis
    for (name, one), (following, other) in itertools.pairwise(channels):
        both = np.take(whole, [name], axis=axis) & np.take(whole, [following], axis=axis)
        if np.count_nonzero(both) < FEWEST_DETAILS * 2 ** len(axes):
            continue  # of few, chance makes such a correlation as well
        found = correlation(one, other, axes, both)
        if found > ONE_NOISE:
            yield (
                f"the finest details of channels {name} and {following} go together (correlation "
                f"{found:.2f}): their noise is taken for independent, which makes p-values too "
                "small; --gray for an image without colours, --covariance for one with"
            )
            return


def _clipped(values: Array, whose: str) -> Iterator[str]:
    for end in clipped_at(values):
        word, count = "smallest" if end == values.min() else "largest", np.count_nonzero(values == end)
        yield (
            f"{count / values.size:.0%} of the {whose} values are its {word}, {end:g}: clipped or empty "
            "pixels have no normal noise; leave them out with --mask, or give one that is not clipped"
        )


def _off(stated: float, own: float, noise: Noise) -> Iterator[str]:
    factor = max(stated / own, own / stated) if stated else np.inf
    if factor <= FAR_OFF:
        return
    if noise.std is None:
        yield (
            f"the stated noise has finest details of {stated:.4g}, the image's own are {own:.4g}, a factor "
            f"of {factor:.3g}: the noise is in the file's units, before --scale"
        )
    else:
        yield (
            f"sigma is {stated:.4g}, but the image's own finest details give {own:.4g}, a factor of "
            f"{factor:.3g}: sigma is in the file's units, before --scale"
        )
