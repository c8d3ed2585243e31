"""Small pieces of graph that several gradient rules append; all of them mean the same in every opset."""

import math

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.maps.appended import reshaped, row_sums
from onnx_si.maps.backward.site import Shape, Site

MAX_PLACES = 2**26


def summed_to(at: Site, tensor: str, have: Shape, want: Shape) -> str:
    """Undo a broadcast: sum over the axes that it made longer."""
    padded = (1,) * (len(have) - len(want)) + want
    over = [axis for axis, (n, m) in enumerate(zip(have, padded, strict=True)) if n != m]
    if not over:
        return tensor if have == want else reshaped(at.editor, tensor, want)
    kept = [axis for axis in range(len(have)) if axis not in over]
    count = math.prod(have[axis] for axis in over)
    behind = at.add("Transpose", [tensor], perm=kept + over)
    rows = reshaped(at.editor, behind, (math.prod(have[axis] for axis in kept), count))
    return reshaped(at.editor, row_sums(at.editor, rows, count), want)


def gathered_back(at: Site, flat: str, sources: NDArray[np.int64], want: Shape) -> str:
    """Each input element's sum over the places that it went to.

    Parameters
    ----------
    at : Site
    flat : str
        Gradients of the places (m,).
    sources : array (m,)
        The input element that each place came from; -1: none.
    want : tuple of int
        Shape of the input.
    """
    places = np.flatnonzero(sources >= 0)
    places = places[np.argsort(sources[places], kind="stable")]
    owners, size = sources[places], math.prod(want)
    counts = np.bincount(owners, minlength=size)
    most = int(counts.max(initial=0))
    if not most:
        return at.constant(np.zeros(want))
    if size * most > MAX_PLACES:
        raise Refusal(f"{size} elements with up to {most} copies each", "use a smaller image")
    table = np.full((size, most), len(sources), np.int64)
    rank = np.arange(len(places)) - (np.cumsum(counts) - counts)[owners]
    table[owners, rank] = places
    if np.any(table == len(sources)):
        flat = at.add("Concat", [flat, at.constant(np.zeros(1))], axis=0)
    picked = at.add("Gather", [flat, at.constant(table if most > 1 else table.ravel())], axis=0)
    return reshaped(at.editor, row_sums(at.editor, picked, most) if most > 1 else picked, want)
