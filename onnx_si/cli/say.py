"""What stderr shows: narration, one line each."""

import sys

from onnx_si.ground.terminal import shown_line


def say(text: str) -> None:
    """One line of narration."""
    print(f"onnx-si: {shown_line(text)}", file=sys.stderr)


def _short(text: str) -> str:
    """A default without its reason: the option and its value, or the whole note where the value is a note."""
    head, _, rest = text.partition(": ")
    return head if " " in head else f"{head}: {rest.partition('; ')[0]}"


class Narration:
    """Tells warnings at once, each of them once, and all defaults in one line, or one by one if asked for.

    Parameters
    ----------
    quiet, verbose : bool
        Of the defaults, nothing, or each with its reason.
    """

    def __init__(self, *, quiet: bool, verbose: bool):
        self._quiet, self._verbose = quiet, verbose
        self._defaults: list[str] = []
        self._warned: set[str] = set()

    def __call__(self, kind: str, text: str) -> None:
        if kind == "warning":
            if text not in self._warned:
                say(f"warning: {text}")
            self._warned.add(text)
        elif self._verbose:
            say(f"{kind}: {text}")
        elif not self._quiet:
            self._defaults.append(_short(text))

    def end(self) -> None:
        """The one line, if there is anything to tell."""
        if self._defaults:
            say(f"defaults: {', '.join(dict.fromkeys(self._defaults))} (--verbose says why)")
        self._defaults = []
