"""Small pieces of graph that maps and gradients append; all of them mean the same in every opset."""

import numpy as np

from onnx_si.errors import Refusal
from onnx_si.graph import Editor

Shape = tuple[int, ...]
MAX_CHOICES = 2048  # of which one is chosen: the square is stored


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
