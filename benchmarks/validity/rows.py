"""What is drawn and tested: the rows without a signal, and those of power."""

from benchmarks.validity.networks import DIGITS
from benchmarks.validity.trial import Row

ALL = ("selective", "naive", "bonferroni", "over-conditioning", "permutation")
SHORT = {"p_value_only": True}  # no interval
GLOBAL = {"hypothesis": "global", **SHORT}
PARTS = {"components": True, **SHORT}
WIDE = {"threshold": "minmax:0.6", **PARTS}
LIMIT = {"threshold": "max:0.5", "alternative": "greater"}
STATIONARY, SEPARABLE, DIAGONAL = (
    {"noise_model": kind, **SHORT} for kind in ("stationary", "separable", "diagonal")
)
ROWS = (
    Row("mean, 1 reference", methods=ALL),
    Row("mean, 3 references", SHORT, references=3),
    Row("mean, max:0.5", SHORT | {"threshold": "max:0.5"}),
    Row("mean, value 0", SHORT | {"threshold": 0.0}),
    Row("mean, top:0.05", SHORT | {"threshold": "top:0.05"}),
    Row("mean, minmax:0.7, class predicted of 10", {"target": "predicted"}, model=DIGITS, side=8),
    Row("mean, max:0.5, class predicted of 10", SHORT | {"threshold": "max:0.5"}, model=DIGITS, side=8),
    Row("mean, two-sided (equal tails)", SHORT | {"alternative": "two-sided"}),
    Row("mean, greater", SHORT | {"alternative": "greater"}),
    Row("mean, less", SHORT | {"alternative": "less"}),
    Row("background", {"hypothesis": "background"}, references=0),
    Row("neighborhood, ring 2", SHORT | {"hypothesis": "neighborhood", "ring": 2}, references=0),
    Row("global, 1 reference", GLOBAL),
    Row("global, 3 references", GLOBAL, references=3),
    Row("mean, map resized nearest", SHORT | {"resize": "nearest"}),
    Row("mean, image of 20 x 20 resized", SHORT | {"resize_input": "linear"}, side=20),
    Row("a component of minmax:0.6, greater", WIDE | {"alternative": "greater"}, of="component"),
    Row("a component of minmax:0.6, background", WIDE | {"hypothesis": "background"}, 0, of="component"),
    Row("all components, adjusted by Holm", PARTS, of="family", judged="family"),
    Row("all components of max:0.5, adjusted, greater", PARTS | LIMIT, of="family", judged="family"),
    Row("mean, diagonal covariance", SHORT, covariance="diagonal"),
    Row("mean, full covariance", covariance="full"),
    Row("background, separable covariance", SHORT | {"hypothesis": "background"}, 0, "separable"),
    Row("mean, stationary covariance", SHORT, covariance="stationary"),
    Row("global, separable covariance", GLOBAL, covariance="separable"),
    Row("mean, sigma on 3 degrees of freedom (t)", freedom=3),
    Row("background, sigma on 3 degrees of freedom (t)", SHORT | {"hypothesis": "background"}, 0, freedom=3),
    Row("global, sigma on 5 degrees of freedom (F)", GLOBAL, freedom=5),
    Row("mean, sigma from 2 noise images (t)", noise_images=2),
    Row("mean, 20 noise images, estimated stationary", STATIONARY, 1, "stationary", None, 20, judged=None),
    Row("mean, 20 noise images, estimated separable", SEPARABLE, 1, "separable", None, 20, judged=None),
    Row("mean, 20 noise images, estimated diagonal", DIAGONAL, 1, "diagonal", None, 20, judged=None),
    Row("mean, randomised 0.5", {"randomise": 0.5}),
    Row(
        "background, randomised 1, separable", {"hypothesis": "background", "randomise": 1.0}, 0, "separable"
    ),
)
POWER = tuple(
    Row(f"{name}, signal {signal:g}", options, signal=signal, judged=None, methods=methods)
    for signal in (0.5, 1.0)
    for name, options, methods in (
        ("plain", {}, ("naive", "bonferroni", "over-conditioning")),
        ("randomised 0.2", {"randomise": 0.2}, ("naive", "bonferroni")),
        ("randomised 1", {"randomise": 1.0}, ("naive", "bonferroni")),
    )
)
