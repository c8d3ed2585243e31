"""The budget of memory holds: what a process grows by while it searches a U-Net at 256 x 256."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from support import nets

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
