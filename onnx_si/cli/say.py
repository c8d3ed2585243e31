"""What stderr shows: narration, one line each."""

import argparse
import sys
from collections.abc import Callable

LONGEST_LINE = 1800


def say(text: str) -> None:
    """One line of narration."""
    print(f"onnx-si: {printable(' '.join(text.splitlines()))}", file=sys.stderr)


def printable(line: str) -> str:
    """Escape codes that a file's author put into a name are shown, not obeyed; a long line is cut."""
    cut = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}... ({len(line)} characters)"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def notice(arguments: argparse.Namespace) -> Callable[[str, str], None]:
    def notice(kind: str, text: str) -> None:
        if kind == "warning" or not arguments.quiet:
            say(f"{kind}: {text}")

    return notice
