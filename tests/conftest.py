"""Settings that every test shares."""

import os

from hypothesis import settings

# An exception that is no refusal is a fault of this package: it is seen as it is, in child processes too.
os.environ["ONNX_SI_DEBUG"] = "1"

# The same examples on every run; a slow machine is no failure.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")
