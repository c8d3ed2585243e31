"""Maps averaged over blocks of pixels, so that the region is made of blocks: nodes that any runtime can run.

A region of blocks has far fewer edges that the test must hold fixed than one of pixels.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import UsageError
from onnx_si.graph import Editor

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of `side` pixels along each axis of a map, from its first pixel on; the last ones of an axis
    have the pixels that are left. `counts` are the pixels that are averaged (None: all).
    """

    side: int
    space: tuple[int, ...]
    counts: Mask | None = None

    @property
    def sides(self) -> tuple[int, ...]:
        """Size of a whole block along each axis."""
        return tuple(min(self.side, size) for size in self.space)

    @property
    def grid(self) -> tuple[int, ...]:
        """How many blocks there are along each axis."""
        return tuple(math.ceil(size / side) for size, side in zip(self.space, self.sides, strict=True))

    @functools.cached_property
    def numbers(self) -> NDArray[np.intp]:
        """The number of each pixel's block."""
        return np.ravel_multi_index(np.ix_(*self._places()), self.grid)

    def firsts(self, counts: Mask | None) -> Mask:
        """One pixel of each block that has pixels which may count (None: all may): the pixels of a block have
        one value, and among equal ones nothing is decided.
        """
        chosen = np.arange(self.numbers.size) if counts is None else np.flatnonzero(counts)
        _, first = np.unique(self.numbers.ravel()[chosen], return_index=True)
        found = np.zeros(self.numbers.size, np.bool_)
        found[chosen[first]] = True
        return found.reshape(self.space)

    def averaged(self, editor: Editor, tensor: str, channels: int = 1) -> str:
        """Append the average over each block, at every pixel, of a tensor of `channels` maps; gives one of
        shape (1, channels, *space).

        The average is taken once for a block and copied to its pixels, which so are equal to the last bit.
        A block without a pixel that counts, which is in no region, is averaged over all of its pixels. Only
        whole numbers are multiplied or divided by: blocks of equal pixels have equal averages.
        """
        every = np.ones(self.space, np.bool_)
        shape = np.array([1, channels, *self.space], np.int64)
        row = editor.add("Reshape", [tensor, editor.constant(shape)])
        if self.counts is not None:
            row = editor.add("Mul", [row, editor.constant(self._counted.astype(np.float32))])
        ends = [-size % side for size, side in zip(self.space, self.sides, strict=True)]
        pads = [0] * len(ends) + ends
        mean = editor.add(
            "AveragePool",
            [row],
            kernel_shape=list(self.sides),
            strides=list(self.sides),
            pads=pads,
            count_include_pad=0,
        )
        if self.counts is not None:
            sizes, counted = (
                editor.constant(self._sums(chosen).astype(np.float32)) for chosen in (every, self._counted)
            )
            mean = editor.add("Div", [editor.add("Mul", [mean, sizes]), counted])
        for axis, places in enumerate(self._places(), start=2):
            mean = editor.add("Gather", [mean, editor.constant(places.astype(np.int64))], axis=axis)
        return mean

    def map_of(self, editor: Editor, tensor: str) -> str:
        """The same of a single map, in its own shape."""
        size = editor.constant(np.array(self.space, np.int64))
        return editor.add("Reshape", [self.averaged(editor, tensor), size])

    def _places(self) -> list[NDArray[np.intp]]:
        """The block of each pixel along each axis."""
        return [np.arange(size) // side for size, side in zip(self.space, self.sides, strict=True)]

    @functools.cached_property
    def _counted(self) -> Mask:
        """Pixels that are averaged."""
        counts = np.ones(self.space, np.bool_) if self.counts is None else self.counts
        empty: Mask = self._sums(counts) == 0
        return np.asarray(counts | empty.ravel()[self.numbers])

    def _sums(self, counts: Mask) -> NDArray[np.intp]:
        """How many of these pixels each block has."""
        chosen = self.numbers.ravel()[counts.ravel()]
        return np.bincount(chosen, minlength=math.prod(self.grid)).reshape(self.grid)


def blocks_of(side: int, space: tuple[int, ...], counts: Mask | None) -> Blocks | None:
    """The blocks of a map; None where each pixel is one.

    Raises
    ------
    UsageError
        If a single block holds the whole map.
    """
    blocks = Blocks(side, space, counts)
    if side == 1:
        return None
    if math.prod(blocks.grid) == 1:
        size = " x ".join(map(str, space))
        raise UsageError(f"coarsen {side}: one block would be the whole map of {size}; give a smaller one")
    return blocks
