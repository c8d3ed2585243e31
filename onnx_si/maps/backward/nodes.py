"""Small pieces of graph that several gradient rules append; all of them mean the same in every opset."""

import math

import numpy as np
from numpy.typing import NDArray

from onnx_si.errors import Refusal
from onnx_si.graph import Editor
from onnx_si.maps.backward.site import Shape, Site

MAX_CHOICES = 2048  # of which one is chosen: the square is stored
MAX_PLACES = 2**26


def reshaped(editor: Editor, tensor: str, shape: Shape) -> str:
    return editor.add("Reshape", [tensor, editor.constant(np.array(shape, np.int64))])


def one_hot(editor: Editor, index: str, count: int) -> str:
    """A row of zeros with a one for each index (rows,); (rows, count).

    Raises
    ------
    Refusal
        If there are too many to choose from.
    """
    if count > MAX_CHOICES:
        raise Refusal(f"one of {count} is chosen", f"at most {MAX_CHOICES} can be followed")
    return editor.add("Gather", [editor.constant(np.eye(count, dtype=np.float32)), index], axis=0)


def row_sums(editor: Editor, tensor: str, length: int) -> str:
    """Sum over the last axis, kept with length one."""
    return editor.add("MatMul", [tensor, editor.constant(np.ones((length, 1), np.float32))])


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
