"""One call of the runtime for many images, where each gets the same bits as alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from onnx_si.graph.survivable import STANDARD
from onnx_si.runtime.each import SINCE, STACK, over_each
from onnx_si.runtime.session import session_of

Tensors = Mapping[str, NDArray[Any]]
LEAST = 8  # images of a call from which a second session is checked,
WORTH = 256  # and of all calls from which it is worth making: it saves some microseconds for each
CHECKED = 6  # of the first of them, spread evenly: compared with what each gives alone
FLICKER = 1e-5  # share of a tensor's largest value by which two runs may differ on an accelerator
LARGEST = 1 << 22  # bytes of a graph: a larger one runs long enough that the way in and out is nothing


class Together:
    """A graph as the body of a Scan: every image runs through the same nodes by itself.

    A runtime may fuse nodes of a body in another way, and round otherwise. So images are run both ways once
    there were many; where a single bit differs, or the runtime can't do it, nothing is run together.

    Parameters
    ----------
    proto : ModelProto
        Its inputs are what differs from image to image.
    outputs : sequence of str
    one : callable
        The inputs of one image -> its outputs, as they are to be.
    providers : tuple of str
    threads : int
    spread : float
        Share of a tensor's largest value by which the two ways may differ: none, where the runtime gives the
        same bits each time.
    """

    def __init__(
        self,
        proto: onnx.ModelProto,
        outputs: Sequence[str],
        one: Callable[[Tensors], Tensors],
        providers: tuple[str, ...],
        threads: int,
        spread: float = 0.0,
    ):
        opset = max((o.version for o in proto.opset_import if o.domain in STANDARD), default=0)
        fits = opset >= SINCE and bool(outputs) and proto.ByteSize() <= LARGEST
        self._proto = proto if fits else None  # a large one is not kept for nothing
        self._outputs, self._one = list(outputs), one
        self._how, self._spread = (providers, threads), spread
        self._session: onnxruntime.InferenceSession | None = None
        self._asked = 0

    def run(self, stacks: Tensors) -> Tensors | None:
        """The outputs for each of several images, stacked; None where they are to be run one by one."""
        if self._session is not None:
            return self._through(self._session, stacks)
        count = len(next(iter(stacks.values())))
        self._asked += count
        if self._proto is None or count < LEAST or self._asked < WORTH:
            return None
        proto, self._proto = self._proto, None
        checked = self._checked(proto, stacks)
        if checked is None:
            return None
        self._session, found = checked
        return found

    def _through(self, session: onnxruntime.InferenceSession, stacks: Tensors) -> Tensors:
        found = session.run(None, {STACK + name: stack for name, stack in stacks.items()})
        return dict(zip(self._outputs, found, strict=True))

    def _checked(
        self, proto: onnx.ModelProto, stacks: Tensors
    ) -> tuple[onnxruntime.InferenceSession, Tensors] | None:
        """A session of all of them, and what it gives; None where that is not what each gives alone."""
        count = len(next(iter(stacks.values())))
        rows = np.unique(np.linspace(0, count - 1, CHECKED).astype(int)).tolist()
        try:
            session = session_of(
                over_each(proto, {name: stack.shape[1:] for name, stack in stacks.items()}, self._outputs),
                *self._how,
            )
            together = self._through(session, stacks)
        except Exception:  # what a Scan can't do: the images one by one say what they say
            return None
        for row in rows:
            alone = self._one(one_of(stacks, row))
            pairs = ((together[name][row], np.asarray(alone[name])) for name in self._outputs)
            if not all(same(found, wanted, self._spread) for found, wanted in pairs):
                return None
        return session, together


def one_of(stacks: Tensors, row: int) -> Tensors:
    """The tensors of one image: arrays all, as the runtime takes no numbers by themselves."""
    return {name: stack[row, ...] for name, stack in stacks.items()}


def same(one: NDArray[Any], other: NDArray[Any], spread: float = 0.0) -> bool:
    """Whether two tensors are the same to the last bit, numbers that are none as well, or to a share of the
    largest value.
    """
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind not in "fiu" or not spread:
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    near, far = one.astype(np.float64), other.astype(np.float64)
    size = float(np.abs(near).max(initial=0.0))
    return bool(np.allclose(near, far, 0.0, spread * size, equal_nan=True))
