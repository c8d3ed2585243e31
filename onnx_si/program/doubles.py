"""Values of tensors in float64, of which those that a model stores are made when they are asked for."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 1 << 16  # elements of a constant that is converted once, for all who ask


class Doubles(Mapping[str, NDArray[np.float64]]):
    """Tensors by their names.

    The weights of a large network take twice its file as float64, and whoever binds it wants the shapes of
    most of them only.

    Parameters
    ----------
    constants : mapping
        As they are stored.
    computed : mapping
        The others.
    """

    def __init__(self, constants: Mapping[str, NDArray[Any]], computed: Mapping[str, NDArray[np.float64]]):
        self._held: dict[str, NDArray[Any]] = {
            name: np.asarray(value, np.float64) if value.size <= SMALL else value
            for name, value in constants.items()
        }
        self._held.update(computed)

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return np.asarray(self._held[name], np.float64)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def elements(self) -> int:
        """Of all of them."""
        return sum(value.size for value in self._held.values())
