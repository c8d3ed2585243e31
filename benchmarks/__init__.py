"""Measurements, run from the repository: `python -m benchmarks.speed`, `.agreement`, `.validity` and others.

The small networks are those of the tests, built by the same builder.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
