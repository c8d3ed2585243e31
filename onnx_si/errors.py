"""Every error that the package raises on purpose.

OnnxSIError                  exit code
 +- UsageError               2   the call's options don't fit together
 |   +- WrongType                ... because a value is of another type, or a name is unknown: a TypeError too
 |   +- AmbiguousLayout          ... because the model's input can be read in more than one way
 +- UnsupportedModel         3   a valid model that can't be analysed exactly
 |   +- UnsupportedOp            ... because of these nodes (all of them, in `findings`)
 |   +- SaliencyUnavailable      ... because the wanted map does not exist in it
 |   +- NotLinear                ... because the wanted threshold is not piecewise linear on this map
 |   +- Contradicted             ... because the deployed model gives other regions than the analysis says
 |   +- Refusal                  ... because of one node, which the binder names
 |       +- Undefined                ... since its op is not defined for some images on the line
 +- InputError               4   a file that can't be read, or values that don't fit the model
 +- NothingToTest            5   the region is empty, or is everything
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


class OnnxSIError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the command line's."""

    exit_code = 1


class UsageError(OnnxSIError):
    """Options that don't fit together or can't be read."""

    exit_code = 2


class WrongType(UsageError, TypeError):
    """A value of a type that can't be meant, or an argument that there isn't."""


class AmbiguousLayout(UsageError):
    """More than one reading of the model's input fits: the user has to say which."""


class UnsupportedModel(OnnxSIError):
    """A valid model whose p-value can't be proved right."""

    exit_code = 3


class SaliencyUnavailable(UnsupportedModel):
    """The wanted saliency map does not exist in this model."""


class NotLinear(UnsupportedModel):
    """The threshold is not piecewise linear on this map: only the runtime can follow it."""


class Contradicted(UnsupportedModel):
    """The deployed model contradicts the truncation set at a point of the line."""


class InputError(OnnxSIError):
    """A file that can't be read, or values that don't fit the model."""

    exit_code = 4


class NoBackground(InputError):
    """The region holds pixels that were said to be background."""


class NothingToTest(OnnxSIError):
    """The region is empty, or it is the whole image.

    `pixels` of `size` passed the threshold; `saliency` is the map's method, target and threshold. Who
    knows them adds the image's shape, the noise and what was warned of.
    """

    exit_code = 5
    shape: tuple[int, ...] | None = None
    noise: Mapping[str, Any] = MappingProxyType({})
    warnings: tuple[str, ...] = ()

    def __init__(
        self, message: str, *, pixels: int = 0, size: int = 0, saliency: Mapping[str, Any] | None = None
    ):
        self.pixels, self.size, self.saliency = pixels, size, dict(saliency or {})
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One node that stands in the way: where, what, why and what to do."""

    node: str
    op: str
    opset: int
    reason: str
    advice: str

    def __str__(self) -> str:
        return f"node '{self.node}' ({self.op}, opset {self.opset}): {self.reason}; {self.advice}"


class UnsupportedOp(UnsupportedModel):
    """All nodes between image and map without an exact rule, or any, raised once for the whole model."""

    def __init__(self, findings: Sequence[Finding], what: str = "analysed exactly"):
        self.findings = tuple(findings)
        count = "1 node" if len(self.findings) == 1 else f"{len(self.findings)} nodes"
        super().__init__("\n  ".join([f"{count} can't be {what}:", *map(str, self.findings)]))


class Refusal(UnsupportedModel):
    """Raised by an op's handler; the binder adds node, op and opset and makes it a `Finding`.

    One that is raised outside of a node refuses the model in its own words.
    """

    def __init__(self, reason: str, advice: str):
        self.reason, self.advice = reason, advice
        super().__init__(f"{reason}; {advice}")


class Mixed(Refusal):
    """A rule needs an input constant that changes with the image, or the other way round.

    The node can be computed at the image itself.
    """


class Undefined(Refusal):
    """Values for which an op is not defined: a finding at the image, an error elsewhere on the line."""
