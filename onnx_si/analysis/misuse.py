"""What speaks against the noise that a test supposes: other units, clipped values, the same data twice."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.analysis.scene import Array, Scene
from onnx_si.errors import InputError
from onnx_si.statistics.noise import Noise, robust_std

FAR_OFF = 5.0  # factor between a stated noise and the image's own, from which units are in doubt
CLIPPED = 0.02  # share of values that are the largest or the smallest, from which that is no chance,
FEWEST_CLIPPED = 8  # and their number
MOST_LABELS = 32  # different numbers in a mask


def require_independent(scene: Scene) -> None:
    """Refuse data that is there twice: a test supposes that it is independent.

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
    axes = scene.layout.spatial_axes
    counted = (
        scene.image
        if scene.mask_of_values is None
        else scene.image[np.broadcast_to(scene.mask_of_values, scene.image.shape)]
    )
    yield from _clipped(counted)
    if scene.image.size > 1 and counted.min() == counted.max():
        yield (
            f"every value of the image is {counted.flat[0]:g}: there is no noise in it, and the p-value "
            "supposes noise"
        )
    if noise.std is None:
        return
    own = robust_std(scene.image, axes)
    if "from the image" not in noise.source and own > 0:
        yield from _off(noise.std, own)
    for number, reference in enumerate(scene.references, start=1):
        its = robust_std(reference, axes)
        if its * FAR_OFF < noise.std:
            yield (
                f"reference {number} has next to no noise of its own (sigma {its:.3g} by its finest "
                f"details, not {noise.std:.3g}): the test supposes that it has the image's noise, in "
                "the image's units"
            )


def _clipped(values: Array) -> Iterator[str]:
    low, high = float(values.min()), float(values.max())
    for end, word in ((low, "smallest"), (high, "largest")):
        count = int(np.count_nonzero(values == end))
        if low < high and count >= FEWEST_CLIPPED and count >= CLIPPED * values.size:
            yield (
                f"{count / values.size:.0%} of the image's values are its {word}, {end:g}: clipped or empty "
                "pixels have no normal noise; leave them out with --mask, or give one that is not clipped"
            )


def _off(stated: float, own: float) -> Iterator[str]:
    factor = max(stated / own, own / stated)
    if factor > FAR_OFF:
        yield (
            f"sigma is {stated:.4g}, but the image's own finest details give {own:.4g}, a factor of "
            f"{factor:.3g}: sigma is in the file's units, before --scale"
        )
