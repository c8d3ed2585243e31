"""Saliency method `occlusion`: how much the score loses when a patch of the image is set to zero.

One copy of the network for each patch: nothing has to be differentiated, and what the score is made of is as
exact as it is in the model itself.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from onnx_si.errors import SaliencyUnavailable, UsageError
from onnx_si.graph import Editor, Model, nodes_between, renamed
from onnx_si.graph.dag import read_by
from onnx_si.maps.appended import reshaped
from onnx_si.maps.map import SaliencyMap, View, name_map, single_precision
from onnx_si.maps.scores import Scores, find_scores, seed

PATCHES = 64  # that the automatic side aims at, in any number of dimensions
MOST_PATCHES = 1024


@dataclass(frozen=True)
class Grid:
    """Patches side by side from the first pixel on; those at the end may be smaller."""

    side: int
    space: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Patches along each axis."""
        return tuple(-(-length // self.side) for length in self.space)

    @property
    def number(self) -> int:
        return math.prod(self.counts)

    def labels(self) -> NDArray[np.int64]:
        """Number of the patch of each pixel, in the shape of space."""
        at = np.indices(self.space) // self.side
        return np.asarray(np.ravel_multi_index(tuple(at), self.counts), dtype=np.int64)


def grid_of(view: View, side: int | None) -> Grid:
    """Patches of a side, by default the one that makes about 64 of them, of two pixels at least.

    Raises
    ------
    UsageError
        If a patch would be the whole image, or there would be too many.
    """
    along = round(PATCHES ** (1 / len(view.space)))
    grid = Grid(side or max(2, -(-max(view.space) // along)), view.space)
    if not 1 < grid.number <= MOST_PATCHES:
        raise UsageError(
            f"patches of side {grid.side}: {grid.number} in an image of {view.space}; allowed are 2 to "
            f"{MOST_PATCHES}: give another occlusion:K"
        )
    return grid


def occlusion(
    model: Model, image: NDArray[np.float64], target: int | str, view: View, side: int | None = None
) -> SaliencyMap:
    """Append the loss of the class's score when a patch is covered, for each pixel the one of its patch.

    Parameters
    ----------
    model : Model
    image : array
        In the model's input shape.
    target : int or "predicted"
        The class; the predicted one is that of the whole image.
    view : View
    side : int, optional
        Of a patch, in pixels.

    Raises
    ------
    SaliencyUnavailable
        If the model has no class scores.
    UsageError
        If there is no such class, or the patches don't fit.

    Source
    ------
    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.
    """
    scores = find_scores(model, image, view)
    grid = grid_of(view, side)
    editor = Editor(model)
    labels = grid.labels()
    shape = [n if axis in view.layout.spatial_axes else 1 for axis, n in enumerate(view.shape)]
    rows = []
    for patch in range(grid.number):
        kept = (labels != patch).reshape(shape)
        copy = _copy(editor, model, scores, f"patch_{patch}", kept)
        rows.append(reshaped(editor, single_precision(editor, copy), (1, scores.classes)))
    whole = reshaped(editor, single_precision(editor, scores.tensor), (1, scores.classes))
    losses = editor.add("Sub", [whole, editor.add("Concat", rows, axis=0)])
    chosen = reshaped(editor, seed(editor, scores, target), (scores.classes, 1))
    of_the_class = reshaped(editor, editor.add("MatMul", [losses, chosen]), (grid.number,))
    spread = editor.add("Gather", [of_the_class, editor.constant(labels)], axis=0)
    public = name_map(editor, spread)
    method = f"occlusion:{side}" if side else "occlusion"
    patches = f"{grid.number} patches of side {grid.side}, each set to zero in a copy of the network"
    notes = (patches, *scores.notes)
    return SaliencyMap(
        model=editor.finish(),
        tensor=public,
        margin_tensor=public,
        link="",
        method=method,
        target=target if scores.classes > 1 else 0,
        notes=notes,
    )


def _copy(editor: Editor, model: Model, scores: Scores, prefix: str, kept: NDArray[np.bool_]) -> str:
    """Append the nodes in front of the scores again, on an image with zeros in a patch; gives the scores."""
    image = scores.program.input
    info = next(value for value in model.proto.graph.input if value.name == image)
    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    names = {image: editor.add("Mul", [image, editor.constant(kept.astype(dtype))])}
    for node in nodes_between(model.proto.graph, (scores.tensor,)):
        if names.keys() & set(read_by(node)):
            names.update((name, editor.fresh(f"{prefix}/{name}")) for name in node.output if name)
            copy: onnx.NodeProto = renamed(node, names)
            copy.name = editor.fresh(f"{prefix}/{node.name or node.op_type}")
            editor.proto.graph.node.append(copy)
    if scores.tensor not in names:
        raise SaliencyUnavailable(f"'{scores.tensor}' is not computed from the image")
    return names[scores.tensor]
