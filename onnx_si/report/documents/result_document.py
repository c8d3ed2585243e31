"""The document of one test, whatever came of it."""

from onnx_si.choices.guarantees import GUARANTEES
from onnx_si.report.documents.shape import (
    Document,
    Form,
    Leaf,
    free,
    listed,
    number,
    pair,
    text,
    truth,
    whole,
)
from onnx_si.report.pieces import Comparison

BOX = listed(
    "for every axis of space the first pixel and the one behind the last",
    Leaf(type="array", what="", of=whole("")),
)
INTERVALS = "as a list of [low, high], in units of the statistic; null for an infinite end"

MODEL: dict[str, Form] = {
    "path": text("of the file"),
    "sha256": text("of the file's bytes"),
    "producer": text("the tool that wrote it"),
    "opset": whole("version of the standard op set"),
}

COMPONENT: dict[str, Form] = {
    "pixels": whole("how many pixels touch each other", always=True),
    "bbox": BOX,
    "p_value": number("given that this set of pixels is a component of the region"),
    "p_value_bounds": pair("proven bounds of it"),
    "p_value_adjusted": number("Holm's, over all components, given the whole region"),
    "p_value_adjusted_bounds": pair("bounds of it, the upper one is it"),
    "statistic": number("in the image's units"),
    "standard_error": number("of the statistic, without selection"),
}

CLASS: dict[str, Form] = {
    "target": whole("the class", always=True),
    "pixels": whole("how many pixels have it", always=True),
    "p_value": number("given the region of this class"),
    "p_value_bounds": pair("proven bounds of it"),
    "p_value_adjusted": number("Holm's, over all classes that are there, given the class of every pixel"),
    "p_value_adjusted_bounds": pair("bounds of it, the upper one is it"),
    "statistic": number("in the image's units"),
    "standard_error": number("of the statistic, without selection"),
}

FINDING: dict[str, Form] = {
    "node": text("name of the node", always=True),
    "op": text("its op", always=True),
    "opset": whole("version of the op set that the model uses", always=True),
    "reason": text("why it stands in the way", always=True),
    "advice": text("what to do", always=True),
}

FATES = ("exact", "discarded", "accepted", "undecided", "sieved", "in_parts", "split")

KEYS: dict[str, Form] = {
    "status": text("tested, no_region or refused"),
    "reason": text("why there was no test"),
    "findings": listed("nodes of the model that stand in the way of a test", FINDING, always=True),
    "guarantee": text(f"what kind of p-value this is: {', '.join(reversed(GUARANTEES))}"),
    "p_value": number("the selective p-value; the upper bound where bounds are apart"),
    "p_value_bounds": pair(
        "bounds of the p-value; of monte-carlo the central 99 % interval for infinitely many chains"
    ),
    "statistic": number("of the test, in the image's units, or in units of the noise"),
    "standard_error": number("of the statistic, without selection"),
    "degrees_of_freedom": whole("of a chi, t or F distribution"),
    "alternative": text("two-sided-abs, two-sided, greater or less"),
    "hypothesis": text("what the region is compared with"),
    "estimate": number("median-unbiased estimate of the statistic's mean, given the selection"),
    "estimate_bounds": pair("bounds of the estimate"),
    "confidence_interval": pair("for the statistic's mean, given the selection; null for an unbounded end"),
    "confidence_interval_bounds": Leaf(
        type="array", what="bounds of each of its ends", empty=[[None, None], [None, None]], of=pair("")
    ),
    "confidence_level": number("of the interval: 1 - alpha"),
    "confidence_interval_level": text(
        "exact, or approximate: of an estimated noise, or an S that was only seen"
    ),
    "truncation": listed(f"the set S on which the region is the observed one, {INTERVALS}", pair("")),
    "undecided": listed(f"what was left open of the line, {INTERVALS}", pair("")),
    "fragility": {
        "distance": number(
            "standard errors from the statistic to the nearest end of S; null while the search left it open"
        ),
        "information": number(
            "share of the statistic's information on its mean that the selection leaves; null while the "
            "search left it open"
        ),
    },
    "region": {
        "pixels": whole("how many pixels the region has"),
        "fraction": number("share of all pixels"),
        "bbox": BOX,
        "spacing_mm": listed("size of a pixel in mm along each axis", number("")),
        "size_mm": number("area or volume of the region, in mm^2 or mm^3"),
        "bbox_mm": listed(
            "the box in mm from the first pixel's edge, as pairs for each axis", listed("", number(""))
        ),
        "components": listed("connected parts of the region, the largest first", COMPONENT),
    },
    "saliency": {
        "method": text("how the map is made"),
        "target": Leaf(type="any", what="class of the map: a number, predicted, or all"),
        "threshold": text("what makes a pixel salient"),
        "coarsen": whole("side in pixels of the blocks that it was averaged over; 1: it was not"),
    },
    "classes": listed("the test of each class that is there, with target all", CLASS),
    "comparison": {
        name: number("p-value of this method on the same region") for name in Comparison().p_values()
    },
    "noise": {
        "model": text("of the noise's covariance"),
        "std": number("standard deviation of one value"),
        "source": text("where it is from"),
        "known": truth("whether it was told, not estimated"),
        "degrees_of_freedom": whole("of an independent estimate"),
        "tipping_std": number(
            "the nearest standard deviation of the noise at which the decision at alpha is another one"
        ),
        "decision_holds_for": pair(
            "the smallest and the largest standard deviation between which it is certainly the same"
        ),
        "level": text("exact, or approximate where the noise was estimated from the image"),
    },
    "model": MODEL,
    "image": {
        "path": text("of the file"),
        "shape": listed("as the model takes it, before preprocessing", whole("")),
    },
    "reference": {"paths": listed("of the files", text("")), "count": whole("how many there are")},
    "search": {
        "engine": text("what followed the region: exact, certified, monte-carlo, or none"),
        "seconds": number("that it took"),
        "forward_passes": number("what it cost, in passes through the network"),
        "pieces": whole("linear pieces of the line that were seen"),
        "cells": whole("parts of the line that were settled, by all fates"),
        "peak_bytes": whole("of all tensors that were alive at the same time"),
        "complete": truth("whether the bounds are as close as they were wanted"),
        "draws": whole("chains that were looked at"),
        "seed": whole("that everything drawn follows from, with the image"),
        "estimate": listed(f"what was seen of S where it is not known, {INTERVALS}", pair("")),
        "fates": {name: whole("cells that ended so") for name in FATES},
    },
    "parity": {
        "runtime": text("the deployed runtime"),
        "pixels": listed("positions where its region is another", Leaf(type="array", what="", of=whole(""))),
        "max_difference": number("largest difference of the two maps"),
        "problem": text("why it was not asked"),
        "points": whole("points of the line that it was asked about"),
        "agreeing": whole("of which so many agree with S"),
        "too_near": whole("and so many are too near to an end to tell in its precision"),
    },
    "config": free("every option, enough to run the test again"),
    "defaults": listed("choices that nobody made, with their reasons", text(""), always=True),
    "warnings": listed("what the user should know", text(""), always=True),
    "versions": free("of python and of the packages that the numbers depend on"),
}

RESULT = Document(name="onnx-si/result/1", title="One test of a salient region", keys=KEYS)
