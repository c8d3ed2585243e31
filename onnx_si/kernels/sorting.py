"""Values in another order: the linear parts of rules that only move."""

from dataclasses import dataclass

from onnx_si.rules.rules import Array


@dataclass(frozen=True)
class Reshaped:
    """The same values in row-major order in another shape, the batch axis not counted."""

    shape: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return x.reshape(x.shape[0], *self.shape)


@dataclass(frozen=True)
class Permuted:
    """The axes in another order, the batch axis counted."""

    order: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return x.transpose(self.order)
