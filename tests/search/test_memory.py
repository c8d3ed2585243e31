"""The budget of memory holds: what a process grows by while it searches a U-Net at 256 x 256."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from support import nets

from onnx_si.domains.domain import Seen
from onnx_si.ground.budget import LEAST
from onnx_si.search.examine import Examiner

BUDGET = 160 << 20
SCRIPT = """
import gc, json, os, sys, threading, time
import numpy as np
import onnx_si, onnx_si.engines.exact as engine
from onnx_si.search import Stop

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

model, image, budget, found = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3]), {"growth": 0}
search = engine.search

def watched(*given, **named):
    gc.collect()
    before, over = resident(), threading.Event()
    def watch():
        while not over.wait(0.002):
            found["growth"] = max(found["growth"], resident() - before)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = search(*given, **named)
    finally:
        over.set()
        watcher.join()
    found["passes"], found["tensors"] = result.forward_passes, result.peak_bytes
    return result

engine.search = watched
stop, steps = Stop(), iter(range(6))
how = {"sigma": 1.0, "threshold": "max:0.6", "verify": 0, "budget_bytes": budget}

def told(_):
    if next(steps, None) is None:
        stop.ask()

onnx_si.prepare(model, **how).test(image, stop=stop, progress=told)
print(json.dumps(found))
"""


def u_net(widths, side):
    """Two convolutions at each width, poolings, bilinear widening and skip connections."""
    net = nets.Net(0, (1, 1, side, side))
    x, inside, skips = "x", 1, []
    for level, width in enumerate(widths):
        x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]) if level else x
        for before in (inside, width):
            x = net.add("Relu", net.conv(x, before, width))
        inside = width
        skips.append((x, width))
    for skip, width in skips[-2::-1]:
        wide = net.add("Resize", x, "", net.const(np.array([1.0, 1.0, 2.0, 2.0])), mode="linear")
        x = net.add("Concat", wide, skip, axis=1)
        for before in (inside + width, width):
            x = net.add("Relu", net.conv(x, before, width))
        inside = width
    net.add("Conv", x, net.normal(1, inside, 1, 1), out="map")
    return net.proto("map")


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="this system does not tell what is resident"
)
def test_a_search_grows_by_its_budget(tmp_path):
    """By half more at most: interpreters and allocators are no tensors."""
    onnx.save(u_net((4, 8, 16), 256), tmp_path / "model.onnx")
    image = np.random.default_rng(0).normal(size=(1, 1, 256, 256))
    image[..., 80:128, 80:128] += 1.0
    np.save(tmp_path / "image.npy", image)
    command = [sys.executable, "-c", SCRIPT, tmp_path / "model.onnx", tmp_path / "image.npy", str(BUDGET)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passes"] > 2 and found["tensors"] > BUDGET // 16, "else there was little to hold"
    assert found["growth"] <= 1.5 * BUDGET, found


NOTHING = np.empty((0, 2))
TASK = SimpleNamespace(judge=SimpleNamespace(tally=SimpleNamespace(operations=0)), jumps=False)


def examiner(most_bytes, most_cells=1):
    """One of whose domains no memory is left for more than so many bytes, or cells at a time."""

    def resolve(task, ends, budget_bytes, tally, known=None):
        if budget_bytes > most_bytes:
            raise MemoryError
        return Seen(inside=NOTHING, unclear=NOTHING, blurred=NOTHING, knots=0, reached=ends[1])

    def claim(task, ends, budget_bytes, tally):
        if len(ends) > most_cells:
            raise MemoryError
        return list(ends)

    domains = SimpleNamespace(
        resolving=SimpleNamespace(resolve=resolve), claiming=SimpleNamespace(claim=claim)
    )
    return Examiner(domains=domains, budget_bytes=8 * LEAST)


def test_where_memory_runs_out_smaller_pieces_are_taken():
    looking = examiner(2 * LEAST)
    assert looking.resolve(TASK, 0.0, 1.0).reached == 1.0
    assert looking.budget_bytes == 2 * LEAST  # for whatever follows, too


def test_the_smallest_pieces_that_do_not_fit_are_told():
    with pytest.raises(MemoryError):
        examiner(LEAST // 2).resolve(TASK, 0.0, 1.0)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_where_memory_runs_out_fewer_cells_are_claimed_at_a_time(most):
    ends = [(float(i), float(i + 1)) for i in range(5)]
    assert examiner(LEAST, most).claim(TASK, ends) == ends


def test_one_cell_that_does_not_fit_is_told():
    with pytest.raises(MemoryError):
        examiner(LEAST, 0).claim(TASK, [(0.0, 1.0)])
