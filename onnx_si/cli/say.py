"""What stderr shows: narration, one line each."""

import argparse
import sys
from collections.abc import Callable

from onnx_si.ground.terminal import shown_line


def say(text: str) -> None:
    """One line of narration."""
    print(f"onnx-si: {shown_line(text)}", file=sys.stderr)


def notice(arguments: argparse.Namespace) -> Callable[[str, str], None]:
    def notice(kind: str, text: str) -> None:
        if kind == "warning" or not arguments.quiet:
            say(f"{kind}: {text}")

    return notice
