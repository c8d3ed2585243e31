"""An audit reads files as the plain command does: pages, turned pictures, medical ones; and replay as it."""

import json

import numpy as np
import pytest
from PIL import Image
from support import audits

import onnx_si
from onnx_si.auditing.begin import plan
from onnx_si.auditing.images import entries
from onnx_si.auditing.running import run_audit
from onnx_si.auditing.wish import wish_of
from onnx_si.cli.main import main

OPTIONS = {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 0}


def wish(place, images, **options):
    asked = {"model": "model.onnx", "images": images, "pictures": False, "test": {**OPTIONS, **options}}
    return wish_of(asked, base=place, where="test")


def same_as_alone(place, asked, capsys):
    """Every row is the test of its file alone, and is found again by replay."""
    rows = list(run_audit(asked, place / "out", jobs=0).rows())
    for row in rows:
        alone = onnx_si.test(str(place / "model.onnx"), place / row["image"], **asked.options).to_dict()
        assert row["result"]["p_value"] == alone["p_value"] and row["status"] == "tested", row["reason"]
        assert row["result"]["region"] == alone["region"]
        assert not any(str(place) in text for text in row["result"]["warnings"])
        assert len(row["image_sha256"]) == 64
    capsys.readouterr()
    assert main(["replay", str(place / "out" / "results.jsonl")]) == 0
    assert capsys.readouterr().out.endswith(f"{len(rows)} of {len(rows)} agree\n")
    return rows


@pytest.fixture
def place(tmp_path):
    return audits.folder_of(tmp_path / "data", count=2)


def test_pages_and_turned_pictures(place, capsys):
    rng = np.random.default_rng(0)
    pages = [Image.fromarray(rng.normal(size=(8, 8)).astype(np.float32)) for _ in range(2)]
    pages[0].save(place / "two.tif", save_all=True, append_images=pages[1:])
    (row,) = same_as_alone(place, wish(place, ["two.tif"], page="2"), capsys)
    first = onnx_si.test(str(place / "model.onnx"), np.asarray(pages[0]), **OPTIONS)
    assert row["result"]["p_value"] != first.p_value
    refused = run_audit(wish(place, ["two.tif"]), place / "all", jobs=0)
    assert [row["status"] for row in refused.rows()] == ["failed"]


def test_medical_files_and_series(place, capsys):
    from support import medical

    (place / "model.onnx").write_bytes(medical.model(12, 10).proto.SerializeToString())
    (place / "scans").mkdir()
    medical.dicom(place / "scans" / "a.DCM")
    medical.nifti(place / "scans" / "b.nii.gz", np.random.default_rng(1).normal(size=(12, 10)))
    asked = wish(place, ["scans"], sigma=40.0)
    rows = same_as_alone(place, asked, capsys)
    assert [row["image"] for row in rows] == ["scans/a.DCM", "scans/b.nii.gz"]
    assert rows[0]["result"]["region"]["spacing_mm"] == [0.5, 0.75]
    (place / "scans" / "empty").mkdir()
    medical.series(place / "scans" / "patient")
    found = [entry.image for entry in entries(wish(place, ["scans/*"]))]
    assert found == ["scans/a.DCM", "scans/b.nii.gz", "scans/patient"]
    (place / "model.onnx").write_bytes(medical.model(4, 12, 10).proto.SerializeToString())
    place.joinpath("list.csv").write_text("image\nscans/patient\n")
    volume = audits.wish(place, test={**OPTIONS, "sigma": 40.0})
    run_audit(volume, place / "volume", jobs=0)
    (row,) = (json.loads(line) for line in (place / "volume" / "results.jsonl").read_text().splitlines())
    assert row["status"] == "tested" and row["image"] == "scans/patient", row["reason"]


@pytest.mark.parametrize(
    "options",
    [{"thin": 0.5}, {"engine": "monte-carlo", "draws": 39, "steps": 1}],
    ids=["thin", "monte-carlo"],
)
def test_what_was_drawn_by_any_engine_is_drawn_again(place, capsys, options):
    (row, _) = same_as_alone(place, wish(place, ["images"], **options), capsys)
    assert row["result"]["guarantee"] in ("thinned", "monte-carlo")


def test_a_plan_tells_shapes_and_what_can_t_be_read(place):
    np.save(place / "images" / "large.npy", np.zeros((9, 9)))
    (place / "images" / "bad.npy").write_bytes(b"nothing")
    (place / "list.csv").write_text(
        "image,sigma\nimages/scan0.npy,1\nimages/scan1.npy,2\nimages/large.npy,\nimages/bad.npy,\n,\n"
    )
    said = plan(audits.wish(place, gates={"noise_known": True}), place / "out", jobs=2)
    for text in ("images     5", "2 of shape (8, 8)", "1 of shape (9, 9)", "2 can't be tested; the first: "):
        assert text in said
    assert "bad.npy" in said and "with 2 workers" in said and "noise_known true (all)" in said


def test_sizes_in_words_in_a_file(place):
    (place / "audit.toml").write_text(
        'model = "model.onnx"\nimages = "images"\n[test]\nmemory = "500M"\nsigma = "1.5"\n'
    )
    from onnx_si.auditing.wish import read_wish

    assert read_wish(place / "audit.toml").options == {"memory": 500 << 20, "sigma": 1.5}
