"""The system's own limit is what a run may hold, measured in processes of their own."""

import errno
import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest
from fuzz.known import folded_case, tensor, with_constant
from onnx import helper
from support.nets import Net

from onnx_si.ground import wall
from onnx_si.ground.budget import above, budget, own_limits, status
from onnx_si.ground.wall import FLOOR, ceiling, hold_at_most, starved

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(status("VmData") is None, reason="the system tells no memory of a process")

MEGA = 1 << 20


def bound():
    return resource.getrlimit(resource.RLIMIT_DATA)


def test_the_system_keeps_the_limit_where_no_one_asked():
    before = bound()
    with budget(1 << 30), ceiling():
        assert bound()[0] <= status("VmData") + above(1 << 30)
        with pytest.raises(MemoryError):
            np.ones((1 << 40) // 8)
    assert bound() == before


def test_the_limit_is_back_after_an_error():
    before = bound()
    with pytest.raises(ZeroDivisionError), budget(1 << 30), ceiling():
        raise ZeroDivisionError
    assert bound() == before


def test_an_inner_limit_is_never_larger():
    with budget(2 << 30), ceiling():
        outer = bound()[0]
        with budget(1 << 30), ceiling():
            assert bound()[0] < outer
        with ceiling():
            assert bound()[0] <= outer
        assert bound()[0] == outer


def test_without_a_limit_all_that_is_free_may_be_needed(monkeypatch):
    """Questions are answered by half of it, and what turns out to be needed may be the rest."""
    monkeypatch.setattr("onnx_si.ground.budget.free_memory", lambda: 2 << 30)
    with budget() as whole, ceiling():
        assert whole.limit == 1 << 30
        assert bound()[0] >= status("VmData") + (2 << 30) - 64 * MEGA
        with budget(1 << 29), ceiling():
            assert bound()[0] <= status("VmData") + above(1 << 29)


def test_libraries_are_never_refused():
    with budget(MEGA), ceiling():
        assert bound()[0] >= status("VmData") + FLOOR - MEGA


def test_only_the_main_thread_sets_it():
    seen = []

    def work():
        with budget(1 << 30), ceiling():
            seen.append(bound())

    before = bound()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_where_nothing_is_told_nothing_is_set(monkeypatch):
    monkeypatch.setattr(wall, "own_limits", dict)
    before = bound()
    with budget(1 << 30), ceiling():
        assert bound() == before
    hold_at_most(1 << 30)
    assert bound() == before


def test_a_process_of_its_own_is_held_for_good():
    code = (
        "import numpy as np\nfrom onnx_si.ground.wall import hold_at_most\n"
        "for size in (4, 1):\n    hold_at_most(size << 28)\n"
        "    try:\n        np.ones(3 << 25)\n        print('held')\n"
        "    except MemoryError:\n        print('refused')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["held", "refused"]


def test_which_errors_mean_that_there_was_no_memory():
    def behind(cause):
        try:
            raise ValueError from cause
        except ValueError as error:
            return error

    for error in (MemoryError(), OSError(errno.ENOMEM, "no"), RuntimeError("can't start new thread")):
        assert starved(error) and starved(behind(error))
    for error in (RuntimeError("else"), OSError(errno.ENOENT, "no"), ValueError("can't start new thread")):
        assert not starved(error)
    assert own_limits()


def window(folder):
    """A constant whose evaluation takes several others of its size."""
    return folded_case("BlackmanWindow", ["n"], [("n", 40 * MEGA)])(folder)


def constants(folder):
    """Constants that are needed at the same time."""
    one = tensor("one", [1.0], np.float32)
    nodes = [helper.make_node("ConstantOfShape", ["n"], [f"a{i}"], value=one) for i in range(6)]
    nodes.append(helper.make_node("Sum", [node.output[0] for node in nodes], ["c"]))
    return with_constant(folder, *nodes, initializers=[tensor("n", [20 * MEGA])])


def stored(folder):
    """A tensor of which a run makes copies: as it was read, in double precision, in the runtime."""
    node = helper.make_node("Add", ["w", "w"], ["c"])
    return with_constant(folder, node, initializers=[tensor("w", np.zeros(25 * MEGA), np.float32)])


def searched(folder):
    """A search that would take more."""
    n = Net(0, (1, 1, 256, 256))
    model = n.finish(n.conv(n.add("Relu", n.conv("x", 1, 8)), 8, 1))
    onnx.save(model.proto, folder / "m.onnx")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(256, 256)))
    data = ["--sigma", "1", "--quiet", "--time-limit", "2", "--saliency", f"output:{model.outputs[0].name}"]
    return [str(folder / "m.onnx"), str(folder / "x.npy"), *data]


RUN = """
import sys
from pathlib import Path

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

bare = status("VmRSS")
from onnx_si.cli.main import main
code = main(sys.argv[1:])
print()
print(code, status("VmHWM") - bare)
"""


@pytest.mark.parametrize(
    ("make", "codes"), [(window, (0, 3)), (constants, (3,)), (stored, (0, 3)), (searched, (0,))]
)
def test_a_run_holds_no_more_than_it_may(make, codes, tmp_path):
    """All of it: libraries that are loaded, what native code takes, copies."""
    argv = [sys.executable, "-c", RUN, *make(tmp_path), "--memory", "512M"]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=True)
    code, held = map(int, ran.stdout.split()[-2:])
    assert code in codes, ran.stderr
    assert held <= 1.25 * 512 * MEGA, f"{held / MEGA:.0f} MiB"
