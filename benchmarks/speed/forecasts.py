"""What is foretold of proven bounds, beside what they take: `python -m benchmarks.speed.forecasts`.

The networks and images of `benchmarks.smooth`, bounds of 1e-3; processor seconds of a test, one thread: of
the p-value alone, and with its interval. A forecast is a function of the line and the network: nothing of it
may be fitted to an image.
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.smooth import ROWS, Row, images
from benchmarks.speed.stages import ask
from onnx_si.analysis.prepare import prepare
from onnx_si.domains.task import Task
from onnx_si.engines.proving import Certified
from onnx_si.errors import OnnxSIError
from onnx_si.graph import Model, load
from onnx_si.search import SearchOptions, forecast

PRECISION, LIMIT = 1e-3, 1e4


@dataclass(frozen=True)
class Took:
    """Cells and processor seconds, as foretold and as found."""

    foretold: tuple[float, float]
    found: tuple[float, float]

    def __str__(self) -> str:
        (cells, each), (number, seconds) = self.foretold, self.found
        took = seconds / max(number, 1)
        ratio = cells * each / seconds
        numbers = f"{cells:8.0f}{number:8.0f}{1e3 * each:10.1f}{1e3 * took:10.1f}"
        return f"{numbers}{cells * each:9.2f}{seconds:9.2f}{ratio:8.2f}"


def took(row: Row, image: Any, alone: bool) -> Took:
    """One image; the p-value `alone`, or with its interval."""
    made = row.make()
    model = made if isinstance(made, Model) else load(made)
    options = {"sigma": 1.0, "hypothesis": "background", "verify": 0, **row.options, "engine": "certified"}
    question = ask(model, image, None, options)
    engine, event = question.selection.engine, question.selection.event
    assert isinstance(engine, Certified)
    domain, program = engine.domain.prepared(engine.program)
    task = Task(program=program, margin=engine.margin, line=question.line, event=event)
    how = SearchOptions(precision=PRECISION, interval_level=None if alone else 0.95)
    expected = forecast(domain, task, LIMIT, how)
    analysis = prepare(model, precision=PRECISION, p_value_only=alone, **options)
    began = time.process_time()
    costs = analysis.test(image).search
    seconds = time.process_time() - began
    cells = costs.cells - costs.fates["split"]
    return Took((expected.cells, expected.seconds_a_cell), (cells, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--without", default="transformer", help="networks whose search ends early")
    asked = parser.parse_args()
    print(f"{'':65}{'cells':>16}{'ms a cell':>20}{'seconds':>18}{'':8}")
    print(
        f"{'':60}"
        + f"{'foretold':>8}{'found':>8}{'foretold':>10}{'took':>10}{'foretold':>9}{'took':>9}{'ratio':>8}"
    )
    for row in ROWS:
        if asked.only not in row.name or asked.without in row.name:
            continue
        for image in images(row, asked.images):
            for alone in (True, False):
                kind = "p alone" if alone else "interval"
                try:
                    print(f"{row.name:56.56}{kind:9}{took(row, image, alone)}", flush=True)
                except OnnxSIError as error:
                    print(f"{row.name:56.56}{kind:9}{error}", flush=True)


if __name__ == "__main__":
    main()
