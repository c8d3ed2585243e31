"""P-values that the selective one is compared with: a new one is a record here, and a function in `analysis`.

Source: Miwa, Duy, Takeuchi, ICLR 2023, section 5 (naive, Bonferroni, permutation, over-conditioning).
"""

from collections.abc import Iterable
from dataclasses import dataclass

SELECTIVE, SELECTIVE_COLOUR = "selective", "#0072b2"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A method to compare with.

    Parameters
    ----------
    name : str
    help : str
    colour : str, optional
        In the figure of a simulation.
    random : bool
        Whether it draws numbers, which `--seed` fixes.
    chains : bool
        Whether it draws chains of images.
    """

    name: str
    help: str
    colour: str | None = None
    random: bool = False
    chains: bool = False

    @property
    def key(self) -> str:
        """Its name in a document."""
        return self.name.replace("-", "_")


NAIVE = Baseline(name="naive", help="as if the region had been fixed beforehand", colour="#009e73")
OVER_CONDITIONING = Baseline(
    name="over-conditioning", help="given the whole activation pattern", colour="#d55e00"
)
BONFERRONI = Baseline(name="bonferroni", help="naive times the number of regions", colour="#cc79a7")
PERMUTATION = Baseline(name="permutation", help="of the image's pixels", colour="#e69f00", random=True)
MONTE_CARLO = Baseline(name="monte-carlo", help="chains of images on the same line", random=True, chains=True)

BASELINES = {each.name: each for each in (OVER_CONDITIONING, NAIVE, BONFERRONI, PERMUTATION, MONTE_CARLO)}
METHODS = (SELECTIVE, *BASELINES)
COLOURS = {
    SELECTIVE: SELECTIVE_COLOUR,
    **{each.name: each.colour for each in BASELINES.values() if each.colour is not None},
}


def chosen(methods: Iterable[str]) -> list[Baseline]:
    """The baselines among some methods."""
    return [BASELINES[name] for name in methods if name in BASELINES]
