"""The Monte-Carlo engine: an exact level from runs of a black box, whatever the network is made of.

Given everything that the test conditions on, the place on the line has a known law restricted to S = {z : the
region is the observed one}. From the observed place a Markov chain that leaves this law as it is goes back to
a hub; B chains go out from the hub again. Under the null the observed place and the B ends are exchangeable,
however badly the chains mix: the rank of the observed statistic among all B + 1 is uniform. How well they mix
decides the power alone.

**Everything that tunes the chains is a function of the line and the event, never of where on the line the
observed place is.** Else the ends would know of the observed one, and the level would be lost.

Source: Besag and Clifford, Biometrika 76 (1989), the parallel method; Howes, arXiv 2310.04924 (2023).
"""

from onnx_si.engines.montecarlo.answer import Drawn, Plan, monte_carlo
from onnx_si.engines.montecarlo.asker import Asker

__all__ = ["Asker", "Drawn", "Plan", "monte_carlo"]
