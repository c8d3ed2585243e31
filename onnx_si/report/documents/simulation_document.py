"""The document of a simulation."""

from onnx_si.report.documents.result_document import MODEL
from onnx_si.report.documents.shape import Document, Form, free, listed, number, pair, text, truth, whole

ROW: dict[str, Form] = {
    "signal": number("mean of the square that is added", always=True),
    "method": text("of the p-value", always=True),
    "trials": whole("images drawn", always=True),
    "tested": whole("of which so many gave a p-value of this method", always=True),
    "no_region": whole("had no region", always=True),
    "not_computed": whole("had a region but no p-value of this method", always=True),
    "rejected": whole("had a p-value of at most alpha", always=True),
    "reject_rate": number("rejected / tested"),
    "reject_interval": pair("Clopper and Pearson's interval of the rate"),
    "ks_p_value": number("of the Kolmogorov-Smirnov test of uniform p-values"),
    "reasons": free("why a value is null"),
}
PART: dict[str, Form] = {
    "signal": number("mean of the square that is added", always=True),
    "touches": truth("whether these components touch the square", always=True),
    "tested": whole("components tested", always=True),
    "images": whole("in so many images", always=True),
    "rejected": whole("components whose own p-value is at most alpha", always=True),
    "reject_rate": number("rejected / tested"),
    "reject_interval": pair("of the rate, at the effective number of tests"),
    "images_rejected": whole("images with an adjusted p-value of at most alpha", always=True),
    "image_rate": number("images_rejected / images"),
    "image_interval": pair("of that rate"),
    "reason": text("why a value is null"),
}
KEYS: dict[str, Form] = {
    "model": MODEL,
    "image": {
        "shape": listed("of the images that are drawn", whole(""), always=True),
        "square": whole("side of the square that holds the signal", always=True),
        "references": whole("reference images for each", always=True),
        "base": listed("what noise and signal are added to", text("")),
    },
    "noise": {
        "name": text("of the family that is drawn", always=True),
        "sigma": number("its standard deviation"),
        "covariance": text("in words"),
        "distance": number("from the normal family"),
        "parameter": number("of the family at that distance"),
        "correlation": number("of neighbouring pixels"),
        "known": truth("whether the test is told", always=True),
        "degrees_of_freedom": whole("of an estimate that the test is told"),
        "source": text("where the test has the noise from", always=True),
        "images": whole("images of noise that it is given", always=True),
    },
    "hypothesis": text("that is tested", always=True),
    "alternative": text("of the test", always=True),
    "alpha": number("level of the test", always=True),
    "confidence_level": number("of the intervals here", always=True),
    "asked": {"trials": whole("images to draw"), "tested": whole("tests to do")},
    "seed": whole("of all draws", always=True),
    "contradicted": whole("tests that the deployed runtime contradicted", always=True),
    "results": listed("by signal and method", ROW, always=True),
    "components": listed("of the components, by signal", PART, always=True),
    "detectable": {
        "power": number("that was asked for: share of all images that are rejected"),
        "signal": number("the smallest signal that was found with it"),
        "below": number("the largest one below that was not"),
        "low": number("the largest one tried that is certainly found less often"),
        "high": number("the smallest one tried that is certainly found more often"),
        "reason": text("why a value is null"),
    },
    "config": free("everything that the numbers depend on"),
    "defaults": listed("choices that nobody made, with their reasons", text(""), always=True),
    "warnings": listed("what the user should know", text(""), always=True),
    "seconds": number("that it took", always=True),
    "versions": free("of python and of the packages that the numbers depend on"),
    "reasons": free("why a value is null, by its path; * stands for any key or number"),
}

SIMULATION = Document(name="onnx-si/simulate/1", title="How often tests reject", keys=KEYS, explains=False)
