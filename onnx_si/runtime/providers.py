"""Which of onnxruntime's execution providers run a model."""

import onnxruntime

from onnx_si.errors import UsageError

CPU = "CPUExecutionProvider"
SUFFIX = "ExecutionProvider"


def providers(name: str | None) -> tuple[str, ...]:
    """onnxruntime's names for a provider such as `cuda`, the processor behind it for what it can't run.

    Raises
    ------
    UsageError
        If it is not installed; the message says which are.
    """
    if name is None:
        return (CPU,)
    installed = onnxruntime.get_available_providers()
    short = {full.removesuffix(SUFFIX).lower(): full for full in installed}
    full = short.get(name.lower().removesuffix(SUFFIX.lower()))
    if full is None:
        raise UsageError(
            f"provider '{name}' is not installed; this onnxruntime has {', '.join(sorted(short))}"
        )
    return (full,) if full == CPU else (full, CPU)
