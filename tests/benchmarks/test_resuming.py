"""Benchmarks that take hours go on where they were ended, and tell what is done."""

import dataclasses
import json
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def scripts():
    sys.path.insert(0, str(ROOT))
    yield
    sys.path.remove(str(ROOT))


def test_attention_maps(tmp_path):
    """A test that was noted is not done again; a line that was cut off is."""
    from benchmarks.reproduction import attention

    one = attention.Done(attention.ALTERNATIVE, "independent", 1.0, 0, 0, 0.01, 600, 0.5)
    done = [one, dataclasses.replace(one, number=1, p_value=0.5)]
    journal = tmp_path / "journal"
    lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in done]
    journal.write_text("".join(lines) + lines[0][:20], encoding="utf-8")
    assert attention.kept(journal) == done
    assert journal.read_text(encoding="utf-8") == "".join(lines)
    rows = [line for line in attention.page(done).splitlines() if line.startswith("| independent")]
    assert [cell.strip() for cell in rows[0].split("|")[1:6]] == [
        *("independent", "1", "2", "0.500", "0.013 to 0.987")
    ]
    assert len(rows) == 1


def test_an_image_depends_on_its_number_alone(monkeypatch):
    from benchmarks.reproduction import attention

    class Analysis:
        def test(self, image, covariance, seed):
            return types.SimpleNamespace(p_value=image.sum() + seed, search={"forward_passes": 1})

    monkeypatch.setattr(attention.onnx_si, "prepare", lambda *_, **__: Analysis())
    for noise in attention.PUBLISHED:
        first, second = (one.p_value for one in attention.tests(noise, 2.0, 0, iter([0, 1])))
        (again,) = (one.p_value for one in attention.tests(noise, 2.0, 0, iter([1])))
        assert again == second != first + 1


def test_levels_of_chains(tmp_path):
    """Draws of a row are in a file of its own, which more draws are added to."""
    from benchmarks.validity import montecarlo

    nets = montecarlo.saved(tmp_path)
    rows = [row for power in (False, True) for row in montecarlo.rows(nets, power)]
    assert len({row.file for row in rows}) == len(rows)
    row = next(row for row in rows if "thin" in row.name)
    few, _ = montecarlo.rejections(row, 3, tmp_path)
    kept = (tmp_path / row.file).read_text(encoding="utf-8")
    more, _ = montecarlo.rejections(row, 5, tmp_path)
    assert more[:3] == few and len(more) == 5
    assert (tmp_path / row.file).read_text(encoding="utf-8").startswith(kept)
    assert montecarlo.levels(row, [0.005] * 100).endswith("| **no**")
