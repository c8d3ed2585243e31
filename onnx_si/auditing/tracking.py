"""An audit in MLflow: parameters, numbers and files as a run in the environment's tracking store."""

import re
from collections.abc import Iterator
from typing import Any

from onnx_si.auditing.running import Audit
from onnx_si.errors import UsageError

LONGEST = 500  # characters of a parameter
NUMBERS = ("images", "tested", "rejected", "no_region", "refused", "failed")
P_VALUES = ("fisher", "simes", "uniform_p_value")


def require_mlflow() -> Any:
    """The package, told to be missing before an audit rather than after it.

    Raises
    ------
    UsageError
        If it is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise UsageError("--mlflow needs MLflow: pip install 'onnx-si[mlflow]'") from error
    return mlflow


def log_to_mlflow(audit: Audit) -> str:
    """Log a finished audit, into the run that is active or a new one.

    Returns
    -------
    str
        The run's id.

    Raises
    ------
    UsageError
        If MLflow is not installed, or its store can't be reached.
    """
    mlflow = require_mlflow()
    active = mlflow.active_run()
    try:
        if active is not None:
            _log(mlflow, audit)
            return str(active.info.run_id)
        with mlflow.start_run(run_name=f"onnx-si audit {audit.folder.name}") as run:
            _log(mlflow, audit)
            return str(run.info.run_id)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        where = mlflow.get_tracking_uri()
        raise UsageError(f"--mlflow: {where} takes no audit ({error}); it is in {audit.folder}") from error


def _log(mlflow: Any, audit: Audit) -> None:
    document = audit.document
    parameters = {
        "model": document["model"]["path"],
        "model_sha256": document["model"]["sha256"],
        "control": document["control"],
        "rate": document["rate"],
        **{f"test.{name}": value for name, value in document["config"]["test"].items()},
    }
    mlflow.log_params({_name(name): str(value)[:LONGEST] for name, value in parameters.items()})
    mlflow.set_tag("onnx-si.passed", str(audit.passed).lower())
    mlflow.log_metrics(dict(_metrics(audit)))
    for file in sorted(audit.folder.iterdir()):
        if file.name.startswith("."):
            continue
        if file.is_dir():
            mlflow.log_artifacts(str(file), file.name)
        else:
            mlflow.log_artifact(str(file))


def _metrics(audit: Audit) -> Iterator[tuple[str, float]]:
    yield "passed", float(audit.passed)
    for number, counts in enumerate(audit.document["groups"]):
        ahead = "" if number == 0 else f"{_name(counts['group'])}/"
        for name in (*NUMBERS, *P_VALUES):
            if counts[name] is not None:
                yield f"{ahead}{name}", float(counts[name])
        if counts["tested"]:
            yield f"{ahead}rejected_share", counts["rejected"] / counts["tested"]
    for gate in audit.document["gates"]:
        yield _name(f"gate/{gate['gate']}/{gate['group']}"), float(gate["passed"])


def _name(text: str) -> str:
    """Of the characters that MLflow takes; never a way out of its folder."""
    return re.sub(r"[^A-Za-z0-9_. /-]+", "_", text).replace("..", "__").strip("/ ")[:200] or "_"
