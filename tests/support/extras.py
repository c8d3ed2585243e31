"""Packages that some tests need besides the test extra."""

import importlib
import os

import pytest

WANTED = "ONNX_SI_EXTRAS"
"""With this in the environment a missing package is a failure, as where the extra is installed."""


def needed(name, reason):
    """A package, without which the test is skipped with a reason."""
    if os.environ.get(WANTED):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=reason)
