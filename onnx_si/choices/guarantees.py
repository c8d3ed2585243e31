"""What a p-value may be: one record for each word, which domains, engines, gates and texts take."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """A kind of p-value.

    Parameters
    ----------
    name : str
    words : str
        What it rests on, in a result's summary.
    drawn : bool
        Whether the p-value carries chance of drawing, so that its bounds are an interval.
    followed : bool
        Whether the network was followed; otherwise the runtime alone was asked.
    """

    name: str
    words: str
    drawn: bool = False
    followed: bool = True


DRAWN = Guarantee(
    name="monte-carlo",
    words="the level is exact whatever the network is made of; the p-value itself carries chance of drawing",
    drawn=True,
    followed=False,
)
THINNED = Guarantee(
    name="thinned",
    words="an ordinary test of the part of the image that is independent of the selection",
    followed=False,
)
CERTIFIED = Guarantee(name="certified", words="the bounds are proven on cells of the line, rounding included")
EXACT = Guarantee(
    name="exact",
    words="the network is followed piece by piece, and the bounds are true to rounding error",
)

GUARANTEES = {each.name: each for each in (DRAWN, THINNED, CERTIFIED, EXACT)}
"""From the weakest to the strongest."""
