"""Shapes of all tensors of a graph at an image, and what does not depend on it, without keeping any value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnx_si.graph import Model
from onnx_si.program.walked import walked


@dataclass(frozen=True)
class Sizes:
    """`shapes` of the tensors that change with the image, where they can be told; `constants`: the others'
    values.
    """

    image: str
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, NDArray[Any]]


def sizes(model: Model, image: NDArray[Any], outputs: Iterable[str]) -> Sizes:
    """Shapes and constants of everything in front of some outputs.

    Parameters
    ----------
    model : Model
        With one input, the image.
    image : array
    outputs : iterable of str
    """
    wanted = tuple(outputs)
    name = model.inputs[0].name
    binder = walked(model, image, wanted, name)
    shapes = {name: binder.declared[name][1] for name in binder.gaps & binder.declared.keys()}
    shapes |= {step.output: step.shape for step in binder.instructions}
    return Sizes(name, {name: np.shape(image), **shapes}, binder.constants)
