"""One limit for all that a run holds, asked before memory is taken."""

import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.nets import Net

import onnx_si
from onnx_si.errors import InputError, Refusal, UnsupportedModel, UnsupportedOp
from onnx_si.graph import load
from onnx_si.graph.constants import affordable
from onnx_si.ground import budget as module
from onnx_si.ground.budget import SHARE, budget, excess, in_words, share_of
from onnx_si.ground.layout import Layout
from onnx_si.inspection.inspector import inspect_model
from onnx_si.program.program import bind
from onnx_si.statistics.noise import covariance_of

MEGA = 1 << 20


@pytest.fixture
def resident(monkeypatch):
    """What the process holds, as the test says."""
    held = {"bytes": 100 * MEGA}
    monkeypatch.setattr(module, "resident", lambda: held["bytes"])
    return held


def test_what_is_held_counts(resident):
    with budget(50 * MEGA) as made:
        assert excess(50 * MEGA) is None
        assert "50.0 MiB of the 50.0 MiB" in (excess(50 * MEGA + 1) or "")
        resident["bytes"] += 30 * MEGA
        assert excess(20 * MEGA) is None and made.left() == 20 * MEGA
        assert "it takes 21.0 MiB of memory, and 20.0 MiB of" in (excess(21 * MEGA) or "")
        resident["bytes"] += 30 * MEGA
        assert excess(2 * MEGA) is not None and made.left() == 0


def test_a_budget_inside_another_keeps_the_smaller_limit(resident):
    with budget(50 * MEGA) as outer:
        resident["bytes"] += 10 * MEGA
        with budget() as inner:
            assert inner == outer
        with budget(80 * MEGA) as inner:
            assert inner.limit == 50 * MEGA and inner.left() == 40 * MEGA
        with budget(20 * MEGA) as inner:
            assert inner.left() == 10 * MEGA
        assert share_of(2) == module.LEAST
    with budget(1000 * MEGA):
        assert share_of(4) == 250 * MEGA


def test_by_default_half_of_what_is_free(monkeypatch, resident):
    monkeypatch.setattr(module, "free_memory", lambda: 1000 * MEGA)
    with budget() as made:
        assert made.limit == 1000 * MEGA * SHARE


def test_free_memory_is_of_machine_and_group(monkeypatch, tmp_path):
    assert module.free_memory() > 0
    monkeypatch.setattr(module, "_of_process", lambda: None)
    monkeypatch.setattr(module, "_available", lambda: 5 << 30)
    monkeypatch.setattr(module, "_of_group", lambda: 3 << 30)
    assert module.free_memory() == 3 << 30
    monkeypatch.setattr(module, "_of_group", lambda: None)
    monkeypatch.setattr(module, "_available", lambda: None)
    assert module.free_memory() == module.UNKNOWN_FREE


def test_free_memory_is_within_the_limit_of_addresses(monkeypatch):
    monkeypatch.setattr(module, "_available", lambda: 5 << 30)
    monkeypatch.setattr(module, "_of_group", lambda: None)
    held = {"VmSize": 1 << 30, "VmData": 1 << 29}
    monkeypatch.setattr(module, "status", held.get)
    for addresses, data, free in ((3 << 30, -1, 2 << 30), (-1, 1 << 30, 1 << 29), (-1, -1, 5 << 30)):
        limits = {"RLIMIT_AS": (addresses, -1), "RLIMIT_DATA": (data, -1)}
        monkeypatch.setattr(module, "own_limits", lambda limits=limits: limits)
        assert module.free_memory() == free


def test_a_thread_has_a_budget_of_its_own(resident):
    seen = []

    def work():
        with budget(7 * MEGA) as made:
            seen.append(made.limit)

    with budget(3 * MEGA):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [7 * MEGA]


@pytest.mark.parametrize(
    ("size", "words"), [(5, "5 bytes"), (3 << 20, "3.0 MiB"), (5 << 29, "2.5 GiB"), (200 << 30, "200 GiB")]
)
def test_sizes_in_words(size, words):
    assert in_words(size) == words


def test_tensors_ask():
    with budget(64 * MEGA):
        assert affordable((1 << 20,)) == (1 << 20,)
        with pytest.raises(Refusal, match=r"a tensor of shape \(16777216,\); it takes 128"):
            affordable((1 << 24,))
    for shape in ((-1,), (0, 2**60), (1,) * 33):
        with pytest.raises(Refusal, match="a tensor of shape"):
            affordable(shape)


def test_constants_ask():
    n = Net(0, (1, 4))
    large = n.add("ConstantOfShape", n.const(np.array([1 << 24], np.int64)))
    model = n.finish(n.add("Add", "x", n.add("ReduceMin", large, keepdims=0), out="y"))
    image = np.zeros((1, 4))
    with budget(64 * MEGA), pytest.raises(UnsupportedOp, match="it takes 128"):
        bind(model, image, ("y",)).require_exact()
    bind(model, image, ("y",)).require_exact()


def test_a_test_is_told_its_limit():
    n = Net(0, (1, 1, 64, 64))
    model = n.finish(n.add("Relu", n.conv("x", 1, 64), out="y"))
    image = np.random.default_rng(0).normal(size=(64, 64))
    with pytest.raises(UnsupportedModel, match="--memory"):
        onnx_si.test(model, image, sigma=1.0, memory=MEGA)
    with pytest.raises(onnx_si.UsageError, match="memory 5"):
        onnx_si.test(model, image, sigma=1.0, memory=5)


def external(folder, dims, size, **entries):
    """A model with a tensor in a file of its own."""
    with (folder / "data.bin").open("wb") as stream:
        stream.truncate(size)
    stored = TensorProto(name="w", data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "data.bin", **entries}.items():
        stored.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("ReduceMin", ["w"], ["s"], keepdims=0), helper.make_node("Add", ["x", "s"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 4])],
        [helper.make_tensor_value_info("y", 1, [1, 4])],
        [stored],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return folder / "m.onnx"


def test_external_data_is_read_by_the_tensors_own_size(tmp_path):
    model = load(external(tmp_path, [4], 64 * MEGA))
    assert model.initializers["w"].tolist() == [0.0] * 4


def test_external_data_asks(tmp_path):
    path = external(tmp_path, [16 * MEGA], 64 * MEGA)
    with pytest.raises(InputError, match="its 1 tensors are stored beside it; it takes 192"):
        load(path, memory=100 * MEGA)
    assert load(path).initializers["w"].shape == (16 * MEGA,)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"length": "15"}, "takes 16 bytes, 'data.bin' has 15 for it"),
        ({"length": "99"}, "takes 16 bytes, 'data.bin' has 99 for it"),
        ({"length": "9999"}, "ends behind the end"),
        ({"offset": "1020"}, "ends behind the end"),
        ({"offset": "-1"}, "ends behind the end"),
        ({"offset": "x"}, "a malformed place"),
        ({"offset": "9" * 5_000}, "a malformed place"),
    ],
)
def test_a_place_that_can_not_be(tmp_path, entries, words):
    with pytest.raises(InputError, match=words):
        load(external(tmp_path, [4], 1024, **entries))


def test_a_file_asks(tmp_path):
    n = Net(0, (1, 4))
    proto = n.finish(n.add("Add", "x", n.const(np.zeros(MEGA // 4, np.float32)[:4]), out="y")).proto
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(MEGA, np.float32), "unused"))
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"m.onnx: 4\d+ bytes; it takes 12"):
        load(tmp_path / "m.onnx", memory=8 * MEGA)
    load(tmp_path / "m.onnx")


def test_a_covariance_asks():
    values = np.broadcast_to(np.zeros(()), (4096, 4096))
    with budget(100 * MEGA), pytest.raises(InputError, match=r"shape \(4096, 4096\): it takes 512"):
        covariance_of(values, (1, 1, 64, 64), Layout("NCHW", ""))


def test_an_inspection_without_memory_is_a_refusal(monkeypatch):
    def large(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("onnx_si.inspection.inspector.bind", large)
    n = Net(0, (1, 4))
    found = inspect_model(n.finish(n.add("Relu", "x", out="y")))
    assert found.guarantee == "refused" and "out of memory" in found.reasons[0]
