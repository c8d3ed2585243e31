"""Write a volume of N(0, 1) noise with a faint ball in it as NIfTI, for unet_3d.onnx.

    python models/make_volume.py volume.nii.gz --side 96

Voxels are 1 x 1 x 1.5 mm; the affine says so, turned as a scanner's often is. Seeded: the same numbers again.
"""

from __future__ import annotations

import argparse

import nibabel
import numpy as np

AFFINE = np.array([[-1.0, 0, 0, 40], [0, 1, 0, -30], [0, 0, 1.5, 12], [0, 0, 0, 1]])


def volume(side: int, contrast: float, radius: float, seed: int) -> np.ndarray:
    """Noise, and a ball at two fifths of each side."""
    places = np.indices((side, side, side))
    ball = np.square(places - 0.4 * side).sum(axis=0) <= radius**2
    noise = np.random.default_rng(seed).standard_normal((side, side, side))
    return (noise + contrast * ball).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="ends in .nii or .nii.gz")
    parser.add_argument("--side", type=int, default=96, help="in voxels, a multiple of 8")
    parser.add_argument("--contrast", type=float, default=0.8, help="mean of the ball")
    parser.add_argument("--radius", type=float, default=5.0, help="of the ball, in voxels")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    values = volume(options.side, options.contrast, options.radius, options.seed)
    image = nibabel.Nifti1Image(values, AFFINE)
    image.set_qform(AFFINE, code=1)
    image.set_sform(AFFINE, code=1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, options.file)


if __name__ == "__main__":
    main()
