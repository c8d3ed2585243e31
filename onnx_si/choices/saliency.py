"""Saliency methods: a new one is a record here, and a file in `maps` that makes the map."""

from dataclasses import dataclass

from onnx_si.ground.terminal import shown, whole_number
from onnx_si.ground.words import did_you_mean


@dataclass(frozen=True, kw_only=True)
class More:
    """What may follow the name of a method, behind a colon."""

    metavar: str
    words: str = ""
    whole: bool = False
    needed: bool = False

    def read(self, text: str) -> str | int | None:
        """The value; None where it is none."""
        if not self.whole:
            return text or None
        return (text.isdecimal() and whole_number(text)) or None


@dataclass(frozen=True, kw_only=True)
class Method:
    """A saliency method.

    Parameters
    ----------
    name : str
    fits : str
        What is said of a model for which such a map can be made.
    help : str
        Said of it in the list of methods, behind the name.
    more : More, optional
    automatic : bool
        Whether it is tried for a model without an output that is a map, in the order of the records.
    last : bool
        Whether it is tried because no other fits, which is then told.
    """

    name: str
    fits: str
    help: str = ""
    more: More | None = None
    automatic: bool = False
    last: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """As a user may write it."""
        if self.more is None:
            return (self.name,)
        longer = f"{self.name}:{self.more.metavar}"
        return (longer,) if self.more.needed else (self.name, longer)


OUTPUT = Method(name="output", fits="", help=" for any tensor", more=More(metavar="NAME", needed=True))
CAM = Method(
    name="cam", fits="global average of {channels} channels, then {classes} class scores", automatic=True
)
GRADCAM = Method(
    name="gradcam",
    fits="every op between feature maps and class scores has a gradient rule",
    more=More(metavar="NAME"),
    automatic=True,
)
GRADIENT = Method(name="gradient", fits="every op between image and class scores has a gradient rule")
GRAD_INPUT = Method(
    name="grad-input",
    fits="every op between image and class scores has a gradient rule",
    automatic=True,
    last=True,
)
OCCLUSION = Method(
    name="occlusion",
    fits="the model gives class scores",
    more=More(metavar="K", words="patches of K pixels", whole=True),
    automatic=True,
    last=True,
)
ROLLOUT = Method(name="rollout", fits="layers of attention among the image's tokens, one behind the other")

SALIENCY_METHODS = {
    method.name: method for method in (OUTPUT, CAM, GRADCAM, GRADIENT, GRAD_INPUT, OCCLUSION, ROLLOUT)
}
PLAIN = tuple(
    name for name, method in SALIENCY_METHODS.items() if method.more is None or not method.more.needed
)
AUTOMATIC = tuple(name for name, method in SALIENCY_METHODS.items() if method.automatic)
"""What is tried, in this order, for a model without an output that is a map."""


def all_spellings() -> str:
    """Every method as it may be written, for the help."""
    return ", ".join(" or ".join(method.spellings) + method.help for method in SALIENCY_METHODS.values())


def listed(names: tuple[str, ...]) -> str:
    """Names in a row: a, b and c."""
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def unknown(asked: str) -> str:
    """What to say of a method that there is none of."""
    longer = [
        (method.spellings[-1], method.more) for method in SALIENCY_METHODS.values() if method.more is not None
    ]
    words = tuple(f"{name} ({more.words})" if more.words else name for name, more in longer)
    near = did_you_mean(asked.split(":", 1)[0].lower().replace("_", "-"), SALIENCY_METHODS)
    return f"saliency '{shown(asked)}'; allowed are auto, {', '.join(PLAIN)}, {listed(words)}{near}"
