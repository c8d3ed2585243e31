"""Connected components of a region, by its pixels' faces.

As scipy.ndimage.label, whose import takes as long as a small test.
"""

import numpy as np
from numpy.typing import NDArray


def connected(region: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Components as masks, in the order of their first pixels."""
    number = np.cumsum(region).reshape(region.shape) - 1  # of each pixel of the region
    pairs = [_neighbours(region, number, axis) for axis in range(region.ndim)]
    one, other = np.concatenate([np.empty((2, 0), np.intp), *pairs], axis=1)
    root = np.arange(np.count_nonzero(region))  # each joined to one that is not behind it
    while len(one):
        np.minimum.at(root, np.maximum(root[one], root[other]), np.minimum(root[one], root[other]))
        while (root != (above := root[root])).any():
            root = above
        apart = root[one] != root[other]
        one, other = one[apart], other[apart]
    masks = []
    for first in np.unique(root):
        mask = np.zeros(region.shape, np.bool_)
        mask[region] = root == first
        masks.append(mask)
    return masks


def _neighbours(region: NDArray[np.bool_], number: NDArray[np.intp], axis: int) -> NDArray[np.intp]:
    """Pairs (2, n) of pixels of the region that follow each other on an axis."""
    before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(region.ndim))
    after = tuple(slice(1, None) if a == axis else slice(None) for a in range(region.ndim))
    both = region[before] & region[after]
    return np.stack([number[before][both], number[after][both]])
