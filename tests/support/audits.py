"""Small audits for the tests: a trivial model, images with and without signal."""

import csv

import numpy as np

from onnx_si.auditing.wish import wish_of
from support import nets

SIZE = 8


def folder_of(place, count=6, seed=0):
    """Images, half of them with a square of signal, a manifest, and a model, in a folder."""
    rng = np.random.default_rng(seed)
    (place / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        image = rng.normal(size=(SIZE, SIZE))
        if number % 2:
            image[2:6, 2:6] += 4
        np.save(place / "images" / f"scan{number}.npy", image)
        rows.append((f"images/scan{number}.npy", "lesion" if number % 2 else "empty", f"ward {number}"))
    with (place / "list.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([("image", "group", "ward"), *rows])
    (place / "model.onnx").write_bytes(nets.map_net(seed=1, size=SIZE).proto.SerializeToString())
    return place


def wish(place, **more):
    """What the tests ask of such a folder."""
    asked = {"model": "model.onnx", "manifest": "list.csv", "pictures": False, **more}
    asked.setdefault("test", {"sigma": 1.0, "threshold": "minmax:0.5", "verify": 0})
    return wish_of(asked, base=place, where="test")


def files(folder):
    """Everything that must be the same at every run."""
    names = ("results.jsonl", "summary.json", "results.csv", "junit.xml", "audit.lock.json")
    return {name: (folder / name).read_bytes() for name in names}
