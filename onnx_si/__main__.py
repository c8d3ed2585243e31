"""`python -m onnx_si` and `onnx-si`: the command line, which Ctrl-C ends quietly from its first import on."""

import sys

from onnx_si.cli.signals import INTERRUPTED, leave, on_end


def main() -> int:
    """Run the command line of this process; gives the exit code."""
    try:
        with on_end(leave):
            from onnx_si.cli.main import main as run  # most of a second, with what it imports
        return run()
    except KeyboardInterrupt:  # before it listens itself
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
