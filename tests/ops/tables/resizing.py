"""Resize and Upsample."""

from ..making import Case, V, floats, ints

COORDINATES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
RESIZE = [
    Case("nearest", "Upsample", (V(1, 1, 2, 3),), {"scales": [1.0, 1.0, 2.0, 3.0]}, versions=(7, 7)),
    Case(
        "linear",
        "Upsample",
        (V(1, 1, 2, 3),),
        {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "linear"},
        versions=(7, 7),
    ),
    Case("nearest input", "Upsample", (V(1, 1, 2, 3), floats(1, 1, 2, 3)), versions=(9, 9)),
    Case(
        "linear input", "Upsample", (V(1, 1, 2, 3), floats(1, 1, 2, 3)), {"mode": "linear"}, versions=(9, 9)
    ),
    Case("nearest", "Resize", (V(1, 1, 2, 3), floats(1, 1, 2, 1.5)), versions=(10, 10)),
    Case("linear", "Resize", (V(1, 1, 2, 3), floats(1, 1, 2, 1.5)), {"mode": "linear"}, versions=(10, 10)),
    *(
        Case(
            f"{mode} {coordinates} {what}",
            "Resize",
            (V(1, 1, 3, 4), floats(), *how),
            {"mode": mode, "coordinate_transformation_mode": coordinates},
            versions=(11, 99),
        )
        for mode in ("nearest", "linear", "cubic")
        for coordinates in COORDINATES
        for what, how in (
            ("up", (floats(), ints(1, 1, 5, 6))),
            ("down", (floats(), ints(1, 1, 2, 3))),
            ("to one", (floats(), ints(1, 1, 1, 1))),
            ("by two", (floats(1, 1, 2, 2),)),
        )
    ),
    *(
        Case(
            f"{rounding} {coordinates} {'down' if length < 8 else 'up'}",
            "Resize",
            (V(1, 1, 1, 8), floats(), floats(), ints(1, 1, 1, length)),
            {"nearest_mode": rounding, "coordinate_transformation_mode": coordinates},
            versions=(11, 99),
        )
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        for coordinates in ("half_pixel", "asymmetric")
        for length in (3, 16)
    ),
    Case(
        "symmetric",
        "Resize",
        (V(1, 1, 3, 5), None, floats(1, 1, 1.5, 0.7)),
        {"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"},
        versions=(19, 99),
    ),
    Case(
        "fractional scale",
        "Resize",
        (V(1, 1, 5, 7), floats(), floats(1, 1, 1.3, 0.6)),
        {"mode": "linear"},
        versions=(11, 99),
    ),
    Case(
        "rounded in float32",
        "Resize",
        (V(1, 1, 1, 10), floats(), floats(1, 1, 1, 0.7)),
        {"mode": "linear"},
        versions=(11, 99),
    ),
    Case(
        "cubic coefficient",
        "Resize",
        (V(1, 1, 4, 4), floats(), floats(1, 1, 1.5, 0.8)),
        {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1},
        versions=(11, 99),
    ),
    Case(
        "axes",
        "Resize",
        (V(1, 2, 3, 4), None, None, ints(6, 5)),
        {"mode": "linear", "axes": [-1, 2]},
        versions=(18, 99),
    ),
    Case("axes, scales", "Resize", (V(1, 2, 3, 4), None, floats(2, 3)), {"axes": [2, 3]}, versions=(18, 99)),
]

CASES = [*RESIZE]
