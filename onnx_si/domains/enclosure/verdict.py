"""What enclosures of the margins say of the event."""

import numpy as np
from numpy.typing import NDArray

from onnx_si.domains.enclosure.value import Enclosure, proven
from onnx_si.domains.event import RegionEvent


def certify(event: RegionEvent, margin: Enclosure) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Cells on which the event provably never holds (cells,), and the pixels (cells, *map) that may be on
    the wrong side somewhere.
    """
    low, high = margin.bounds()
    wrong = proven(low, high, np.where(event.observed, high <= 0, low > 0)) & event.pixels
    open_ = ~proven(low, high, np.where(event.observed, low > 0, high <= 0)) & event.pixels
    return np.any(wrong.reshape(len(wrong), -1), axis=1), open_
