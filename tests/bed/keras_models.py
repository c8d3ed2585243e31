"""Keras idioms, small and with drawn weights."""

import keras
from keras import layers


def sequential(*parts, shape=(8, 8, 1)):
    return keras.Sequential([keras.Input(shape), *parts])


def convolutional():
    return sequential(
        layers.Conv2D(4, 3, padding="same", strides=2, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2, padding="same"),
        layers.SeparableConv2D(4, 3, padding="same", activation="relu6"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation="softmax"),
    )


def autoencoder():
    return sequential(
        layers.ZeroPadding2D(1),
        layers.Conv2D(4, 3, activation="leaky_relu"),
        layers.AveragePooling2D(2),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Conv2DTranspose(2, 3, strides=1, padding="same", activation="relu"),
        layers.Conv2D(1, 1, activation="sigmoid"),
    )


def unet():
    image = keras.Input((8, 8, 1))
    above = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    below = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(above))
    below = layers.Conv2DTranspose(4, 2, strides=2)(below)
    joined = layers.Concatenate()([above, below])
    return keras.Model(image, layers.Conv2D(1, 1)(layers.ReLU()(joined)))


def attention():
    tokens = keras.Input((6, 8))
    mixed = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    return keras.Model(tokens, layers.LayerNormalization()(layers.Add()([tokens, mixed])))


def recurrent_free():
    return sequential(
        layers.Conv1D(4, 3, padding="causal", activation="relu"),
        layers.MaxPooling1D(2),
        layers.Flatten(),
        layers.Dense(3),
        shape=(12, 1),
    )


def mobile():
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)


MODELS = {
    "convolutional": convolutional,
    "autoencoder": autoencoder,
    "unet": unet,
    "attention": attention,
    "causal": recurrent_free,
    "mobilenet v2": mobile,
}
