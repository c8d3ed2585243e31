"""Write models/audit_32: 24 images for an audit of paper_cam_32, half of them without signal.

    python models/make_audit.py

The images are of the kind that the network was trained on: 32 x 32 pixels of N(0, 1), half of them with a
square of side 8 and mean 2 at a random place. The manifest says which is which; `audit.toml` beside it says
what must hold.
"""

from __future__ import annotations

import csv

import common
import numpy as np

SEED = 16
COUNT, SIDE, SQUARE, MEAN = 24, 32, 8, 2.0
FOLDER = common.HERE / "audit_32"


def main() -> None:
    """Write images and manifest."""
    rng = np.random.default_rng(SEED)
    (FOLDER / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(COUNT):
        image = rng.normal(size=(SIDE, SIDE))
        row, column = (int(value) for value in rng.integers(0, SIDE - SQUARE + 1, size=2))
        group = "square" if number % 2 else "empty"
        if group == "square":
            image = common.add_square(image, row, column, SQUARE, MEAN)
        name = f"images/scan_{number:02d}.npy"
        common.save_image(image, f"audit_32/{name.removesuffix('.npy')}")
        rows.append({"image": name, "group": group, "ward": "north" if number < COUNT // 2 else "south"})
    with (FOLDER / "images.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
