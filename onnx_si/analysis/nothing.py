"""Why there is nothing to test on an image: a region that is empty, or everything."""

from dataclasses import replace

import numpy as np

from onnx_si.analysis.marking import Marking
from onnx_si.analysis.scene import Array
from onnx_si.errors import NothingToTest
from onnx_si.report import MapChosen


def nothing_to_test(marking: Marking, shown: Array, count: int, chosen: MapChosen) -> NothingToTest:
    """The error for a region of no pixel or of all, `count`, with the range of the map, and what to do."""
    saliency, threshold, hidden = marking.saliency, marking.marker.threshold, _hidden(marking, shown)
    low, high = float(shown.min()), float(shown.max())
    what = "no pixel passes" if count == 0 else f"all {count} pixels pass"
    negative = threshold.kind == "max" and high <= 0
    of_map = f"the map ({saliency.method}) ranges from {low:.4g} to {high:.4g}"
    if threshold.kind == "argmax":  # it is a margin, or holds classes: its numbers say nothing
        of_map = (
            f"the map ({saliency.method}) has the class at no pixel"
            if not count
            else f"the map ({saliency.method}) has the class at all of them"
        )
    advice = (
        "the model marks nothing here, so there is nothing to test; another --threshold has to be chosen "
        "before the image is looked at"
    )
    if count:
        advice = (
            "all of the image is marked, so nothing is left to compare: are the values those that the model "
            "was made for (--scale)? Else choose --threshold inside"
        )
    if negative:
        advice = (
            "are the values those that the model was made for (--scale)? If so, and if the map holds scores "
            "that a Sigmoid would follow, the model marks nothing here: --threshold 0 is where it says yes. "
            "Any other map without positive values takes --threshold minmax:0.5"
        )
    if hidden and not count:
        what = "no pixel that the mask lets count passes"
        advice = (
            f"without the mask {hidden} would, so it is the mask that leaves the region out; is it 0 where "
            "pixels may not count, and not the other way round?"
        )
    elif threshold.kind == "argmax":
        advice = "--target K takes another class, or with --threshold T the map of one channel"
    return NothingToTest(
        f"{what} the threshold {threshold}; {of_map}: {advice}",
        pixels=count,
        size=shown.size,
        saliency=chosen,
    )


def _hidden(marking: Marking, shown: Array) -> int:
    """Pixels that would be in the region if a mask did not leave them out."""
    if marking.marker.mask is None:
        return 0
    return int(np.count_nonzero(replace(marking.marker, mask=None).region_of(shown)))
