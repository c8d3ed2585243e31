"""What the make_*.py scripts share: the converters, and where and how the files are written."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx

HERE = Path(__file__).resolve().parent
MAX_BYTES = 1_000_000


def converter(name: str) -> ModuleType:
    """Import `converters/NAME.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location(name, HERE.parent / "converters" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def made_by(script: str, seed: int, *packages: str) -> str:
    """Where a model comes from, for its metadata: script, seed and the versions that matter."""
    return ", ".join(
        [f"models/{Path(script).name}", f"seed {seed}", *(f"{p} {version(p)}" for p in packages)]
    )


def save_model(proto: onnx.ModelProto, name: str) -> None:
    """Write `models/NAME.onnx`."""
    content = proto.SerializeToString()
    assert len(content) < MAX_BYTES, f"{name}: {len(content)} bytes"
    (HERE / f"{name}.onnx").write_bytes(content)
    print(f"{name}.onnx: {len(content)} bytes, {len(proto.graph.node)} nodes")


def save_image(image: np.ndarray, name: str) -> None:
    """Write `models/NAME.npy`: one channel, height x width, float32."""
    assert image.ndim == 2
    np.save(HERE / f"{name}.npy", image.astype(np.float32), allow_pickle=False)


def add_square(image: np.ndarray, row: int, column: int, side: int, mean: float) -> np.ndarray:
    """The image plus a square of the given mean."""
    changed = image.copy()
    changed[row : row + side, column : column + side] += mean
    return changed
