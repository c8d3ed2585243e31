"""An audit in MLflow and on a Dask cluster: the real packages, where they are installed."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import audits

import onnx_si
from onnx_si.auditing.running import run_audit
from onnx_si.cli.main import main
from onnx_si.errors import UsageError

ROOT = Path(__file__).parents[2]
GATES = {"max_failed": 0, "max_rejected": {"empty": 1.0}}
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="needs the package mlflow"
)
needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs the package distributed"
)


@pytest.fixture
def place(tmp_path):
    return audits.folder_of(tmp_path / "data", count=8)


@pytest.mark.parametrize(
    ("package", "flags", "extra"),
    [("mlflow", ["--mlflow"], "mlflow"), ("distributed", ["--scheduler", "tcp://127.0.0.1:9"], "dask")],
)
def test_what_is_missing_is_told_before_the_first_image(
    place, tmp_path, monkeypatch, capsys, package, flags, extra
):
    monkeypatch.setitem(sys.modules, package, None)
    given = ["audit", str(place / "model.onnx"), str(place / "images"), "--output", str(tmp_path / "out")]
    assert main([*given, "--sigma", "1", *flags]) == 2
    assert f"onnx-si[{extra}]" in capsys.readouterr().err
    assert (
        not (tmp_path / "out" / "results.jsonl").exists()
        or not (tmp_path / "out" / "results.jsonl").stat().st_size
    )


@needs_mlflow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_holds_parameters_numbers_and_files(place, tmp_path, monkeypatch):
    import mlflow

    from onnx_si.auditing.tracking import log_to_mlflow

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    found = run_audit(audits.wish(place, gates=GATES, pictures=True), tmp_path / "out", jobs=0)
    number = log_to_mlflow(found)
    run = mlflow.tracking.MlflowClient().get_run(number)
    counts = found.document["groups"][0]
    assert run.data.params["test.sigma"] == "1.0" and run.data.params["model"] == "model.onnx"
    assert run.data.metrics["rejected"] == counts["rejected"] and run.data.metrics["lesion/images"] == 4
    assert run.data.metrics["gate/max_failed/all"] == 1 and run.data.tags["onnx-si.passed"] == "true"
    files = {one.path for one in mlflow.tracking.MlflowClient().list_artifacts(number)}
    assert {"report.html", "results.jsonl", "summary.json", "pictures"} <= files and ".running" not in files
    assert run.info.status == "FINISHED"
    with mlflow.start_run() as outer:
        assert log_to_mlflow(found) == outer.info.run_id


@needs_mlflow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_names_can_t_leave_their_folder():
    from onnx_si.auditing.tracking import _name

    for text in ("../../etc", "/root", "<b>;", "", "a\x00b"):
        assert ".." not in _name(text) and not _name(text).startswith("/") and _name(text)


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, each a process; gives the address and the workers."""
    import distributed

    file = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    command += ["--no-dashboard", "--scheduler-file", str(file)]
    running = [subprocess.Popen(command, env=ENVIRONMENT, cwd=tmp_path, stderr=subprocess.DEVNULL)]
    try:
        wait_for(file.exists)
        for _ in range(2):
            work = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file)]
            work += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
            running.append(subprocess.Popen(work, env=ENVIRONMENT, cwd=tmp_path, stderr=subprocess.DEVNULL))
        with distributed.Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(2, timeout=120)
            address = client.scheduler.address
        yield address, running[1:]
    finally:
        for process in running:
            process.kill()
            process.wait()


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)


@needs_dask
@pytest.mark.filterwarnings("ignore")
def test_a_dask_worker_that_is_killed_loses_no_image(tmp_path, cluster):
    address, workers = cluster
    place = audits.folder_of(tmp_path / "data", count=30)
    wish = audits.wish(place, pictures=True)
    whole = run_audit(wish, tmp_path / "whole", jobs=0)
    seen = []

    def advance(finished, wanted):
        seen.append(finished)
        if finished == 6:
            workers[0].send_signal(signal.SIGKILL)

    run_audit(wish, tmp_path / "out", scheduler=address, advance=advance)
    assert workers[0].poll() is not None and workers[1].poll() is None
    assert seen == list(range(31))
    assert audits.files(tmp_path / "out") == audits.files(whole.folder)


@needs_dask
@pytest.mark.filterwarnings("ignore")
def test_no_scheduler_is_told(place, tmp_path):
    with pytest.raises(UsageError, match="no scheduler answers"):
        run_audit(audits.wish(place), tmp_path / "out", scheduler="tcp://127.0.0.1:9")


def test_parquet_has_the_rows_of_the_csv(place, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the package pyarrow")
    found = run_audit(audits.wish(place), tmp_path / "out", jobs=0)
    lines = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [line["number"] for line in lines] == list(range(8)) and lines[1]["ward"] == "ward 1"
    for line, row in zip(lines, found.rows(), strict=True):
        assert line["p_value"] == (row["result"]["p_value"] if row["status"] == "tested" else None)
    manifest = place / "list.parquet"
    parquet.write_table(
        parquet.read_table(tmp_path / "out" / "results.parquet", columns=["image", "group"]), manifest
    )
    again = onnx_si.audit(
        str(place / "model.onnx"), manifest, sigma=1.0, threshold="minmax:0.5", verify=0, jobs=0
    )
    assert [row["group"] for row in again.rows()] == [row["group"] for row in found.rows()]
