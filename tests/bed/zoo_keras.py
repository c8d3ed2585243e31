"""Architectures that people use, a few channels wide: as they are written in Keras, with drawn weights."""

import keras
from keras import layers


def approximate(x):
    return keras.activations.gelu(x, approximate=True)  # the other one is exported as an op that ONNX lacks


def separable():
    """Xception's block with swish."""
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, 2, padding="same", activation="swish")(image)
    y = layers.BatchNormalization()(layers.SeparableConv2D(4, 3, padding="same", activation="swish")(x))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(layers.Add()([x, y]))))


def vision_transformer():
    image = keras.Input((16, 16, 1))
    x = layers.Reshape((16, 8))(layers.Conv2D(8, 4, 4)(image))
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(y, y)])
    y = layers.Dense(16, activation=approximate)(layers.LayerNormalization()(x))
    x = layers.Add()([x, layers.Dense(8)(y)])
    return keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def segmenter():
    image = keras.Input((16, 16, 1))
    above = layers.Conv2D(4, 3, padding="same", activation="elu")(image)
    below = layers.Conv2D(6, 3, padding="same", activation="elu")(layers.MaxPooling2D()(above))
    below = layers.UpSampling2D(interpolation="bilinear")(layers.GroupNormalization(2)(below))
    joined = layers.Concatenate()([above, below])
    return keras.Model(image, layers.Conv2D(3, 1, activation="softmax")(joined))


def next_block():
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(6, 2, 2)(image)
    y = layers.LayerNormalization()(layers.DepthwiseConv2D(7, padding="same")(x))
    x = layers.Add()([x, layers.Dense(6)(layers.Dense(12, activation=approximate)(y))])
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


ZOO = {
    "Xception, swish": separable,
    "ViT": vision_transformer,
    "softmax segmentation": segmenter,
    "ConvNeXt": next_block,
}
