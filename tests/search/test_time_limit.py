"""A time limit ends an exact search with true bounds wherever it strikes; clocks count looks at them."""

import json
from pathlib import Path

import numpy as np
import pytest
from support import smooth_nets

import onnx_si
from onnx_si.auditing.replay import Record, replay
from onnx_si.cli.main import main
from onnx_si.errors import UsageError
from onnx_si.ground import deadline
from onnx_si.search.stop import TIME_OVER

MODELS = Path(__file__).parents[2] / "models"
MODEL, IMAGE = str(MODELS / "paper_cam_16.onnx"), str(MODELS / "paper_cam_16_image.npy")
FINE = {"precision": 1e-9, "budget_bytes": 8 << 20}
LONG = 1e6


@pytest.fixture(scope="module")
def whole():
    """The test that nothing ends."""
    return onnx_si.test(MODEL, IMAGE, **FINE)


@pytest.fixture
def looks(monkeypatch):
    """A clock that goes on by one second each time that somebody looks at it; gives the times told."""
    told = []

    def now():
        told.append(float(len(told)))
        return told[-1]

    monkeypatch.setattr(deadline, "now", now)
    return told


def assert_true(found, whole):
    low, high = found.p_value_bounds
    assert low <= whole.p_value_bounds[0] <= whole.p_value_bounds[1] <= high
    missing = whole.truncation.subtract(found.truncation.union(found.undecided)).bounds
    assert (missing[:, 1] - missing[:, 0]).sum() < 1e-9
    added = found.truncation.subtract(whole.truncation.union(whole.undecided)).bounds
    assert (added[:, 1] - added[:, 0]).sum() < 1e-9


@pytest.mark.parametrize("seconds", [1, 2, 9, 30, 45, 60, 80, 100])
def test_bounds_are_true_wherever_time_is_over(looks, whole, seconds):
    found = onnx_si.test(MODEL, IMAGE, time_limit=seconds, **FINE)
    assert_true(found, whole)
    document = found.to_dict()
    assert document["search"]["complete"] is False and document["config"]["time_limit"] == seconds
    (text,) = (text for text in found.warnings if TIME_OVER in text)
    assert "--engine monte-carlo, which always ends" in text
    assert found.guarantee == "exact", "it never changes the engine by itself"


def test_what_an_examination_found_before_the_end_is_kept(looks, whole):
    """The first cell is wide: without it the bounds would stay 0 to 1 until its end."""
    widths = []
    for seconds in (20, 60, 100):
        found = onnx_si.test(MODEL, IMAGE, time_limit=seconds, **FINE)
        widths.append(found.p_value_bounds[1] - found.p_value_bounds[0])
    assert widths[0] >= widths[1] >= widths[2] and widths[1] < 0.9 and widths[2] < 0.1


def test_little_is_done_after_the_limit(looks):
    """The clock is looked at after every instruction: the time told last is what the whole test took."""
    onnx_si.test(MODEL, IMAGE, time_limit=60, verify=0, **FINE)
    assert looks[-1] <= 1.1 * 60 + 10


def test_questions_to_the_runtime_end_too(looks):
    onnx_si.test(MODEL, IMAGE, time_limit=LONG, verify=0, **FINE)
    before = len(looks)
    looks.clear()
    found = onnx_si.test(MODEL, IMAGE, time_limit=before + 20, verify=4000, **FINE)
    assert 0 < found.parity.points < 400
    assert looks[-1] <= 1.08 * (before + 20)


def test_enough_time_changes_nothing(whole):
    found = onnx_si.test(MODEL, IMAGE, time_limit=LONG, **FINE)
    assert found.p_value_bounds == whole.p_value_bounds and found.warnings == whole.warnings
    assert found.truncation == whole.truncation and found.parity == whole.parity


def test_components_have_the_time_together(looks):
    found = onnx_si.test(MODEL, IMAGE, time_limit=40, components=True)
    parts = found.component_tests
    assert parts and all(part.p_value_bounds in (None, (0.0, 1.0)) for part in parts)


def test_components_that_time_left_out_are_told(looks):
    onnx_si.test(MODEL, IMAGE, time_limit=LONG)
    took = len(looks)
    found = onnx_si.test(MODEL, IMAGE, time_limit=took + 60, components=True, verify=0)
    assert found.search["complete"] and any("all components" in text for text in found.warnings)


def test_a_decision_that_was_not_reached_is_told(looks):
    found = onnx_si.test(MODEL, IMAGE, time_limit=3, decide=True)
    assert any(TIME_OVER in text for text in found.warnings)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_limit_that_is_none(value):
    with pytest.raises(UsageError, match="time_limit"):
        onnx_si.test(MODEL, IMAGE, time_limit=value)


@pytest.mark.parametrize("other", [{"engine": "monte-carlo"}, {"thin": 0.5}])
def test_what_has_no_exact_search_has_no_limit(other):
    with pytest.raises(UsageError, match="--time-limit has no effect here"):
        onnx_si.test(MODEL, IMAGE, time_limit=10, **other)


def test_chains_are_not_cut_short():
    image = np.random.default_rng(0).normal(size=(16, 16))
    found = onnx_si.test(smooth_nets.unet(), image, sigma=1.0, draws=19, time_limit=1e-3)
    assert found.guarantee == "monte-carlo" and found.search["complete"]
    assert any("chains end by themselves" in text for text in found.warnings)


def test_the_command_line(capsys, tmp_path):
    """Exit 0: a test was done."""
    output = tmp_path / "o.json"
    assert main([MODEL, IMAGE, "--time-limit", "1e-6", "--json", "--output", str(output)]) == 0
    stdout, stderr = capsys.readouterr()
    document = json.loads(stdout)
    assert document["search"]["complete"] is False and document["p_value_bounds"] == [0.0, 1.0]
    assert TIME_OVER in stderr and "monte-carlo" in stderr
    assert main([MODEL, IMAGE, "--time-limit", "no"]) == 2


def test_metadata_say_it(tmp_path):
    model = onnx_si.load(MODEL)
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    proto.metadata_props.add(key="onnx_si.time_limit", value="1e-6")
    found = onnx_si.test(proto, IMAGE)
    assert found.config["time_limit"] == 1e-6 and found.p_value_bounds == (0.0, 1.0)
    assert any("time_limit" in text for text in found.defaults)


def test_a_simulation(capsys):
    """Cut short, a p-value is its upper bound: it rejects nothing."""
    found = onnx_si.simulate(MODEL, trials=2, jobs=1, sigma=1.0, threshold="minmax:0.7", time_limit=1e-6)
    assert [one.p_values["selective"] for one in found.outcomes if one.tested] == [1.0, 1.0]
    wanted = [
        "simulate",
        MODEL,
        "--trials",
        "2",
        "--jobs",
        "1",
        "--time-limit",
        "1e-6",
        "--threshold",
        "minmax:0.7",
    ]
    assert main(wanted) == 0


def test_an_audit(tmp_path):
    folder = tmp_path / "audit"
    assert main(
        [
            "audit",
            MODEL,
            IMAGE,
            "--output",
            str(folder),
            "--jobs",
            "0",
            "--no-isolate",
            "--time-limit",
            "1e-6",
        ]
    ) in (0, 1)
    (line,) = (folder / "results.jsonl").read_text().splitlines()
    result = json.loads(line)["result"]
    assert result["search"]["complete"] is False and result["config"]["time_limit"] == 1e-6


def test_a_record_is_run_again_without_its_limit(tmp_path):
    """How far a search comes in a time depends on the machine; what was complete does not."""
    short = tmp_path / "short.json", "1e-6"
    enough = tmp_path / "enough.json", str(LONG)
    found = []
    for path, seconds in (short, enough):
        how = ["--sigma", "1", "--time-limit", seconds, "--quiet", "--output", str(path)]
        assert main([MODEL, IMAGE, *how]) == 0
        found.append(replay(Record(name="x", document=json.loads(path.read_text())), Path()))
    assert found[0].skipped is not None and "time limit" in found[0].skipped
    assert found[1].agrees and found[1].skipped is None, found[1].differences
