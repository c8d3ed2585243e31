# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = [
#   "tensorflow-cpu==2.21.*",
#   "keras>=3.12,<4",
#   "tf2onnx==1.17.*",
#   "onnx>=1.17",
#   "onnxruntime>=1.20",
# ]
# ///
"""Train the paper's CAM classifiers and write paper_cam_8, paper_cam_16, paper_cam_32 and paper_cam_64.

    uv run models/make_paper_cam.py [SIDE ...]

Network, data and training follow the paper's experiment: 3x3 Conv(4), Conv(4), MaxPool, Conv(4), Conv(4),
UpSampling, GlobalAveragePooling, Dense(1, sigmoid); 1000 images N(0, 1), half of them with a square of side
d/4 and mean 2 at a random place; Adam, binary cross-entropy, 100 epochs, 30 % validation, best checkpoint.

Source: Miwa, Duy, Takeuchi, "Valid P-Value for Deep Learning-Driven Salient Region", ICLR 2023.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import common
import keras
import numpy as np
import tensorflow as tf

SEED = 1
EPOCHS = 100
SIDES = (8, 16, 32, 64)
METADATA = {"onnx_si.noise_std": "1", "onnx_si.saliency": "cam", "onnx_si.threshold": "0"}


def network(side: int) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input((side, side, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="probability")(x))


def draw(count: int, side: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, side, side, 1) and labels; every second image has a square."""
    images = random.standard_normal((count, side, side))
    labels = np.arange(count) % 2
    square = side // 4
    for index in np.flatnonzero(labels):
        row, column = random.integers(0, side - square + 1, 2)
        images[index] = common.add_square(images[index], row, column, square, 2.0)
    return images[..., None].astype(np.float32), labels.astype(np.float32)


def cam(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Class activation map: the Dense weights times the upsampled feature maps."""
    features = keras.Model(model.inputs[0], model.layers[-3].output)(images, training=False)
    return np.asarray(features) @ model.layers[-1].kernel.numpy()[:, 0]


def make(side: int) -> None:
    keras.utils.set_random_seed(SEED)
    random = np.random.default_rng([SEED, side])
    images, labels = draw(1000, side, random)
    model = network(side)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    with tempfile.TemporaryDirectory() as folder:
        best = Path(folder) / "best.keras"
        checkpoint = keras.callbacks.ModelCheckpoint(best, monitor="val_loss", save_best_only=True)
        model.fit(images, labels, epochs=EPOCHS, validation_split=0.3, callbacks=[checkpoint], verbose=0)
        proto = common.converter("keras_to_onnx").convert(
            best,
            metadata={
                **METADATA,
                "onnx_si.made_by": common.made_by(__file__, SEED, "keras", "tensorflow_cpu", "tf2onnx"),
            },
        )
        model = keras.saving.load_model(best)

    test_images, test_labels = draw(2000, side, random)
    predicted = model.predict(test_images, verbose=0)[:, 0] > 0.5
    share = (cam(model, test_images) > 0).mean(axis=(1, 2))
    null = share[test_labels == 0]
    print(
        f"paper_cam_{side}: test accuracy {np.mean(predicted == test_labels):.3f}; "
        f"null images: region empty {np.mean(null == 0):.2f}, full {np.mean(null == 1):.2f}, "
        f"mean share {null.mean():.3f}; square: mean share {share[test_labels == 1].mean():.3f}, "
        f"empty {np.mean(share[test_labels == 1] == 0):.2f}"
    )
    row, column, square = side // 4, side // 3, side // 4
    while True:  # a region that is empty or everything can't be tested
        example, reference = random.standard_normal((2, side, side))
        example = common.add_square(example, row, column, square, 2.0).astype(np.float32)
        region = cam(model, example[None, ..., None])[0] > 0
        if 0 < region.sum() < region.size:
            break
    inside = region[row : row + square, column : column + square].sum()
    print(
        f"example: {region.sum()} of {region.size} pixels in the region, {inside} of the square's {square**2}"
    )
    common.save_model(proto, f"paper_cam_{side}")
    common.save_image(example, f"paper_cam_{side}_image")
    common.save_image(reference, f"paper_cam_{side}_reference")


if __name__ == "__main__":
    tf.config.experimental.enable_op_determinism()
    for side in map(int, sys.argv[1:] or SIDES):
        make(side)
