"""The page of the paper's experiment: which figures are compared with which, and what counts as different."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy import stats

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def scripts():
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


def row(method, rejected, tested=1000, signal=0.0):
    interval = stats.binomtest(rejected, tested).proportion_ci(method="exact")
    return {
        **{"method": method, "signal": signal, "tested": tested, "rejected": rejected, "ks_p_value": 0.5},
        **{"trials": 2 * tested, "no_region": tested, "reject_rate": rejected / tested},
        "reject_interval": [interval.low, interval.high],
    }


def document(*rows):
    return {"results": rows, "date": "2026-01-02", "seed": 7, "model": {"sha256": "0123456789abcdef"}}


def test_settings_have_names_and_seeds_of_their_own():
    from benchmarks.reproduction import __main__ as reproduction

    found = list(reproduction.settings())
    assert len({setting.name for setting in found}) == len({setting.seed for setting in found}) == len(found)
    assert {s.side for s in found if s.table == "null-1" and s.network == "here"} == {8, 16, 32, 64}
    assert any(setting.saliency == "gradcam" for setting in found)


def test_rates_differ_only_beyond_what_draws_explain():
    """By hand: 1000 draws each of rate 0.05 have a standard deviation of 0.0097 for their difference."""
    from benchmarks.reproduction import page as report

    assert not report.differ(50, 1000, 0.074) and report.differ(50, 1000, 0.095)
    assert report.cell(row("naive", 280), 0.241) == ".280 (.252-.309) / .241"
    assert report.cell(row("naive", 491), 0.347).endswith("/ .347 *")
    assert report.cell(None, 0.036) == "- / .036" and report.cell(None, None) == "-"


def test_naive_rates_on_a_map_that_is_the_image(tmp_path):
    """The same draws pixel by pixel."""
    from benchmarks.reproduction import naive_rates

    model = tmp_path / "model.onnx"
    onnx.save(identity_cam(4), model)
    found = naive_rates.naive_rates(model, 4, 300, 5)
    rng, rejected = np.random.default_rng(5), [0, 0]
    for _ in range(300):
        image, reference = rng.normal(size=(2, 4, 4))
        difference = [a - b for a, b in zip(image.ravel(), reference.ravel(), strict=True) if a > 0]
        mean = sum(difference) / len(difference)
        for place, variance in enumerate((2, 1)):
            rejected[place] += abs(mean) > 1.959963984540054 * (variance / len(difference)) ** 0.5
    assert [found["rejected"], found["rejected_without_reference"]] == rejected
    assert rejected[0] < rejected[1]


def identity_cam(side):
    """A classifier whose feature map is the image: its class activation map is the image."""
    weight = numpy_helper.from_array(np.ones((1, 1), np.float32), "weight")
    nodes = [
        helper.make_node("Transpose", ["x"], ["features"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["features"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["score"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, side, side, 1])]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1])]
    graph = helper.make_graph(nodes, "identity", inputs, outputs, [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_figure_stands_beside_the_row_that_it_belongs_to():
    from benchmarks.reproduction import page as report

    page = report.page(
        {
            "speed": None,
            "naive": {"authors-16": {"tested": 2000, "rejected": 482, "rejected_without_reference": 924}},
            "settings": {
                "null-1-here-16": document(row("selective", 55), row("permutation", 57)),
                "signal-2-authors-16": document(
                    *(row("selective", 100 * signal + 300, signal=float(signal)) for signal in (1, 2, 3, 4))
                ),
                "components-here-32": document(row("selective", 5, 100))
                | {"components": [part(0.0, False), part(2.0, True)]},
            },
        }
    )
    assert "| trained here | 256 | 1000 | 50% | 0.5 | .055 (.042-.071) / .045 |" in page
    assert "| the authors' own | 2 | 1000 | 50% | .500 (.469-.531) / .737 * |" in page
    assert "| 2 | on the square | 40 | .250 (.100-.400) | 20 | .200 (.100-.300) |" in page
    assert "| null-1-here-16 | 2026-01-02 | 7 | 1000 | 2000 | 0123456789ab |" in page
    assert "| the authors' own | 256 | 2000 | .241 (.222-.260) / .241 | .462 (.440-.484) / .462 |" in page
    assert "Of 2 selective rates without a signal on this page, none lie" in page


def part(signal, touches):
    return {
        **{"signal": signal, "touches": touches, "tested": 40, "reject_rate": 0.25, "images": 20},
        **{"reject_interval": [0.1, 0.4], "image_rate": 0.2, "image_interval": [0.1, 0.3]},
    }


def test_what_is_said_of_the_speed():
    from benchmarks.reproduction import page as report

    speed = {"date": "2026-01-02", "trials": 1000, "jobs": 2, "cores": 2, "seconds": 20.4}
    quiet = report.speed_words({**speed, "processor_seconds": None})
    assert quiet == (
        "1000 trials took 20 seconds with 2 workers on 2 cores, from the start of the workers to the end "
        "(2026-01-02)."
    )
    busy = report.speed_words({**speed, "jobs": 1, "processor_seconds": 3.21})
    assert "with 1 worker, 3.2 of them the processor's" in busy


def test_the_page_is_made_of_the_results_that_lie_beside_it():
    from benchmarks.reproduction import page as report

    results = json.loads((ROOT / "benchmarks" / "results" / "reproduction.json").read_text(encoding="utf-8"))
    assert report.page(results) == (ROOT / "docs" / "reproduction.md").read_text(encoding="utf-8")
