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

CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 9.0}
SPECIAL = [
    *(
        Case(
            f"{mode} antialias {coordinates} to {length}{' inside' * exclude}",
            "Resize",
            (V(1, 1, 3, 10), None, None, ints(1, 1, 5, length)),
            {
                "mode": mode,
                "antialias": 1,
                "coordinate_transformation_mode": coordinates,
                "exclude_outside": exclude,
            },
            versions=(18, 99),
        )
        for mode in ("linear", "cubic")
        for coordinates in ("half_pixel", "align_corners")
        for length in (4, 7, 12)
        for exclude in (0, 1)
    ),
    Case(
        "antialias by scales",
        "Resize",
        (V(1, 1, 7, 9), None, floats(1, 1, 0.6, 0.4)),
        {"mode": "linear", "antialias": 1},
        versions=(18, 99),
    ),
    *(
        Case(
            f"{mode} {policy} {rows} by {columns}",
            "Resize",
            (V(1, 1, 5, 8), None, None, ints(rows, columns)),
            {"mode": mode, "keep_aspect_ratio_policy": policy, "axes": [2, 3]},
            versions=(18, 99),
        )
        for mode in ("nearest", "linear")
        for policy in ("not_larger", "not_smaller")
        for rows, columns in ((4, 4), (7, 12), (6, 3))
    ),
    *(
        Case(
            f"{mode} crop {what}",
            "Resize",
            (V(1, 1, 5, 8), floats(0, 0, *starts, 1, 1, *ends), floats(), ints(1, 1, *sizes)),
            {**CROP, "mode": mode},
            versions=(11, 99),
        )
        for mode in ("linear", "cubic")
        for what, starts, ends, sizes in (
            ("within", (0.25, 0.1), (0.75, 0.9), (4, 9)),
            ("without", (-0.2, 0.3), (1.3, 1.1), (6, 5)),
            ("to one", (0.25, -0.5), (0.75, 0.1), (1, 1)),
            ("along one axis", (0, 0.3), (1, 0.6), (5, 4)),
            ("backwards", (0.75, 0), (0.25, 1), (4, 3)),
            ("of everything", (0, 0), (1, 1), (9, 4)),
        )
    ),
    Case(
        "crop of named axes",
        "Resize",
        (V(1, 2, 5, 8), floats(0.1, -0.2, 0.9, 1.2), None, ints(4, 6)),
        {**CROP, "mode": "linear", "axes": [3, 2]},
        versions=(18, 99),
    ),
    *(
        Case(
            f"without half a pixel, {rounding} to {length}",
            "Resize",
            (V(1, 1, 1, 8), floats(), floats(), ints(1, 1, 1, length)),
            {"nearest_mode": rounding, "coordinate_transformation_mode": "tf_half_pixel_for_nn"},
            versions=(11, 11),
        )
        for rounding in ("round_prefer_floor", "floor", "ceil")
        for length in (3, 13)
    ),
]

CASES = [*RESIZE, *SPECIAL]
