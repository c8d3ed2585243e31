"""Every file of a test reaches it, from an audit and from a replay of it."""

import numpy as np
import pytest
from support import audits

import onnx_si
from onnx_si.auditing.running import run_audit
from onnx_si.cli.main import main

OPTIONS = {"sigma": 1.0, "threshold": "top:0.1", "verify": 0}


def without_sigma():
    return {name: value for name, value in OPTIONS.items() if name != "sigma"}


FILES = {
    "reference": (OPTIONS, lambda rng, regions: rng.normal(size=(8, 8))),
    "mask": (OPTIONS, lambda rng, regions: np.arange(64).reshape(8, 8) % 8 < 6),
    "covariance": (without_sigma(), lambda rng, regions: rng.uniform(0.5, 2.0, (8, 8))),
    "noise_from": (without_sigma(), lambda rng, regions: rng.normal(size=(8, 8))),
    "sigma_from": (without_sigma(), lambda rng, regions: ~regions),
}


@pytest.mark.parametrize("name", FILES)
def test_it_is_the_plain_test_with_that_file(name, tmp_path, capsys):
    place = audits.folder_of(tmp_path / "data", count=6)
    options, values = FILES[name]
    model = onnx_si.load(str(place / "model.onnx"))
    images = [np.load(place / f"images/scan{i}.npy") for i in range(6)]
    regions = np.any([onnx_si.test(model, image, **OPTIONS).region for image in images], axis=0)
    given = values(np.random.default_rng(5), regions.reshape(8, 8))
    np.save(place / "given.npy", given)
    if name in ("reference", "mask"):  # columns of the manifest
        rows = "".join(f"images/scan{i}.npy,given.npy\n" for i in range(6))
        (place / "list.csv").write_text(f"image,{name}\n{rows}")
        more = {}
    else:
        more = {name: ["given.npy"] if name == "noise_from" else "given.npy"}
    found = run_audit(audits.wish(place, test=options, **more), tmp_path / "out", jobs=0)
    told = {name: [given] if name == "noise_from" else given}
    other = {"sigma": 1.3} if "sigma" not in options else {}
    differ = 0
    rows = [row for row in found.rows() if row["status"] == "tested"]
    for row in rows:
        image = images[row["number"]]
        assert row["result"]["p_value"] == onnx_si.test(model, image, **options, **told).p_value
        differ += row["result"]["p_value"] != onnx_si.test(model, image, **options, **other).p_value
    assert rows and differ == len(rows)
    assert main(["replay", str(tmp_path / "out" / "results.jsonl")]) == 0
