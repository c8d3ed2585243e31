"""The shipped 3-D network, from a NIfTI volume to a NIfTI region."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from onnx_si.cli import main as cli

MODELS = Path(__file__).parents[2] / "models"
nibabel = pytest.importorskip("nibabel", reason="the extra 'medical' is not installed")


@pytest.fixture
def volume(tmp_path, monkeypatch):
    """What the script beside the network writes, small."""
    monkeypatch.syspath_prepend(str(MODELS))
    import make_volume

    monkeypatch.setattr(sys, "argv", ["make_volume.py", str(tmp_path / "v.nii.gz"), "--side", "16"])
    make_volume.main()
    return tmp_path / "v.nii.gz"


def test_from_a_volume_to_a_region_that_lies_where_it_lies(volume, tmp_path, capsys):
    arguments = [str(MODELS / "unet_3d.onnx"), str(volume), "--randomise", "0.2", "--precision", "0.01"]
    written = ["--nifti", str(tmp_path / "o"), "--plot", str(tmp_path / "o.png"), "--json", "--quiet"]
    assert cli.main([*arguments, *written]) == 0
    found = json.loads(capsys.readouterr().out)
    source, region = nibabel.load(volume), nibabel.load(tmp_path / "o_region.nii.gz")
    assert found["guarantee"] == "exact" and found["p_value"] < 1e-6
    assert np.array_equal(source.affine, region.affine) and source.shape == region.shape == (16, 16, 16)
    marked = np.asarray(region.dataobj, bool)
    assert found["region"]["pixels"] == marked.sum() and marked[6:8, 6:8, 6:8].all()
    assert found["region"]["size_mm"] == 1.5 * marked.sum()
    assert (tmp_path / "o.png").stat().st_size > 20_000


def test_without_more_noise_the_region_is_the_runtimes(volume, capsys):
    arguments = [str(MODELS / "unet_3d.onnx"), str(volume), "--thin", "0.1", "--json", "--quiet"]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    values = np.asarray(nibabel.load(volume).dataobj, np.float32)
    session = onnxruntime.InferenceSession(str(MODELS / "unet_3d.onnx"))
    (shown,) = session.run(None, {"image": values[None, None]})
    assert 100 < (shown > 0.5).sum() < 1000


def test_its_sides_are_free_and_multiples_of_eight(volume, tmp_path, capsys):
    proto = onnx.load(MODELS / "unet_3d.onnx")
    assert [dim.dim_param for dim in proto.graph.input[0].type.tensor_type.shape.dim[2:]] == ["D", "H", "W"]
    np.save(tmp_path / "odd.npy", np.random.default_rng(0).normal(size=(17, 16, 16)).astype(np.float32))
    assert cli.main([str(MODELS / "unet_3d.onnx"), str(tmp_path / "odd.npy")]) == 4
    assert "multiples of 8" in capsys.readouterr().err
