"""One walk over the nodes for all who ask about an image: a larger graph goes on where one ended."""

import contextlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx
from numpy.typing import NDArray

from onnx_si.graph import Model, nodes_between
from onnx_si.ground.once import asking, list_of
from onnx_si.program.binder import Binder
from onnx_si.program.going_on import Walk, begun, read_outputs
from onnx_si.program.known import KEPT_BYTES


def walked(
    model: Model,
    image: NDArray[Any],
    outputs: tuple[str, ...],
    name: str,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> Binder:
    """A walk over the nodes that some outputs need; nothing of it may be changed.

    Inside of `asking`, what an earlier walk with this image found of the same nodes is not found again,
    whichever model these were in: maps and margins are appended to copies of a graph.

    Parameters
    ----------
    model, image, outputs
    name : str
        The input that takes the image.
    given : mapping of str to array, optional
        Values of the other inputs.
    """
    nodes = nodes_between(model.proto.graph, outputs)
    walks = None if given else _walks(image, name)
    if walks is None:
        binder = Binder(model, name, image, given or {})
        binder.run(nodes, outputs)
        return binder
    made = _walk(walks, model, image, nodes, outputs, name)
    walks.append(made)
    while walks and _kept(walks) > KEPT_BYTES:
        del walks[0]
    return made.binder


def _walks(image: NDArray[Any], name: str) -> list[Walk] | None:
    """The walks with an image that are kept here."""
    return list_of((image,), ("walks", name))


def _walk(
    walks: Iterable[Walk],
    model: Model,
    image: NDArray[Any],
    nodes: list[onnx.NodeProto],
    outputs: tuple[str, ...],
    name: str,
) -> Walk:
    """The walk that has most of the nodes, brought to the end; a new one where none has any."""
    asked = read_outputs(nodes, outputs)
    start = begun(walks, model, nodes, outputs, asked)
    if start is None:
        binder, left = Binder(model, name, image, {}), nodes
    else:
        binder, left = start
    binder.lasting = frozenset((name, *(output for node in nodes for output in node.output)))
    if left:
        binder.run(left, outputs)
    binder.arrange(nodes)
    return Walk(model=model, binder=binder, asked=asked)


def _kept(walks: Iterable[Walk]) -> int:
    """Bytes of values, each counted once."""
    values = {id(value): value for walk in walks for value in walk.binder.all_values().values()}
    return sum(value.nbytes for value in values.values())


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A walk with an image, to be gone on from later on."""

    image: NDArray[Any]
    walk: Walk

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """As `asking`; whoever binds a larger graph to the same image inside goes on from here."""
        with asking():
            walks = _walks(self.image, self.walk.binder.image_name)
            if walks is not None:
                walks.append(self.walk)
            yield


def remembered(image: NDArray[Any], name: str, tensors: Container[str]) -> Remembered | None:
    """The last walk with an image that was made inside of `asking`, with no values but some tensors'."""
    walks = _walks(image, name)
    if not walks:
        return None
    last = walks[-1]
    binder = last.binder.part(last.model, last.asked, tensors)
    binder.spare, binder.spared = {}, 0
    return Remembered(image=image, walk=replace(last, binder=binder))
