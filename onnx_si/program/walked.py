"""One walk over the nodes for all who ask for the same outputs at an image."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from onnx_si.graph import Model, nodes_between
from onnx_si.ground.once import asked
from onnx_si.program.binder import Binder

KEPT_BYTES = 64 << 20  # of values that are kept for whoever asks for them again


def walked(
    model: Model,
    image: NDArray[Any],
    outputs: tuple[str, ...],
    name: str,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> Binder:
    """A walk over the nodes that some outputs need; nothing of it may be changed.

    Parameters
    ----------
    model, image, outputs
    name : str
        The input that takes the image.
    given : mapping of str to array, optional
        Values of the other inputs.
    """

    def made() -> Binder:
        binder = Binder(model, name, image, given or {})
        binder.run(nodes_between(model.proto.graph, outputs), outputs)
        return binder

    if given:
        return made()
    return asked(
        (model, image),
        ("walk", outputs, name),
        made,
        keep=lambda binder: sum(value.nbytes for value in binder.values.values()) <= KEPT_BYTES,
    )
