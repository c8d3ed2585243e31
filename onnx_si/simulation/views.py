"""What table and figure read of a simulation."""

from typing import Protocol

import numpy as np

from onnx_si.analysis.settings import Settings
from onnx_si.simulation.detectable import Count, Detectable
from onnx_si.simulation.method_rows import Row
from onnx_si.simulation.part_rows import PartRow
from onnx_si.simulation.plan import Plan
from onnx_si.simulation.trial import Outcome


class Simulated(Protocol):
    """Plan, settings, outcomes and the rows made of them."""

    @property
    def plan(self) -> Plan: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def signals(self) -> tuple[float, ...]: ...

    @property
    def outcomes(self) -> tuple[Outcome, ...]: ...

    @property
    def rows(self) -> tuple[Row, ...]: ...

    @property
    def parts(self) -> tuple[PartRow, ...]: ...

    @property
    def count(self) -> Count: ...

    @property
    def detectable(self) -> Detectable | None: ...

    @property
    def null_holds(self) -> bool:
        """Whether the null hypothesis is true of images without signal."""
        ...

    @property
    def source(self) -> str:
        """Where the test has the size of the noise from."""
        ...

    def p_values(self, signal: float, method: str) -> np.ndarray:
        """P-values of one method under one signal, by number of the trial."""
        ...
