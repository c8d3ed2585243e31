"""`python -m onnx_si` is the command line."""

import sys

from onnx_si.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
