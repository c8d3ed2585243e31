"""What is certain of the decision if the standard deviation of the noise is another one than was taken."""

import math

from onnx_si.analysis.question import Question
from onnx_si.analysis.settings import Settings
from onnx_si.engines.engine import Answer
from onnx_si.report import OtherNoise
from onnx_si.statistics.noise import Noise
from onnx_si.statistics.tipping import REACH, Tipping, tipping
from onnx_si.statistics.truncated.scales import Scales

CLOSE = 0.01  # relative width of the stretch that holds a turn, up to which one number tells it


def other_noise(test: Question, found: Answer) -> OtherNoise:
    """The standard deviations under which the decision is the same, and where it turns."""
    line, settings, std = test.line, test.settings, test.noise.std
    why = fixed(test.noise, settings)
    if found.approximate:
        why = "S is not known to this engine, so the p-value is known for one standard deviation only"
    if why is not None or std is None:
        return OtherNoise(reason=why)
    scales = Scales(
        law=line.distribution,
        inside=found.certain,
        undecided=found.possible,
        statistic=line.statistic,
        alternative=settings.alternative,
        rounding=line.rounding,
    )
    known = tipping(scales, settings.alpha)
    if known is None:
        return OtherNoise(reason="the decision at alpha is not certain as it is")
    low, high = (std * factor for factor in known.holds)
    stretch = known.nearest
    if stretch is None or abs(math.log(stretch[1] / stretch[0])) > CLOSE:
        return OtherNoise(holds=(low, high), reason=_words(known, std))
    return OtherNoise(holds=(low, high), tipping=std * stretch[1])


def fixed(noise: Noise, settings: Settings) -> str | None:
    """Why the p-value is no function of the standard deviation, or is not asked for; None where it is one."""
    if settings.p_value_only:
        return "only the p-value was asked for"
    if settings.thin is not None:
        return "the parts of a thinned image are independent for the standard deviation that was taken only"
    if settings.randomise is not None and settings.alternative != "two-sided-abs":
        return "after --randomise it is known for --alternative two-sided-abs only"
    if noise.degrees_of_freedom is not None:
        return "the test holds for every standard deviation, since it allows for one that is estimated"
    if noise.std is None:
        return "the values have different standard deviations, or are correlated"
    return None


def _words(known: Tipping, std: float) -> str:
    """What is certain, where no turn is known."""
    low, high = known.holds
    same = f"the decision is the same for all standard deviations from {std * low:.3g} to {std * high:.3g}"
    turns = [turned for turned in known.turned if turned is not None]
    if turns:
        other = " and ".join(f"{std * turned:.3g}" for turned in turns)
        return f"{same} and another one at {other}; what lies between hangs on what was left open of the line"
    if (low, high) == (1 / REACH, REACH):
        return f"{same}, a factor of {REACH:g} either way"
    return f"{same}; what lies beyond hangs on what was left open of the line"
